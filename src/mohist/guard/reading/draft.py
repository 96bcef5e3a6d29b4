"""Makes a view out of another one: some places read anew, each with a little of what stands around it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Literal

from mohist.guard.view import View

BEFORE_CHARS = 160
"""Of the line in front of a place: the words that tell what a value is."""
AFTER_CHARS = 1024
"""Of the line behind it: the rest of a value."""

KEY_CHARS = 8192
"""Of a key in lines whose first line is a place; the lines between its first and its last are taken along."""
_BEGIN, _END = "-----BEGIN ", "-----END "
_DASH = "-"
_TAIL_CHARS = len(_BEGIN) - 1
"""Of what came before, so that a mark is seen that two pieces share."""

Locate = Callable[[int, int], tuple[int, int]]
"""From characters of a piece to the characters of its origin, both counted from the beginning of each."""


Spot = tuple[int, int, str, Locate | None]
"""A place in a view that means something else than it says: start, end, what it means, and how to find the origin of a part of
that (None: it is indivisible). A plain tuple, since a text may be nothing but such places."""

Piece = tuple[int, int, Locate | Literal[True] | None]


class Trace:
    """Leads from a view to the one it was made of, and from there on to the block.

    Args:
        parent: the view that it was made of.
        at: where each piece of the new view begins.
        pieces: of each, where its origin begins and ends in the parent, and how to find the origin of a part: `True` for a piece
            that is its origin as it stands.
    """

    __slots__ = ("_at", "_parent", "_pieces")

    def __init__(self, parent: View, at: list[int], pieces: list[Piece]) -> None:
        self._parent = parent
        self._at = at
        self._pieces = pieces

    def place(self, start: int, end: int, length: int) -> tuple[int, int]:
        """The block's characters behind the view's [start, end)."""
        first = max(bisect_right(self._at, start) - 1, 0)
        last = max(bisect_right(self._at, max(end - 1, start)) - 1, 0)
        stop = self._at[first + 1] if first + 1 < len(self._at) else length
        low = self._ends(first, start, min(end, stop))[0]
        high = self._ends(last, max(start, self._at[last]), end)[1]
        return self._parent.place(low, max(low, high))

    def _ends(self, piece: int, start: int, end: int) -> tuple[int, int]:
        low, high, locate = self._pieces[piece]
        if locate is None:
            return low, high
        start, end = start - self._at[piece], end - self._at[piece]
        if locate is not True:
            start, end = locate(start, end)
        return min(max(low + start, low), high), min(max(low + end, low), high)


def redraw(view: View, via: str, spots: Iterable[Spot]) -> View | None:
    """The lines around some places, with these read anew; None where there is no place.

    Args:
        view: what is read anew.
        via: the encoding that is undone.
        spots: in order; where two overlap, the first counts.
    """
    text = view.text
    at: list[int] = []
    pieces: list[Piece] = []
    parts: list[str] = []
    length = 0
    key = _Key()  # of the last lines without a gap
    done = -1  # up to where the parent is in the view; -1: nothing yet
    stop = -1  # where the line around the last spot ends, or as much of it as is taken
    line_end = -1
    for start, end, meant, locate in spots:
        if start < done:
            continue
        if start <= stop:
            low = done
        else:
            low = max(start - BEFORE_CHARS, 0, done)
            low = max(low, text.rfind("\n", low, start) + 1)
            if done < 0:
                pass
            elif low <= stop or (start - stop < KEY_CHARS and key.goes_on(text[done:stop])):
                low = done
            else:
                at += (length, length + stop - done)
                pieces += ((done, stop, True), (stop, stop, None))
                parts += (text[done:stop], "\n")
                length += stop - done + 1
                key = _Key()
        if start > low:
            at.append(length)
            pieces.append((low, start, True))
            between = text[low:start]
            parts.append(between)
            if key.tail or _DASH in between:
                key.add(between)
            length += start - low
        if meant:
            at.append(length)
            pieces.append((start, end, locate))
            parts.append(meant)
            if key.tail or _DASH in meant:
                key.add(meant)
            length += len(meant)
        done = end
        if end > line_end:
            line_end = text.find("\n", end)
            if line_end < 0:
                line_end = len(text)
        stop = end + AFTER_CHARS
        if line_end < stop:
            stop = line_end
    if done < 0:
        return None
    if key.goes_on(text[done:stop]):
        stop = min(stop + KEY_CHARS, len(text))
    if stop > done:
        at.append(length)
        pieces.append((done, stop, True))
        parts.append(text[done:stop])
    made = "".join(parts)
    return View(made, (*view.via, via), Trace(view, at, pieces)) if made else None


class _Key:
    """Whether lines that come piece by piece end within a key: its first line was there, and its last one was not."""

    __slots__ = ("_is_open", "tail")

    def __init__(self) -> None:
        self._is_open = False
        self.tail = ""
        """Of what came, as much as may be the beginning of a mark; empty where no dash is in it."""

    def add(self, piece: str) -> None:
        """What follows; needn't be told where neither a tail nor a dash is there, since no mark ends or begins then."""
        self._is_open = self.goes_on(piece)
        tail = (self.tail + piece[-_TAIL_CHARS:])[-_TAIL_CHARS:]
        self.tail = tail if _DASH in tail else ""

    def goes_on(self, piece: str) -> bool:
        """Whether they would, with this behind them."""
        lines = self.tail + piece
        begin, end = lines.rfind(_BEGIN), lines.rfind(_END)
        return self._is_open if begin < 0 and end < 0 else begin > end
