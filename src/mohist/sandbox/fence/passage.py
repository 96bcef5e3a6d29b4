"""One connection of a confined program: how it asks, by the proxy or without it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

import anyio
import h11
from anyio.abc import ByteStream

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence import socks
from mohist.sandbox.fence.address import split_authority
from mohist.sandbox.fence.dial import dial
from mohist.sandbox.fence.exchange import Lane, exchange, host_header, named_host, told_target
from mohist.sandbox.fence.ground import Ground, Reply, Trace
from mohist.sandbox.fence.stream import GONE, Meter, Peeked, pipe
from mohist.sandbox.fence.tunnel import handle, refuse_raw, send_refusal, tunnel
from mohist.sandbox.fence.wish import Asked, Carrier, Decision, Dial, Serve

_HTTP = 80
_TUNNEL: Final = b"CONNECT "
_CONNECT: Final = re.compile(rb"CONNECT ([\x21-\x7e]+) HTTP/1\.[01]\r\n", re.ASCII)


async def serve_proxy(ground: Ground, stream: ByteStream) -> None:
    """A connection to the proxy's port."""
    meter = ground.meter()
    client = Peeked(stream, meter)
    with suppress(*GONE):
        with anyio.fail_after(ground.limits.head_s):
            first = await client.peek(ground.limits.head_bytes)
            while len(first) < len(_TUNNEL) and _TUNNEL.startswith(first):
                first = await client.peek(ground.limits.head_bytes)
        if first[0] in socks.FIRST_BYTES:
            await _serve_socks(ground, client, meter)
        elif first.startswith(_TUNNEL):
            await _serve_connect(ground, client, meter)
        else:
            await _serve_requests(ground, client, meter)


async def serve_direct(ground: Ground, stream: ByteStream, address: str, port: int) -> None:
    """A connection that knows nothing of a proxy, to whatever address."""
    meter = ground.meter()
    client = Peeked(stream, meter)

    async def reply(error: FencedError | None) -> None:
        if error is not None:
            await refuse_raw(client, error)

    await tunnel(ground, client, meter, ground.known(Asked("direct", address, port)), reply)


async def _serve_socks(ground: Ground, client: Peeked, meter: Meter) -> None:
    version = client.seen[0]

    async def reply(error: FencedError | None) -> None:
        await socks.reply(client, version, "" if error is None else "failed" if error.failed else error.code)

    try:
        with anyio.fail_after(ground.limits.head_s):
            asked = await socks.read_wish(client)
    except (FencedError, TimeoutError) as error:
        await _refuse_unread(ground, "socks", meter, error, reply)
        return
    await tunnel(ground, client, meter, ground.known(asked), reply)


async def _serve_connect(ground: Ground, client: Peeked, meter: Meter) -> None:
    async def reply(error: FencedError | None) -> None:
        if error is None:
            await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            await send_refusal(client, error)

    try:
        with anyio.fail_after(ground.limits.head_s):
            head = client.seen
            while b"\r\n\r\n" not in head:
                head = await client.peek(ground.limits.head_bytes)
        found = _CONNECT.match(head)
        if found is None or head.index(b"\r\n\r\n") > ground.limits.head_bytes:
            raise FencedError("protocol", "The proxy's request is broken or too long.")
        host, port = split_authority(found[1].decode("ascii"))
    except (FencedError, TimeoutError) as error:
        await _refuse_unread(ground, "connect", meter, error, reply)
        return
    client.take(head.index(b"\r\n\r\n") + 4)
    await tunnel(ground, client, meter, ground.known(Asked("connect", host, port)), reply)


async def _refuse_unread(
    ground: Ground, carrier: Carrier, meter: Meter, error: FencedError | TimeoutError, reply: Reply
) -> None:
    """A wish that could not be read: what it was for is in the reason."""
    if isinstance(error, TimeoutError):
        error = FencedError("timeout", "It was not said in time what is wanted.")
    with Trace(ground, Asked(carrier, "", 0), meter):
        raise error
    with suppress(*GONE, FencedError):
        await reply(error)


async def _serve_requests(ground: Ground, client: Peeked, meter: Meter) -> None:
    """Plain HTTP by the proxy: each request names where it goes."""
    async with anyio.create_task_group() as group:
        lanes = _Lanes(ground, meter, group)
        try:
            await exchange(client, ground.limits, lanes.open, lanes.finish)
        finally:
            with anyio.CancelScope(shield=True):
                await lanes.close()
        group.cancel_scope.cancel()


class _Lanes:
    """The other sides of one proxy connection: the last one is kept for the next request."""

    def __init__(self, ground: Ground, meter: Meter, group: anyio.abc.TaskGroup) -> None:
        self._ground = ground
        self._meter = meter
        self._group = group
        self._key: tuple[Asked, Decision] | None = None
        self._lane: Lane | None = None
        self._address = ""
        self._trace: Trace | None = None
        self._before = (0, 0)

    async def open(self, request: h11.Request) -> Lane:
        self._trace = trace = Trace(self._ground, Asked("http", "", 0), self._meter, self._before)
        host, port = named_host(request, _HTTP)
        trace.asked = asked = self._ground.known(Asked("http", host, port))
        target = told_target(request, host, port, _HTTP)
        decision = self._ground.judge(asked)
        if self._lane is None or self._key != (asked, decision) or not self._lane.reusable:
            await self._leave()
            self._lane, self._key = Lane(await self._reach(asked, decision), b""), (asked, decision)
        lane = self._lane
        lane.target = target
        trace.address = self._address
        if isinstance(decision, Dial):
            trace.outcome = "through"
            lane.credentials = decision.credentials
            lane.host = host_header(decision.host, decision.port or port, _HTTP) if decision.host else b""
        else:
            trace.outcome = "served"
        return lane

    async def finish(self, error: FencedError | None) -> None:
        if self._trace is None and error is not None:  # it could not be read
            self._trace = Trace(self._ground, Asked("http", "", 0), self._meter, self._before)
        if self._trace is not None:
            self._trace.error = error
            self._trace.close()
            self._trace = None
            self._before = (self._meter.sent_bytes, self._meter.received_bytes)

    async def close(self) -> None:
        await self._leave()
        await self.finish(None)

    async def _reach(self, asked: Asked, decision: Dial | Serve) -> ByteStream:
        if isinstance(decision, Dial):
            stream, self._address = await dial(asked, decision, self._ground.resolve, self._ground.limits.dial_s)
            return stream
        self._address = ""
        near, far = pipe()
        self._group.start_soon(self._answer, decision, far, asked)
        return near

    async def _answer(self, decision: Serve, far: ByteStream, asked: Asked) -> None:
        with suppress(FencedError, *GONE):  # the request ends as broken off
            try:
                await handle(decision, far, asked)
            finally:
                with anyio.CancelScope(shield=True):
                    await far.aclose()

    async def _leave(self) -> None:
        if self._lane is not None:
            await self._lane.stream.aclose()
            self._lane = None
