"""Walks a tree: every text once, with what is in archives and in native programs; what can't be looked at is said."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from mohist.vet.dossier import Unread
from mohist.vet.errors import UnpackError
from mohist.vet.limit import Limits
from mohist.vet.native import Bytes, Native, embedded, identify, packed
from mohist.vet.static.text import Language, Text, language_of
from mohist.vet.unpack import Unpacker, is_archive, is_closed_archive

INSIDE = "!"
"""In a path, between a file and what is in it."""

_HEAD_BYTES = 4096
_MEDIA = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"wOFF",
    b"wOF2",
    b"OggS",
    b"ID3",
    b"%PDF-",
    b"fLaC",
    b"II*\0",
    b"MM\0*",
    b"\0\1\0\0\0",
    b"OTTO",
)
_COMPILED = (".jsc", ".pyc", ".hbc")
"""Of V8, Python and Hermes; Python's beside its source is told as well, for nothing says that they fit."""


@dataclass(slots=True)
class Walked:
    """What a walk came by, for the inventory."""

    files: int = 0
    bytes: int = 0
    repeated: int = 0
    """Files whose content had been looked at under another name."""
    natives: list[tuple[str, Native, int, int]] = field(default_factory=list)
    """Where, what, size in bytes, number of embedded files."""
    links: list[tuple[str, str]] = field(default_factory=list)
    """Where, and what it leads to."""
    unread: list[Unread] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    """Language and SHA-256 of a content -> where it was first found."""


