"""Unpacks archives to a folder, within bounds: no links, no paths that lead out, no more than stated sizes and numbers.

What is refused as a member is told and left out; what is refused as a whole (a bomb) is an error.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

import zstandard

from mohist.vet.dossier import Unread
from mohist.vet.errors import UnpackError
from mohist.vet.limit import Limits

_STEP_BYTES = 1024 * 1024
_HEAD_BYTES = 512
_FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, ValueError, NotImplementedError, RuntimeError)  # fmt: skip
"""What the standard library raises for damaged, encrypted and unknown archives."""
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_CLOSED = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"xar!", b"MSCF")
_DRIVE = 2
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_EXTENDED_BYTES = 1024 * 1024
_ENTRY_BYTES = 512
"""Of a file in a zip's directory, which is read whole: 46 bytes and its name."""
_TAIL_BYTES = 66_000


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is one that `unpack` opens."""
    return head.startswith(b"PK\x03\x04") or head[257:262] == b"ustar" or any(head.startswith(mark) for mark in _PACKED)


def is_closed_archive(head: bytes) -> bool:
    """Whether it is one that is not opened."""
    return head.startswith(_CLOSED)


class _Header(tarfile.TarInfo):
    """A header of a tar, none of whose extensions is read into memory if it is a large one."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED and header.size > _EXTENDED_BYTES:
            raise UnpackError(f"A header of the archive is longer than {_EXTENDED_BYTES} bytes.")
        return header


