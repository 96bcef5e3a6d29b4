"""Code as numbers: tokens of any language, and hashes of every stretch of them, twice.

The exact stream knows each word. The shape stream knows keywords, numbers and signs, and of a name only how long ago the same name
stood, so that it is the same after renaming (Baker, "Parameterized pattern matching", 1996). Blanks count in neither. Of the hashes
of all stretches those that are 0 modulo `KEPT_OF` are kept (Manber 1994), so an excerpt keeps what the whole file keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.intp]

FORMAT = 1
"""Raise it with every change of a constant or rule below: hashes of different formats have nothing in common."""
EXACT_TOKENS, SHAPE_TOKENS = 12, 20
"""How long a stretch is. Chosen with `NAMES_BACK` by benchmarks/guard/fingerprint.py: longer ones lose renamed excerpts, shorter ones hit
everybody's code."""
KEPT_OF = 4
NAMES_BACK = 6
"""How many names back the same name is looked for."""
CHUNK_BYTES, OVERLAP_BYTES = 1 << 18, 1 << 12

# Of C, C++, C#, Go, Java, JavaScript, Kotlin, PHP, Python, Ruby, Rust, Scala, Shell, Swift, TypeScript: what nobody can rename. Words
# that are a keyword here and a name there ("object", "data", "match") are names.
KEYWORDS = """
abstract and as assert async await bool boolean break byte case catch char class const constexpr continue def default del delete do double
elif else elsif enum except export extends false False finally float fn for foreach from func function global goto if impl implements
import in instanceof int interface is lambda let long namespace new nil None nonlocal not null nullptr or override package pass private
protected public raise return short signed sizeof static struct super switch template this throw throws trait true True try typedef
typename union unsigned using var virtual void volatile while with yield
""".split()  # noqa: SIM905  a list of words

_MASK = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15 | 1
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)


