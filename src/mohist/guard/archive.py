"""Looks into archives: their members as files, archives in them as well, down to a depth and up to a size."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import zstandard

from mohist.guard.file import Piece, Unread, form_of, pieces
from mohist.guard.limit import Limits

INSIDE = "!"
"""In a path, between an archive and what is in it."""

_HEAD_BYTES = 512
_STEP_BYTES = 1024 * 1024
_SPOOLED_BYTES = 16 * 1024 * 1024
"""What is unpacked stays in memory up to here, beyond that in an unnamed file."""
_FAULTS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What the standard library raises for damaged, encrypted and unknown archives."""
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gzip": lambda stream: gzip.GzipFile(fileobj=stream),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": lambda stream: zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True),
}


class _Room:
    """What may still be unpacked of one file."""

    def __init__(self, limits: Limits) -> None:
        self.bytes = limits.max_archive_bytes
        self.members = limits.max_archive_members


def read_file(path: str, stream: IO[bytes], limits: Limits) -> Iterator[Piece | Unread]:
    """The blocks of a file, and of all files in it where it is an archive.

    Args:
        path: goes into the blocks; of a member "a.zip!b/c.txt".
        stream: at its beginning; can be sought in.
        limits: of depth, number and size.
    """
    yield from _read(path, stream, limits, _Room(limits), limits.max_archive_layers)


def _read(path: str, stream: IO[bytes], limits: Limits, room: _Room, layers: int) -> Iterator[Piece | Unread]:
    form = form_of(stream.read(_HEAD_BYTES))
    stream.seek(0)
    if not form:
        yield from pieces(path, stream, limits)
    elif form == "closed":
        yield Unread(path, "is an archive of a form that is not opened")
    elif layers == 0:
        yield Unread(path, f"is an archive within more than {limits.max_archive_layers} others")
    else:
        members = {"zip": _zip, "tar": _tar}.get(form, _packed)
        try:
            yield from members(path, stream, limits, room, layers - 1)
        except _FAULTS as error:
            yield Unread(path, f"is a damaged or unknown archive ({type(error).__name__})")


def _zip(path: str, stream: IO[bytes], limits: Limits, room: _Room, layers: int) -> Iterator[Piece | Unread]:
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            inner = f"{path}{INSIDE}{member.filename}"
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                yield Unread(inner, "is encrypted")
                continue
            if not _has_room(room):
                yield Unread(path, "holds more files than are looked at")
                return
            with archive.open(member) as opened:
                yield from _member(inner, opened, limits, room, layers)
            if room.bytes <= 0:
                return


def _tar(path: str, stream: IO[bytes], limits: Limits, room: _Room, layers: int) -> Iterator[Piece | Unread]:
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is None:
                continue
            if not _has_room(room):
                yield Unread(path, "holds more files than are looked at")
                return
            with opened:
                yield from _member(f"{path}{INSIDE}{member.name}", opened, limits, room, layers)
            if room.bytes <= 0:
                return


def _packed(path: str, stream: IO[bytes], limits: Limits, room: _Room, layers: int) -> Iterator[Piece | Unread]:
    form = form_of(stream.read(_HEAD_BYTES))
    stream.seek(0)
    with _OPENERS[form](stream) as opened:
        yield from _member(path + INSIDE, opened, limits, room, layers)


def _has_room(room: _Room) -> bool:
    room.members -= 1
    return room.members >= 0


def _member(path: str, opened: Any, limits: Limits, room: _Room, layers: int) -> Iterator[Piece | Unread]:
    """Unpacks one file and reads it; a member's own fault leaves the others alone."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES) as file:
        try:
            while chunk := opened.read(_STEP_BYTES):
                room.bytes -= len(chunk)
                if room.bytes < 0:
                    yield Unread(path, f"unpacks, with the rest, to more than {limits.max_archive_bytes} bytes")
                    break
                file.write(chunk)
        except _FAULTS as error:
            yield Unread(path, f"can't be unpacked ({type(error).__name__})")
        file.seek(0)
        yield from _read(path, file, limits, room, layers)
