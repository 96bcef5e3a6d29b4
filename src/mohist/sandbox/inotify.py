"""Sees from outside which files of a folder are opened, read, written, made and removed, in whatever namespace.

inotify looks at the file itself, so a mount of it elsewhere makes no difference, and an ordinary user may do it. It does not
see: who did it, questions about a file (stat), names that do not exist, memory maps once the file is open, and what happens in a new folder
before it is watched, which is a moment later.
"""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

import anyio

Deed = Literal["opened", "read", "written", "made", "removed"]

# include/uapi/linux/inotify.h
_ACCESS, _MODIFY, _OPEN, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x1, 0x2, 0x20, 0x40, 0x80, 0x100, 0x200
_ISDIR, _ONLYDIR, _DONT_FOLLOW, _OVERFLOW = 0x40000000, 0x01000000, 0x02000000, 0x4000
_WANTED = _ACCESS | _MODIFY | _OPEN | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_DEEDS: tuple[tuple[int, Deed], ...] = (
    (_OPEN, "opened"), (_ACCESS, "read"), (_MODIFY, "written"), (_CREATE | _MOVED_TO, "made"), (_DELETE | _MOVED_FROM, "removed"),
)  # fmt: skip
_HEAD = struct.Struct("iIII")
_READ_BYTES = 256 * 1024
_FOLDERS = 8192


@dataclass(frozen=True, slots=True)
class Touched:
    """Something that was done to a file or folder."""

    path: Path
    deed: Deed
    folder: bool


class FileWatch:
    """Watches trees of folders until it is closed. Use as a context manager.

    Args:
        roots: with all folders below them; links are not followed.
    """

    def __init__(self, *roots: Path) -> None:
        self._fd = _checked(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders: dict[int, Path] = {}
        self.seen: list[Touched] = []
        """In order; what `collect` has found so far."""
        self.lost = False
        """Whether the kernel had to drop something."""
        for root in roots:
            self._add(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the watch; what was seen stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def follow(self) -> None:
        """Collects until cancelled."""
        while True:
            await anyio.wait_readable(self._fd)
            self.collect()

    def collect(self) -> None:
        """Takes up what has happened since."""
        with suppress(BlockingIOError):
            while data := os.read(self._fd, _READ_BYTES):
                self._take(data)

    def _take(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            number, mask, _, size = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size : at + _HEAD.size + size].rstrip(b"\0")
            at += _HEAD.size + size
            self.lost = self.lost or bool(mask & _OVERFLOW)
            folder = self._folders.get(number)
            if folder is None:
                continue
            path = folder / os.fsdecode(name) if name else folder
            is_folder = bool(mask & _ISDIR)
            self.seen += [Touched(path, deed, is_folder) for bits, deed in _DEEDS if mask & bits]
            if is_folder and name and mask & (_CREATE | _MOVED_TO):
                self._add(path, made=True)

    def _add(self, root: Path, *, made: bool = False) -> None:
        """Watches a folder and those in it; what is in a new one already was made before it could be watched."""
        if len(self._folders) >= _FOLDERS:
            self.lost = True
            return
        number = _libc().inotify_add_watch(self._fd, os.fsencode(root), _WANTED | _ONLYDIR | _DONT_FOLLOW)
        if number < 0:
            return  # gone again, or no folder
        self._folders[number] = root
        with suppress(OSError), os.scandir(root) as entries:
            for entry in entries:
                folder = entry.is_dir(follow_symlinks=False)
                if made:
                    self.seen.append(Touched(root / entry.name, "made", folder))
                if folder:
                    self._add(root / entry.name, made=made)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"inotify: {os.strerror(number)}")
    return result
