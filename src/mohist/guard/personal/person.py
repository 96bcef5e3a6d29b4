"""Judges what a model takes for a person's name: in texts about programs, half of it is something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mohist.guard.personal.model import Named

FULL: Final = 0.7
"""Two names or more."""
ADDRESSED: Final = 0.6
"""One name behind a word that people are addressed by."""
SINGLE: Final = 0.4
"""One name: as often a product's."""

_EDGES: Final = " \t\r\n\"'“”‘’«»()[]{}<>,;:.!?*_`-–—|/"
_NO_NAME: Final = re.compile(r"[\d_/\\@#<>={}\[\]()|$%^*+~`\"“”:;!?&]|\.\w|--")
_WORDS: Final = re.compile(r"[^\W\d_][\w'’.-]*")
_PARTICLES: Final = frozenset(
    {"van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "das", "du", "la", "le", "el", "al", "bin", "ibn", "y", "zu", "ter", "ten"}
)  # fmt: skip
_HUMP: Final = re.compile(r"(?<!\bMc)(?<!\bMac)(?<!\bDe)(?<!\bDi)(?<!\bLa)(?<!\bLe)(?<!\bVan)[a-zß-ÿ][A-ZÀ-Þ]")
_ADDRESSES: Final = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dear|Hi|Hello|Hey|Herr|Frau|Hallo|Liebe|Lieber|Mme|Mlle|Monsieur|Madame|Señor|Señora|Sr|Sra|Signor|Signora)\.?,? "
    r"|\b(?:[Nn]ame|[Cc]ustomer|[Pp]atient|[Cc]lient|[Ee]mployee|[Cc]ontact|[Ss]igned|[Rr]egards|[Ss]incerely|[Cc]heers)(?: is|:|,)?\s+)$"
)
_BEFORE_CHARS: Final = 24


def persons(text: str, found: Iterable[Named], whole: str) -> Iterator[tuple[int, int, float]]:
    """Which of a model's names are reported, and how sure that is.

    Args:
        text: a passage.
        found: what a model sees in it.
        whole: the text that it is from.
    """
    for one in found:
        if one.sort == "name":
            start, end = _trimmed(text, one.start, one.end)
            confidence = _judged(text, start, end, whole)
            if confidence:
                yield start, end, min(one.confidence, confidence)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without what stands at its edges; of several lines the first that says something."""
    while start < end and text[start] in _EDGES:
        start += 1
    stop = text.find("\n", start, end)
    end = end if stop < 0 else stop
    if text[start:end].endswith(("'s", "’s")):
        end -= 2
    while start < end and text[end - 1] in _EDGES:
        end -= 1
    return start, end


def _judged(text: str, start: int, end: int, whole: str) -> float:
    """0: it is no name."""
    value = text[start:end]
    words = _WORDS.findall(value)
    if not words or len(value) > 60 or _NO_NAME.search(value) or _HUMP.search(value) or _is_code(text, start, end):
        return 0.0
    if not any(word[0].isupper() or not (word[0].islower() or word[0].isupper()) for word in words):
        return 0.0
    if value.isupper() and len(words) == 1:
        return 0.0
    if len(words) > 1:
        if not all(word[0].isupper() or word in _PARTICLES or not word[0].islower() for word in words):
            return SINGLE
        return 0.0 if all(_also_a_word(word, whole) for word in words) else FULL
    if _ADDRESSES.search(text, max(start - _BEFORE_CHARS, 0), start):
        return ADDRESSED
    if not value.isascii() and not value.istitle():
        return FULL if len(value) > 1 else 0.0  # scripts without cases: what is one word there is a whole name
    return 0.0 if _also_a_word(value, whole) else SINGLE


def _is_code(text: str, start: int, end: int) -> bool:
    """Whether it is part of an identifier, a path, a call or an address."""
    before, after = text[max(start - 1, 0) : start], text[end : end + 2]
    return before in ("_", "/", "\\", "@", "#", "$", ".", "`", "-", "=", ":", "<", "{", "%", "&") or (
        after[:1] in ("_", "/", "\\", "@", "`", "(", "=", "[", ">", "<", "}")
        or (after[:1] in (".", ":", "-") and after[1:].isalnum())
    )


def _also_a_word(word: str, whole: str) -> bool:
    """Whether a text has a word in lower case, too: then it is a thing, a command, a module."""
    lower = word.lower()
    return lower != word and re.search(rf"(?<![^\W_]){re.escape(lower)}(?![^\W_])", whole) is not None
