"""Makes one finding of several that say the same of the same characters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mohist.guard.finding import Finding


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings of one block, sorted by place, of which no two of one kind overlap.

    A kind is the widest part of the data class: a secret and a hidden character in it are two facts. Of those that overlap,
    the surest counts, of equally sure ones the one that needed the fewest encodings undone, then the widest; it keeps its
    value and covers the characters of all, so that masking it leaves nothing of any; the others' rules are noted in `also`.
    """
    kept: list[Finding] = []
    for finding in sorted(findings, key=_rank):
        overlapped = [number for number, other in enumerate(kept) if _overlap(finding, other)]
        if not overlapped:
            kept.append(finding)
            continue
        overlapped.sort(key=lambda number: kept[number].start)
        for number, following in zip(overlapped, [*overlapped[1:], None], strict=True):
            other = kept[number]
            end = max(other.end, finding.end) if following is None else kept[following].start
            start = min(other.start, finding.start) if number == overlapped[0] else other.start
            also = other.also if finding.rule in (other.rule, *other.also) else (*other.also, finding.rule)
            kept[number] = replace(other, start=start, end=end, also=also)
    kept.sort(key=lambda finding: (finding.start, finding.end))
    return tuple(kept)


def _overlap(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end and _kind(one) == _kind(other)


def _rank(finding: Finding) -> tuple[float, int, int, int, str]:
    return (-finding.confidence, len(finding.via), finding.start - finding.end, finding.start, finding.rule)


def _kind(finding: Finding) -> str:
    return finding.data_class.partition(".")[0]
