"""The search for stretches that are a repository's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mohist.guard.fingerprint.stretch import CHECK_BITS, KEPT_BELOW

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mohist.guard.fingerprint.stretch import Keys, Stretches
    from mohist.guard.fingerprint.token import Places, Words

    Owners = NDArray[np.int32]

_FILTER_PLACES, _FILTER_BITS = 8, (16, 31)
"""Bits a key, so that one of eight to sixteen stretches of other code passes a filter; fewest and most of a whole one, as a power of
two. More of them cost more than they save: the filter of a few megabytes of code shall stay in a processor's cache."""
_SPREAD = 0x9E3779B1


class _Filter(NamedTuple):
    """A bit for each of the highest bits of a hash below `KEPT_BELOW`."""

    bits: NDArray[np.uint8]
    shift: np.uint32

    @classmethod
    def of(cls, hashes: Words) -> _Filter:
        import numpy as np

        width = min(max((_FILTER_PLACES * len(hashes)).bit_length(), _FILTER_BITS[0]), _FILTER_BITS[1])
        shift = np.uint32(KEPT_BELOW.bit_length() - 1 - width)
        held = np.zeros(1 << width, dtype=np.bool_)
        held[hashes >> shift] = True
        return cls(np.packbits(held, bitorder="little"), shift)

    def passed(self, hashes: Words) -> Places:
        """The numbers of those that may be held."""
        import numpy as np

        place = hashes >> self.shift
        found = self.bits[place >> np.uint32(3)]
        found >>= place.astype(np.uint8) & np.uint8(7)
        found &= np.uint8(1)
        numbers: Places = found.view(np.bool_).nonzero()[0]
        return numbers


def _spread(hashes: Words) -> Words:
    """By other bits of the hashes, below `KEPT_BELOW`, too."""
    import numpy as np

    spread: Words = hashes * np.uint32(_SPREAD)
    spread >>= np.uint32(1)
    return spread


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Sorted keys with their owners, behind filters that most others don't pass."""

    hashes: Words
    checks: Words
    owners: Owners
    filters: tuple[_Filter, _Filter]
    """By the hashes and by other bits of them."""

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
        filters = _Filter.of(hashes), _Filter.of(_spread(hashes))
        return cls(hashes, keys.astype(np.uint32) & np.uint32((1 << CHECK_BITS) - 1), owners[first], filters)

    def find(self, stretches: Stretches) -> tuple[Places, Owners]:
        """Which stretches are a repository's: their numbers, and the repository's for each."""
        import numpy as np

        nothing = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int32)
        if not len(self.hashes) or not len(stretches.hashes):
            return nothing
        likely = (stretches.hashes < np.uint32(KEPT_BELOW)).nonzero()[0]
        sought = stretches.hashes[likely]
        for number, held in enumerate(self.filters):
            among = held.passed(_spread(sought) if number else sought)
            likely, sought = likely[among], sought[among]
        if not len(likely):
            return nothing
        # Of two keys with one hash only the first is found: one of a thousand in an index of four million.
        # In order, since a search near the one before finds the keys in the processor's cache: a third of the time for many.
        order = np.argsort(sought)
        at = np.empty(len(sought), dtype=np.intp)
        at[order] = np.searchsorted(self.hashes, sought[order])
        at[at == len(self.hashes)] = 0
        same = self.hashes[at] == sought
        likely, at = likely[same], at[same]
        found = (stretches.keys(likely).astype(np.uint32) & np.uint32((1 << CHECK_BITS) - 1)) == self.checks[at]
        return likely[found], self.owners[at[found]]
