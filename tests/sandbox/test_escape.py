"""No attempt to break out works inside; outside, each one does, so it can tell."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from escape_attempts import ATTEMPTS, DRIVER, Attempt
from sandbox_room import PYTHON, TOOLCHAIN

from mohist.sandbox import Bubblewrap, Profile, run

pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("escape")


@pytest.fixture(scope="module")
def facts(room: Path) -> Iterator[dict[str, Any]]:
    """What a host has that an agent must not reach."""
    token = secrets.token_hex()
    for name in ("secret", "secret2", "outside/secret"):
        (room / name).parent.mkdir(exist_ok=True)
        (room / name).write_text(token, encoding="utf-8")
    libc = ctypes.CDLL(None)
    key = int.from_bytes(secrets.token_bytes(3), "big") + 1
    segment = libc.shmget(key, 4096, 0o1666)
    shared = Path(f"/dev/shm/{secrets.token_hex(8)}")
    shared.write_text(token, encoding="utf-8")
    bystander = subprocess.Popen(["sleep", "600"])
    abstract, pathname, service = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()
    name = secrets.token_hex(8)
    short = Path(f"/tmp/{name}")  # a socket's path has 107 bytes at most
    try:
        abstract.bind("\0" + name)
        pathname.bind(str(short))
        service.bind(("127.0.0.1", 0))
        for listener in (abstract, pathname, service):
            listener.listen()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOME_PASSWORD", token)
            yield {
                "secret": str(room / "secret"), "token": token, "variable": "SOME_PASSWORD", "pid": bystander.pid,
                "abstract": name, "socket": str(short), "port": service.getsockname()[1], "shm": key,
                "shm_file": str(shared), "attempts": {a.name: a.code for a in ATTEMPTS}, "folders": [],
            }  # fmt: skip
    finally:
        for listener in (abstract, pathname, service):
            listener.close()
        short.unlink(missing_ok=True)
        bystander.kill()
        bystander.wait()
        shared.unlink()
        libc.shmctl(segment, 0, 0)


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
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
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
