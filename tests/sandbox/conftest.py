"""A sandbox for the whole session, a workspace with a repository, all fresh."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escape_attempts import ATTEMPTS
from sandbox_room import NOBODY, TOOLCHAIN, host_git

from mohist.sandbox import Bubblewrap, Profile


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def sandbox(state: Path) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=state, grace_s=0.3)
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One commit, made once; tests get copies."""
    folder = tmp_path_factory.mktemp("made") / "repository"
    folder.mkdir()
    host_git(folder, "init", "--quiet", "--template=", "--initial-branch=main")
    (folder / ".git" / "hooks").mkdir()
    (folder / "a.txt").write_text("one\n", encoding="utf-8")
    host_git(folder, "add", "a.txt")
    host_git(folder, "commit", "--quiet", "-m", "first")
    return folder


@pytest.fixture
def workspace(tmp_path: Path, repository: Path) -> Path:
    return Path(shutil.copytree(repository, tmp_path / "workspace"))


@pytest.fixture
def profile(workspace: Path) -> Profile:
    return Profile(workspace, extra_readable=TOOLCHAIN)


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


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="mohist-user-"))
    os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)
