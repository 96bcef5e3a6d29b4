"""No attempt to break out works inside; outside, each one does, so it can tell."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attempts import ATTEMPTS, PRELUDE, Attempt
from conftest import PYTHON

from mohist.sandbox import Bubblewrap, Profile, run

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a host has that an agent must not reach."""
    token = secrets.token_hex()
    for name in ("secret", "secret2"):
        (tmp_path / name).write_text(token)
    monkeypatch.setenv("SOME_PASSWORD", token)
    monkeypatch.setenv("LD_PRELOAD", "")
    libc = ctypes.CDLL(None)
    key = int.from_bytes(secrets.token_bytes(3), "big") + 1
    segment = libc.shmget(key, 4096, 0o1666)
    shared = Path(f"/dev/shm/{secrets.token_hex(8)}")
    shared.write_text(token)
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
        yield {
            "secret": str(tmp_path / "secret"), "token": token, "variable": "SOME_PASSWORD", "pid": bystander.pid,
            "abstract": name, "socket": str(short), "port": service.getsockname()[1], "shm": key,
            "shm_file": str(shared),
        }  # fmt: skip
    finally:
        for listener in (abstract, pathname, service):
            listener.close()
        short.unlink(missing_ok=True)
        bystander.kill()
        bystander.wait()
        shared.unlink()
        libc.shmctl(segment, 0, 0)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name.replace(" ", "-"))
async def test_attempt_works_outside_and_fails_inside(
    attempt: Attempt, sandbox: Bubblewrap, profile: Profile, workspace: Path, facts: dict[str, Any]
) -> None:
    argv = [PYTHON, "-I", "-S", "-c", PRELUDE + attempt.code, json.dumps(facts)]
    inside = await run(sandbox, argv, cwd=workspace, profile=profile, timeout_s=20)
    text = inside.output.decode()
    assert "ESCAPED" not in text
    assert inside.exit.code == 0 or "Error" in text, text  # it ran, and was refused
    assert "SyntaxError" not in text
    assert "NameError" not in text
    assert hidden_names(workspace) == [".git"]  # no litter
    if attempt.proof == "anybody" or (attempt.proof == "root" and os.geteuid() == 0):
        assert "ESCAPED" in run_unconfined(argv, workspace)


def hidden_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def run_unconfined(argv: list[str], cwd: Path) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr
