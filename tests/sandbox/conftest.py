"""A sandbox for the whole session, a workspace with a repository, and the interpreter that probes run on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mohist.sandbox import Bubblewrap, Profile

PREFIX = Path(sys.base_prefix).resolve()
PYTHON = str(Path(sys.executable).resolve())


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def sandbox(state: Path) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=state, grace_s=0.3)
    yield backend
    backend.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    host_git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.txt").write_text("one\n")
    host_git(folder, "add", "a.txt")
    host_git(folder, "commit", "--quiet", "-m", "first")
    return folder


@pytest.fixture
def profile(workspace: Path) -> Profile:
    return Profile(workspace, extra_readable=(PREFIX,))


def host_git(folder: Path, *args: str) -> str:
    """Plain git, as a user would run it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip
    done = subprocess.run(["git", *args], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
