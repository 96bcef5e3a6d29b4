"""The search for stretches that are a repository's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mohist.guard.fingerprint.stretch import CHECK_BITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.stretch import Keys, Stretches
    from mohist.guard.fingerprint.token import Places, Words

    Owners = NDArray[np.int32]

_FILTER_PLACES, _FILTER_BITS = 32, (16, 31)
"""Bits a key, so that one of sixty stretches of other code passes; fewest and most of the whole filter, as a power of two."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Sorted keys with their owners, behind a filter that most others don't pass."""

    hashes: Words
    checks: Words
    owners: Owners
    filter: NDArray[np.uint8]
    """A bit for each of the highest bits of a hash."""
    shift: np.uint32

    @classmethod
    def of(cls, repositories: Sequence[Keys], public: Keys) -> Search:
        """Of the keys of each repository, without those that are public; what several have is the first one's."""
        import numpy as np

        every = np.concatenate([np.zeros(0, dtype=np.uint64), *repositories])
        owners = np.repeat(np.arange(len(repositories), dtype=np.int32), [len(keys) for keys in repositories])
        if len(public):
            ours = ~np.isin(every, public)
            every, owners = every[ours], owners[ours]
        keys, first = np.unique(every, return_index=True)
        hashes = (keys >> np.uint64(CHECK_BITS)).astype(np.uint32)
        bits = min(max((_FILTER_PLACES * len(keys)).bit_length(), _FILTER_BITS[0]), _FILTER_BITS[1])
        shift = np.uint32(32 - bits)
        held = np.zeros(1 << bits, dtype=np.bool_)
        held[hashes >> shift] = True
        packed = np.packbits(held, bitorder="little")
        return cls(hashes, keys.astype(np.uint32) & np.uint32((1 << CHECK_BITS) - 1), owners[first], packed, shift)

    def find(self, stretches: Stretches) -> tuple[Places, Owners]:
        """Which stretches are a repository's: their numbers, and the repository's for each."""
        import numpy as np

        hashes = stretches.hashes
        nothing = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int32)
        if not len(self.hashes) or not len(hashes):
            return nothing
        bits = hashes >> self.shift
        passed = self.filter[bits >> np.uint32(3)]
        passed >>= bits.astype(np.uint8) & np.uint8(7)
        likely = np.flatnonzero(passed & np.uint8(1))
        if not len(likely):
            return nothing
        sought = hashes[likely]
        # Of two keys with one hash only the first is found: one of a thousand in an index of four million.
        at = np.searchsorted(self.hashes, sought)
        at[at == len(self.hashes)] = 0
        same = self.hashes[at] == sought
        likely, at = likely[same], at[same]
        found = (stretches.keys(likely).astype(np.uint32) & np.uint32((1 << CHECK_BITS) - 1)) == self.checks[at]
        return likely[found], self.owners[at[found]]
