"""SOCKS 4, 4a and 5, the part that says where to. Commands but CONNECT are refused.

Sources: RFC 1928; https://www.openssh.com/txt/socks4.protocol and socks4a.protocol.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.address import parse_host
from mohist.sandbox.fence.stream import Peeked
from mohist.sandbox.fence.wish import Asked

FIRST_BYTES = (4, 5)
_MOST_BYTES = 1024
_TEXT_BYTES = 255
_CONNECT = 1
_REPLY_5 = {"": 0, "not-listed": 2, "failed": 4, "command": 7}
_REFUSED_5, _REFUSED_4, _GRANTED_4 = 2, 91, 90


async def read_wish(client: Peeked) -> Asked:
    """Takes the request off the stream. Raises FencedError; EndOfStream when the program leaves."""
    if (await _take(client, 1))[0] == 4:
        return await _read_4(client)
    count = (await _take(client, 1))[0]
    methods = await _take(client, count)
    if 0 not in methods:
        await client.send(b"\x05\xff")
        raise FencedError("socks", "The program insists on a password for the proxy.")
    await client.send(b"\x05\x00")
    version, command, _, kind = await _take(client, 4)
    if version != 5:
        raise FencedError("socks", "The request is not SOCKS 5.")
    if kind == 1:
        host = str(IPv4Address(await _take(client, 4)))
    elif kind == 4:
        host = str(IPv6Address(await _take(client, 16)))
    elif kind == 3:
        host = _text(await _take(client, (await _take(client, 1))[0]))
    else:
        raise FencedError("socks", "The request holds no address that SOCKS knows.")
    port = int.from_bytes(await _take(client, 2), "big")
    return _wish(command, host, port)


async def reply(client: Peeked, version: int, code: str) -> None:
    """Says yes (an empty code) or no."""
    if version == 4:
        await client.send(bytes((0, _GRANTED_4 if not code else _REFUSED_4)) + bytes(6))
    else:
        await client.send(bytes((5, _REPLY_5.get(code, _REFUSED_5), 0, 1)) + bytes(6))


async def _read_4(client: Peeked) -> Asked:
    command = (await _take(client, 1))[0]
    port = int.from_bytes(await _take(client, 2), "big")
    raw = await _take(client, 4)
    await _take_text(client)
    if raw[:3] == bytes(3) and raw[3]:
        return _wish(command, _text(await _take_text(client)), port)
    return _wish(command, socket.inet_ntoa(raw), port)


def _wish(command: int, host: str, port: int) -> Asked:
    if command != _CONNECT:
        raise FencedError("command", "Only connections go through, no listening and no datagrams.")
    if not port:
        raise FencedError("bad-port", "Port 0 can't be reached.")
    return Asked("socks", parse_host(host), port)


def _text(raw: bytes) -> str:
    # A NUL ends a name for a resolver, but not for who compares suffixes: `parse_host` refuses it like all else.
    return raw.decode("latin-1")


async def _take_text(client: Peeked) -> bytes:
    text = b""
    while (byte := await _take(client, 1)) != b"\0":
        text += byte
        if len(text) > _TEXT_BYTES:
            raise FencedError("socks", "A text of the request is too long.")
    return text


async def _take(client: Peeked, count: int) -> bytes:
    while len(client.seen) < count:
        await client.peek(_MOST_BYTES)
    return client.take(count)
