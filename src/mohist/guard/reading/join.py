"""Puts together what stands in pieces: string literals that are joined, lines that go on, letters with gaps between them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mohist.guard.reading.draft import Spot, redraw
from mohist.guard.reading.trigger import lines, places
from mohist.guard.view import View

# Blanks are taken whole, each run at one place: given back one by one, a line of them would be tried in every division.
_MARGIN = r"\\?\r?\n[ \t]*+(?:[+>#*|-][ \t]*+)?"
_OPERATOR = r"[ \t]*+(?:(?:\|\||\.\.|[+.&~])[ \t]*+)?"
_RUN_CHAR = r"[A-Za-z0-9+/=_-]"
_BETWEEN_LITERALS = re.compile(rf"[\"'`]{_OPERATOR}(?:{_MARGIN})?{_OPERATOR}[bfruLRU$@]?[\"'`]")
_LITERAL_BEGINS = re.compile(rf"[ \t]*+(?:[+>-][ \t]*+)?{_OPERATOR}[bfruLRU$@]?[\"'`]")
_LITERAL_ENDS = re.compile(rf"[\"'`]{_OPERATOR}\\?\r?\n?\Z")
_LINE_CHARS = 4096
# A line that begins with a name and a sign of equality is a line of its own; base64 ends with such a sign.
_LINE_END = re.compile(rf"{_MARGIN}(?={_RUN_CHAR})(?![A-Za-z0-9_.-]{{1,80}}[ \t]*(?::|=(?!=*[ \t]*$)))", re.MULTILINE)
_BREAKS = re.compile(r"[\\\r\n]")
_MARKED_LINES = re.compile(r"(?m)^(?:([+>-]) ?)(?=-----BEGIN )")


def concatenation(view: View, start: int = 0) -> View | None:
    """With `"a" + "b"`, `'a' 'b'` and their like joined."""
    return redraw(view, "concatenation", _literal_spots(view, start))


def line(view: View, start: int = 0) -> View | None:
    """With runs of characters that are broken over lines joined."""
    return redraw(view, "line", _line_spots(view, start))


def spacing(view: View, start: int = 0) -> View | None:
    """With single letters that stand apart joined."""
    return redraw(view, "spacing", _every_second(view, "spacing", start))


def utf16(view: View, start: int = 0) -> View | None:
    """With the zero bytes of UTF-16 between ASCII letters left out."""
    return redraw(view, "utf-16", _every_second(view, "utf-16", start))


def diff(view: View, start: int = 0) -> View | None:
    """With the marks in front of the lines of a key left out, as diffs and quoted mail have them."""
    return redraw(view, "diff", _mark_spots(view, start))


def _literal_spots(view: View, first: int) -> Iterator[Spot]:
    text = view.text
    done = 0
    for low, high in lines(view, "concatenation", first):
        for found in _BETWEEN_LITERALS.finditer(text, max(_first_literal(text, low), done), _last_literal(text, high)):
            done = found.end()
            yield found.start(), done, "", None


def _first_literal(text: str, low: int) -> int:
    """Where the lines of literals begin of which one begins at `low`."""
    while low > 0 and _LITERAL_BEGINS.match(text, low):
        line = text.rfind("\n", max(low - 1 - _LINE_CHARS, 0), low - 1) + 1
        if not _LITERAL_ENDS.search(text, line, low):
            break
        low = line
    return low


def _last_literal(text: str, high: int) -> int:
    """Where the lines of literals end of which one ends at `high`."""
    while high < len(text) and _LITERAL_BEGINS.match(text, high + 1):
        line = text.rfind("\n", max(high - _LINE_CHARS, 0), high) + 1
        if not _LITERAL_ENDS.search(text, line, high):
            break
        end = text.find("\n", high + 1, high + 1 + _LINE_CHARS)
        high = len(text) if end < 0 else end
    return high


def _line_spots(view: View, first: int) -> Iterator[Spot]:
    for start, end in places(view, "line", first):
        # Never beyond the place: in a text of lines that all begin with a name, the next end may be far away for each of them.
        for sign in _BREAKS.finditer(view.text, start, end):
            found = _LINE_END.match(view.text, sign.start())
            if found is not None:
                yield found.start(), found.end(), "", None
                break


def _every_second(view: View, name: str, first: int) -> Iterator[Spot]:
    for start, end in places(view, name, first):
        yield start, end, view.text[start:end:2], _doubled


def _doubled(start: int, end: int) -> tuple[int, int]:
    return 2 * start, max(2 * end - 1, 2 * start)


def _mark_spots(view: View, first: int) -> Iterator[Spot]:
    text = view.text
    at = 0
    for found in _MARKED_LINES.finditer(text, view.char(first)):
        if found.start() < at:
            continue  # a line of the lines before
        mark = found[1]
        at = found.start()
        while text.startswith(mark, at):
            width = 2 if mark == ">" and text.startswith(" ", at + 1) else 1
            yield at, at + width, "", None
            at = text.find("\n", at) + 1
            if at == 0:
                return
