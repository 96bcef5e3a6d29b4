"""Finds a git repository by reading files, without starting git and without believing what points elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_POINTER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a work tree and its repository are. All paths absolute, links resolved."""

    root: Path
    """Top of the work tree."""
    git_dir: Path
    """HEAD and the index live here."""
    common_dir: Path
    """Objects and branches live here; other than `git_dir` in a linked worktree."""


def find_repository(folder: Path) -> Repository | None:
    """The repository that `folder` lies in; None when there is none.

    A bare repository inside a tree is none: a planted one would bring its own configuration. A `.git` file is
    followed only where what it names points back, so it can't borrow another repository.
    """
    start = folder.resolve()
    for root in (start, *start.parents):
        entry = root / ".git"
        if entry.is_dir() and not entry.is_symlink() and (entry / "HEAD").is_file():
            return Repository(root, entry, entry)
        if entry.is_file():
            return _follow(root, entry)
    return None


def _follow(root: Path, entry: Path) -> Repository | None:
    text = _read(entry)
    if not text.startswith("gitdir: "):
        return None
    git_dir = (root / text.removeprefix("gitdir: ")).resolve()
    if not (git_dir / "HEAD").is_file():
        return None
    back = _read(git_dir / "gitdir")
    if back and (git_dir / back).resolve() == entry.resolve():  # a linked worktree
        return Repository(root, git_dir, (git_dir / (_read(git_dir / "commondir") or ".")).resolve())
    if (git_dir / _core_worktree(git_dir / "config")).resolve() == root:  # a submodule, or --separate-git-dir
        return Repository(root, git_dir, git_dir)
    return None


def _core_worktree(config: Path) -> str:
    in_core = False
    for line in _read(config, 1024**2).splitlines():
        text = line.strip()
        if text.startswith("["):
            in_core = text.lower().startswith("[core]")
        elif in_core and text.lower().replace(" ", "").startswith("worktree="):
            return text.split("=", 1)[1].strip().strip('"')
    return ""


def _read(path: Path, limit_bytes: int = _POINTER_BYTES) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(limit_bytes).decode("utf-8", "surrogateescape").strip()
    except OSError:
        return ""
