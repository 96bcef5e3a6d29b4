"""Looks at blocks: each reading of each block passes the matcher once, then the detectors judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mohist.guard.block import Block
from mohist.guard.cache import Cache, Key
from mohist.guard.detector import Detector, Matcher
from mohist.guard.finding import Digest, Finding, Found, shown
from mohist.guard.limit import DEFAULT, Limits
from mohist.guard.merge import merged
from mohist.guard.reading import readings
from mohist.guard.view import View

TOO_DEEP = "reading.too-deep"
"""The rule of a finding that says: here is an encoding within more encodings than are undone."""
UNREAD = "unread.nested"
"""Its data class."""


class Scanner:
    """The engine. May be used by several threads at once.

    A detector's answer may depend on a block's text, source and name, and of a file on its path; on nothing else, since it is
    kept and given again for the same ones.

    Args:
        detectors: what to look for.
        matcher: knows all their patterns.
        digest: names values without showing them.
        limits: of reading, and of what is kept.
    """

    def __init__(
        self, detectors: Sequence[Detector], matcher: Matcher, digest: Digest, limits: Limits = DEFAULT
    ) -> None:
        self._detectors = detectors
        self._matcher = matcher
        self._digest = digest
        self._limits = limits
        self._cache = Cache(limits)
        self._versions = self._version()

    def scan(self, blocks: Iterable[Block]) -> list[Found]:
        """What is in each block, in order; of findings that overlap, one (see `merged`).

        Raises:
            GuardError: something could not be looked at; none of it counts as clean.
        """
        versions = self._version()
        if versions != self._versions:
            self._cache.clear()
            self._versions = versions
        looked_at = list(blocks)
        keys = [self._cache.key(block) for block in looked_at]
        known = self._cache.look_up(keys)
        new: dict[Key, tuple[Finding, ...]] = {}
        found = []
        for block, key, findings in zip(looked_at, keys, known, strict=True):
            if findings is None:
                findings = new.get(key)
            if findings is None:
                findings = new[key] = merged(self._block(block))
            found.append(Found(block, findings))
        if new:
            self._cache.keep(new.items())
        return found

    def _version(self) -> tuple[tuple[str, str], ...]:
        return tuple((detector.name, detector.version) for detector in self._detectors)

    def _block(self, block: Block) -> Iterable[Finding]:
        reading = readings(block.text, self._limits)
        findings: dict[tuple[str, int, int], Finding] = {}
        for view in reading.views:
            matches = self._matcher.matches(view)
            for detector in self._detectors:
                ours = matches.get(detector.name, {})
                if detector.patterns and not ours:
                    continue
                for hit in detector.detect(view, block, ours):
                    start, end = view.place(hit.start, hit.end)
                    # The plain reading comes first: what it shows needs no other one.
                    if (hit.rule, start, end) not in findings:
                        value = view.text[hit.start : hit.end]
                        findings[hit.rule, start, end] = Finding(
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
                        )
        for view in reading.too_deep:
            finding = self._unread(view, block)
            findings.setdefault((finding.rule, finding.start, finding.end), finding)
        return findings.values()

    def _unread(self, view: View, block: Block) -> Finding:
        start, end = view.place(0, len(view.text))
        value = block.text[start:end]
        return Finding(
            detector="reading",
            rule=TOO_DEEP,
            data_class=UNREAD,
            start=start,
            end=end,
            confidence=1.0,
            shown=shown(value),
            value_digest=self._digest(value),
            via=view.via,
            note=f"Encoded more than {self._limits.max_layers} times; not looked at.",
        )
