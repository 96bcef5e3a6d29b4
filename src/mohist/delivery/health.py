"""Whether a release is healthy: a pure machine fed with answers, and the loop that asks.

    ready ── k right answers in a row ──> bake ── window over ──> healthy
      └── not in time, flaps ──> sick       └── errors, slower, down, flaps ──> sick

`healthy` and `sick` are final. An answer is right when the service is up and names the version that is expected: the
old release that still answers is not a success.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

import anyio

from mohist.base import Clock
from mohist.delivery.target.contract import Answer

Phase = Literal["ready", "bake", "healthy", "sick"]

_ABBREVIATED = 7
_MIN_SAMPLES = 5
_NOISE_MS = 20.0


@dataclass(frozen=True, slots=True)
class HealthRule:
    """When a release counts as healthy. Times in seconds."""

    successes: int = 3
    """Right answers in a row that make it ready."""
    interval_s: float = 1.0
    within_s: float = 60.0
    """Time to get ready."""
    bake_s: float = 30.0
    """How long it must stay well after that; 0: ready is enough."""
    error_rate: float = 0.02
    """Share of wrong answers allowed over the bake window."""
    failures: int = 3
    """Wrong answers in a row that end the bake at once."""
    flaps: int = 3
    """Times that it may turn from right to wrong before it counts as flapping."""
    latency_ratio: float = 0.0
    """The median may be so many times that of the release before; 0: latency does not count."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known now."""

    phase: Phase
    reason: str = ""
    asked: int = 0
    wrong: int = 0
    """Of those asked in the bake window."""
    median_ms: float = 0.0

    @property
    def final(self) -> bool:
        return self.phase in ("healthy", "sick")


def right_version(expected: str, named: str) -> bool:
    """Whether an answer names the expected version; a commit may be abbreviated. Nothing expected: anything will do."""
    if not expected or named == expected:
        return True
    named = named.strip().lower()
    return len(named) >= _ABBREVIATED and _is_hex(named) and _is_hex(expected) and expected.startswith(named)


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in text)


@dataclass(slots=True)
class Health:
    """The machine. Pure: time comes in with each answer.

    Args:
        rule: what counts.
        expected: version that a right answer names; empty: any.
        before_ms: median latency of the release before; 0: unknown, so latency does not count.
        unwanted: a version that must not answer any more; for a rollback to a release whose version nobody knows.
    """

    rule: HealthRule
    expected: str
    before_ms: float = 0.0
    unwanted: str = ""
    _began_s: float | None = None
    _ready_s: float | None = None
    _row: int = 0
    _failed_row: int = 0
    _turns: int = 0
    _last: bool | None = None
    _asked: int = 0
    _wrong: int = 0
    _latencies: list[float] = field(default_factory=list)
    _verdict: Verdict = field(default_factory=lambda: Verdict("ready"))

    def feed(self, at_s: float, answer: Answer) -> Verdict:
        """Takes an answer that came at `at_s` on a monotonic clock; after the end nothing changes any more."""
        if self._verdict.final:
            return self._verdict
        if self._began_s is None:
            self._began_s = at_s
        trouble = self._trouble(answer)
        right = not trouble
        if self._last is True and not right:
            self._turns += 1
        self._last = right
        self._row = self._row + 1 if right else 0
        self._failed_row = 0 if right else self._failed_row + 1
        step = self._baking if self._ready_s is not None else self._getting_ready
        self._verdict = step(at_s, trouble, answer.latency_ms)
        return self._verdict

    def _trouble(self, answer: Answer) -> str:
        if not answer.ok:
            return answer.error or "it answers as a sick one does"
        if not right_version(self.expected, answer.version):
            return f"it names version {answer.version!r}, not {self.expected!r}"
        if self.unwanted and right_version(self.unwanted, answer.version):
            return f"version {answer.version!r} still answers"
        return ""

    def _getting_ready(self, at_s: float, trouble: str, _latency_ms: float) -> Verdict:
        assert self._began_s is not None
        if self._turns > self.rule.flaps:
            return self._sick(f"It flaps: {self._turns} times from well to sick. Last: {trouble}.")
        if self._row >= self.rule.successes:
            self._ready_s = at_s
            self._turns = 0
            if self.rule.bake_s <= 0:
                return Verdict("healthy", f"{self._row} right answers in a row", self._row)
            return Verdict("bake")
        if at_s - self._began_s >= self.rule.within_s:
            last = trouble or f"{self._row} right answers in a row, {self.rule.successes} needed"
            return self._sick(f"Not ready within {self.rule.within_s:g} s: {last}.")
        return Verdict("ready", trouble)

    def _baking(self, at_s: float, trouble: str, latency_ms: float) -> Verdict:
        assert self._ready_s is not None
        self._asked += 1
        if trouble:
            self._wrong += 1
        else:
            self._latencies.append(latency_ms)
        if self._failed_row >= self.rule.failures:
            return self._sick(f"{self._failed_row} wrong answers in a row: {trouble}.")
        if self._turns > self.rule.flaps:
            return self._sick(f"It flaps: {self._turns} times from well to sick. Last: {trouble}.")
        if at_s - self._ready_s < self.rule.bake_s:
            return self._said("bake", trouble)
        share = self._wrong / self._asked
        if share > self.rule.error_rate:
            return self._sick(f"{self._wrong} of {self._asked} answers wrong, {self.rule.error_rate:.1%} allowed.")
        if self._slower():
            return self._sick(
                f"Median latency {median(self._latencies):.0f} ms, {self.before_ms:.0f} ms before, "
                f"{self.rule.latency_ratio:g} times that allowed."
            )
        return self._said("healthy", f"{self._asked - self._wrong} of {self._asked} answers right")

    def _slower(self) -> bool:
        if not (self.rule.latency_ratio and self.before_ms) or len(self._latencies) < _MIN_SAMPLES:
            return False
        now_ms = median(self._latencies)
        # Below this the difference is the network's, not the release's.
        return now_ms > self.before_ms * self.rule.latency_ratio and now_ms - self.before_ms > _NOISE_MS

    def _sick(self, reason: str) -> Verdict:
        return self._said("sick", reason)

    def _said(self, phase: Phase, reason: str) -> Verdict:
        middle = median(self._latencies) if self._latencies else 0.0
        return Verdict(phase, reason, self._asked, self._wrong, middle)


async def watch(
    health: Health,
    ask: Callable[[], Awaitable[Answer]],
    clock: Clock,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Verdict:
    """Asks until the machine has come to an end.

    Args:
        ask: one observation; bounded in time by itself.
        sleep: waits between two of them.
    """
    while True:
        verdict = health.feed(clock.monotonic_s(), await ask())
        if verdict.final:
            return verdict
        await sleep(health.rule.interval_s)


async def sample_latency(
    ask: Callable[[], Awaitable[Answer]],
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    interval_s: float = 0.05,
) -> float:
    """Median latency of a few answers in ms; 0 where hardly any came."""
    latencies = []
    for _ in range(_MIN_SAMPLES):
        answer = await ask()
        if answer.ok:
            latencies.append(answer.latency_ms)
        await sleep(interval_s)
    return median(latencies) if len(latencies) > 1 else 0.0
