"""Looks at blocks: each reading of each block passes the matcher once, then the detectors judge."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from time import perf_counter_ns, thread_time_ns

from mohist.guard.block import Block
from mohist.guard.cache import Cache, Key
from mohist.guard.detector import Detector, Hit, JointDetector, Match, Matcher
from mohist.guard.errors import GuardLimitError
from mohist.guard.finding import Digest, Finding, Found, shown
from mohist.guard.limit import DEFAULT, Limits
from mohist.guard.merge import merged
from mohist.guard.reading import readings
from mohist.guard.view import View

TOO_DEEP = "reading.too-deep"
"""The rule of a finding that says: here is an encoding within more encodings than are undone."""
UNREAD = "unread.nested"
"""Its data class."""
_NONE: Mapping[str, Sequence[Match]] = {}


class _Room:
    """What the texts of one call may still hold."""

    __slots__ = ("_limits", "_until_ns", "_worked_until_ns", "findings", "matches")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._until_ns = perf_counter_ns() + limits.max_call_ms * 1_000_000
        self._worked_until_ns: int | None = None
        self.findings = limits.max_findings
        self.matches = limits.max_matches

    def take_matches(self, count: int) -> None:
        """Raises GuardLimitError: there are more than may be."""
        self.matches -= count
        if self.matches < 0:
            raise GuardLimitError(
                f"More than {self._limits.max_matches} places would have to be judged.",
                "Send it in smaller parts, or raise guard.limits.max_matches.",
            )

    def check_time(self) -> None:
        """Raises GuardLimitError: it took too long."""
        if perf_counter_ns() <= self._until_ns:
            return
        # Asking for the thread's own time takes a call of the system, and is begun only where time on the clock is up.
        now_ns = thread_time_ns()
        if self._worked_until_ns is None:
            self._worked_until_ns = now_ns + self._limits.max_call_ms * 1_000_000
        elif now_ns > self._worked_until_ns:
            raise GuardLimitError(
                f"Looking took more than {self._limits.max_call_ms} ms of the processor's time.",
                "Send it in smaller parts, or raise guard.limits.max_call_ms.",
            )

    def take_findings(self, count: int) -> None:
        """Raises GuardLimitError: there are more than may be."""
        self.findings -= count
        if self.findings < 0:
            raise self.too_many_findings()

    def too_many_findings(self) -> GuardLimitError:
        """Says so."""
        return GuardLimitError(
            f"More than {self._limits.max_findings} findings.",
            "Send it in smaller parts, or raise guard.limits.max_findings.",
        )


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
        self._joint = [(one.name, one.detect_all) for one in detectors if isinstance(one, JointDetector)]
        # A request has hundreds of short texts, most of them with nothing in them: what is asked for each is asked once here.
        self._rows = [
            (one.name, one.detect, not one.patterns) for one in detectors if not isinstance(one, JointDetector)
        ]
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
        views: list[tuple[Key, View]] = []
        room = _Room(self._limits)
        for block, key, findings in zip(looked_at, keys, known, strict=True):
            if findings is None and key not in new:
                held, read = self._block(block, room)
                new[key] = merged(held) if held else ()
                if self._joint:
                    views += [(key, view) for view in read]
            kept = new[key] if findings is None else findings
            if kept:
                room.take_findings(len(kept))
        if views:
            self._together(views, new, room)
        if new:
            self._cache.keep(new.items())
        return [
            Found(block, new[key] if findings is None else findings)
            for block, key, findings in zip(looked_at, keys, known, strict=True)
        ]

    def _version(self) -> tuple[tuple[str, str], ...]:
        return tuple((detector.name, detector.version) for detector in self._detectors)

    def _block(self, block: Block, room: _Room) -> tuple[Collection[Finding], Sequence[View]]:
        """What the detectors find that look at each view alone, and the views."""
        reading = readings(block.text, self._limits)
        findings: dict[tuple[str, int, int], Finding] = {}
        for view in reading.views:
            room.check_time()
            matches = self._matcher.matches(view)
            if matches:
                room.take_matches(sum(len(places) for ours in matches.values() for places in ours.values()))
            for name, detect, is_always_asked in self._rows:
                ours = matches.get(name, _NONE)
                if not (ours or is_always_asked):
                    continue
                for hit in detect(view, block, ours):
                    self._add(findings, name, view, hit, room)
        for view in reading.too_deep:
            finding = self._unread(view, block)
            findings.setdefault((finding.rule, finding.start, finding.end), finding)
        return findings.values(), reading.views

    def _together(self, views: Sequence[tuple[Key, View]], new: dict[Key, tuple[Finding, ...]], room: _Room) -> None:
        """Adds what is found by the detectors that look at all views at once."""
        more: dict[Key, dict[tuple[str, int, int], Finding]] = {}
        for name, detect_all in self._joint:
            room.check_time()
            for (key, view), hits in zip(views, detect_all([view for _, view in views]), strict=True):
                for hit in hits:
                    self._add(more.setdefault(key, {}), name, view, hit, room)
        for key, findings in more.items():
            before = len(new[key])
            new[key] = merged([*new[key], *findings.values()])
            room.take_findings(max(len(new[key]) - before, 0))

    def _add(self, findings: dict[tuple[str, int, int], Finding], name: str, view: View, hit: Hit, room: _Room) -> None:
        start, end = view.place(hit.start, hit.end)
        # The plain reading comes first: what it shows needs no other one.
        if (hit.rule, start, end) in findings:
            return
        if len(findings) >= room.findings:
            raise room.too_many_findings()
        value = view.text[hit.start : hit.end]
        findings[hit.rule, start, end] = Finding(
            detector=name,
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
