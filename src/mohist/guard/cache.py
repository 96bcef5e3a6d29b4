"""Keeps what was found in a text, so that a conversation that is sent again and again is looked at once."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import xxhash

from mohist.guard.block import Block
from mohist.guard.finding import Finding
from mohist.guard.limit import Limits

Key = tuple[bytes, str, str, str]
Findings = tuple[Finding, ...]

_ENTRY_BYTES = 400
"""Of an entry without findings, measured: a key, its digest, its places in the table."""
_FINDING_BYTES = 900
"""Of one finding with its texts, measured."""


class Cache:
    """Findings by what decides about them; the least lately used ones go first. Thread-safe.

    Args:
        limits: how much is kept.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Findings] = OrderedDict()
        self._bytes = 0
        # XXH3 is no cryptographic hash: with a seed that nobody knows, nobody can make two texts that pass as one.
        self._seed = secrets.randbits(64)

    def key(self, block: Block) -> Key:
        """What decides about a block's findings: its text, its source, the tool's name, and of a file the path."""
        text = block.text
        data = text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")
        digest = xxhash.xxh3_128_digest(data, self._seed)
        return digest, block.source, block.name, block.path if block.source == "file" else ""

    def look_up(self, keys: Sequence[Key]) -> list[Findings | None]:
        """What is kept under each key; None where nothing is."""
        with self._lock:
            kept, move = self._kept, self._kept.move_to_end
            found = []
            for key in keys:
                findings = kept.get(key)
                if findings is not None:
                    move(key)
                found.append(findings)
            return found

    def keep(self, entries: Iterable[tuple[Key, Findings]]) -> None:
        """Puts findings by."""
        with self._lock:
            for key, findings in entries:
                if key in self._kept:
                    continue
                self._kept[key] = findings
                self._bytes += _size(key, findings)
            while self._kept and (
                len(self._kept) > self._limits.cache_entries or self._bytes > self._limits.cache_bytes
            ):
                self._bytes -= _size(*self._kept.popitem(last=False))

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)


def _size(key: Key, findings: Findings) -> int:
    return _ENTRY_BYTES + len(key[3]) + _FINDING_BYTES * len(findings)
