"""Opens and replaces files without following a symlink on the way.

Every step from the root down is an `openat` with O_NOFOLLOW on the folder before it, so that neither a
planted symlink nor one swapped in after the check of `place` can lead out
(https://cwe.mitre.org/data/definitions/367.html). FIFOs, sockets and devices are never opened: opening alone can hang or act.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from mohist.agent.tool.errors import PathError, ToolError
from mohist.agent.tool.place import Place
from mohist.base import sha256_hex

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileState:
    """A regular file as it was at one moment."""

    data: bytes
    sha256: str
    mode: int
    uid: int
    gid: int


class NotRegularError(PathError):
    """A FIFO, socket, device or symlink where a file was expected."""


@contextlib.contextmanager
def foreign(place: Place) -> Iterator[None]:
    """OSError becomes a ToolError that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise PathError(
                f"A part of {place.name!r} is a symlink or not a folder, or became one meanwhile.",
                "Tools don't follow symlinks that change under them; look again with glob.",
            ) from None
        raise ToolError(f"{place.name!r}: {os.strerror(error.errno or 0)}.") from None


def kind_of(place: Place) -> str:
    """`file`, `folder`, `absent`, or the name of what tools don't open, e.g. `FIFO`."""
    with foreign(place):
        try:
            with _parent(place) as folder:
                mode = (
                    os.stat(place.parts[-1], dir_fd=folder, follow_symlinks=False).st_mode if place.parts else 0o40000
                )
        except FileNotFoundError:
            return "absent"
    return _kind(mode)


@contextlib.contextmanager
def opened(place: Place) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of the regular file at `place`, and its state. FileNotFoundError passes through."""
    try:
        with foreign_but_absent(place), _parent(place) as folder:
            descriptor = _open_regular(folder, place)
    except FileNotFoundError:
        raise
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def foreign_but_absent(place: Place) -> Iterator[None]:
    with foreign(place):
        try:
            yield
        except FileNotFoundError as error:
            absent = error
        else:
            return
    raise absent


def load(place: Place, max_bytes: int) -> FileState | None:
    """The whole file; None when it is absent. Raises ToolError when it is larger than `max_bytes`."""
    try:
        with opened(place) as (descriptor, state):
            if state.st_size > max_bytes:
                raise ToolError(
                    f"{place.name!r} has {state.st_size:,} bytes, more than the {max_bytes:,} that tools take whole.",
                    "Read it by range, search it, or change it with a shell command.",
                )
            data = _read_upto(descriptor, max_bytes + 1)
            if len(data) > max_bytes:
                raise ToolError(f"{place.name!r} grew while it was read.", "Read it again.")
    except FileNotFoundError:
        return None
    return FileState(data, sha256_hex(data), stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid)


def names_in(place: Place) -> list[str]:
    """Entries of the folder, sorted; folders end with `/`, symlinks with `@`."""
    found = []
    with foreign(place), _parent(place) as folder:
        descriptor = os.open(place.parts[-1], _FOLDER, dir_fd=folder) if place.parts else os.dup(folder)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    mark = "@" if entry.is_symlink() else "/" if entry.is_dir(follow_symlinks=False) else ""
                    found.append(entry.name + mark)
        finally:
            os.close(descriptor)
    return sorted(found)


def replace(place: Place, data: bytes, before: FileState | None) -> None:
    """Puts `data` at `place` in one step, if it still is as `before` (None: absent); missing folders are made.

    Mode and owner stay. On disk once this returns. Raises ToolError, then the file is untouched.
    """
    with foreign(place), _parent(place, make=True) as folder:
        if before is not None and not before.mode & 0o222:
            raise PathError(f"{place.name!r} is read-only.", "Ask the person whether it may be changed.")
        partial = f".mohist-{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(partial, flags, 0o666, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                _take_over(file.fileno(), before, os.fstat(folder))
                os.fsync(file.fileno())
            _move(folder, partial, place, before)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
        # The file is in place; a file system that can't sync folders does not undo that.
        with contextlib.suppress(OSError):
            os.fsync(folder)


def _move(folder: int, partial: str, place: Place, before: FileState | None) -> None:
    last = place.parts[-1]
    if before is None:
        try:
            os.link(partial, last, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise ToolError(f"{place.name!r} was made by someone else meanwhile.", "Read it first.") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                raise
            # A file system without hard links: the check below leaves a gap of a few microseconds.
            with contextlib.suppress(FileNotFoundError):
                os.stat(last, dir_fd=folder, follow_symlinks=False)
                raise ToolError(f"{place.name!r} was made by someone else meanwhile.", "Read it first.") from None
            os.rename(partial, last, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        descriptor = _open_regular(folder, place)
    except FileNotFoundError:
        raise ToolError(f"{place.name!r} was removed by someone else meanwhile.", "Look again.") from None
    try:
        now = _read_upto(descriptor, len(before.data) + 1)
    finally:
        os.close(descriptor)
    if now != before.data:
        raise ToolError(f"{place.name!r} was changed by someone else meanwhile.", "Read it again.")
    os.rename(partial, last, src_dir_fd=folder, dst_dir_fd=folder)


def _take_over(descriptor: int, before: FileState | None, folder: os.stat_result) -> None:
    """Owner first: changing it clears set-id bits."""
    uid, gid = (before.uid, before.gid) if before else (folder.st_uid, folder.st_gid)
    if before or os.geteuid() == 0:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, uid, gid)
    if before:
        os.fchmod(descriptor, before.mode)


@contextlib.contextmanager
def _parent(place: Place, make: bool = False) -> Iterator[int]:
    """Descriptor of the folder that holds `place` (of the root itself when `place` is the root)."""
    folder = os.open(place.root, _FOLDER)
    try:
        for part in place.parts[:-1]:
            try:
                below = os.open(part, _FOLDER, dir_fd=folder)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                below = os.open(part, _FOLDER, dir_fd=folder)
                if os.geteuid() == 0:
                    owner = os.fstat(folder)
                    os.fchown(below, owner.st_uid, owner.st_gid)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _open_regular(folder: int, place: Place) -> int:
    if not place.parts:
        raise PathError(f"{place.name!r} is a folder.")
    last = place.parts[-1]
    kind = _kind(os.stat(last, dir_fd=folder, follow_symlinks=False).st_mode)
    if kind == "file":
        descriptor = os.open(last, _FILE, dir_fd=folder)
        kind = _kind(os.fstat(descriptor).st_mode)
        if kind == "file":
            return descriptor
        os.close(descriptor)
    if kind == "folder":
        raise PathError(f"{place.name!r} is a folder.")
    raise NotRegularError(f"{place.name!r} is a {kind}, not a file; tools don't open it.")


def _read_upto(descriptor: int, most_bytes: int) -> bytes:
    pieces = []
    while most_bytes > 0 and (piece := os.read(descriptor, min(most_bytes, 1 << 20))):
        pieces.append(piece)
        most_bytes -= len(piece)
    return b"".join(pieces)


def _kind(mode: int) -> str:
    names = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "FIFO",
        stat.S_IFSOCK: "socket",
        stat.S_IFLNK: "symlink",
        stat.S_IFBLK: "device",
        stat.S_IFCHR: "device",
    }
    return names.get(stat.S_IFMT(mode), "special file")
