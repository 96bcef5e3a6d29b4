"""A sandbox for the whole session, a workspace with a repository, all fresh."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escape_host import host
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
    with host(room) as found:
        yield found


@pytest.fixture
def nobodys_folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="mohist-user-"))
    os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)
