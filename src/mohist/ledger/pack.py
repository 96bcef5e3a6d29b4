"""Entries as they lie in a log's file: compressed against phrases that entries share, and given back byte for byte.

What is hashed, exported and proved is always the entry itself; how it lies in the file is nobody else's. A stored entry says by its
first byte what it is: `{` begins JSON as it is, a smaller number names the phrases that the rest is compressed against (Zstandard,
RFC 8878, without its magic number). Phrases that were once used stay as they are for good.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib import resources

import zstandard

from mohist.ledger.errors import LedgerError

PHRASES = 1
"""Which phrases new entries are packed with: `data/phrases-<n>.txt`."""
LEVEL = 3
"""Of Zstandard; 1 gives as much and is no faster on entries this small, from 6 on it takes twice as long for 1 %."""
_PLAIN = ord("{")


class UnpackError(LedgerError):
    """A stored entry does not give back what was packed."""


class Packing:
    """Packs and unpacks; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._packer: zstandard.ZstdCompressor | None = None
        self._unpackers: dict[int, zstandard.ZstdDecompressor] = {}

    def pack(self, leaf: bytes) -> bytes:
        """An entry as it is stored; as it is, where packing does not shorten it."""
        with self._lock:
            if self._packer is None:
                parameters = zstandard.ZstdCompressionParameters.from_level(
                    LEVEL, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_dict_id=False, write_content_size=True
                )
                self._packer = zstandard.ZstdCompressor(dict_data=_phrases(PHRASES), compression_params=parameters)
            packed = bytes([PHRASES]) + self._packer.compress(leaf)
        return packed if len(packed) < len(leaf) or leaf[:1] != b"{" else leaf

    def unpack(self, stored: object) -> bytes:
        """The entry; of anything that lies in its place.

        Raises:
            UnpackError: it can't be had; whether it is the one that was packed, only its hash tells.
        """
        if not isinstance(stored, bytes) or not stored:
            raise UnpackError("nothing is there")
        number = stored[0]
        if number == _PLAIN:
            return stored
        # The frame's own claim of its length, in one or two bytes (RFC 8878, 3.1.1.1): a flipped bit must not ask for gigabytes.
        if len(stored) < 2 or stored[1] & 0b1010_0000 != 0b0010_0000:
            raise UnpackError("it claims to be longer than an entry may be, or is cut off")
        try:
            with self._lock:
                if number not in self._unpackers:
                    self._unpackers[number] = zstandard.ZstdDecompressor(
                        dict_data=_phrases(number), format=zstandard.FORMAT_ZSTD1_MAGICLESS
                    )
                return self._unpackers[number].decompress(stored[1:])
        except zstandard.ZstdError as error:
            raise UnpackError(f"it can't be unpacked ({error})") from error


@cache
def _phrases(number: int) -> zstandard.ZstdCompressionDict:
    name = f"phrases-{number}.txt"
    try:
        data = resources.files("mohist.ledger").joinpath("data", name).read_bytes()
    except OSError as error:
        raise UnpackError(f"it is packed with phrases {number}, which this version does not have") from error
    return zstandard.ZstdCompressionDict(data, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
