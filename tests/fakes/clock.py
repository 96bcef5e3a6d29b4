"""A clock that moves only when told to."""

from __future__ import annotations


class FakeClock:
    """Stands in for `mohist.base.Clock`; wall time and monotonic time move together."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = now_ms
        self._passed_ms = 0

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass."""
        if seconds < 0:
            raise ValueError(f"time does not go back, asked for {seconds!r} s")
        self._passed_ms += round(seconds * 1000)

    def now_ms(self) -> int:
        return self._start_ms + self._passed_ms

    def monotonic_s(self) -> float:
        return self._passed_ms / 1000
