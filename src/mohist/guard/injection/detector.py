"""Finds texts that instruct a model, in what strangers wrote."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from mohist.base import sha256_hex
from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.injection.pattern import LINK, PATTERNS, SIGNS
from mohist.guard.view import View

VERSION = "1"
STRANGERS = frozenset({"tool_result", "web", "mcp", "file", "unknown"})
"""Sources whose words are data. What the user, the client's program and the model itself say may instruct."""
NEAR_CHARS = 600
"""Signs of different kinds this close speak of one text."""
TOGETHER = 0.15
"""What a second kind of sign near a first adds; a third adds it again."""
CERTAIN_AT_MOST = 0.98


class InjectionDetector:
    """See `mohist.guard.Detector`."""

    name = "injection"
    version = VERSION + "-" + sha256_hex("\0".join(sign.expression for sign in SIGNS).encode())[:12]

    @property
    def patterns(self) -> Sequence[Pattern]:
        """What the one pass looks for."""
        return PATTERNS

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        """Judges what matched in a text of a stranger; near signs of several kinds make each other surer."""
        del view  # the matches say all
        if block.source not in STRANGERS:
            return ()
        found = [(SIGNS[int(name)], match) for name, ours in matches.items() for match in ours]
        starts: dict[str, list[int]] = {}
        for sign, match in found:
            starts.setdefault(sign.rule, []).append(match.start)
        for places in starts.values():
            places.sort()
        hits: dict[tuple[str, int, int], Hit] = {}
        for sign, match in found:
            kinds = sum(rule != sign.rule and _near(places, match.start) for rule, places in starts.items())
            confidence = min(sign.confidence + TOGETHER * kinds, CERTAIN_AT_MOST)
            start, end = (match.value_start, match.value_end) if sign.data_class == LINK else (match.start, match.end)
            known = hits.get((sign.rule, start, end))
            if known is None or known.confidence < confidence:
                hits[sign.rule, start, end] = Hit(sign.rule, sign.data_class, start, end, confidence)
        return [hits[place] for place in sorted(hits)]


def _near(places: Sequence[int], start: int) -> bool:
    """Whether one of these places, in order, is near another."""
    at = bisect_left(places, start - NEAR_CHARS)
    return at < len(places) and places[at] <= start + NEAR_CHARS


def injection_detector() -> InjectionDetector:
    """The detector."""
    return InjectionDetector()
