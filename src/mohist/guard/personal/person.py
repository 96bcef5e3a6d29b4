"""Judges what a model takes for a person's name: in texts about programs, most of it is something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from mohist.guard.personal.named import Named

FULL: Final = 0.7
"""Two names or more, or a name in a script without cases."""
ADDRESSED: Final = 0.6
"""One name behind a word that people are addressed by, or of a person that the text names in full."""
SINGLE: Final = 0.4
"""One name, as often a product's; or several words of which one is none."""
CREDIT: Final = 0.3
"""In a line of credits or of a licence, as with mail addresses."""
MAX_CHARS: Final = 60

_WORDS: Final = Path(__file__).with_name("word.txt")
_CREDITS: Final = ("copyright", "(c)", "©", "author", "maintain", "contribut", "signed-off", "co-authored", "reviewed-by", "reported-by", "release-by", "patch by", "thanks to", "license")  # fmt: skip
_CREDITS_FILE: Final = re.compile(
    r"(?:AUTHORS|CONTRIBUTORS|CREDITS|MAINTAINERS|THANKS|LICEN[CS]E|NOTICE|COPYING)\b", re.IGNORECASE
)
_EDGES: Final = " \t\r\n\"'“”‘’«»()[]{}<>,;:.!?*_`-–—|/"
_CUT: Final = re.compile(r"[\r\n\"“”«»(:,;|]|\s[-–—]\s|\s+(?:Apt|Suite|Ste|Unit|P\.?O)\b|\s+\d")
"""Where a name ends that a model took too much for."""
_TITLE: Final = re.compile(r"(?:(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Mme|Sr|Sra)\.?\s+)+")
_NO_NAME: Final = re.compile(r"[\d_/\\@#<>={}\[\]()|$%^*+~`!?&]|\.\w{2}|--")
_WORD: Final = re.compile(r"[^\W\d_][\w'’.-]*")
_PARTICLES: Final = frozenset({"van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "das", "du", "la", "le", "el", "al", "bin", "ibn", "y", "zu", "ter", "ten"})  # fmt: skip
_NAME_HUMP: Final = re.compile(r"\b(?:Mc|Mac|De|Di|Da|La|Le|Du|Van|Von|Fitz|[OD]['’])(?=[A-ZÀ-Þ])")
_HUMP: Final = re.compile(r"[a-zß-ÿ][A-ZÀ-Þ]")
_ACRONYM: Final = re.compile(r"(?![IVX]+\b)[A-Z]{3,}s?\b")
_ADDRESSES: Final = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dear|Hi|Hello|Hey|Herr|Frau|Hallo|Liebe|Lieber|Mme|Mlle|Monsieur|Madame|"
    r"Señor|Señora|Sr|Sra|Signor|Signora)\.?,? "
    r"|\b(?:[Nn]ame|[Cc]ustomer|[Pp]atient|[Cc]lient|[Ee]mployee|[Cc]ontact|[Ss]igned|[Rr]egards|[Ss]incerely|[Cc]heers)(?: is|:|,)?\s+)$"
)
_BEFORE_CHARS: Final = 24
_LINE_CHARS: Final = 200
_IN_LOWER_CASE: Final = re.compile(r"(?<![^\W\d_])[^\W\d_]{2,}(?![^\W\d_])")


class Context:
    """What else a text says: its words in lower case, underscores and digits apart, and the names that were found in it so far.

    Args:
        text: all of it.
        path: of a file; a list of authors is one of credits.
    """

    def __init__(self, text: str, path: str = "") -> None:
        self._text = text
        self.credits = bool(_CREDITS_FILE.match(path.rpartition("/")[2]))
        self._names: set[str] = set()

    def keep(self, name: str) -> None:
        """Remembers a whole name by its words."""
        self._names.update(_WORD.findall(name))

    def knows(self, word: str) -> bool:
        """Whether a word is part of a whole name."""
        return word in self._names

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(word for word in _IN_LOWER_CASE.findall(self._text) if word.islower())

    def has(self, word: str) -> bool:
        """Whether a capitalised word stands there in lower case, too: then it is a thing, a command, a module."""
        lower = word.lower()
        return lower != word and lower in self._words


@lru_cache(maxsize=1)
def common_words() -> frozenset[str]:
    """Words of programs and their documents, in lower case."""
    return frozenset(line for line in _WORDS.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))


