"""No attempt to break out works inside; outside, each one does, so it can tell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from escape_attempts import ATTEMPTS, DRIVER, Attempt
from sandbox_room import PYTHON, TOOLCHAIN

from mohist.sandbox import Bubblewrap, Profile, run

pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def inside(room: Path, repository: Path, state: Path, facts: dict[str, Any]) -> dict[str, str]:
    """What each attempt said in the sandbox, all in one start."""
    workspace = Path(shutil.copytree(repository, room / "workspace"))

    async def attempt_all() -> bytes:
        sandbox = Bubblewrap(state=state)
        profile = Profile(workspace, extra_readable=TOOLCHAIN)
        argv = [PYTHON, "-I", "-S", "-c", DRIVER, json.dumps(facts)]
        done = await run(sandbox, argv, cwd=workspace, profile=profile, timeout_s=60)
        sandbox.close()
        return done.output

    found: dict[str, str] = json.loads(anyio.run(attempt_all))
    hidden = sorted(path.name for path in workspace.iterdir() if path.name.startswith("."))
    assert hidden == [".git"]  # no litter
    return found


@pytest.fixture(scope="module")
def outside(room: Path, repository: Path, facts: dict[str, Any], inside: dict[str, str]) -> dict[str, str]:
    """What each says on the host; after `inside`, which must find the host whole."""
    tried = {a.name: a.code for a in ATTEMPTS if a.proof == "anybody" or (a.proof == "root" and os.geteuid() == 0)}
    folders = [shutil.copytree(repository, room / "outside" / str(number)) for number in range(len(tried))]
    argv = [
        PYTHON,
        "-I",
        "-S",
        "-c",
        DRIVER,
        json.dumps({**facts, "attempts": tried, "folders": list(map(str, folders))}),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, close_fds=False)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name.replace(" ", "-"))
def test_attempt_fails_inside_and_works_outside(
    attempt: Attempt, inside: dict[str, str], outside: dict[str, str]
) -> None:
    said = inside[attempt.name]
    assert "ESCAPED" not in said
    assert "DONE" in said or "OSError" in said or "Permission" in said or "Error: [Errno" in said, said  # it was tried
    if attempt.name in outside:
        assert "ESCAPED" in outside[attempt.name], outside[attempt.name]
