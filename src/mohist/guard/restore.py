"""Puts values back in the place of placeholders, in a text that comes in pieces of any size.

Only so much of a text is held back as may still grow into a placeholder that this text can hold: at most one character less
than the longest. What is put in is not looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol


class Ground(Protocol):
    """The text that placeholders stand in, as far as it has come."""

    def passed(self, text: str) -> None:
        """More of the text, in order; placeholders too, never a value."""
        ...

    def judge(self, word: str) -> str | None:
        """What is to stand in the place of a placeholder that comes next; None: it stays."""
        ...


class Words:
    """The placeholders that a text may hold.

    Args:
        values: what each stands for.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = {word: value for word, value in values.items() if word}
        # The longest first: of two of which one begins the other, the longer is meant.
        ordered = sorted(self.values, key=lambda word: (-len(word), word))
        self.pattern = re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
        self.heads = frozenset(word[:size] for word in ordered for size in range(1, len(word)))
        """What may still grow into one."""
        self.longest = max(map(len, ordered), default=0)
        """In characters."""
        self._shared = _shared_head(ordered)

    def may_hold(self, text: str) -> bool:
        """Whether there is any use in looking for one."""
        return self._shared in text

    def growing(self, text: str) -> int:
        """How many characters at the end may still grow into a placeholder."""
        heads = self.heads
        for size in range(min(self.longest - 1, len(text)), 0, -1):
            if text[-size:] in heads:
                return size
        return 0


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
            value = words.values[word] if self._ground is None else self._ground.judge(word)
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


def _shared_head(words: list[str]) -> str:
    """What all begin with."""
    if not words:
        return ""
    low, high = min(words), max(words)
    size = next((place for place, char in enumerate(low) if place >= len(high) or char != high[place]), len(low))
    return low[:size]
