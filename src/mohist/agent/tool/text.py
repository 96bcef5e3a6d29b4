"""A file's bytes as text with LF endings, and the way back: a span of text is a span of bytes.

What is not UTF-8 (or UTF-16 with a mark) is a guess: the guess is told, and used only where it takes
the bytes there and back unharmed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from mohist.agent.tool.errors import ToolError

HEAD_BYTES = 8_000
"""A NUL in so many first bytes makes a file binary, as for git (`buffer_is_binary` in xdiff-interface.c)."""

_BOMS = (  # UTF-32 before UTF-16: its little-endian mark starts with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "ZIP archive or office document"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x7fELF", "ELF program"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"\xca\xfe\xba\xbe", "Java class or Mach-O program"),
)
# Two bytes of the GB 2312 plane, ASCII between: https://encoding.spec.whatwg.org/#gb18030-decoder
_GB2312 = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xf7][\xa1-\xfe])*+")
_C1 = re.compile(rb"[\x80-\x9f]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the bytes of a file become text."""

    codec: str
    bom: bytes = b""
    certain: bool = True
    """False: a guess that decodes, no more."""

    def __str__(self) -> str:
        mark = " with BOM" if self.bom else ""
        return f"{self.codec}{mark}" if self.certain else f"not UTF-8, taken for {self.codec} (a guess)"


def binary_kind(head: bytes) -> str | None:
    """What kind of binary file starts with `head`; None for text."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if any(head.startswith(bom) for bom, _ in _BOMS):
        return None
    head = head[:HEAD_BYTES]
    if b"\0" not in head:
        return None
    if len(head) >= 4 and head.count(b"\0") * 3 > len(head):
        for codec, zeros in (("UTF-16-LE", head[1::2]), ("UTF-16-BE", head[0::2])):
            if zeros.count(0) * 10 > len(zeros) * 9 and head.count(0) * 2 < len(head) * 1.2:
                return f"binary data, or {codec} text without a mark"
    return "binary data"


def detect(data: bytes) -> Encoding | None:
    """The encoding of text; None when nothing fits. `data` is whole, and not binary."""
    for bom, codec in _BOMS:
        if data.startswith(bom):
            return Encoding(codec, bom) if _survives(data[len(bom) :], codec) else None
    if _survives(data, "utf-8"):
        return Encoding("utf-8")
    if (match := _GB2312.match(data)) and match.end() == len(data) and _survives(data, "gb18030"):
        return Encoding("gb18030", certain=False)
    if not _C1.search(data):
        return Encoding("latin-1", certain=False)
    if _survives(data, "cp1252"):
        return Encoding("cp1252", certain=False)
    return None


def _survives(data: bytes, codec: str) -> bool:
    try:
        return data.decode(codec).encode(codec) == data
    except UnicodeError:
        return False


@dataclass(frozen=True, slots=True)
class Splice:
    """Replaces `view[start:end]` by `new` (LF endings)."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Document:
    """A text file. `view` is its text without byte order mark and with LF endings."""

    data: bytes
    encoding: Encoding
    view: str
    crs: tuple[int, ...]
    """Offsets in `view` of the newlines that are CRLF in the file, ascending."""

    @classmethod
    def of(cls, data: bytes, name: str) -> Document:
        """Raises ToolError for what is not text; `name` is only for the message."""
        if kind := binary_kind(data[: HEAD_BYTES + 8]):
            raise ToolError(
                f"{name!r} is not text but {kind} of {len(data):,} bytes.", "Use a program made for it, by a command."
            )
        encoding = detect(data)
        if encoding is None:
            bad = _first_bad_byte(data)
            raise ToolError(
                f"{name!r} is not UTF-8 (byte {bad}), and no encoding that was tried fits (UTF-16, GB 18030, Latin-1, "
                "Windows-1252).",
                "Convert it with a command such as iconv, or look at its bytes with xxd.",
            )
        text = data[len(encoding.bom) :].decode(encoding.codec)
        crs = tuple(match.start() - index for index, match in enumerate(re.finditer("\r\n", text)))
        return cls(data, encoding, text.replace("\r\n", "\n"), crs)

    @cached_property
    def starts(self) -> list[int]:
        """Offset in `view` of the start of each line; what follows the last newline counts when it is not empty."""
        found = [0] + [match.end() for match in re.finditer("\n", self.view)]
        if found[-1] == len(self.view):
            found.pop()
        return found

    @cached_property
    def lines(self) -> list[str]:
        """Without their endings."""
        bounds = [*self.starts, len(self.view)]
        return [self.view[start:end].removesuffix("\n") for start, end in pairwise(bounds)]

    def line_at(self, offset: int) -> int:
        """Number, from 1, of the line that holds `offset` of `view`."""
        return self.view.count("\n", 0, offset) + 1

    @property
    def endings(self) -> str:
        """`LF`, `CRLF`, `mixed`, or empty when there is no newline."""
        newlines = self.view.count("\n")
        if not newlines:
            return ""
        return "CRLF" if len(self.crs) == newlines else "mixed" if self.crs else "LF"

    def spliced(self, splices: Sequence[Splice]) -> bytes:
        """The file with `splices` (ascending, apart) done: every byte outside of them stays.

        New text takes the line endings of what it replaces, newline by newline; where there are more, that of
        the surroundings. Raises ToolError when the encoding can't hold the new text.
        """
        text = self.data[len(self.encoding.bom) :].decode(self.encoding.codec)
        pieces = [self.encoding.bom]
        done_chars, done_bytes = 0, len(self.encoding.bom)
        for splice in splices:
            start, end = self._in_file(splice.start), self._in_file(splice.end)
            start_bytes = done_bytes + len(text[done_chars:start].encode(self.encoding.codec))
            end_bytes = start_bytes + len(text[start:end].encode(self.encoding.codec))
            pieces += [self.data[done_bytes:start_bytes], self._encoded(self._with_endings(splice))]
            done_chars, done_bytes = end, end_bytes
        pieces.append(self.data[done_bytes:])
        return b"".join(pieces)

    def _in_file(self, offset: int) -> int:
        """Offset in the decoded text; before the CR when `offset` is at a CRLF."""
        return offset + bisect_left(self.crs, offset)

    def _with_endings(self, splice: Splice) -> str:
        replaced = [self._is_crlf(at) for at in _newlines(self.view, splice.start, splice.end)]
        pieces = splice.new.split("\n")
        if len(pieces) == 1:
            return splice.new
        more = replaced[-1] if replaced else self._crlf_near(splice.start, splice.end)
        out = [pieces[0]]
        for index, piece in enumerate(pieces[1:]):
            crlf = replaced[index] if index < len(replaced) else more
            out += ["\r\n" if crlf else "\n", piece]
        return "".join(out)

    def _is_crlf(self, newline: int) -> bool:
        index = bisect_left(self.crs, newline)
        return index < len(self.crs) and self.crs[index] == newline

    def _crlf_near(self, start: int, end: int) -> bool:
        after = self.view.find("\n", end)
        at = after if after >= 0 else self.view.rfind("\n", 0, start)
        return at >= 0 and self._is_crlf(at)

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self.encoding.codec)
        except UnicodeEncodeError as error:
            raise ToolError(
                f"The file is {self.encoding}, which can't hold {text[error.start]!r} of the new text.",
                "Use characters it has, or convert the file first.",
            ) from None


def _newlines(text: str, start: int, end: int) -> list[int]:
    found = []
    at = text.find("\n", start, end)
    while at >= 0:
        found.append(at)
        at = text.find("\n", at + 1, end)
    return found


def _first_bad_byte(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return 0