class Walk:
    """One walk over a tree.

    Args:
        limits: of files, sizes and layers.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._unpacker = Unpacker(limits)
        self.seen = Walked()

    def texts(self, tree: Path) -> Iterator[Text]:
        """The texts of a folder, or of one file, in the order of their names."""
        if tree.is_dir():
            yield from self._folder(tree, PurePosixPath(), self._limits.max_archive_layers)
        else:
            yield from self._file(tree, tree.name, self._limits.max_archive_layers)

    def _folder(self, folder: Path, prefix: PurePosixPath, layers: int, inside: str = "") -> Iterator[Text]:
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            self.seen.unread.append(Unread(inside + str(prefix), f"can't be listed ({error.strerror})"))
            return
        for path in paths:
            inner = prefix / path.name
            where = f"{inside}{inner}"
            if path.is_symlink():
                self.seen.links.append((where, str(path.readlink())))
            elif path.is_dir():
                yield from self._folder(path, inner, layers, inside)
            elif not path.is_file():
                self.seen.unread.append(Unread(where, "is a device or another special file"))
            elif self.seen.files >= self._limits.max_files:
                self.seen.unread.append(
                    Unread(
                        where,
                        f"is one of more than {self._limits.max_files} files; it and what follows was not looked at",
                    )
                )
                return
            else:
                yield from self._file(path, where, layers)

    def _file(self, path: Path, where: str, layers: int) -> Iterator[Text]:
        self.seen.files += 1
        try:
            size = path.stat().st_size
            self.seen.bytes += size
            if size > self._limits.max_file_bytes:
                self.seen.unread.append(Unread(where, f"is longer than {self._limits.max_file_bytes} bytes"))
                return
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                stream.seek(0)
                head = stream.read(_HEAD_BYTES)
                stream.seek(0)
                if self._seen(digest, language_of(where, head), where):
                    return
                if is_archive(head) or is_closed_archive(head):
                    yield from self._archive(path, where, head, layers)
                elif size:
                    yield from self._content(stream, where, head, size)
        except OSError as error:
            self.seen.unread.append(Unread(where, f"can't be read ({error.strerror})"))

    def _seen(self, digest: str, language: Language, where: str) -> bool:
        """Whether a content was read before, as what it is here: under a name of prose less is looked for."""
        key = f"{language} {digest}"
        if key in self.seen.digests:
            self.seen.repeated += 1
            return True
        self.seen.digests[key] = where
        return False

    def _archive(self, path: Path, where: str, head: bytes, layers: int) -> Iterator[Text]:
        if is_closed_archive(head):
            self.seen.unread.append(Unread(where, "is an archive of a form that is not opened"))
        elif layers == 0:
            self.seen.unread.append(Unread(where, f"is an archive within {self._limits.max_archive_layers} others"))
        else:
            with tempfile.TemporaryDirectory(prefix="mohist-vet-") as folder:
                try:
                    left = self._unpacker.unpack(path, Path(folder))
                except UnpackError as error:
                    self.seen.unread.append(Unread(where, f"can't be unpacked whole: {error.what}"))
                else:
                    self.seen.unread.extend(left)
                yield from self._folder(Path(folder), PurePosixPath(), layers - 1, where + INSIDE)

    def _content(self, stream: IO[bytes], where: str, head: bytes, size: int) -> Iterator[Text]:
        native = identify(head)
        if native is not None:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield from self._native(mapped, where, native, size)
        elif head.startswith((b"\xff\xfe", b"\xfe\xff")):
            decoded = stream.read(self._limits.max_text_bytes).decode("utf-16", "replace").encode("utf-8", "replace")
            yield Text(where, decoded, language_of(where, decoded))
        elif b"\0" in head or head.startswith(_MEDIA):
            if where.endswith(_COMPILED):
                self.seen.unread.append(Unread(where, "is compiled code, of which names alone were read"))
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                files = packed(mapped)
                for one in files:
                    yield from self._embedded(mapped, f"{where}{INSIDE}{one.name}", one.start, one.end)
                yield from self._windows(mapped, where, 0, min(files[0].start, size) if files else size)
        else:
            data = stream.read(self._limits.max_text_bytes)
            if size > len(data):
                self.seen.unread.append(Unread(where, f"was looked at up to byte {len(data)}"))
            yield Text(where, data, language_of(where, head))

    def _native(self, mapped: Bytes, where: str, native: Native, size: int) -> Iterator[Text]:
        runtime, files = embedded(mapped)
        self.seen.natives.append((where, Native(native.format, native.machines, runtime), size, len(files)))
        # What is embedded first: it names its places better than the runtime's own copies of it.
        for one in files:
            yield from self._embedded(mapped, f"{where}{INSIDE}{one.name.lstrip('/')}", one.start, one.end)
        done = 0
        for one in sorted(files, key=lambda file: file.start):
            if one.start > done:
                yield from self._windows(mapped, where, done, one.start)
            done = max(done, one.end)
        yield from self._windows(mapped, where, done, size)

    def _embedded(self, mapped: Bytes, where: str, start: int, end: int) -> Iterator[Text]:
        self.seen.files += 1
        data = mapped[start : min(end, start + self._limits.max_text_bytes)]
        digest = hashlib.sha256(data).hexdigest()
        if self._seen(digest, language_of(where, data), where):
            return
        if end - start > len(data):
            self.seen.unread.append(Unread(where, f"was looked at up to byte {len(data)}"))
        native = identify(data[:_HEAD_BYTES])
        if native is not None:
            self.seen.natives.append((where, native, len(data), 0))
        if native is not None or b"\0" in data[:_HEAD_BYTES] or data.startswith(_MEDIA):
            yield from self._windows(data, where, 0, len(data))
        elif data:
            language = language_of(where, data)
            yield Text(where, data, "javascript" if language == "data" and _is_script(data) else language)

    def _windows(self, mapped: Bytes, where: str, start: int, end: int) -> Iterator[Text]:
        """A binary file, piece by piece."""
        at = start
        while at < end:
            data = bytes(mapped[at : min(at + self._limits.window_bytes, end)])
            yield Text(where, data, "native", base=at, lines=False)
            if at + len(data) >= end:
                return
            at += len(data) - self._limits.overlap_bytes


def _is_script(data: bytes) -> bool:
    return any(word in data[:65536] for word in (b"function", b"=>", b"require(", b"import "))
