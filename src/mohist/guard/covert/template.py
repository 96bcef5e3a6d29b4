"""A line of what a program wrote, in two forms: what it says, and how exactly it is written.

Lines that say the same and are written otherwise (another apostrophe, another separator in a date, a hidden character, a doubled
blank, another case) are the same template with a choice in it. What openly changes (paths, ids, numbers, times) is masked in both.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

from mohist.guard.covert.ignorable import sort_of
from mohist.guard.covert.lookalike import table
from mohist.guard.covert.typography import PLAIN

LINE_MAX_CHARS = 1000
"""What a line has beyond is not compared."""
MARKS_MAX = 64
"""Of one line: its signs are kept, without its words, so that differing ones can be named."""

_OPEN = re.compile(
    r"(?P<date>\b\d{1,4}[^\w\s]\d{1,2}[^\w\s]\d{1,4}\b)|"
    r"(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s\"'<>)\]]+)"
    r"|(?P<mail>[\w.+-]+@[\w-]+\.[\w.-]+)"
    r"|(?P<path>(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@+~ -]*[\w.@+~-]){2,}[/\\]?|[A-Za-z]:\\[^\s\"']*|(?<![\w.])[/~]/?[\w.@+-]{2,})"
    r"|(?P<id>\b(?=[0-9a-zA-Z_]*\d)(?=[0-9a-zA-Z_]*[a-zA-Z])[0-9a-zA-Z_]{8,}\b)"
    r"|(?P<number>\d{5,})"
)
_STANDS_IN = re.compile("\x00[a-z]+\x00")
_DIGIT = re.compile(r"\d")
_BETWEEN_DIGITS = re.compile(r"(?<=0)[-/.:,](?=0)")
_BLANKS = re.compile(r"\s+")


class Line(NamedTuple):
    """One line in both forms."""

    said: int
    """64 bits: what it says."""
    written: int
    """64 bits: how it is written."""
    marks: str
    """Its signs in order, without letters, digits and single blanks; at most `MARKS_MAX`."""


def lines(text: str, known: dict[str, Line | None] | None = None) -> list[Line]:
    """The lines of a text that say something; each once, in order.

    Args:
        text: as it stands.
        known: lines that were read before; what is read now is added.
    """
    found: dict[tuple[int, int], Line] = {}
    known = {} if known is None else known
    for row in text.splitlines():
        if row not in known:
            known[row] = _line(row[:LINE_MAX_CHARS])
        line = known[row]
        if line is not None:
            found.setdefault((line.said, line.written), line)
    return list(found.values())


def _masked(match: re.Match[str]) -> str:
    """What stands for what openly changes; a date keeps its separators."""
    return match[0] if match.lastgroup == "date" else f"\x00{match.lastgroup}\x00"


def _line(row: str) -> Line | None:
    masked = _OPEN.sub(_masked, row)
    masked = _DIGIT.sub("0", masked)
    said = _said(masked)
    if not any(character.isalpha() for character in _STANDS_IN.sub("", said)):
        return None
    marks = "".join(
        character
        for at, character in enumerate(masked)
        if (character not in " \x00" and not (character.isascii() and character.isalnum()) and not _letter(character))
        or (character == " " and masked[at - 1 : at] == " ")
    )
    return Line(_hash(said), _hash(masked), marks[:MARKS_MAX])


def _said(masked: str) -> str:
    """With everything plain that can be: the same for all ways to write a line."""
    plain = masked
    if not plain.isascii():
        plain = "".join(
            character for character in plain if sort_of(character) is None or sort_of(character) == "private-use"
        )
        plain = plain.translate(PLAIN).translate(_letters())
    plain = _BETWEEN_DIGITS.sub("-", plain)
    return _BLANKS.sub(" ", plain).strip().casefold()


@cache
def _letters() -> dict[int, str]:
    return {point: plain for point, plain in table().items() if point >= 0x80}


def _letter(character: str) -> bool:
    """Whether it is a letter that looks like none of ASCII's."""
    return character.isalpha() and ord(character) not in _letters() and ord(character) not in PLAIN


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def difference(one: str, other: str) -> str:
    """The signs in which two lines differ, by code point: "U+0027 / U+2019"; at most four, then "…".

    Where the signs are the same it is the case of letters.
    """
    if one == other:
        return "letter case or single blanks"
    if len(one) != len(other):
        longer, shorter = (one, other) if len(one) > len(other) else (other, one)
        left = _multiset_less(longer, shorter)
        return "only in one: " + _points(left or longer[len(shorter) :])
    pairs = list(dict.fromkeys((a, b) for a, b in zip(one, other, strict=True) if a != b))
    named = ", ".join(f"U+{ord(a):04X} / U+{ord(b):04X}" for a, b in pairs[:4])
    return named + (", …" if len(pairs) > 4 else "")


def _multiset_less(longer: str, shorter: str) -> str:
    rest = list(longer)
    for character in shorter:
        if character in rest:
            rest.remove(character)
    return "".join(rest)


def _points(characters: str) -> str:
    named = ", ".join(f"U+{ord(character):04X}" for character in dict.fromkeys(characters[:4]))
    return named + (", …" if len(characters) > 4 else "")
