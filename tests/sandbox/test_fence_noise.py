"""Hostile bytes end in a record or in nothing; they never end the fence."""

from __future__ import annotations

import random
import ssl

import anyio
import pytest
from anyio.abc import ByteStream
from fence_room import GET, HOST, Origin, extended, origin, real_hello, resolver

from mohist.base import SystemClock
from mohist.sandbox import Asked, Attempt, Authority, Credential, Decision, Dial, FenceLimits, Refuse, Serve
from mohist.sandbox.fence.ground import Book, Ground
from mohist.sandbox.fence.name import NameTable
from mohist.sandbox.fence.passage import serve_direct, serve_proxy
from mohist.sandbox.fence.stream import pipe

pytestmark = pytest.mark.enable_socket

_CONNECT = b"CONNECT allowed.example:80 HTTP/1.1\r\nHost: x\r\n\r\n"
_POST = b"POST http://allowed.example/x HTTP/1.1\r\nHost: allowed.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
_UPGRADE = GET.replace(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: websocket")
SEEDS = [
    _CONNECT + GET,
    _CONNECT + real_hello(HOST),
    _CONNECT + extended(real_hello(HOST), 0xFE0D, bytes(20)),
    _CONNECT + _UPGRADE + b"frames",
    _POST + _POST.replace(b"allowed", b"served"),
    GET.replace(b"/x", b"http://served.example/x") + GET,
    b"GET http://allowed.example/ HTTP/1.0\r\n\r\n",
    b"GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\nHost: evil.example\r\n\r\n",
    _POST.replace(b"Transfer", b"Content-Length: 3\r\nTransfer"),
    b"\x05\x01\x00\x05\x01\x00\x03\x0fallowed.example\x00\x50" + GET,
    b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00allowed.example\x00" + GET,
    GET,
    real_hello(HOST),
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframes",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut",
    b"nonsense\r\n\r\n",
    b"",
]


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """With some of it cut, doubled, swapped, or replaced."""
    made = bytearray(data)
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(made) + 1)
        length = chance.choice((1, 1, 2, 8, 40))
        kind = chance.randrange(4)
        if kind == 0:
            del made[place : place + length]
        elif kind == 1:
            made[place:place] = made[place : place + length]
        elif kind == 2:
            made[place : place + length] = chance.randbytes(length)
        else:
            made[place:place] = chance.choice((b"\r\n", b"\0", b"\r\n\r\n", b":", b"\xff\xfe", b" ", b"@", b"."))
    return bytes(made)


class Moody(Origin):
    """Answers whatever comes with one of the answers, and sometimes leaves."""

    chance = random.Random(2)

    async def serve(self, stream: ByteStream) -> None:
        async with stream:
            try:
                while data := await stream.receive():
                    self.requests.append(data)
                    await stream.send(spoiled(self.chance.choice(ANSWERS), self.chance))
                    if self.chance.random() < 0.5:
                        return
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return


@pytest.mark.parametrize("seed", range(6))
async def test_noise_never_ends_the_fence(seed: int) -> None:
    chance = random.Random(seed)
    attempts: list[Attempt] = []
    credential = Credential("s" * 20, "t" * 20)
    authority = Authority()

    async def echo(stream: ByteStream, asked: Asked) -> None:
        await stream.send(await stream.receive())

    async with origin(server=Moody()) as server:

        def decide(asked: Asked) -> Decision:
            if asked.host == HOST:
                choices = ((), (credential,))
                return Dial(port=server.port, private=True, credentials=chance.choice(choices))
            return Serve(echo, tls=True) if asked.host == "served.example" else Refuse("no", "no")

        spent: list[int] = []
        limits = FenceLimits(head_s=5, idle_s=1, dial_s=20)
        ground = Ground(
            decide, Book(attempts.append, 10**6), limits, NameTable(10), resolver({HOST: ["127.0.0.1"]}),
            SystemClock(), spent.append, authority, ssl.create_default_context,
        )  # fmt: skip

        async def one(data: bytes) -> None:
            near, far = pipe()

            async def listen() -> None:
                try:
                    while True:
                        await near.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return

            async def speak() -> None:
                try:
                    while data_left:
                        size = chance.choice((1, 7, 100, 10_000))
                        await near.send(bytes(data_left[:size]))
                        del data_left[:size]
                    await near.send_eof()
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return

            data_left = bytearray(data)
            with anyio.fail_after(60):
                async with near, far, anyio.create_task_group() as group:
                    group.start_soon(listen)
                    group.start_soon(speak)
                    if chance.random() < 0.7:
                        await serve_proxy(ground, far)
                    else:
                        await serve_direct(ground, far, "198.51.100.7", 80)
                    await far.aclose()

        async with anyio.create_task_group() as group:
            for number in range(150):
                group.start_soon(one, spoiled(SEEDS[number % len(SEEDS)], chance))
    assert len(attempts) >= 50
    assert {each.outcome for each in attempts} >= {"refused", "through"}
    assert "t" * 20 not in repr(attempts)
