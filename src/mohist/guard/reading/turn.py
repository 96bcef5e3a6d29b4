"""Reads lines whose letters were shifted by 13 places, or that were written backwards: what a person or a model does by hand."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from mohist.guard.reading.draft import Locate, Spot, redraw
from mohist.guard.reading.trigger import lines
from mohist.guard.view import View


def rot13(view: View, start: int = 0) -> View | None:
    """With lines that look like ROT13 read."""
    return redraw(view, "rot13", _shifted(view, start))


def mirrored(view: View, start: int = 0) -> View | None:
    """With lines that look like written backwards read from behind."""
    return redraw(view, "mirrored", _turned(view, start))


def _shifted(view: View, first: int) -> Iterator[Spot]:
    for low, high in lines(view, "rot13", first):
        yield low, high, codecs.encode(view.text[low:high], "rot13"), _same


def _turned(view: View, first: int) -> Iterator[Spot]:
    for low, high in lines(view, "mirrored", first):
        yield low, high, view.text[low:high][::-1], _from_behind(high - low)


def _same(start: int, end: int) -> tuple[int, int]:
    return start, end


def _from_behind(length: int) -> Locate:
    return lambda start, end: (length - end, length - start)
