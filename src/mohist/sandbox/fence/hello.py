"""The first message of TLS: whom a program says it speaks to. Pure.

Sources: RFC 8446 4.1.2 (ClientHello), RFC 6066 3 (server_name), RFC 7301 (ALPN), RFC 9849 (encrypted_client_hello).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mohist.sandbox.errors import FencedError

HANDSHAKE: Final = 0x16
"""First byte of a TLS connection."""
_CLIENT_HELLO: Final = 1
_SERVER_NAME, _ALPN, _ECH = 0, 16, 0xFE0D
_RECORD_BYTES: Final = 2**14 + 256
ACCESS_DENIED: Final = bytes((0x15, 3, 3, 0, 2, 2, 49))
"""A fatal alert: "a valid certificate … was received, but … access control was applied" (RFC 8446, 6.2)."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a ClientHello shows."""

    server_name: str
    """As sent; empty when none was."""
    protocols: tuple[str, ...]
    encrypted: bool
    """Whether an encrypted inner hello is there, or bytes that look like one."""


def parse_hello(data: bytes) -> Hello | None:
    """Reads the hello at the start of a connection; None while it isn't whole. Raises FencedError `tls` for anything else."""
    message = bytearray()
    place = 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if len(data) < place + 5:
            return None
        length = int.from_bytes(data[place + 3 : place + 5], "big")
        if data[place] != HANDSHAKE or data[place + 1] != 3 or not 0 < length <= _RECORD_BYTES:
            raise _malformed()
        if len(data) < place + 5 + length:
            return None
        message += data[place + 5 : place + 5 + length]
        if message[0] != _CLIENT_HELLO:
            raise _malformed()
        place += 5 + length
    try:
        return _read_body(_Reader(bytes(message[4 : 4 + int.from_bytes(message[1:4], "big")])))
    except (IndexError, UnicodeDecodeError):
        raise _malformed() from None


def _read_body(body: _Reader) -> Hello:
    body.take(2 + 32)
    body.vector(1)
    body.vector(2)
    body.vector(1)
    name, encrypted = "", False
    protocols: tuple[str, ...] = ()
    seen: set[int] = set()
    extensions = body.inner(2) if body.left else _Reader(b"")
    while extensions.left:
        kind, content = extensions.number(2), extensions.inner(2)
        if kind in seen:
            raise _malformed()  # two names, and each side might believe another one
        seen.add(kind)
        if kind == _SERVER_NAME:
            names = content.inner(2)
            if names.number(1) != 0:
                raise _malformed()
            name = names.vector(2).decode("ascii")
            if names.left or content.left or not name:
                raise _malformed()
        elif kind == _ALPN:
            protocols = _read_protocols(content.inner(2))
        elif kind == _ECH:
            encrypted = True
    return Hello(name, protocols, encrypted)


def _read_protocols(content: _Reader) -> tuple[str, ...]:
    found = []
    while content.left:
        found.append(content.vector(1).decode("latin-1"))
    return tuple(found)


class _Reader:
    """Bytes from front to back; IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> bool:
        return self._place < len(self._data)

    def take(self, count: int) -> bytes:
        if self._place + count > len(self._data):
            raise IndexError
        self._place += count
        return self._data[self._place - count : self._place]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))

    def inner(self, width: int) -> _Reader:
        return _Reader(self.vector(width))


def _malformed() -> FencedError:
    return FencedError("tls", "The connection starts like TLS but holds no proper ClientHello.")
