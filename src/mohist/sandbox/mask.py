"""What stays read-only inside a writable workspace, and how mount points are made there without litter.

Invariants
- No mount point is made through a link: every component is opened with openat2 below the workspace first, because
  bubblewrap before 0.12 follows planted links when it sets up (https://github.com/containers/bubblewrap, 0.12 notes).
- A protected name that does not exist is held by an empty folder while a sandbox runs, so it can't be created inside.
  git does not see empty folders. The last sandbox of a workspace removes them; one left by a killed Mohist is
  recognised by its time stamp and removed by the next.
- While a sandbox runs, none of these names can be renamed or replaced from inside (they are mount points), so a
  second sandbox can be set up beside it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mohist.sandbox.errors import RefusedError
from mohist.sandbox.kernel import open_beneath

# Settings of agents and editors that start commands when a person opens the folder next time.
PROTECTED = (
    ".mohist",
    ".claude",
    ".codex",
    ".cursor",
    ".gemini",
    ".qoder",
    ".qwen",
    ".trae",
    ".vscode",
    ".mcp.json",
    ".github/workflows",
)
# Mohist's own environment in a checkout of Mohist; nothing is held in its place where it is not.
_PROTECTED_IF_THERE = (".mohist-env",)
# What git executes or where it looks for what to execute. `modules` and `worktrees` hold further configurations.
PROTECTED_IN_GIT = (".git/hooks", ".git/config", ".git/modules", ".git/worktrees")
# A file that would move git's configuration elsewhere. It can't be held by a folder without breaking git
# meanwhile, so one that appears during a run is removed after it.
PLANTED_IN_GIT = (".git/commondir", ".git/config.worktree")
_LOCK_TRIES, _LOCK_PAUSE_S = 100, 0.01
_PLACEHOLDER_TIME_S = 0x4D6F6869  # "Mohi"; marks an empty folder as ours


@dataclass(frozen=True, slots=True)
class Held:
    """One path below the workspace that gets a mount of its own."""

    path: str
    writable: bool
    """True where the mount only pins the name, so that it can't be swapped by a rename."""
    cover: Literal["", "folder", "file"] = ""
    """What is shown in its place, without content; empty: itself."""


