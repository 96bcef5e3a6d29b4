"""Marks that stand for ASCII's: natural in prose, a choice in what a program writes.

The mark between two letters, or in a date, is where one bit hides best: it is read over by people and by models.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Mark = Literal["apostrophe", "quote", "dash", "space", "digit"]

_PLAIN: dict[Mark, tuple[str, str]] = {
    "apostrophe": ("'", "\u2018\u2019\u201b\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u00b4\u2032\u2035\u055a\u05f3\ua78c\uff07\u1fbd\u1fbf\u1fef\u1ffd\u1ffe\uff40"),
    "quote": ('"', "\u201c\u201d\u201e\u201f\u2033\u2036\u02ba\u02dd\u02ee\u05f4\u3003\u301d\u301e\uff02\u00ab\u00bb"),
    "dash": ("-", "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\u02d7\u2796\ufe58\ufe63\uff0d\u30fc"),
    "space": (" ", "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u2028\u2029\u0085\u2800"),
}  # fmt: skip
_DIGITS = {
    **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
    **{chr(0x1D7CE + at): str(at % 10) for at in range(50)},
    **{chr(0x0660 + digit): str(digit) for digit in range(10)},
    **{chr(0x06F0 + digit): str(digit) for digit in range(10)},
}
# Slash, colon and full stop of a date or time; what stands for them is looked for between digits only.
_SEPARATORS = {"\u2044": "/", "\u2215": "/", "\uff0f": "/", "\u2024": ".", "\uff0e": ".", "\ua789": ":", "\u2236": ":", "\uff1a": ":", "\u02d0": ":"}  # fmt: skip

MARKS: dict[str, Mark] = {character: mark for mark, (_, listed) in _PLAIN.items() for character in listed} | dict.fromkeys(_DIGITS, "digit")  # fmt: skip
TYPOGRAPHY = frozenset((*MARKS, *_SEPARATORS))
PLAIN = {ord(character): plain for plain, listed in _PLAIN.values() for character in listed} | {ord(character): plain for character, plain in (*_DIGITS.items(), *_SEPARATORS.items())}  # fmt: skip
"""Code point -> what it stands for, for `str.translate`."""

# What word processors and people who write carefully put there; the others nobody types.
_TYPED = frozenset(
    "\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u2212\u00a0\u3000\u2011\u2032\u2033\u30fc\u202f"
)
_EAST_ASIAN = frozenset("\u3000\u30fc\uff1a\uff0f\uff0e\uff0d\uff02\uff07\u301d\u301e\u3003")


class Marked(NamedTuple):
    """A mark that a program may have chosen."""

    mark: str
    confidence: float


def judged(text: str, at: int) -> Marked | None:
    """What the mark at this place says in text that a program wrote; None: nothing."""
    character = text[at]
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if character in _SEPARATORS:
        between = before.isdigit() and after.isdigit()
        return Marked("date or time separator", 0.7 if not _east_asian(before, after) else 0.3) if between else None
    mark = MARKS[character]
    if character in _EAST_ASIAN and not (before.isascii() and before.isalnum() and after.isascii() and after.isalnum()):
        return None
    if mark == "digit":
        return Marked("digit", 0.5)
    if mark == "apostrophe" and before.isalpha() and after.isalpha():
        # "’" is what careful writers use, and what the case in point switched to; elsewhere in a word nobody types it.
        return Marked("apostrophe", 0.5 if character == "\u2019" else 0.85)
    if mark == "dash" and before.isdigit() and after.isdigit():
        return Marked("dash in a number or date", 0.4 if character in _TYPED else 0.7)
    return Marked(mark, 0.2 if character in _TYPED else 0.7)


def _east_asian(*characters: str) -> bool:
    return any(ord(character) >= 0x2E80 for character in characters if character)
