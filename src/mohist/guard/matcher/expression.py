"""One pattern, compiled by RE2, and how its matches in a stretch of bytes are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

from mohist.guard.detector import Pattern
from mohist.guard.errors import GuardLimitError, GuardRuleError
from mohist.guard.matcher.dialect import eased, rewritten, words

PROGRAM_MAX = 200_000
"""RE2's instructions; a list of ten thousand words stays below, `(.{1000}){1000}` does not."""
RE2_MEMORY_BYTES = 64 << 20
"""For the automaton that RE2 builds as it goes; where that is too little it goes on without one, slower."""
WIDTH_MAX_BYTES = 1 << 16
"""The widest match; every candidate costs a look at a window of this size."""

OVERLAP_BYTES = 1 << 18
"""Of matches of one pattern in one text; a text where they are more is made of one key's head over and over, and would cost the
square of its length."""
_STRIDE_BYTES = 1 << 13
EVERYWHERE = 1 << 31
"""Longer than any text: a match may stand anywhere."""

Spans = list[tuple[int, int]]
_NOWHERE = (-1, -1)


class Expression:
    """A detector's pattern, ready to confirm.

    Args:
        detector: whose it is.
        pattern: as the detector gives it.

    Raises:
        GuardRuleError: its form is wrong; whether RE2 takes it is seen at `compile`.
    """

    __slots__ = (
        "_anchored",
        "_apart",
        "_group",
        "_match",
        "_size",
        "_unanchored",
        "ahead_bytes",
        "detector",
        "gate",
        "name",
        "once",
        "sought",
        "source",
        "width_bytes",
    )

    def __init__(self, detector: str, pattern: Pattern) -> None:
        self.detector = detector
        self.name = pattern.name
        try:
            body = rewritten(pattern.expression)
        except GuardRuleError as error:
            raise GuardRuleError(f"{self._whose()}: {error.what}", error.mend) from None
        whole = f"(?i:{body})" if pattern.ignore_case else body
        self.source = whole.encode("ascii")
        self.sought, self.ahead_bytes = self._sought(pattern, whole)
        """What to look for in all texts, and how far behind its end a match may reach."""
        if not 0 < pattern.width_bytes <= WIDTH_MAX_BYTES:
            raise GuardRuleError(f"{self._whose()}: a match may be 1 to {WIDTH_MAX_BYTES} bytes wide.")
        self.width_bytes = pattern.width_bytes
        self._apart = pattern.apart
        self.once = pattern.once
        self.gate = tuple(word.encode("utf-8") for word in pattern.keywords)
        if any(word != word.lower() for word in pattern.keywords) or b"" in self.gate:
            raise GuardRuleError(f"{self._whose()}: keywords are written in lower case, and none is empty.")
        self._size = self._group = 0
        self._match: Callable[[Any, bytes, int, int], Spans] | None = None
        self._unanchored, self._anchored = re2._Anchor.UNANCHORED, re2._Anchor.ANCHOR_START

    def _sought(self, pattern: Pattern, whole: str) -> tuple[bytes, int]:
        if pattern.rare:
            if not pattern.keywords:
                raise GuardRuleError(f"{self._whose()} is said to be rare and has no keywords.")
            return words(pattern.keywords).encode("ascii"), EVERYWHERE
        if pattern.anchor:
            body = rewritten(pattern.anchor)
            return (f"(?i:{body})" if pattern.ignore_case else body).encode("ascii"), pattern.width_bytes
        return eased(whole).encode("ascii"), 0

    def compile(self) -> int:
        """Makes it ready, once; else its first use does. Returns its size in RE2's instructions.

        Raises:
            GuardRuleError: RE2 refuses it, it is too large, or it matches the empty text.
        """
        if self._match is not None:
            return self._size
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.max_mem = RE2_MEMORY_BYTES
        try:
            compiled = re2.compile(self.source, options)
        except re2.error as error:
            reason = str(error.args[0].decode("latin-1") if isinstance(error.args[0], bytes) else error)
            raise GuardRuleError(
                f"{self._whose()} is refused by RE2: {reason}.",
                "RE2 has no look-around and no back references, and repeats at most 1,000 times.",
            ) from None
        self._size = compiled.programsize
        if self._size > PROGRAM_MAX:
            raise GuardRuleError(f"{self._whose()} is too large: {self._size} instructions.")
        if compiled.fullmatch(b"") is not None:
            raise GuardRuleError(f"{self._whose()} matches the empty text, so everywhere.")
        self._group = compiled.groupindex.get(b"value", 1 if compiled.groups else 0)
        # The module's own `search` costs three times what the search does; its native method takes the same places.
        self._match = compiled._regexp.Match
        return self._size

    def _whose(self) -> str:
        return f"The pattern {self.name!r} of the detector {self.detector!r}"

    def matches(
        self, data: bytes, windows: Iterable[tuple[int, int]], most: int
    ) -> Iterator[tuple[int, int, int, int]]:
        """Start, end and the value's start and end of each match, one for each place where one starts.

        Overlapping matches are all given, the search goes on one byte after a start, until `OVERLAP_BYTES` of them are reached;
        from there on, and of a pattern that says so, only those that stand apart. Of one that is looked for once, the first. Borders see the whole of `data`. A match that is wider than allowed is
        tried again within its width.

        Args:
            data: the whole text.
            windows: where matches may lie, in order and apart.
            most: more are an error.

        Raises:
            GuardLimitError: there are more than `most`.
            GuardRuleError: as `compile`, where that was not called before.
        """
        if self._match is None:
            self.compile()
            assert self._match is not None
        match, width, always_apart = self._match, self.width_bytes, self._apart
        count = matched_bytes = apart = 0
        for first, high in windows:
            low = max(first, apart)
            while low < high:
                # A start within a stride has its whole match within reach; what is found beyond may be a later one.
                reach = min(high, low + _STRIDE_BYTES + width)
                spans = match(self._unanchored, data, low, reach)
                start, end = spans[0]
                if start < 0 or (start >= low + _STRIDE_BYTES and reach < high):
                    low += _STRIDE_BYTES if reach < high else high
                    continue
                low = start + 1
                if end - start > width:
                    spans = match(self._anchored, data, start, start + width)
                    end = spans[0][1]
                    if spans[0] == _NOWHERE:
                        continue
                if end == start:
                    continue
                count += 1
                if count > most:
                    raise GuardLimitError(
                        f"{self._whose()} matches more than {most} times in one text.",
                        "Raise matches_max, or make the pattern narrower.",
                    )
                matched_bytes += end - start
                if always_apart or matched_bytes > OVERLAP_BYTES:
                    low = apart = end
                yield (start, end, *self._value(spans))
                if self.once:
                    return

    def _value(self, spans: Spans) -> tuple[int, int]:
        chosen = spans[self._group]
        if chosen == _NOWHERE:
            chosen = next((span for span in spans[1:] if span != _NOWHERE), spans[0])
        return chosen

    def gated(self, lower: bytes) -> bool:
        """Whether a text, in lower case, holds one of the keywords."""
        return not self.gate or any(word in lower for word in self.gate)