class Unpacker:
    """Unpacks one artefact and what is in it; the bounds hold for all of it together.

    Args:
        limits: of sizes, numbers, ratios.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = limits.max_unpacked_bytes
        self._members = limits.max_members

    def unpack(self, archive: Path, into: Path) -> tuple[Unread, ...]:
        """Unpacks an archive.

        Args:
            archive: zip (wheel, vsix), tar, or one packed file.
            into: made; must be empty or absent.

        Returns:
            Members that were left out, and why.

        Raises:
            UnpackError: it is damaged, encrypted as a whole, or over a bound. What was unpacked until then stays in `into`.
        """
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        left: list[Unread] = []
        try:
            with archive.open("rb") as stream:
                head = stream.read(_HEAD_BYTES)
                stream.seek(0)
                if head.startswith(b"PK\x03\x04"):
                    self._zip(archive.name, stream, into, left)
                elif head[257:262] == b"ustar":
                    self._tar(archive.name, stream, archive.stat().st_size, into, left)
                else:
                    self._packed(archive, stream, head, into, left)
        except _FAULTS as error:
            raise UnpackError(f"{archive.name} can't be unpacked: {error or type(error).__name__}.") from None
        except OSError as error:
            raise UnpackError(f"{archive.name} can't be unpacked: {error.strerror or error}.") from None
        return tuple(left)

    def _zip(self, name: str, stream: IO[bytes], into: Path, left: list[Unread]) -> None:
        if _directory_bytes(stream) > _ENTRY_BYTES * self._limits.max_members:
            raise UnpackError(f"{name} holds more than {self._limits.max_members} files.")
        with zipfile.ZipFile(stream) as opened:
            for member in opened.infolist():
                if member.is_dir():
                    continue
                if member.flag_bits & 1:
                    left.append(Unread(f"{name}!{member.filename}", "is encrypted"))
                elif (member.external_attr >> 16) & 0o170000 == 0o120000:
                    left.append(Unread(f"{name}!{member.filename}", "is a link"))
                elif (path := self._place(member.filename, into)) is None:
                    left.append(Unread(f"{name}!{member.filename}", "has a name that leads out of the archive"))
                else:
                    self._count(name)
                    with opened.open(member) as content:
                        self._copy(f"{name}!{member.filename}", content, path, member.compress_size)
                    if (member.external_attr >> 16) & 0o111:
                        path.chmod(0o700)

    def _tar(self, name: str, stream: Any, packed_bytes: int, into: Path, left: list[Unread], mode: str = "r:") -> None:
        with tarfile.open(fileobj=stream, mode=mode, tarinfo=_Header) as opened:  # type: ignore[call-overload]
            written = 0
            for member in opened:
                if member.isdir():
                    continue
                if member.issym() or member.islnk():
                    left.append(Unread(f"{name}!{member.name}", f"is a link to {member.linkname!r}"))
                elif not member.isreg():
                    left.append(Unread(f"{name}!{member.name}", "is a device or another special file"))
                elif (path := self._place(member.name, into)) is None:
                    left.append(Unread(f"{name}!{member.name}", "has a name that leads out of the archive"))
                else:
                    self._count(name)
                    content = opened.extractfile(member)
                    if content is None:
                        continue
                    with content:
                        # A packed tar has one ratio for all of its members.
                        written += self._copy(f"{name}!{member.name}", content, path, packed_bytes, written)
                    if member.mode & 0o111:
                        path.chmod(0o700)

    def _packed(self, archive: Path, stream: IO[bytes], head: bytes, into: Path, left: list[Unread]) -> None:
        form = next((form for mark, form in _PACKED.items() if head.startswith(mark)), "")
        if not form:
            raise UnpackError(f"{archive.name} is no archive of a form that is opened.")
        size = archive.stat().st_size
        with _opened(form, stream) as content:
            inner = content.read(_HEAD_BYTES)
        stream.seek(0)
        with _opened(form, stream) as content:
            if inner[257:262] == b"ustar":
                self._tar(archive.name, content, size, into, left, "r|")
            else:
                self._count(archive.name)
                self._copy(archive.name, content, into / (archive.stem or "content"), size)

    def _place(self, name: str, into: Path) -> Path | None:
        """Where a member goes; None: out of the folder, or no name at all."""
        pure = PurePosixPath(name.replace("\\", "/"))
        parts = [part for part in pure.parts if part != "."]
        if (
            not parts
            or pure.is_absolute()
            or ".." in parts
            or "\0" in name
            or len(name) > self._limits.max_path_chars
            or parts[0][1:_DRIVE] == ":"
            or any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts)
        ):
            return None
        return into.joinpath(*parts)

    def _count(self, name: str) -> None:
        self._members -= 1
        if self._members < 0:
            raise UnpackError(f"{name} holds, with what is in it, more than {self._limits.max_members} files.")

    def _copy(self, name: str, content: IO[bytes], path: Path, packed_bytes: int, before: int = 0) -> int:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        most = max(self._limits.max_ratio * packed_bytes, self._limits.max_ratio_free_bytes)
        written = 0
        # A name that stands twice in an archive: the first is kept beside the second, for both are in it.
        while path.exists():
            path = path.with_name(path.name + "~")
        with path.open("xb") as file:
            while chunk := content.read(_STEP_BYTES):
                written += len(chunk)
                self._bytes -= len(chunk)
                if self._bytes < 0:
                    raise UnpackError(
                        f"{name} unpacks, with the rest, to more than {self._limits.max_unpacked_bytes} bytes."
                    )
                if before + written > most:
                    raise UnpackError(f"{name} unpacks to more than {self._limits.max_ratio} times its size.")
                file.write(chunk)
        return written


def _directory_bytes(stream: IO[bytes]) -> int:
    """The size of a zip's directory by its own account (APPNOTE.TXT 4.3.14, 4.3.16); 0: it says none."""
    end = stream.seek(0, 2)
    stream.seek(max(end - _TAIL_BYTES, 0))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    large = tail.rfind(b"PK\x06\x06")
    return max(
        size if size != 0xFFFFFFFF else 0, int.from_bytes(tail[large + 40 : large + 48], "little") if large >= 0 else 0
    )


def _opened(form: str, stream: IO[bytes]) -> Any:
    if form == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if form == "bzip2":
        return bz2.BZ2File(stream)
    if form == "xz":
        return lzma.LZMAFile(stream)
    return zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True, closefd=False)


def members_of(folder: Path) -> Iterator[Path]:
    """All regular files below a folder, in the order of their names; links are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from members_of(path)
        elif path.is_file():
            yield path
