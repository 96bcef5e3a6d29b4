"""Identifiers that sort by time and say of what they are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Protocol

from mohist.base.clock import Clock

# Crockford base32: no I, L, O, U. Source: https://www.crockford.com/base32.html
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_CHANCE_BYTES = 5
# The system is asked for so much chance at once: it takes longer to answer than an id takes to be made.
_DRAWN_BYTES = 100 * _CHANCE_BYTES


class IdSource(Protocol):
    """Makes ids; a test passes one that counts."""

    def new(self, kind: str) -> str:
        """A fresh id such as `run-01jd…`: kind, a dash, time and chance."""
        ...


class RandomIds:
    """48 bits of milliseconds, then 40 bits of chance, in base32: 18 characters that sort by time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._chances: Iterator[int] = iter(())

    def new(self, kind: str) -> str:
        value = (self._clock.now_ms() << 40) | self._chance()
        digits = "".join([_PAIRS[value >> shift & 1023] for shift in range(80, -1, -10)])
        return f"{kind}-{digits}"

    def _chance(self) -> int:
        """40 bits, each drawn once, whichever thread asks."""
        for chance in self._chances:
            return chance
        drawn = secrets.token_bytes(_DRAWN_BYTES)
        parts = range(0, _DRAWN_BYTES, _CHANCE_BYTES)
        fresh = iter([int.from_bytes(drawn[at : at + _CHANCE_BYTES]) for at in parts])
        chance = next(fresh)
        self._chances = fresh
        return chance
