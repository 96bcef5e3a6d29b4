"""Hyperscan's pass over all patterns, confirmed by RE2 in windows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import hyperscan

from mohist.guard.detector import Match
from mohist.guard.errors import GuardError, GuardLimitError
from mohist.guard.matcher.automaton import Automaton, compiled, store, stored, token
from mohist.guard.matcher.expression import EVERYWHERE, Expression
from mohist.guard.matcher.reading import Reading, Window
from mohist.guard.view import View

TEXT_MAX_BYTES = (1 << 31) - 1
"""Hyperscan counts in 32 bits."""


def kept(expressions: Sequence[Expression], cache: Path | None) -> Automaton | None:
    """The automaton of these, where it was compiled before and can be read."""
    return stored(cache, _key(expressions)) if cache is not None else None


def _key(expressions: Sequence[Expression]) -> str:
    sources = [*(one.source for one in expressions), *(one.sought for one in expressions)]
    return token([*sources, *(str(index).encode() for index in sorted(_once(expressions)))])


def _once(expressions: Sequence[Expression]) -> frozenset[int]:
    return frozenset(index for index, one in enumerate(expressions) if one.once)


class HyperscanMatcher:
    """All patterns in one automaton; those that Hyperscan can't take are searched by RE2 alone.

    Scans release the interpreter's lock but for the calls that report a candidate. May be used from several threads at once.

    Args:
        expressions: all detectors' patterns.
        matches_max: of one pattern in one text.
        cache: folder for the compiled automaton; None: it is compiled anew, which takes seconds.
        automaton: what was kept of it, if that is known already.
        begun: told how many patterns are about to be compiled, where they are.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        matches_max: int,
        cache: Path | None = None,
        automaton: Automaton | None = None,
        begun: Callable[[int], object] | None = None,
    ) -> None:
        self._expressions = expressions
        self._matches_max = matches_max
        self._widths = [expression.width_bytes for expression in expressions]
        self._local = threading.local()
        sources = [expression.sought for expression in expressions]
        automaton = automaton or kept(expressions, cache)
        if automaton is None:
            if begun is not None:
                begun(len(expressions))
            # What is kept has passed this; RE2 then compiles what it is asked for, when it is.
            for expression in expressions:
                expression.compile()
            automaton = compiled(sources, _once(expressions))
            if cache is not None:
                store(cache, _key(expressions), automaton)
        self._database = automaton.database
        self._refused = [expressions[index] for index in automaton.refused]

    def matches(self, view: View) -> Mapping[str, Mapping[str, Sequence[Match]]]:
        """See `mohist.guard.Matcher`."""
        data = view.data
        candidates = self._candidates(data)
        if not candidates and not self._refused:
            return {}
        reading = Reading(view, self._matches_max)
        for index, ends in candidates.items():
            expression = self._expressions[index]
            if reading.passes(expression):
                reading.confirm(expression, _windows(ends, expression, len(data)))
        for expression in self._refused:
            if reading.passes(expression):
                reading.confirm(expression, ((0, len(data)),))
        return reading.found

    def _candidates(self, data: bytes) -> dict[int, list[int]]:
        """By pattern: first and last end of each run of ends that lie so close that one window covers them."""
        if len(data) > TEXT_MAX_BYTES:
            raise GuardLimitError(f"A text of {len(data)} bytes is too long to be searched at once.")
        ends: dict[int, list[int]] = {}
        widths = self._widths

        def candidate(index: int, _start: int, end: int, _flags: int, _context: object) -> None:
            runs = ends.get(index)
            if runs is None:
                ends[index] = [end, end]
            elif runs[-1] <= end <= runs[-1] + widths[index]:
                runs[-1] = end
            else:
                runs += (end, end)

        if self._database is not None:
            try:
                self._database.scan(data, match_event_handler=candidate, scratch=self._scratch())
            except hyperscan.error as error:
                raise GuardError(f"The matcher failed ({type(error).__name__}); a text was not looked at.") from None
        return ends

    def _scratch(self) -> hyperscan.Scratch:
        scratch: hyperscan.Scratch | None = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        return scratch


def _windows(ends: list[int], expression: Expression, size: int) -> Sequence[Window]:
    """Where matches can lie of which what was sought ends in these runs; in order, and apart."""
    width, ahead = expression.width_bytes, expression.ahead_bytes
    if ahead == EVERYWHERE:
        return ((0, size),)
    windows: list[Window] = []
    for first, last in sorted(zip(ends[::2], ends[1::2], strict=True)):
        low, high = max(first - width, 0), min(last + ahead, size)
        if windows and low <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(high, windows[-1][1]))
        else:
            windows.append((low, high))
    return windows
