"""What each character of a text is, for a whole text at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mohist.guard.covert.ignorable import sort_of
from mohist.guard.covert.lookalike import WORD_MIN_CHARS, letters
from mohist.guard.covert.typography import TYPOGRAPHY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HIDDEN, TYPOGRAPHIC, LOOKALIKE, WORD, FOREIGN = 1, 2, 4, 8, 16
"""Bits: nobody sees it; stands for an ASCII mark; looks like an ASCII letter; part of a word; part of one and like no ASCII letter."""
_LISTED = 0x20000
"""Above are Han characters, which are all alike here."""


@cache
def _kinds() -> NDArray[np.uint8]:
    import numpy as np

    kinds = np.zeros(0x110000, dtype=np.uint8)
    like = letters()
    for point in range(_LISTED):
        character = chr(point)
        if character == "_" or character.isalnum():
            kinds[point] = WORD if point < 0x80 else WORD | LOOKALIKE if character in like else WORD | FOREIGN
        elif sort_of(character):
            kinds[point] = HIDDEN
    kinds[_LISTED:0x40000] = WORD | FOREIGN
    for character in like:
        kinds[ord(character)] |= LOOKALIKE | WORD
    for low, high in ((0xE0000, 0xE1000), (0xF0000, 0x110000)):
        kinds[low:high] = HIDDEN
    for character in TYPOGRAPHY:
        kinds[ord(character)] |= TYPOGRAPHIC
    return kinds


class Kinds(NamedTuple):
    """Where something stands that is worth a look; each in characters, in order."""

    hidden: list[int]
    typographic: list[int]
    suspects: list[tuple[int, int]]
    """Words of at least `WORD_MIN_CHARS` in which some letters look like ASCII's and all others are."""


def kinds_of(text: str, *, typography: bool, most: int) -> Kinds:
    """Looks at every character once.

    Args:
        text: not of ASCII alone.
        typography: whether marks that stand for ASCII's are asked for.
        most: of each kind; what is beyond is left out.
    """
    import numpy as np

    kinds = _kinds()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")]
    hidden = np.flatnonzero(kinds & HIDDEN)[:most].tolist()
    marks = np.flatnonzero(kinds & TYPOGRAPHIC)[:most].tolist() if typography else []
    if not (kinds & LOOKALIKE).any():
        return Kinds(hidden, marks, [])
    inside = np.zeros(len(kinds) + 2, dtype=np.int8)
    inside[1:-1] = (kinds & WORD) != 0
    edges = np.flatnonzero(np.diff(inside))
    starts, ends = edges[0::2], edges[1::2]
    like = _counted(kinds & LOOKALIKE, starts, ends)
    foreign = _counted(kinds & FOREIGN, starts, ends)
    chosen = np.flatnonzero((like > 0) & (foreign == 0) & (ends - starts >= WORD_MIN_CHARS))[:most]
    return Kinds(hidden, marks, list(zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)))


def _counted(flags: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp]) -> NDArray[np.int32]:
    """How many flags are set in each stretch."""
    import numpy as np

    sums = np.zeros(len(flags) + 1, dtype=np.int32)
    np.cumsum(flags != 0, out=sums[1:])
    counted: NDArray[np.int32] = sums[ends] - sums[starts]
    return counted
