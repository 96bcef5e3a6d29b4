"""Requests and tokens per minute, by token buckets that live in memory."""

from __future__ import annotations


class Bucket:
    """Holds up to one minute's worth and refills evenly.

    A need larger than the bucket passes when the bucket is full and leaves a debt, so that a small limit slows large
    calls down instead of shutting them out.
    """

    __slots__ = ("_at_s", "_level", "per_minute")

    def __init__(self, per_minute: int, now_s: float) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at_s = now_s

    def wait_s(self, need: int, now_s: float) -> float:
        """Seconds until `need` would pass; 0: now. An infinite wait where the limit is zero."""
        passed_s = now_s - self._at_s
        if passed_s > 0:
            self._level = min(float(self.per_minute), self._level + passed_s * self.per_minute / 60)
            self._at_s = now_s
        if self.per_minute == 0:
            return float("inf") if need else 0.0
        missing = min(need, self.per_minute) - self._level
        # Who waited as long as told must pass, whatever rounding left.
        return missing * 60 / self.per_minute if missing > 1e-6 else 0.0

    def take(self, need: int) -> None:
        """Takes `need` out, below zero if need be."""
        self._level -= need

    def give(self, back: int) -> None:
        """Puts back what was taken too much; a negative `back` takes more."""
        self._level = min(float(self.per_minute), self._level + back)
