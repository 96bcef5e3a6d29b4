"""What was found: enough to act on and to account for, and never the thing itself."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from mohist.guard.block import Block

Digest = Callable[[str], str]
"""A keyed hash of a value: the same value has the same one within a company, and nobody without the key can try values."""

SHOWN_HEAD_CHARS = 4
SHOWN_MIN_CHARS = 16
"""A shorter value is not shown even in part: its head would be a good share of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one block."""

    detector: str
    rule: str
    data_class: str
    start: int
    end: int
    """In characters of the block."""
    confidence: float
    shown: str
    """For people: the value's head and length ("ghp_… (40 characters)")."""
    value_digest: str
    """Keyed, 32 hex digits."""
    via: tuple[str, ...] = ()
    """The encodings that were looked through, outermost first."""
    note: str = ""
    also: tuple[str, ...] = ()
    """Other rules that found something in the same characters."""


def keyed(key: bytes) -> Digest:
    """The digest under a company's key."""
    return lambda value: hmac.new(key, value.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]


def shown(value: str) -> str:
    """How a value is named to people."""
    head = value[:SHOWN_HEAD_CHARS] if len(value) >= SHOWN_MIN_CHARS and value[:SHOWN_HEAD_CHARS].isprintable() else ""
    return f"{head}… ({len(value)} characters)"


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one block."""

    block: Block
    findings: tuple[Finding, ...]