def persons(text: str, found: Iterable[Named], whole: Context) -> Iterator[tuple[int, int, float]]:
    """Which of a model's names are reported, and how sure that is.

    Args:
        text: a passage.
        found: what a model sees in it.
        whole: of the text that it is from.
    """
    judged = []
    for one in found:
        if one.sort != "name":
            continue
        start, end = _trimmed(text, one.start, one.end)
        confidence = _judged(text, start, end, whole) if start < end else 0.0
        if confidence == FULL:
            whole.keep(text[start:end])
        if confidence:
            judged.append((start, end, confidence, one.confidence))
    for start, end, confidence, most in judged:
        known = ADDRESSED if confidence == SINGLE and whole.knows(text[start:end]) else confidence
        yield start, end, min(most, known, CREDIT if whole.credits or _is_credit(text, start, end) else 1.0)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without what stands at its edges, a title before it, and words before it that are no names ("Ask Maria Keller")."""
    start, end = _bare(text, start, end)
    if title := _TITLE.match(text, start, end):
        start = title.end()
    if cut := _CUT.search(text, start, end):
        end = cut.start()
    if text[start:end].endswith(("'s", "’s")):
        end -= 2
    start, end = _bare(text, start, end)
    while (word := _WORD.match(text, start, end)) and word.end() < end and _is_common(word[0]):
        start, end = _bare(text, word.end(), end)
    return start, end


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _EDGES:
        start += 1
    while start < end and text[end - 1] in _EDGES:
        end -= 1
    return start, end


def _judged(text: str, start: int, end: int, whole: Context) -> float:
    """0: it is no name."""
    value = text[start:end]
    words = _WORD.findall(value)
    if not words or len(value) > MAX_CHARS or _NO_NAME.search(value) or _is_code(text, start, end):
        return 0.0
    if value.lower() == value.upper():
        return FULL if len(value) > 1 else 0.0
    if not words[0][0].isupper() or _HUMP.search(_NAME_HUMP.sub("", value)):
        return 0.0
    if len(words) == 1:
        if value.isupper() or _is_common(value) or whole.has(value):
            return 0.0
        return ADDRESSED if _ADDRESSES.search(text, max(start - _BEFORE_CHARS, 0), start) else SINGLE
    if not value.isupper() and _ACRONYM.search(value):
        return 0.0
    if all(whole.has(word) for word in words):
        return 0.0
    doubtful = any(word[0].islower() and word not in _PARTICLES for word in words) or any(map(_is_common, words))
    return SINGLE if doubtful or whole.has(words[-1]) else FULL


def _is_common(word: str) -> bool:
    return word.lower().rstrip(".") in common_words()


def _is_credit(text: str, start: int, end: int) -> bool:
    """Whether it stands in a line of credits."""
    first = text.rfind("\n", max(start - _LINE_CHARS, 0), start) + 1 or max(start - _LINE_CHARS, 0)
    last = text.find("\n", end, end + _LINE_CHARS)
    line = text[first : last if last >= 0 else end + _LINE_CHARS].lower()
    return any(word in line for word in _CREDITS)


def _is_code(text: str, start: int, end: int) -> bool:
    """Whether it is part of an identifier, a path, a call or an address."""
    before, after = text[max(start - 1, 0) : start], text[end : end + 2]
    if any(sign.isascii() and sign.isalnum() for sign in (before, after[:1]) if sign):
        return True
    return before in ("_", "/", "\\", "@", "#", "$", ".", "`", "-", "=", "<", "{", "%", "&") or (
        after[:1] in ("_", "/", "\\", "@", "`", "(", "=", "[", ">", "<", "}")
        or (after[:1] in (".", ":", "-") and after[1:].isalnum())
    )
