"""Code as numbers: the tokens of any language, twice.

The exact row knows each word. The shape row knows keywords, numbers and signs, and of a name only how long ago the same name stood,
so that it is the same after renaming (Baker, "Parameterized pattern matching", 1996). Blanks count in neither.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint32]
    Places = NDArray[np.intp]

NAMES_BACK = 6
"""How many names back the same name is looked for."""
CHUNK_BYTES, OVERLAP_BYTES = 1 << 18, 1 << 12
"""So much is looked at at once, which stays in a processor's cache; so much of it again with the next."""
SEPARATOR = b"\n0\x80 \x80 \x81 \x82 \x83 \x84 \x85 0\x80\n"
"""Put between texts that are looked at together: its words can't stand in UTF-8, and there are as many names as are looked back, so
each text has the tokens that it has alone. Numbers at both ends, which no shape leaves out, so a stretch that reaches into it is
nobody's."""

# Of C, C++, C#, Go, Java, JavaScript, Kotlin, PHP, Python, Ruby, Rust, Scala, Shell, Swift, TypeScript: what nobody can rename. Words
# that are a keyword here and a name there ("object", "data", "match") are names.
KEYWORDS = """
abstract and as assert async await bool boolean break byte case catch char class const constexpr continue def default del delete do double
elif else elsif enum except export extends false False finally float fn for foreach from func function global goto if impl implements
import in instanceof int interface is lambda let long namespace new nil None nonlocal not null nullptr or override package pass private
protected public raise return short signed sizeof static struct super switch template this throw throws trait true True try typedef
typename union unsigned using var virtual void volatile while with yield
""".split()  # noqa: SIM905  a list of words

_SIGN, _DIGIT, _NAME = 1, 32, 64
"""Where the codes of signs, of what words hold besides, and of what names begin with begin; 0 is a blank. Bytes from 0x80 on are
parts of other scripts' letters, and stay."""
_BASE, _SPREAD, _AGAIN = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35
"""Odd; the two latter from MurmurHash3's finaliser."""
_ONES = (1 << 32) - 1


def _codes() -> bytes:
    """Of each byte its code, for `bytes.translate`: one pass tells blanks, signs and words apart and makes all quotes one."""
    codes = bytearray(256)
    signs = b'!"#%&()*+,-./:<=>?@[]^{|}~'
    for code, byte in enumerate(signs, _SIGN):
        codes[byte] = code
    codes[ord("'")] = codes[ord("`")] = codes[ord('"')]
    for code, byte in enumerate(b"0123456789", _DIGIT):
        codes[byte] = code
    for code, byte in enumerate(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_$", _NAME):
        codes[byte] = code
    codes[0x80:] = range(0x80, 0x100)
    return bytes(codes)


_CODES = _codes()


class _Tables(NamedTuple):
    powers: Words
    inverses: Words
    keywords: NDArray[np.bool_]


@cache
def _tables() -> _Tables:
    import numpy as np

    powers = np.full(CHUNK_BYTES + 1, _BASE, dtype=np.uint32)
    inverses = np.full(CHUNK_BYTES + 1, pow(_BASE, -1, 1 << 32), dtype=np.uint32)
    powers[0] = inverses[0] = 1
    np.multiply.accumulate(powers, out=powers)
    np.multiply.accumulate(inverses, out=inverses)
    keywords = np.zeros(1 << 16, dtype=np.bool_)
    for text in KEYWORDS:
        coded = text.encode("ascii").translate(_CODES)
        value = sum(code * pow(_BASE, at, 1 << 32) for at, code in enumerate(coded)) * _SPREAD & _ONES
        keywords[((value ^ value >> 15) * _AGAIN & _ONES) >> 16] = True
    return _Tables(powers, inverses, keywords)


class Tokens(NamedTuple):
    """A chunk's tokens, in order."""

    exact: Words
    shape: Words
    places: Places
    """Of each: the byte of the chunk where it begins."""
    alike: NDArray[np.bool_]
    """Of each: whether it is a name or a number, which differ where a table repeats itself."""


def tokens(data: bytes) -> Tokens:
    """The tokens of at most `CHUNK_BYTES` in UTF-8."""
    import numpy as np

    tables = _tables()
    codes = np.frombuffer(data.translate(_CODES), dtype=np.uint8)
    in_word = codes >= _DIGIT
    begins = codes > 0
    begins[1:] &= ~(in_word[1:] & in_word[:-1])
    places = begins.nonzero()[0]
    # A polynomial of each token by sums over all bytes: blanks are 0, so a token's is over where the next one begins.
    sums = np.zeros(len(codes) + 1, dtype=np.uint32)
    np.cumsum(np.multiply(codes, tables.powers[: len(codes)], dtype=np.uint32), out=sums[1:])
    before = sums[places]
    exact = np.empty_like(before)
    np.subtract(before[1:], before[:-1], out=exact[:-1])
    exact[-1:] = sums[-1] - before[-1:]
    exact *= tables.inverses[places]
    exact *= np.uint32(_SPREAD)
    exact ^= exact >> np.uint32(15)
    exact *= np.uint32(_AGAIN)
    first = codes[places]
    named = first >= _NAME
    named &= ~tables.keywords[exact >> np.uint32(16)]
    at = named.nonzero()[0]
    shape = exact.copy()
    shape[at] = _distances(exact[at])
    return Tokens(exact, shape, places, named | (first >= _DIGIT) & (first < _NAME))


def _distances(names: Words) -> Words:
    """Of each name how many names ago the same one stood, the nearest, as a token; all that stood longer ago are one."""
    import numpy as np

    found = np.zeros(len(names), dtype=np.uint8)
    for back in range(1, min(NAMES_BACK, len(names) - 1) + 1):
        same = (names[back:] == names[:-back]).view(np.uint8) * np.uint8(NAMES_BACK + 1 - back)
        np.maximum(found[back:], same, out=found[back:])
    distances: Words = found.astype(np.uint32)
    distances += np.uint32(1)
    distances *= np.uint32(_BASE)
    distances ^= distances >> np.uint32(15)
    distances *= np.uint32(_AGAIN)
    return distances