class Mask:
    """The protected paths of one workspace, held for the life of one sandbox.

    Args:
        workspace: whose.
        hidden: paths below it that are not shown, in addition.
        git_writable: False keeps all of `.git` as it is, not only what git executes.
    """

    def __init__(self, workspace: Path, hidden: Sequence[str] = (), *, git_writable: bool = True) -> None:
        self._workspace = workspace
        self._git_writable = git_writable
        self._hidden = tuple(hidden)
        for name in self._hidden:
            parts = name.split("/")
            if parts[0] == ".git" or not all(part not in ("", ".", "..") for part in parts):
                raise RefusedError(f"{name!r} can't be hidden.", "Name something below the workspace, not git's own.")
        self._fd = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.held: tuple[Held, ...] = ()
        self._absent: tuple[str, ...] = ()
        try:
            self._lock()
            self.held = self._hold()
            self._absent = tuple(name for name in PLANTED_IN_GIT if not self._exists(name))
        except BaseException:
            self.release()
            raise

    def release(self) -> list[str]:
        """Removes the empty folders that nobody else needs; names what the run planted and was removed. Idempotent."""
        if self._fd < 0:
            return []
        planted = [name for name in self._absent if self._remove_planted(name)]
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # another sandbox runs here: unmounting under it would open its mask, so the last one cleans up
        else:
            for name in sorted((*PROTECTED, *PROTECTED_IN_GIT, ".git", ".github"), key=len, reverse=True):
                self._remove_placeholder(name)
        os.close(self._fd)
        self._fd = -1
        return planted

    def _lock(self) -> None:
        """Shares the workspace's lock; only a clean-up holds it alone, for milliseconds, so a longer wait is an attack."""
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_S)
            else:
                return
        raise RefusedError(
            f"Another program keeps the folder {str(self._workspace)!r} locked.",
            "End it, or wait; `lsof` on the folder names it.",
        )

    def _hold(self) -> tuple[Held, ...]:
        held: dict[str, Held] = {}
        present = tuple(name for name in _PROTECTED_IF_THERE if self._exists(name))
        for name in (*PROTECTED, *present, *self._git_names()):
            folder, _, _ = name.rpartition("/")
            if folder and not self._is_folder(folder):
                name, folder = folder, ""  # a file where a folder would be: keep it as it is
            elif folder:
                held.setdefault(folder, Held(folder, writable=True))
            if self._ensure(name):
                held[name] = Held(name, writable=False)
        for name in self._hidden:
            if self._exists(name):
                held[name] = Held(name, writable=False, cover="folder" if self._is_folder(name) else "file")
        return tuple(sorted(held.values(), key=lambda item: item.path.count("/")))

    def _git_names(self) -> tuple[str, ...]:
        # Without a repository, or with a `.git` file (a linked worktree), `.git` itself is what must not change.
        if not self._git_writable or not self._exists(".git") or not self._is_folder(".git"):
            return (".git",)
        return (*PROTECTED_IN_GIT, *(name for name in PLANTED_IN_GIT if self._exists(name)))

    def _open(self, name: str) -> int:
        try:
            return open_beneath(self._fd, name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV):
                raise self._link(name) from None
            raise

    def _link(self, name: str) -> RefusedError:
        return RefusedError(
            f"{name!r} in the workspace {str(self._workspace)!r} is a symbolic link, or lies below one.",
            "Nothing can be protected behind a link: replace it by a real file or folder, or remove it.",
        )

    def _stat(self, name: str) -> os.stat_result:
        fd = self._open(name)
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        if stat.S_ISLNK(found.st_mode):
            raise self._link(name)
        return found

    def _exists(self, name: str) -> bool:
        try:
            self._stat(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _is_folder(self, name: str) -> bool:
        if not self._exists(name) and not self._make_placeholder(name):
            return False
        return stat.S_ISDIR(self._stat(name).st_mode)

    def _ensure(self, name: str) -> bool:
        return self._exists(name) or self._make_placeholder(name)

    def _make_placeholder(self, name: str) -> bool:
        """Makes an empty folder; False when neither we nor the sandbox could ever make it."""
        folder, _, base = name.rpartition("/")
        parent = self._open(folder) if folder else os.dup(self._fd)
        try:
            owner = os.fstat(parent)
            try:
                os.mkdir(base, 0o755, dir_fd=parent)
            except FileExistsError:
                return True  # another sandbox of this workspace was faster
            except OSError as error:
                if error.errno == errno.EROFS or owner.st_uid != os.geteuid():
                    return False
                raise RefusedError(
                    f"The protected folder {name!r} can't be held in {str(self._workspace)!r}: {error.strerror}.",
                    "Make the workspace writable for its owner, or free space on its disk.",
                ) from None
            if os.geteuid() == 0:
                os.chown(base, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
            _mark(base, parent)
            self._keep_mark(folder, owner)
        finally:
            os.close(parent)
        return True

    def _remove_placeholder(self, name: str) -> None:
        folder, _, base = name.rpartition("/")
        with contextlib.suppress(OSError, RefusedError):
            parent = self._open(folder) if folder else os.dup(self._fd)
            try:
                found = os.stat(base, dir_fd=parent, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode) and found.st_mtime == _PLACEHOLDER_TIME_S:
                    before = os.fstat(parent)
                    os.rmdir(base, dir_fd=parent)
                    self._keep_mark(folder, before)
            finally:
                os.close(parent)

    def _keep_mark(self, folder: str, before: os.stat_result) -> None:
        if folder and before.st_mtime == _PLACEHOLDER_TIME_S:  # our own, whose time the change below it moved
            _mark(folder, self._fd)

    def _remove_planted(self, name: str) -> bool:
        folder, _, base = name.rpartition("/")
        with contextlib.suppress(OSError, RefusedError):
            parent = self._open(folder)
            try:
                os.unlink(base, dir_fd=parent)
            finally:
                os.close(parent)
            return True
        return False


def _mark(name: str, folder_fd: int) -> None:
    os.utime(name, (_PLACEHOLDER_TIME_S, _PLACEHOLDER_TIME_S), dir_fd=folder_fd, follow_symlinks=False)
