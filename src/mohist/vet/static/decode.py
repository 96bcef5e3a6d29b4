"""Searches for the encodings behind a literal: base64, hex, zlib, reversal, XOR with each of 255 bytes, a shift by one of them, and these in one another.

Pure: bytes in, bytes and the way there out. Several pieces (an array of strings) are decoded alike and read together.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from mohist.vet.limit import Limits
from mohist.vet.static.meaning import Meaning, meaning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TEXT = frozenset((0, 9, 10, 13, *range(0x20, 0x7F)))
_B64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n"
_HEX = b"0123456789abcdefABCDEF"
_HIGH = bytes(range(0x80, 0x100))
_MIN_BYTES = 6
_DEFLATED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b\x08")
"""First bytes of zlib's format (RFC 1950) and gzip's (RFC 1952)."""
_INFLATED_BYTES = 1024 * 1024
XOR_MIN_BYTES = 10
"""Fewer bytes look like something under some key of 255."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What stands behind a literal."""

    data: bytes
    layers: tuple[str, ...]
    """How to get there, outermost first: ("base64", "xor 0x2a")."""
    meaning: Meaning


_KEYED = ("xor", "minus")
_BACK = {"xor": "xor", "minus": "plus"}
Pieces = tuple[bytes, ...]


def search(pieces: Sequence[bytes], limits: Limits, first: tuple[str, ...] = ()) -> Decoded | None:
    """The shortest way to something that means something; None: there is none.

    Args:
        pieces: one literal, or the elements of an array, which share their encoding.
        limits: of layers and tries.
        first: layers that are undone already ("character codes").
    """
    start: Pieces = tuple(pieces)
    queue: deque[tuple[Pieces, tuple[str, ...]]] = deque([(start, first)])
    seen = {start}
    tries = 0
    while queue and tries < limits.max_decoding_states:
        state, layers = queue.popleft()
        tries += 1
        read = meaning(b"\n".join(state), guessed=_guessed(layers)) if layers else None
        if read is not None and (read.kind != "words" or _hides_words(state, layers)):
            return Decoded(b"\n".join(state), layers, read)
        if len(layers) >= limits.max_decoding_layers:
            continue
        for after, layer in _steps(state, layers):
            if after in seen:
                continue
            seen.add(after)
            queue.append((after, (*layers, layer)))
    return None


def _hides_words(state: Pieces, layers: tuple[str, ...]) -> bool:
    """Whether words came from what was no words: from those some key makes others."""
    name, _, key = layers[-1].partition(" ")
    before = b"".join(state).translate(_translation(_BACK[name], int(key, 16))) if name in _BACK else b""
    letters = sum(chr(byte).isalpha() for byte in before)
    return bool(before) and not {"base64", "hex"}.isdisjoint(layers) and letters * 2 < len(before)


def _guessed(layers: tuple[str, ...]) -> bool:
    return any(layer.startswith((*_KEYED, "reversed")) for layer in layers)


def undo(data: bytes, layers: Sequence[str]) -> bytes:
    """Undoes layers by name, as a finding names them.

    Raises:
        ValueError: a layer does not fit.
    """
    for layer in layers:
        name, _, key = layer.partition(" ")
        if name == "base64":
            after = _base64(data)
        elif name == "hex":
            after = _hex(data)
        elif name == "reversed":
            after = data[::-1]
        elif name == "zlib":
            after = _inflate(data)
        elif name in _KEYED:
            after = data.translate(_translation(name, int(key, 16)))
        else:
            after = data
        if after is None:
            raise ValueError(layer)
        data = after
    return data


def _steps(state: Pieces, layers: tuple[str, ...]) -> Iterator[tuple[Pieces, str]]:
    last = layers[-1] if layers else ""
    decoded = [_base64(piece) for piece in state]
    if all(piece is not None for piece in decoded):
        yield tuple(piece for piece in decoded if piece is not None), "base64"
    decoded = [_hex(piece) for piece in state]
    if all(piece is not None for piece in decoded):
        yield tuple(piece for piece in decoded if piece is not None), "hex"
    if all(piece.startswith(_DEFLATED) for piece in state):
        inflated = [_inflate(piece) for piece in state]
        if all(piece is not None for piece in inflated):
            yield tuple(piece for piece in inflated if piece is not None), "zlib"
    if last != "reversed":
        yield tuple(piece[::-1] for piece in state), "reversed"
    # A literal that is text as it stands, forwards or backwards, is searched by differences, in the file as a whole.
    if set(layers) - {"reversed"} and not last.startswith(_KEYED):
        joined = b"".join(state)
        for name, key in (*(("xor", key) for key in keys(joined)), *(("minus", key) for key in shifts(joined))):
            after = tuple(piece.translate(_translation(name, key)) for piece in state)
            whole = b"".join(after)
            if (
                meaning(b"\n".join(after), guessed=True) is not None
                or meaning(b"\n".join(after)[::-1], guessed=True) is not None
                or _is_coded(whole)
            ):
                yield after, f"{name} {key:#04x}"


def keys(data: bytes) -> list[int]:
    """The keys under which all of `data` is text, the likeliest first; of 255."""
    if len(data) < XOR_MIN_BYTES:
        return []
    # The highest bit of text is never set: it is the key's in every byte, or in none.
    if not data.isascii() and data.translate(None, _HIGH):
        return []
    return _fitting(data, "xor")


def shifts(data: bytes) -> list[int]:
    """What, subtracted from each byte (modulo 256), leaves text; of 255."""
    if len(data) < XOR_MIN_BYTES:
        return []
    return _fitting(data, "minus") if len({*data}) <= len(_TEXT) else []


def _fitting(data: bytes, name: str) -> list[int]:
    import numpy as np

    present = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256) > 0
    fits = np.flatnonzero(_table(name) @ present == np.count_nonzero(present))
    return [int(key) for key in fits if key]


@cache
def _table(name: str) -> NDArray[np.float32]:
    """[key, byte] -> 1 where the byte is text under the key."""
    import numpy as np

    text = np.zeros(256, dtype=np.float32)
    text[list(_TEXT)] = 1
    every = np.arange(256)
    undone = every[:, None] ^ every[None, :] if name == "xor" else (every[None, :] - every[:, None]) % 256
    table: NDArray[np.float32] = text[undone]
    return table


@cache
def _translation(name: str, key: int) -> bytes:
    if name == "xor":
        return bytes(byte ^ key for byte in range(256))
    return bytes((byte - key if name == "minus" else byte + key) & 0xFF for byte in range(256))


def _is_coded(data: bytes) -> bool:
    """Whether all of it could be base64 or hex of something: the chance of that by accident is small from some length on."""
    return len(data) >= 16 and not data.translate(None, _B64)


def _base64(data: bytes) -> bytes | None:
    """None: it is none. Without its padding it is one as well, and in the alphabet for addresses."""
    stripped = data.strip()
    if len(stripped) < 8 or stripped.translate(None, _B64):
        return None
    plain = stripped.translate(bytes.maketrans(b"-_", b"+/"), b"\r\n").rstrip(b"=")
    if len(plain) % 4 == 1 or b"=" in plain:
        return None
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _inflate(data: bytes) -> bytes | None:
    try:
        # 32 added: zlib's header or gzip's, whichever is there.
        return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS).decompress(data, _INFLATED_BYTES)
    except zlib.error:
        return None


def _hex(data: bytes) -> bytes | None:
    stripped = data.strip()
    if len(stripped) < 2 * _MIN_BYTES or len(stripped) % 2 or stripped.translate(None, _HEX):
        return None
    return bytes.fromhex(stripped.decode("ascii"))
