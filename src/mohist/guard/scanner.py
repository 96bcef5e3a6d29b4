"""Looks at blocks: each reading of each block passes the matcher once, then the detectors judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mohist.guard.block import Block
from mohist.guard.detector import Detector, Matcher
from mohist.guard.finding import Digest, Finding, Found, shown
from mohist.guard.view import View


class Scanner:
    """The engine.

    Args:
        detectors: what to look for.
        matcher: knows all their patterns.
        digest: names values without showing them.
    """

    def __init__(self, detectors: Sequence[Detector], matcher: Matcher, digest: Digest) -> None:
        self._detectors = detectors
        self._matcher = matcher
        self._digest = digest

    def scan(self, blocks: Iterable[Block]) -> list[Found]:
        """What is in each block, in order.

        Raises:
            GuardError: something could not be looked at; none of it counts as clean.
        """
        return [Found(block, tuple(self._block(block))) for block in blocks]

    def _block(self, block: Block) -> list[Finding]:
        findings: dict[tuple[str, int, int], Finding] = {}
        for view in (View(block.text),):
            matches = self._matcher.matches(view)
            for detector in self._detectors:
                ours = matches.get(detector.name, {})
                if detector.patterns and not ours:
                    continue
                for hit in detector.detect(view, block, ours):
                    start, end = view.place(hit.start, hit.end)
                    value = view.text[hit.start : hit.end]
                    findings.setdefault(
                        (hit.rule, start, end),
                        Finding(
                            detector=detector.name,
                            rule=hit.rule,
                            data_class=hit.data_class,
                            start=start,
                            end=end,
                            confidence=hit.confidence,
                            shown=shown(value),
                            value_digest=self._digest(value),
                            via=view.via,
                            note=hit.note,
                        ),
                    )
        return sorted(findings.values(), key=lambda finding: (finding.start, finding.end))
