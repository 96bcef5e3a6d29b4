"""Makes a view out of another one: some places read anew, each with a little of what stands around it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mohist.guard.view import View

BEFORE_CHARS = 160
"""Of the line in front of a place: the words that tell what a value is."""
AFTER_CHARS = 1024
"""Of the line behind it: the rest of a value."""

Locate = Callable[[int, int], tuple[int, int]]
"""From characters of a piece to the characters of its origin, both counted from the beginning of each."""


class Spot(NamedTuple):
    """A place in a view that means something else than it says."""

    start: int
    end: int
    text: str
    """What it means."""
    locate: Locate | None = None
    """None: it is indivisible."""


class Trace:
    """Leads from a view to the one it was made of, and from there on to the block.

    Args:
        parent: the view that it was made of.
    """

    __slots__ = ("_at", "_locate", "_parent", "_size", "_to")

    def __init__(self, parent: View) -> None:
        self._parent = parent
        self._at: list[int] = []
        self._to: list[int] = []
        self._size: list[int] = []
        self._locate: dict[int, Locate | None] = {}

    def keep(self, at: int, start: int, end: int) -> None:
        """From `at` on the view is the parent's [start, end), one to one."""
        self._add(at, start, end)

    def put(self, at: int, spot: Spot) -> None:
        """From `at` on the view is what the spot means."""
        self._locate[len(self._at)] = spot.locate
        self._add(at, spot.start, spot.end)

    def _add(self, at: int, start: int, end: int) -> None:
        self._at.append(at)
        self._to.append(start)
        self._size.append(end - start)

    def place(self, start: int, end: int, length: int) -> tuple[int, int]:
        """The block's characters behind the view's [start, end)."""
        first = max(bisect_right(self._at, start) - 1, 0)
        last = max(bisect_right(self._at, max(end - 1, start)) - 1, 0)
        low = self._ends(first, start, min(end, self._stop(first, length)))[0]
        high = self._ends(last, max(start, self._at[last]), end)[1]
        return self._parent.place(low, max(low, high))

    def _stop(self, piece: int, length: int) -> int:
        return self._at[piece + 1] if piece + 1 < len(self._at) else length

    def _ends(self, piece: int, start: int, end: int) -> tuple[int, int]:
        to, size = self._to[piece], self._size[piece]
        start, end = start - self._at[piece], end - self._at[piece]
        if piece not in self._locate:
            return to + min(start, size), to + min(end, size)
        locate = self._locate[piece]
        if locate is None:
            return to, to + size
        low, high = locate(start, end)
        return to + min(max(low, 0), size), to + min(max(high, 0), size)


def redraw(view: View, via: str, spots: Iterable[Spot]) -> View | None:
    """The lines around some places, with these read anew; None where there is no place.

    Args:
        view: what is read anew.
        via: the encoding that is undone.
        spots: in order; where two overlap, the first counts.
    """
    trace = Trace(view)
    text = view.text
    parts: list[str] = []
    at = 0
    done = -1  # up to where the parent is in the view; -1: nothing yet
    stop = -1  # where the line around the last spot ends, or as much of it as is taken
    for spot in spots:
        if spot.start < done:
            continue
        low = max(spot.start - BEFORE_CHARS, 0)
        low = max(low, text.rfind("\n", low, spot.start) + 1)
        if done >= 0 and low <= stop:
            low = done
        elif done >= 0:
            trace.keep(at, done, stop)
            parts += [text[done:stop], "\n"]
            at += stop - done
            trace.put(at, Spot(stop, stop, "\n"))
            at += 1
        if spot.start > low:
            trace.keep(at, low, spot.start)
            parts.append(text[low : spot.start])
            at += spot.start - low
        if spot.text:
            trace.put(at, spot)
            parts.append(spot.text)
            at += len(spot.text)
        done = spot.end
        stop = min(spot.end + AFTER_CHARS, len(text))
        line_end = text.find("\n", spot.end, stop)
        stop = stop if line_end < 0 else line_end
    if done < 0:
        return None
    if stop > done:
        trace.keep(at, done, stop)
        parts.append(text[done:stop])
    made = "".join(parts)
    return View(made, (*view.via, via), trace) if made else None
