"""Puts values back in the place of placeholders, in a text that comes in pieces of any size.

Only so much of a text is held back as may still grow into a placeholder that this text can hold: at most one character less
than the longest. What is put in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from mohist.guard.placeholder import WORD, WORD_CHARS, WORD_HEAD


class Ground(Protocol):
    """The text that placeholders stand in, as far as it has come."""

    def passed(self, text: str) -> None:
        """More of the text, in order; placeholders too, never a value."""
        ...

    def judge(self, word: str) -> str | None:
        """What is to stand in the place of a placeholder that comes next; None: it stays."""
        ...


class Words:
    """The placeholders that a text may hold. Cheap to make of many words; those with a form of their own cost more.

    Args:
        values: what each stands for.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = {word: value for word, value in values.items() if word}
        # The longest first: of two of which one begins the other, the longer is meant.
        formed = sorted((word for word in self.values if not WORD.fullmatch(word)), key=lambda word: (-len(word), word))
        self.pattern = re.compile("|".join([*map(re.escape, formed), WORD.pattern])) if formed else WORD
        """Matches all of them, and words of the same shape that stand for nothing."""
        self.heads = frozenset(word[:size] for word in formed for size in range(1, len(word)))
        """What may still grow into one that has a form."""
        self.longest = max(map(len, formed), default=0)
        """Of those that have a form, in characters."""

    def may_hold(self, text: str) -> bool:
        """Whether there is any use in looking for one."""
        return bool(self.heads) or WORD_HEAD in text

    def growing(self, text: str) -> int:
        """How many characters at the end may still grow into a placeholder."""
        heads = self.heads
        for size in range(min(self.longest - 1, len(text)), 0, -1):
            if text[-size:] in heads:
                return max(size, _growing_word(text))
        return _growing_word(text)


def _growing_word(text: str) -> int:
    # Hex digits are lower case, so only the last D can be the beginning.
    start = text.rfind("D", max(0, len(text) - WORD_CHARS + 1))
    return len(text) - start if start >= 0 and _WORD_BEGUN.fullmatch(text, start) else 0


_WORD_BEGUN: Final = re.compile(r"D(?:L(?:P(?:x[0-9a-f]{0,11})?)?)?")


class Restorer:
    """Follows one text.

    Args:
        words: what each placeholder stands for; what is not in it is no placeholder.
        ground: decides for each place; None: every placeholder gives way to its value.
    """

    def __init__(self, words: Words, ground: Ground | None = None) -> None:
        self._words = words
        self._ground = ground
        self._held = ""

    @property
    def held(self) -> str:
        """What is held back."""
        return self._held

    def feed(self, text: str) -> str:
        """More of the text; what is certain now and was not returned before."""
        if not self._words.values:
            if self._ground is not None:
                self._ground.passed(text)
            return text
        return self._sift(self._held + text if self._held else text, last=False)

    def end(self) -> str:
        """The text is over; what was held back."""
        held, self._held = self._held, ""
        return self._sift(held, last=True) if held else ""

    def _sift(self, text: str, *, last: bool) -> str:
        words, pieces, at = self._words, [], 0
        self._held = ""
        for found in words.pattern.finditer(text) if words.may_hold(text) else ():
            word = found.group()
            if not last and len(text) - found.start() < words.longest and text[found.start() :] in words.heads:
                break  # it may be the beginning of a longer one
            pieces.append(self._pass(text[at : found.start()]))
            value = words.values.get(word)
            if value is not None and self._ground is not None:
                value = self._ground.judge(word)
            pieces.append(word if value is None else value)
            # A value is no text of the model's: what it holds must not change what the place is taken for.
            self._pass(word)
            at = found.end()
        rest = text[at:]
        keep = 0 if last else words.growing(rest)
        if keep:
            rest, self._held = rest[:-keep], rest[-keep:]
        pieces.append(self._pass(rest))
        return "".join(pieces)

    def _pass(self, text: str) -> str:
        if text and self._ground is not None:
            self._ground.passed(text)
        return text
