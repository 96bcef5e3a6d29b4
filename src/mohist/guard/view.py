"""One reading of a block's text: as it stands, or with an encoding undone; each place leads back to the block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

_STRETCH_BYTES = 256
_INNER = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no character (RFC 3629 section 3)."""


class Way(Protocol):
    """Leads from a view's characters to the block's."""

    def place(self, start: int, end: int, length: int) -> tuple[int, int]:
        """The block's characters [start, end) behind the view's; `length` is the view's whole."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Leads from a view's characters to the block's.

    `at[i]` is where a piece of the view begins, `to[i]` where that piece begins in the block, `size[i]` how many of the block's
    characters it came from. A piece whose length is that of its origin is one to one; any other (a decoded escape, a whole
    base64 token) is indivisible: a place in it is all of it. The pieces cover the view in order.
    """

    at: Sequence[int]
    to: Sequence[int]
    size: Sequence[int]

    def place(self, start: int, end: int, length: int) -> tuple[int, int]:
        """The block's characters [start, end) behind the view's; `length` is the view's whole."""
        first = max(bisect_right(self.at, start) - 1, 0)
        last = max(bisect_right(self.at, max(end - 1, start)) - 1, 0)
        return self._edge(first, start, length, end=False), self._edge(last, end, length, end=True)

    def _edge(self, piece: int, offset: int, length: int, *, end: bool) -> int:
        stop = self.at[piece + 1] if piece + 1 < len(self.at) else length
        if stop - self.at[piece] == self.size[piece]:
            return self.to[piece] + min(offset - self.at[piece], self.size[piece])
        return self.to[piece] + (self.size[piece] if end else 0)


@dataclass(slots=True)
class View:
    """A text to be searched.

    Args:
        text: as it is searched.
        via: the encodings that were undone to get it, outermost first; () for the text as it stands.
        origin: leads back to the block; None: one to one.
    """

    text: str
    via: tuple[str, ...] = ()
    origin: Way | None = None
    _data: bytes | None = field(default=None, repr=False)
    _starts: list[int] | None = field(default=None, repr=False)

    @property
    def data(self) -> bytes:
        """The text in UTF-8, which is what the matcher searches; lone surrogates become "?"."""
        if self._data is None:
            self._data = self.text.encode("utf-8", "replace")
        return self._data

    def place(self, start: int, end: int) -> tuple[int, int]:
        """The block's characters behind this view's [start, end)."""
        return (start, end) if self.origin is None else self.origin.place(start, end, len(self.text))

    def char(self, offset: int) -> int:
        """Which character stands at a byte of `data`; a byte within a character is that character."""
        data = self.data
        if len(data) == len(self.text):
            return offset
        if offset >= len(data):
            return len(self.text)
        if self._starts is None:
            # The characters before each stretch of bytes: counting within one is then a matter of a microsecond.
            starts = [0]
            for at in range(0, len(data), _STRETCH_BYTES):
                starts.append(starts[-1] + len(data[at : at + _STRETCH_BYTES].translate(None, _INNER)))
            self._starts = starts
        stretch = offset // _STRETCH_BYTES
        within = data[stretch * _STRETCH_BYTES : offset + 1].translate(None, _INNER)
        return self._starts[min(stretch, len(self._starts) - 1)] + len(within) - 1
