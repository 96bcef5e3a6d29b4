"""RE2 alone, for machines without Hyperscan: each pattern behind its keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mohist.guard.detector import Match
from mohist.guard.matcher.expression import Expression
from mohist.guard.matcher.reading import Reading
from mohist.guard.view import View


class Re2Matcher:
    """Finds what `HyperscanMatcher` finds.

    Args:
        expressions: all detectors' patterns.
        matches_max: of one pattern in one text.
    """

    def __init__(self, expressions: Sequence[Expression], matches_max: int) -> None:
        for expression in expressions:
            expression.compile()
        self._expressions = expressions
        self._matches_max = matches_max

    def matches(self, view: View) -> Mapping[str, Mapping[str, Sequence[Match]]]:
        """See `mohist.guard.Matcher`."""
        reading = Reading(view, self._matches_max)
        whole = ((0, len(view.data)),)
        for expression in self._expressions:
            if reading.passes(expression):
                reading.confirm(expression, whole)
        return reading.found
