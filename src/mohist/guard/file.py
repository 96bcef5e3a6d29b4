"""A file as blocks: decoded, in pieces where it is long, archives looked into; what can't be looked at is said.

Bytes that are no text are looked at as the runs of ASCII and UTF-16 text in them. A PDF's text is compressed, so that of it
little is seen, and that is told as well.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from mohist.guard.block import Block
from mohist.guard.limit import Limits

_HEAD_BYTES = 8192
_READ_BYTES = 1024 * 1024
_ASCII_STRINGS = re.compile(rb"[\x20-\x7e\t]{8,}")
_STRINGS = re.compile(rb"[\x20-\x7e\t]{8,}|(?:[\x20-\x7e]\x00){8,}")
"""What counts as text in a binary file, as the program `strings` has it."""
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF16_SHARE = 0.3
"""A share of zero bytes in every second place from which on a file without a mark counts as UTF-16."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that was not looked at, wholly or in part."""

    path: str
    why: str
    """A sentence's end: "is encrypted"."""
    grave: bool = True
    """Whether a person should know before it is called clean; not so for what no text is expected in."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a file."""

    line: int
    """From 1; 0 in a binary file."""
    column: int
    """From 1, in characters; 0 in a binary file."""
    offset: int
    """In characters of a text, in bytes of a binary file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a file."""

    block: Block
    keep: tuple[int, int]
    """Findings that begin in these characters of the block are this piece's; the others are a neighbour's."""
    offset: int = 0
    line: int = 1
    """Of the block's first character."""
    column: int = 1
    runs: tuple[tuple[int, int], ...] | None = None
    """Of a binary file: where in the block each run begins, and at which byte."""

    def position(self, at: int) -> Position:
        """Where a character of the block stands in the file."""
        if self.runs is not None:
            start, byte = next((run for run in reversed(self.runs) if run[0] <= at), (0, 0))
            return Position(0, 0, byte + at - start)
        text = self.block.text
        line = text.count("\n", 0, at)
        column = at - (text.rfind("\n", 0, at) + 1) + 1
        return Position(self.line + line, column + (self.column - 1 if line == 0 else 0), self.offset + at)


def pieces(path: str, stream: IO[bytes], limits: Limits) -> Iterator[Piece | Unread]:
    """The blocks of one file that is no archive.

    Args:
        path: goes into the blocks.
        stream: at its beginning, can be sought in; read to its end in bounded memory.
        limits: how much is read, and in which pieces.
    """
    head = stream.read(min(_HEAD_BYTES, limits.window_chars))
    encoding = encoding_of(head)
    if head.startswith(b"%PDF-"):
        yield Unread(path, "is a PDF, whose text is compressed", grave=False)
    if encoding == "binary":
        yield from _binary(path, head, stream, limits)
    else:
        yield from _text(path, head, stream, encoding, limits)
        if encoding not in ("utf-8", "utf-8-sig"):
            # Whoever puts two bytes in front of a text must not have it read as something else.
            stream.seek(0)
            yield from _binary(path, b"", stream, limits, _ASCII_STRINGS)


def encoding_of(head: bytes) -> str:
    """The encoding of a file that begins so; "binary" for none."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if b"\x00" not in head:
        return "utf-8"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(len(head) // 2, 1)
    if odd > _UTF16_SHARE * half and even < odd / 8:
        return "utf-16-le"
    if even > _UTF16_SHARE * half and odd < even / 8:
        return "utf-16-be"
    return "binary"


def _text(path: str, head: bytes, stream: IO[bytes], encoding: str, limits: Limits) -> Iterator[Piece | Unread]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    pending = decoder.decode(head)
    read = len(head)
    offset, line, column, start = 0, 1, 1, 0
    while True:
        over = False
        parts = [pending]
        length = len(pending)
        while length < limits.window_chars:
            chunk = stream.read(min(_READ_BYTES, limits.window_chars))
            over = not chunk
            read += len(chunk)
            part = decoder.decode(chunk, final=over)
            parts.append(part)
            length += len(part)
            if over or read > limits.max_file_bytes:
                break
        text = "".join(parts)
        if read > limits.max_file_bytes:
            yield Unread(path, f"is longer than {limits.max_file_bytes} bytes; the rest was not looked at")
            over = True
        # What begins in the first half of what two pieces share is the first one's, with all that stands in front of it.
        stop = len(text) if over else len(text) - limits.overlap_chars // 2
        if text:
            yield Piece(Block(text, "file", path), (start, stop), offset, line, column)
        if over:
            return
        step = len(text) - limits.overlap_chars
        done = text[:step]
        breaks = done.count("\n")
        column = step - done.rfind("\n") if breaks else column + step
        line += breaks
        offset += step
        pending = text[step:]
        start = stop - step


def _binary(
    path: str, head: bytes, stream: IO[bytes], limits: Limits, strings: re.Pattern[bytes] = _STRINGS
) -> Iterator[Piece | Unread]:
    base = 0
    data = head
    read = len(head)
    while True:
        chunk = stream.read(limits.window_chars)
        over = not chunk
        read += len(chunk)
        data += chunk
        if read > limits.max_file_bytes:
            yield Unread(path, f"is longer than {limits.max_file_bytes} bytes; the rest was not looked at")
            over = True
        # A run that may go on is looked at with what follows, unless it is long enough as it is.
        stop = len(data) if over else max(len(data) - limits.overlap_chars, 0)
        runs: list[tuple[int, int]] = []
        texts: list[str] = []
        length = 0
        for found in strings.finditer(data):
            if found.start() >= stop:
                break
            run = found[0].replace(b"\x00", b"").decode("ascii")
            runs.append((length, base + found.start()))
            texts.append(run)
            length += len(run) + 1
        if texts:
            text = "\n".join(texts)
            yield Piece(Block(text, "file", path), (0, len(text)), runs=tuple(runs))
        if over:
            return
        base += stop
        data = data[stop:]


Form = Literal["zip", "tar", "gzip", "bzip2", "xz", "zstd", "closed", ""]

_FORMS: tuple[tuple[bytes, Form], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "closed"),
    (b"Rar!\x1a\x07", "closed"),
)
"""First bytes of archives. https://en.wikipedia.org/wiki/List_of_file_signatures"""


def form_of(head: bytes) -> Form:
    """Which archive a file that begins so is; "closed" for one that is not opened, empty for none."""
    if head[257:262] == b"ustar":
        return "tar"
    return next((form for mark, form in _FORMS if head.startswith(mark)), "")
