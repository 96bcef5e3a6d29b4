"""Sees which files a shell command changed, and keeps what they held before.

A command can touch anything in the workspace. Comparing each file's stat before and after finds what
it changed; what a file held before comes from what the run itself kept or from git's objects of the
base commit. Files that git ignores are not watched. Bounded by settings; what is not covered is said.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from mohist.agent.log import RunLog
from mohist.agent.record import FileChange
from mohist.agent.setting import RunSettings
from mohist.base import sha256_hex

Stamp = tuple[int, int, int, int]
"""mtime ns, ctime ns, size, mode."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Stat of every watched file at one moment."""

    stamps: dict[str, Stamp]


ListFiles = Callable[[], Awaitable[list[str]]]
"""Paths relative to the root of tracked files and untracked ones that are not ignored."""
BaseContent = Callable[[str], Awaitable[bytes | None]]
"""What a path held in the base commit; None: nothing."""


class TreeWatch:
    """Watches one workspace during one run."""

    def __init__(
        self, root: Path, log: RunLog, list_files: ListFiles, base_content: BaseContent, settings: RunSettings
    ) -> None:
        self._root = root
        self._log = log
        self._list_files = list_files
        self._base_content = base_content
        self._settings = settings
        self._kept_bytes = 0
        self._known: dict[str, str | None] = {}
        """Path to sha256 of the content that was kept last; None: known to be absent."""
        self._too_many = False

    @property
    def covered(self) -> bool:
        """False when the tree has more files than are watched."""
        return not self._too_many

    async def keep_dirty(self, dirty: list[str]) -> list[str]:
        """Keeps what the user has not committed; returns the paths that were too large to keep."""
        missed = []
        for name in dirty:
            content = self._read(name)
            if content is not None and not self._keep(name, content):
                missed.append(name)
        return missed

    def wrote(self, path: Path, sha256: str | None) -> None:
        """An edit tool wrote `path`; its content is known from now on."""
        name = path.relative_to(self._root).as_posix()
        if sha256 is None:
            self._known[name] = None
        else:
            content = self._read(name)
            if content is not None and sha256_hex(content) == sha256:
                self._keep(name, content)

    async def snapshot(self) -> Snapshot | None:
        """The tree now; None when it has too many files to watch."""
        names = await self._list_files()
        if len(names) > self._settings.undo_files:
            self._too_many = True
            return None
        return await anyio.to_thread.run_sync(self._stat_all, names)

    async def changes(self, before: Snapshot) -> tuple[FileChange, ...]:
        """Files that differ from `before`, with both contents kept where the bounds allow."""
        after = await self.snapshot()
        if after is None:
            return ()
        changed = [
            name
            for name in sorted(before.stamps.keys() | after.stamps.keys())
            if before.stamps.get(name) != after.stamps.get(name)
        ]
        found = []
        for name in changed:
            held = await self._held_before(name, existed=name in before.stamps)
            content = self._read(name)
            now = None if content is None else sha256_hex(content)
            if held == now and name in before.stamps and name in after.stamps:
                continue
            if content is None:
                self._known[name] = None
            else:
                self._keep(name, content)
            found.append(
                FileChange(str(self._root / name), held, now, after.stamps.get(name, (0, 0, 0, 0))[3] & 0o7777)
            )
        return tuple(found)

    async def _held_before(self, name: str, *, existed: bool) -> str | None:
        if not existed:
            return None
        if name in self._known:
            return self._known[name]
        content = await self._base_content(name)
        return None if content is None else self._log.save_blob(content)

    def _keep(self, name: str, content: bytes) -> bool:
        size = len(content)
        if size > self._settings.undo_file_bytes or self._kept_bytes + size > self._settings.undo_total_bytes:
            self._known[name] = sha256_hex(content)
            return False
        self._known[name] = self._log.save_blob(content)
        self._kept_bytes += size
        return True

    def _read(self, name: str) -> bytes | None:
        """Content of a regular file; None for anything else. Never follows a link out of the tree."""
        try:
            descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return file.read()

    def _stat_all(self, names: list[str]) -> Snapshot:
        stamps: dict[str, Stamp] = {}
        for name in names:
            try:
                found = os.lstat(self._root / name)
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                stamps[name] = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)
        return Snapshot(stamps)
