"""What the judges of matches share: what stands around a place in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from mohist.guard.detector import Match

CONTEXT_BEFORE_CHARS = 60
"""How far before a number the word may stand that says what it is."""
CONTEXT_AFTER_CHARS = 16


class Judged(NamedTuple):
    """A match that counts; `start` and `end` in characters of the text."""

    start: int
    end: int
    confidence: float
    data_class: str
    note: str = ""


Judge = Callable[[str, Match], Judged | None]


def spotter(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words; a short Latin one only where no further letter follows or stands before ("pan", not "span")."""
    spelled = [rf"(?<![a-z]){re.escape(word)}(?![a-z])" if len(word) <= 4 and word.isascii() else re.escape(word) for word in words]  # fmt: skip
    return re.compile("|".join(spelled), re.IGNORECASE)


def near(words: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Whether one of the words stands close before the place or right after it."""
    return bool(
        words.search(text, max(start - CONTEXT_BEFORE_CHARS, 0), start)
        or words.search(text, end, end + CONTEXT_AFTER_CHARS)
    )


def bare(text: str, start: int, end: int, also: str = "") -> bool:
    """Whether nothing that belongs to a longer ASCII word or number touches the place."""
    return not (joins(text[start - 1 : start] if start else "", also) or joins(text[end : end + 1], also))


def joins(character: str, also: str = "") -> bool:
    """Whether a character would make what it touches longer; "" does not."""
    return bool(character) and ((character.isascii() and character.isalnum()) or character in also)


def in_fraction(text: str, start: int) -> bool:
    """Whether what stands before makes a number a part of another one: 0.6222…, v1.6222…, 1/6222…, 12-6222…."""
    if start < 2 or text[start - 1] not in "./-":
        return False
    return text[start - 2].isdigit() or (text[start - 1] == "." and text[start - 2].isalnum())


def goes_on(text: str, end: int) -> bool:
    """Whether a number goes on behind its end: 6222.5, 6222-1."""
    return text[end : end + 1] in (".", "-") and text[end + 1 : end + 2].isdigit()
