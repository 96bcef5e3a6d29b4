"""Decides whether decoded bytes are text, and which."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

from mohist.guard.errors import GuardLimitError

_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\0\t\r\n"
"""A zero byte stands between a name and a password (RFC 4616)."""
_COMMON = dict.fromkeys(_PRINTABLE)
"""Takes them out of a text."""
_ZEROS = 0.2
"""A share of zero bytes that only UTF-16 has."""
_SAMPLE_CHARS = 4096
"""What is looked at to tell whether something is text."""
_MOSTLY = 0.9
"""A share of printable characters from which on something counts as text."""
_MIN_CHARS = 4
_STRETCH_CHARS = 1024
_STEP_BYTES = 1024 * 1024


class Decoded(NamedTuple):
    """A text, and where in its bytes each character is."""

    text: str
    at: Callable[[int], int]
    """The byte at which a character begins; the number of bytes for the end."""
    via: str = ""


def as_text(data: bytes) -> Decoded | None:
    """The text that bytes are in UTF-8 or UTF-16; None where they are something else."""
    if len(data) < _MIN_CHARS:
        return None
    if data.count(0) > _ZEROS * len(data):
        return _utf16(data)
    text = data.decode("utf-8", "replace")
    if not _is_text(text):
        return None
    if text.isascii():
        return Decoded(text, lambda at: at)
    if "\ufffd" in text:
        # Offsets of replaced bytes can't be told from the text; latin-1 is one byte a character.
        text = data.decode("latin-1")
        return Decoded(text, lambda at: at)
    return Decoded(text, _bytes_before(text))


def _bytes_before(text: str) -> Callable[[int], int]:
    """How many bytes the characters in front of one are in UTF-8; what is counted once serves every place after."""
    stretches: list[int] = []

    def count(at: int) -> int:
        if not stretches:
            stretches.append(0)
            for start in range(0, len(text), _STRETCH_CHARS):
                stretches.append(stretches[-1] + len(text[start : start + _STRETCH_CHARS].encode()))
        stretch = min(at // _STRETCH_CHARS, len(stretches) - 1)
        return stretches[stretch] + len(text[stretch * _STRETCH_CHARS : at].encode())

    return count


def inflated(data: bytes, limit_bytes: int) -> bytes | None:
    """What gzip or zlib data were before; None where they are neither.

    Raises:
        GuardLimitError: it is more than `limit_bytes`.
    """
    if not (data[:2] == b"\x1f\x8b" or (data[:1] == b"\x78" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"))):
        return None
    inflater = zlib.decompressobj(wbits=47)
    out = bytearray()
    rest = data
    try:
        while rest and not inflater.eof:
            out += inflater.decompress(rest, _STEP_BYTES)
            rest = inflater.unconsumed_tail
            if len(out) > limit_bytes:
                raise GuardLimitError(f"A compressed text holds more than {limit_bytes} bytes.")
    except zlib.error:
        pass  # what came before the fault is looked at
    return bytes(out) or None


def _utf16(data: bytes) -> Decoded | None:
    even = len(data) // 2 * 2
    little = data[1:even:2].count(0) >= data[0:even:2].count(0)
    text = data[:even].decode("utf-16-le" if little else "utf-16-be", "replace")
    return Decoded(text, lambda at: 2 * at, "utf-16") if _is_text(text) else None


def _is_text(text: str) -> bool:
    if len(text) < _MIN_CHARS:
        return False
    sample = text[:_SAMPLE_CHARS]
    if sample.isascii():
        return len(sample.encode().translate(None, _PRINTABLE)) <= (1 - _MOSTLY) * len(sample)
    most = (1 - _MOSTLY) * len(sample)
    unknown = sample.count("\ufffd")
    if unknown > most:
        return False
    rest = sample.translate(_COMMON)
    if not rest.isprintable():
        unknown += sum(rest.count(char) for char in set(rest) if not char.isprintable())
    return unknown <= most
