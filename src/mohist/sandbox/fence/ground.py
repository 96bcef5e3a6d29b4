"""What all connections of a fence share, and the record of each wish."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from mohist.base import Clock
from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.authority import Authority
from mohist.sandbox.fence.dial import Resolve
from mohist.sandbox.fence.limit import FenceLimits
from mohist.sandbox.fence.name import NameTable
from mohist.sandbox.fence.stream import GONE, Meter
from mohist.sandbox.fence.wish import Asked, Attempt, Decision, Dial, Outcome, Refuse, Serve

Reply = Callable[[FencedError | None], Awaitable[None]]
"""Tells the program yes (None) or no, in its way of asking."""


class Book:
    """Passes records on, up to a bound; then everything is refused, so that nothing happens unrecorded."""

    def __init__(self, record: Callable[[Attempt], None], most: int) -> None:
        self._record = record
        self._most = most
        self._count = 0

    @property
    def full(self) -> bool:
        return self._count >= self._most

    def write(self, attempt: Attempt) -> None:
        self._count += 1
        if self._count < self._most:
            self._record(attempt)
        elif self._count == self._most:
            reason = f"More than {self._most} attempts: this is the last one recorded, all others are refused."
            self._record(replace(attempt, code=attempt.code or "attempts", reason=f"{attempt.reason} {reason}".strip()))


@dataclass(frozen=True, slots=True)
class Ground:
    """A fence, as one of its connections sees it."""

    decide: Callable[[Asked], Decision]
    book: Book
    limits: FenceLimits
    names: NameTable
    resolve: Resolve
    clock: Clock
    spend: Callable[[int], None]
    authority: Authority | None
    trust: Callable[[], ssl.SSLContext]
    """For TLS to the outside, where the program's was ended here."""

    def meter(self) -> Meter:
        return Meter(self.limits.connection_bytes, self.spend)

    def judge(self, asked: Asked) -> Dial | Serve:
        """Raises FencedError for a refusal."""
        if self.book.full:
            raise FencedError("attempts", "Too many attempts were made: nothing is let through any more.")
        self.spend(0)
        decision = self.decide(asked)
        if isinstance(decision, Refuse):
            raise FencedError(decision.code, decision.reason)
        return decision

    def known(self, asked: Asked) -> Asked:
        """By name, where the address is one that the fence gave out."""
        name = self.names.name(asked.host)
        return replace(asked, host=name) if name else asked


class Trace:
    """Records one wish once, whatever becomes of it. FencedError and a broken connection end here.

    Args:
        before: what the meter showed, out and in, when the wish began.
    """

    def __init__(self, ground: Ground, asked: Asked, meter: Meter, before: tuple[int, int] = (0, 0)) -> None:
        self._ground = ground
        self.asked = asked
        self._meter = meter
        self._at_ms = ground.clock.now_ms()
        self._before = before
        self.outcome: Outcome = "failed"
        self.address = ""
        self.note = ""
        """Said where there is no error."""
        self.error: FencedError | None = None
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, FencedError):
            self.error = error
        elif isinstance(error, TimeoutError):
            self.error = FencedError("timeout", "Nothing was said in time.")
        elif isinstance(error, GONE) and self.outcome == "failed":
            self.error = FencedError("broken", "The connection broke off.", failed=True)
        elif error is not None and self.outcome == "failed":  # cancelled: the fence was taken down
            self.error = FencedError("ended", "The fence was taken down meanwhile.", failed=True)
        self.close()
        return isinstance(error, (FencedError, *GONE))

    def close(self) -> None:
        """Writes the record."""
        if self._done:
            return
        self._done = True
        error = self.error
        outcome: Outcome = self.outcome if error is None else "failed" if error.failed else "refused"
        sent, received = self._meter.sent_bytes - self._before[0], self._meter.received_bytes - self._before[1]
        said = (error.code, error.reason) if error is not None else ("", self.note)
        self._ground.book.write(Attempt(self._at_ms, self.asked, outcome, *said, self.address, sent, received))
