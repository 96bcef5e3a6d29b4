"""Stretches of tokens, each as a number: the half of them that is kept, wherever they stand.

Of the hashes of all stretches those below half of the range are kept (after Manber, "Finding similar files in a large file system",
1994), so an excerpt keeps what the whole file keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mohist.guard.fingerprint.token import CHUNK_BYTES, OVERLAP_BYTES, Tokens, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.token import Places, Words

    Keys = NDArray[np.uint64]
    """Of 48 bits: a stretch's hash, and 16 bits of another one behind it."""

FORMAT = 2
"""Raise it with every change of a constant or rule here or in `token`: keys of different formats have nothing in common."""
EXACT_TOKENS, SHAPE_TOKENS = 12, 20
"""How long a stretch is. Chosen with `NAMES_BACK` by benchmarks/guard/fingerprint.py: longer ones lose renamed excerpts, shorter ones hit
everybody's code."""
KEPT_BELOW = 1 << 31
"""Of 2**32. With a quarter in place of a half, of ten lines with a fifth of the names changed 2 % less are found at the same rate
of false hits, and of five lines 10 % less."""
CHECK_BITS = 16
_BASE, _OTHER = 0x2C1B3C6D, 0x297A2D39
"""Odd, from Wellons, "Prospecting for hash functions", 2018 (public domain)."""


@cache
def _powers() -> tuple[Words, Words]:
    import numpy as np

    powers = np.full(CHUNK_BYTES + 1, _BASE, dtype=np.uint32)
    inverses = np.full(CHUNK_BYTES + 1, pow(_BASE, -1, 1 << 32), dtype=np.uint32)
    powers[0] = inverses[0] = 1
    np.multiply.accumulate(powers, out=powers)
    np.multiply.accumulate(inverses, out=inverses)
    return powers, inverses


@cache
def _others(length: int) -> tuple[Places, Words]:
    import numpy as np

    others = np.full(length, _OTHER, dtype=np.uint32)
    np.multiply.accumulate(others, out=others)
    return np.arange(length), others


class Stretches(NamedTuple):
    """All stretches of one row of tokens; the n-th begins with the n-th token."""

    hashes: Words
    """Of each; only those below `KEPT_BELOW` are ever kept."""
    row: Words
    places: Places
    """Of each token: the byte of the text where it begins."""
    length: int

    def keys(self, at: Places) -> Keys:
        """The keys of some."""
        import numpy as np

        steps, others = _others(self.length)
        checks = (self.row[at[:, None] + steps] * others).sum(axis=1, dtype=np.uint32)
        keys: Keys = self.hashes[at].astype(np.uint64)
        keys <<= np.uint64(CHECK_BITS)
        keys |= checks >> np.uint32(32 - CHECK_BITS)
        return keys


class Chunk(NamedTuple):
    """A chunk's stretches."""

    exact: Stretches
    shape: Stretches
    tokens: Tokens


def chunks(data: bytes) -> Iterator[Chunk]:
    """A text's stretches, chunk by chunk; chunks overlap, and places count from the text's beginning.

    Args:
        data: in UTF-8.
    """
    at = 0
    while True:
        end = min(at + CHUNK_BYTES, len(data))
        found = tokens(data[at:end] if at or end < len(data) else data)
        places = found.places + at if at else found.places
        exact = Stretches(_hashes(found.exact, EXACT_TOKENS), found.exact, places, EXACT_TOKENS)
        shape = Stretches(_hashes(found.shape, SHAPE_TOKENS), found.shape, places, SHAPE_TOKENS)
        yield Chunk(exact, shape, found)
        if end == len(data):
            return
        at = end - OVERLAP_BYTES


def _hashes(row: Words, length: int) -> Words:
    """Polynomials of all stretches of a row, by sums over it."""
    import numpy as np

    count = len(row) - length + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint32)
    powers, inverses = _powers()
    sums = np.zeros(len(row) + 1, dtype=np.uint32)
    np.cumsum(row * powers[: len(row)], out=sums[1:])
    hashes: Words = sums[length:] - sums[:count]
    hashes *= inverses[:count]
    return hashes


def kept(chunk: Chunk) -> tuple[Keys, Keys]:
    """The keys that are kept of a chunk, exact and of shapes, in order of place, without stretches that repeat themselves."""
    import numpy as np

    # What is one in a table's rows, though it differs: names and numbers.
    bare = np.where(chunk.tokens.alike, np.uint32(1), chunk.tokens.exact)
    return _kept(chunk.exact, chunk.tokens.exact), _kept(chunk.shape, bare)


def _kept(stretches: Stretches, judged: Words) -> Keys:
    import numpy as np

    below = stretches.hashes < np.uint32(KEPT_BELOW)
    return stretches.keys(np.flatnonzero(below & ~_periodic(judged, stretches.length)))


def _periodic(row: Words, length: int) -> NDArray[np.bool_]:
    """By stretch: whether three quarters of it are what stood one period (1 to 12 tokens, at most half of it) before."""
    import numpy as np

    count = max(len(row) - length + 1, 0)
    found = np.zeros(count, dtype=np.bool_)
    for period in range(1, min(12, length // 2) + 1 if count else 0):
        same = np.zeros(len(row) + 1, dtype=np.int32)
        np.cumsum(row[period:] == row[:-period], out=same[period + 1 :])
        inside = same[length:] - same[period : count + period]
        found |= inside * 4 >= (length - period) * 3
    return found
