"""The detector of personal data."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from mohist.guard.block import Block
from mohist.guard.detector import Hit, Match, Pattern
from mohist.guard.personal import card, china, name, world
from mohist.guard.personal.judge import Judge
from mohist.guard.personal.pattern import PATTERNS
from mohist.guard.view import View

VERSION = "2"
"""Raise it with every change of what is found."""


class PersonalDetector:
    """Patterns, each with its judge.

    Args:
        patterns: what to look for.
        judges: by pattern.
    """

    def __init__(self, patterns: Sequence[Pattern], judges: Mapping[str, Judge]) -> None:
        self._patterns = tuple(patterns)
        self._judges = judges
        # Asked for at each call, so made once.
        self._version = f"{VERSION}.{'+'.join(pattern.name for pattern in self._patterns)}"

    @property
    def name(self) -> str:
        return "personal"

    @property
    def version(self) -> str:
        return self._version

    @property
    def patterns(self) -> Sequence[Pattern]:
        return self._patterns

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:  # noqa: ARG002
        """See `Detector.detect`. Of hits that overlap the surest stays."""
        hits = [
            Hit(f"personal.{rule}", judged.data_class, judged.start, judged.end, judged.confidence, judged.note)
            for rule, found in matches.items()
            for match in found
            if (judged := self._judges[rule](view.text, match)) is not None
        ]
        return _apart(hits)


def _apart(hits: list[Hit]) -> list[Hit]:
    """Of hits that overlap the surest, then the longest; in order."""
    hits.sort(key=lambda hit: (-hit.confidence, hit.start - hit.end))
    starts: list[int] = []
    kept: list[Hit] = []
    for hit in hits:
        at = bisect_left(
            starts, hit.end
        )  # the last one that begins before this one's end is the only one to reach into it
        if at == 0 or kept[at - 1].end <= hit.start:
            starts.insert(at, hit.start)
            kept.insert(at, hit)
    return kept


def personal_detector(*, without: Iterable[str] = ()) -> PersonalDetector:
    """The detector with all rules but those named (`"ip4"`, `"cn.plate"`)."""
    left_out = frozenset(without)
    patterns = [pattern for pattern in PATTERNS if pattern.name not in left_out]
    return PersonalDetector(patterns, {**world.judges(), **card.judges(), **china.judges(), **name.judges()})
