"""The switch moves connections between releases where no request is under way, and cuts nobody off before the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fakes.clock import FakeClock
from mohist.delivery.target.switch import Switch

pytestmark = pytest.mark.enable_socket

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"


class Backend:
    """Says its name to every request; `hold` keeps the second half of an answer back, `raw` echoes instead of HTTP."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hold = asyncio.Event()
        self.hold.set()
        self.half_sent = asyncio.Event()
        self.raw = False
        self.connections = 0

    async def listen(self) -> int:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                if self.raw:
                    got = await reader.read(100)
                    if not got:
                        break
                    writer.write(self.name.encode() + got)
                    continue
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(self.name))
                if not head.startswith(b"HEAD"):
                    writer.write(self.name[:1].encode())
                    await writer.drain()
                    self.half_sent.set()
                    await self.hold.wait()
                    writer.write(self.name[1:].encode())
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class Stand:
    def __init__(self) -> None:
        self.old, self.new = Backend("old"), Backend("new")
        self.point = 0.0
        self.clock = FakeClock()
        self.looks = 0
        self.switch = Switch(lambda: self.point, self._now_s)

    async def begin(self) -> None:
        self.ports = {"old": await self.old.listen(), "new": await self.new.listen()}
        self.port = await self.switch.listen("127.0.0.1", 0)
        self.turn(old=100)

    def _now_s(self) -> float:
        self.looks += 1
        return self.clock.monotonic_s()

    def turn(self, **weights: int) -> None:
        self.switch.turn(tuple((name, self.ports[name], weight) for name, weight in weights.items()))


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    await made.begin()
    yield made
    await made.switch.close()
    for backend in (made.old, made.new):
        backend.hold.set()
        backend.server.close()


async def answer(reader: asyncio.StreamReader, *, body: bool = True) -> bytes:
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        return await reader.readexactly(3) if body else b""


async def test_a_kept_connection_goes_on_with_the_new_release_at_its_next_request(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    for _ in range(3):
        writer.write(GET)
        assert await answer(reader) == b"old"
    stand.turn(new=100)
    writer.write(GET)
    assert await answer(reader) == b"new"
    assert stand.old.connections == 1
    writer.close()


async def test_an_answer_to_head_leaves_the_connection_between_requests(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(HEAD)
    await answer(reader, body=False)
    stand.turn(new=100)
    writer.write(GET)
    assert await answer(reader) == b"new"
    writer.close()


async def test_a_request_under_way_is_answered_by_the_release_that_got_it(stand: Stand) -> None:
    stand.old.hold.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(GET)
    await stand.old.half_sent.wait()
    stand.turn(new=100)
    draining = asyncio.create_task(stand.switch.drain("old", 30))
    await asyncio.sleep(0)
    stand.old.hold.set()
    assert await answer(reader) == b"old"
    assert await draining == 0
    writer.write(GET)
    assert await answer(reader) == b"new"
    writer.close()


async def test_a_machine_that_stood_still_cuts_nobody_off(stand: Stand) -> None:
    stand.old.hold.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(GET)
    await stand.old.half_sent.wait()
    stand.turn(new=100)
    draining = asyncio.create_task(stand.switch.drain("old", 1.0))
    async with asyncio.timeout(60):
        while stand.looks < 1:  # noqa: ASYNC110 - until it waits
            await asyncio.sleep(0)
        stand.clock.advance(60)
        while stand.looks < 5:  # noqa: ASYNC110 - until it has looked again
            await asyncio.sleep(0)
    stand.old.hold.set()
    assert await answer(reader) == b"old"
    assert await draining == 0
    writer.close()


async def test_what_is_not_answered_in_time_is_cut(stand: Stand) -> None:
    stand.old.hold.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(GET)
    await stand.old.half_sent.wait()
    stand.turn(new=100)
    assert await stand.switch.drain("old", 0) == 1
    async with asyncio.timeout(60):
        assert not (await reader.read()).endswith(b"old")
    writer.close()


async def test_what_is_not_http_stays_with_its_release(stand: Stand) -> None:
    stand.old.raw = True
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(b"\x00\x01")
    async with asyncio.timeout(60):
        assert await reader.readexactly(5) == b"old\x00\x01"
        stand.turn(new=100)
        writer.write(b"\x02")
        assert await reader.readexactly(4) == b"old\x02"
        await stand.switch.drain("old", 30)
        assert await reader.read() == b""
    writer.close()


async def test_shares_are_of_new_connections(stand: Stand) -> None:
    stand.turn(new=10, old=90)
    for point, expected in ((0.05, b"new"), (0.2, b"old"), (0.99, b"old")):
        stand.point = point
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(GET)
        assert await answer(reader) == expected
        writer.close()


async def test_a_client_that_only_half_closes_gets_its_answer(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(GET)
    writer.write_eof()
    assert await answer(reader) == b"old"
    writer.close()