def _mixed(value: int) -> int:
    """SplitMix64's finaliser: spreads a small number over 64 bits."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class _Tables(NamedTuple):
    word: NDArray[np.bool_]
    sign: NDArray[np.bool_]
    of_byte: Hashes
    of_sign: Hashes
    of_distance: Hashes
    powers: Hashes
    inverses: Hashes
    keywords: NDArray[np.bool_]


@cache
def _tables() -> _Tables:
    import numpy as np

    word = np.zeros(256, dtype=np.bool_)
    word[[*b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_$", *range(0x80, 0x100)]] = True
    sign = ~word
    sign[[*range(0x21), 0x7F, *b";\\"]] = False
    of_byte = np.array([_mixed(byte) for byte in range(256)], dtype=np.uint64)
    plain = {ord("'"): ord('"'), ord("`"): ord('"')}
    of_sign = np.array([_mixed(0x1000 + plain.get(byte, byte)) for byte in range(256)], dtype=np.uint64)
    of_distance = np.array([_mixed(0x2000 + back) for back in range(NAMES_BACK + 1)], dtype=np.uint64)
    powers = np.full(CHUNK_BYTES + 1, _BASE, dtype=np.uint64)
    inverses = np.full(CHUNK_BYTES + 1, _BASE_INVERSE, dtype=np.uint64)
    powers[0] = inverses[0] = 1
    np.multiply.accumulate(powers, out=powers)
    np.multiply.accumulate(inverses, out=inverses)
    keywords = np.zeros(1 << 16, dtype=np.bool_)
    for text in KEYWORDS:
        value = sum(_mixed(byte) * pow(_BASE, at, 1 << 64) for at, byte in enumerate(text.encode("ascii"))) & _MASK
        keywords[_spread(value) >> 48] = True
    return _Tables(word, sign, of_byte, of_sign, of_distance, powers, inverses, keywords)


def _spread(value: int) -> int:
    return value * 0xD6E8FEB86659FD93 & _MASK


class Grams(NamedTuple):
    """The kept hashes of one stream, in order of place."""

    hashes: Hashes
    at: Places
    """Of each hash: the number of the token that its stretch begins with."""
    places: Places
    """Of each token: the byte where it begins."""
    length: int
    offset: int
    """Where the chunk stands in its text."""

    def first(self, number: int) -> int:
        """The byte where a stretch begins."""
        return int(self.places[self.at[number]]) + self.offset

    def last(self, number: int) -> int:
        """The byte where its last token begins."""
        return int(self.places[self.at[number] + self.length - 1]) + self.offset


class Streams(NamedTuple):
    """Both streams of one chunk."""

    exact: Grams
    shape: Grams
    periodic_exact: NDArray[np.bool_]
    periodic_shape: NDArray[np.bool_]
    """By gram: whether it repeats itself, as tables and lists do; only filled where `streams` is told to."""


def streams(data: bytes, *, judge: bool = False) -> Iterator[Streams]:
    """A text's hashes, chunk by chunk; chunks overlap, and places count from the text's beginning.

    Args:
        data: in UTF-8.
        judge: also say which stretches repeat themselves.
    """
    at = 0
    while at < len(data) or not at:
        end = min(at + CHUNK_BYTES, len(data))
        yield _streams(data[at:end], at, judge)
        if end == len(data):
            return
        at = end - OVERLAP_BYTES


def _streams(data: bytes, offset: int, judge: bool) -> Streams:
    import numpy as np

    tables = _tables()
    raw = np.frombuffer(data, dtype=np.uint8)
    word = tables.word[raw]
    begins = word.copy()
    begins[1:] &= ~word[:-1]
    is_token = begins | tables.sign[raw]
    places = np.flatnonzero(is_token)
    named = begins[places]
    starts = places[named]
    last = word.copy()
    last[:-1] &= ~word[1:]
    ends = np.flatnonzero(last) + 1
    sums = np.zeros(len(raw) + 1, dtype=np.uint64)
    np.cumsum(tables.of_byte[raw] * tables.powers[: len(raw)], out=sums[1:])
    words = (sums[ends] - sums[starts]) * tables.inverses[starts] * np.uint64(0xD6E8FEB86659FD93)
    exact = tables.of_sign[raw[places]]
    shape = exact.copy()
    exact[named] = words
    free = ~(tables.keywords[(words >> np.uint64(48)).astype(np.intp)] | (raw[starts] <= 0x39))
    names = words[free]
    back = _back(names)
    shaped = words.copy()
    shaped[free] = tables.of_distance[back]
    shape[named] = shaped
    exact_grams, exact_periodic = _grams(exact, EXACT_TOKENS, places, offset, judge)
    bare = None
    if judge:
        bare = shape.copy()
        bare[named] = np.where(free | (raw[starts] <= 0x39), tables.of_distance[0], words)
    shape_grams, shape_periodic = _grams(shape, SHAPE_TOKENS, places, offset, judge, bare)
    return Streams(exact_grams, shape_grams, exact_periodic, shape_periodic)


def _back(names: Hashes) -> NDArray[np.intp]:
    """Of each name how many names ago the same one stood, the nearest; 0: not within `NAMES_BACK`."""
    import numpy as np

    found: NDArray[np.intp] = np.zeros(len(names), dtype=np.intp)
    # The nearest is written last, so it stays.
    for back in range(min(NAMES_BACK, len(names) - 1), 0, -1):
        found[back:][names[back:] == names[:-back]] = back
    return found


def _grams(
    tokens: Hashes, length: int, places: Places, offset: int, judge: bool, judged: Hashes | None = None
) -> tuple[Grams, NDArray[np.bool_]]:
    """Kept hashes of all stretches of `length` tokens: a polynomial by prefix sums, spread over 64 bits.

    `judged` are the tokens by which a stretch repeats itself, where they are others: of shapes, all names and numbers are one.
    """
    import numpy as np

    count = len(tokens) - length + 1
    if count <= 0:
        nowhere = np.zeros(0, dtype=np.intp)
        return Grams(np.zeros(0, dtype=np.uint64), nowhere, nowhere, length, offset), np.zeros(0, dtype=np.bool_)
    tables = _tables()
    sums = np.zeros(len(tokens) + 1, dtype=np.uint64)
    np.cumsum(tokens * tables.powers[: len(tokens)], out=sums[1:])
    hashes = (sums[length:] - sums[:count]) * tables.inverses[:count]
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0xD6E8FEB86659FD93)
    hashes ^= hashes >> np.uint64(29)
    kept = np.flatnonzero((hashes & np.uint64(KEPT_OF - 1)) == 0)
    grams = Grams(hashes[kept], kept, places, length, offset)
    if not judge:
        return grams, np.zeros(0, dtype=np.bool_)
    return grams, _periodic(tokens if judged is None else judged, length)[kept]


def _periodic(tokens: Hashes, length: int) -> NDArray[np.bool_]:
    """By stretch: whether three quarters of it are what stood one period (1 to 12 tokens, at most half of it) before."""
    import numpy as np

    count = len(tokens) - length + 1
    found = np.zeros(count, dtype=np.bool_)
    for period in range(1, min(12, length // 2) + 1):
        same = np.zeros(len(tokens) + 1, dtype=np.int32)
        np.cumsum(tokens[period:] == tokens[:-period], out=same[period + 1 :])
        inside = same[length:] - same[period : count + period]
        found |= inside * 4 >= (length - period) * 3
    return found
