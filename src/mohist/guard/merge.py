"""Makes one finding of several that say the same of the same characters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace

from mohist.guard.finding import Finding


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings of one block, sorted by place, of which no two of one kind overlap.

    A kind is the widest part of the data class: a secret and a hidden character in it are two facts. Of those that overlap,
    the surest counts, of equally sure ones the one that needed the fewest encodings undone, then the widest; it keeps its
    value and covers the characters of all, so that masking it leaves nothing of any; the others' rules are noted in `also`.
    """
    of_kind: dict[str, _Kept] = {}
    for finding in sorted(findings, key=_rank):
        of_kind.setdefault(finding.data_class.partition(".")[0], _Kept()).add(finding)
    kept = [finding for one in of_kind.values() for finding in one.findings]
    kept.sort(key=lambda finding: (finding.start, finding.end))
    return tuple(kept)


class _Kept:
    """Findings of one kind, by place, of which no two overlap; so those that overlap another stand side by side."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._starts: list[int] = []

    def add(self, finding: Finding) -> None:
        """One that is no surer than those that are here."""
        last = bisect_left(self._starts, finding.end)
        first = last
        while first > 0 and self.findings[first - 1].end > finding.start:
            first -= 1
        if first == last:
            at = bisect_left(self._starts, finding.start)
            self.findings.insert(at, finding)
            self._starts.insert(at, finding.start)
            return
        for number in range(first, last):
            other = self.findings[number]
            end = max(other.end, finding.end) if number + 1 == last else self._starts[number + 1]
            start = min(other.start, finding.start) if number == first else other.start
            also = tuple(
                rule for rule in dict.fromkeys((*other.also, finding.rule, *finding.also)) if rule != other.rule
            )
            self.findings[number] = replace(other, start=start, end=end, also=also)
            self._starts[number] = start


def _rank(finding: Finding) -> tuple[float, int, int, int, str]:
    return (-finding.confidence, len(finding.via), finding.start - finding.end, finding.start, finding.rule)
