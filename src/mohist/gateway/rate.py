"""Requests and tokens per minute, by token buckets that live in memory.

Processes that use the same key share its rate, each an equal part of it; who used the key within the last minute counts.
One that begins takes as small a part as if all did, until it knows. So the minute in which one joins may hold up to one
part more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mohist.gateway.key import Key

USED_S: Final = 60.0
"""A key that was not used for so long leaves its rate to the others."""


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

    def resize(self, per_minute: int, now_s: float) -> None:
        """Another rate; what was taken stays taken."""
        self.wait_s(0, now_s)
        self._level = min(self._level, float(per_minute))
        self.per_minute = per_minute

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


class Rates:
    """The buckets of all keys, as this process's part of them. The caller makes each step alone."""

    def __init__(self) -> None:
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}
        self._used_s: dict[str, float] = {}
        self._sharers: dict[str, int] = {}
        self._processes = 1

    def of(self, key: Key, now_s: float) -> tuple[Bucket | None, Bucket | None]:
        """Requests and tokens of a key; None: unlimited."""
        if key.requests_per_minute is None and key.tokens_per_minute is None:
            return None, None
        self._used_s[key.key_id] = now_s
        share = self._sharers.get(key.key_id, self._processes)
        return (
            _bucket(self._requests, key.key_id, key.requests_per_minute, share, now_s),
            _bucket(self._tokens, key.key_id, key.tokens_per_minute, share, now_s),
        )

    def used(self, now_s: float) -> set[str]:
        """The keys whose rates this process shares in."""
        for key_id in [key_id for key_id, used_s in self._used_s.items() if now_s - used_s > USED_S]:
            del self._used_s[key_id]
            self._sharers.pop(key_id, None)
            # A full one: what it held an idle minute ago has been refilled since.
            self._requests.pop(key_id, None)
            self._tokens.pop(key_id, None)
        return set(self._used_s)

    def learn(self, sharers: Mapping[str, int], processes: int) -> None:
        """How many processes use each key, and how many there are."""
        self._sharers |= sharers
        self._processes = max(processes, 1)


def _bucket(buckets: dict[str, Bucket], key_id: str, per_minute: int | None, share: int, now_s: float) -> Bucket | None:
    if per_minute is None:
        return None
    part = max(per_minute // share, 1) if per_minute else 0
    bucket = buckets.get(key_id)
    if bucket is None:
        bucket = buckets[key_id] = Bucket(part, now_s)
    elif bucket.per_minute != part:
        bucket.resize(part, now_s)
    return bucket
