"""What the tests of ground and verification share: repositories made by plain git, and a ground over one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mohist.delivery.ground import GitGround, Room
from mohist.sandbox import Author, Bubblewrap

AUTHOR = Author("Mohist", "mohist@example.invalid", 1_700_000_000)
_PREFIX = Path(sys.base_prefix).resolve()
TOOLCHAIN = () if _PREFIX.is_relative_to("/usr") else (_PREFIX,)
PYTHON = str(Path(sys.executable).resolve())
_WHO = ("-c", "user.name=U", "-c", "user.email=u@example.invalid", "-c", "commit.gpgsign=false")


def git(folder: Path, *args: str) -> str:
    """Plain git, as the user would run it."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["git", *_WHO, *args], cwd=folder, env=environment, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def write(folder: Path, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def repository(folder: Path, files: dict[str, str | None]) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    write(folder, files)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "base")
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, `.git` files of linked work trees left out."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".git")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


async def ground_over(folder: Path, home: Path, sandbox: Bubblewrap) -> GitGround:
    return await GitGround.open(folder, home, Room(sandbox, TOOLCHAIN), AUTHOR)
