"""Finds text under a single-byte XOR anywhere in bytes, without knowing the key: what differs between neighbours is the same under any.

`data[i] ^ data[i+1]` of "Asia/Shanghai" does not depend on the key, so one search for these differences is one for all 255 keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from mohist.vet.static.decode import XOR_MIN_BYTES, Decoded
from mohist.vet.static.meaning import Meaning, meaning, zones

_ENDINGS = (b".com", b".net", b".org", b"https://", b"http://", b"/.ssh/", b"/.aws/", b"/etc/machine-id")
_ZONE = re.compile(rb"[A-Z][A-Za-z]{2,11}/[A-Za-z_/+-]{2,30}[A-Za-z0-9]")
_REACH_BYTES = 4096
"""How far text goes on to each side of what was found."""
_TEXT = bytes((0, 9, 10, 13, *range(0x20, 0x7F)))
_QUOTES = (b'"', b"'", b"`")


@cache
def _patterns() -> tuple[tuple[int, bytes], ...]:
    """First byte, and the differences, of what is searched for."""
    regions = sorted({zone.partition("/")[0] + "/" for zone in zones()} - {"US/", "SystemV/", "Etc/"})
    words = [region.encode("ascii") for region in regions] + [b"Asia/Shanghai", b"Asia/Urumqi", *_ENDINGS]
    return tuple((word[0], bytes(a ^ b for a, b in pairwise(word))) for word in words)


def hidden(data: bytes) -> Iterator[tuple[int, Decoded]]:
    """Lists of hosts, zones, paths or addresses under a key, with the byte at which each begins. Text without a key is not reported.

    Args:
        data: any bytes; some megabytes at a time.
    """
    if len(data) < XOR_MIN_BYTES:
        return
    import numpy as np

    array = np.frombuffer(data, dtype=np.uint8)
    differences = (array[:-1] ^ array[1:]).tobytes()
    told: set[tuple[int, int]] = set()
    for first, pattern in _patterns():
        at = differences.find(pattern)
        done: dict[int, int] = {}
        while at >= 0:
            key = data[at] ^ first
            if key and at >= done.get(key, 0):
                start, end = _extent(data, at, key, len(pattern) + 1)
                done[key] = end
                for low, high in ((start, end), *_within_quotes(data, at, start, end)):
                    found = _judged(data[low:high], key) or _zones(data[low:high], at - low, key)
                    if found is not None:
                        if (low, key) not in told:
                            told.add((low, key))
                            yield low, found
                        break
            at = differences.find(pattern, at + len(pattern))


def _extent(data: bytes, at: int, key: int, length: int) -> tuple[int, int]:
    """How far the text under the key reaches around a hit."""
    allowed = bytes(byte ^ key for byte in _TEXT)
    before = data[max(at - _REACH_BYTES, 0) : at]
    start = at - (len(before) - len(before.rstrip(allowed))) if before else at
    after = data[at + length : at + length + _REACH_BYTES]
    end = at + length + (len(after) - len(after.lstrip(allowed)))
    return start, end


def _within_quotes(data: bytes, at: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of [start, end) that stand in one string of a program; any mark may be a letter under the key."""
    for quote in _QUOTES:
        low, high = data.rfind(quote, max(start - 1, 0), at) + 1, data.find(quote, at, end + 1)
        if low and high >= 0:
            yield low, high


def _zones(data: bytes, at: int, key: int) -> Decoded | None:
    """Zones that stand in text of another kind, or next to bytes that are text under the key by accident: one that exists is none."""
    text = data.translate(bytes(byte ^ key for byte in range(256)))
    known = zones()
    found = [name for match in _ZONE.finditer(text, at) if (name := _longest(match[0].decode("ascii"), known))]
    return Decoded(text, (f"xor {key:#04x}",), Meaning("zones", tuple(dict.fromkeys(found)))) if found else None


def _longest(text: str, known: frozenset[str]) -> str:
    return next((text[:end] for end in range(len(text), 5, -1) if text[:end] in known), "")


def _judged(data: bytes, key: int) -> Decoded | None:
    text = data.translate(bytes(byte ^ key for byte in range(256)))
    read = meaning(text, guessed=True)
    if read is None or read.kind not in ("hosts", "zones", "paths", "urls") or len(data) < XOR_MIN_BYTES:
        return None
    # One name is not enough where any three bytes of millions may be ".com" under some key.
    if read.kind == "hosts" and len(read.items) < 2:
        return None
    return Decoded(text, (f"xor {key:#04x}",), read)
