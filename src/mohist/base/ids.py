"""Identifiers that sort by time and say of what they are."""

from __future__ import annotations

import secrets
from typing import Protocol

from mohist.base.clock import Clock

# Crockford base32: no I, L, O, U. Source: https://www.crockford.com/base32.html
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class IdSource(Protocol):
    """Makes ids; a test passes one that counts."""

    def new(self, kind: str) -> str:
        """A fresh id such as `run-01jd…`: kind, a dash, time and chance."""
        ...


class RandomIds:
    """48 bits of milliseconds, then 40 bits of chance, in base32: 18 characters that sort by time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self, kind: str) -> str:
        value = (self._clock.now_ms() << 40) | secrets.randbits(40)
        digits = []
        for _ in range(18):
            digits.append(_ALPHABET[value & 31])
            value >>= 5
        return f"{kind}-{''.join(reversed(digits))}"
