"""Keeps the connection of a streamed call awake while no upstream has begun to answer.

Proxies and clients give up on a connection on which nothing comes, and trying several silent upstreams takes minutes. So
after a while the call is answered 200 with pings, and other upstreams can still take over: no content has gone out. What
is lost is the status and the headers of whoever answers in the end; a failure is then told as an event of the stream.
"""

from __future__ import annotations

import asyncio
from typing import Self

from mohist.gateway import dialect as speech
from mohist.gateway.asgi import Send
from mohist.gateway.registrar import WARNING_HEADER
from mohist.gateway.tally import Call

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Lull:
    """Lasts until the block ends; nothing may be sent within it.

    Args:
        call: marked as begun once the first ping is sent.
        send: to the client.
        after_s: silence before the first ping; 0: there is none.
        every_s: silence between two.
    """

    def __init__(self, call: Call, send: Send, after_s: float, every_s: float) -> None:
        self._call = call
        self._send = send
        self._after_s = after_s
        self._every_s = every_s
        self._timer: asyncio.TimerHandle | None = None
        self._pinging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        envelope = self._call.envelope
        if self._after_s > 0 and envelope is not None and envelope.stream and not self._call.free:
            # A task only for the few calls that need one.
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._begin)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.wait([self._pinging])
            if not self._pinging.cancelled() and (error := self._pinging.exception()) is not None:
                raise error

    def _begin(self) -> None:
        self._pinging = asyncio.ensure_future(self._ping())

    async def _ping(self) -> None:
        warning = [(WARNING_HEADER, self._call.warning)] if self._call.warning else []
        await self._send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *warning]})
        self._call.begun = True
        ping = speech.ping(self._call.dialect)
        while True:
            await self._send({"type": "http.response.body", "body": ping, "more_body": True})
            await asyncio.sleep(self._every_s)
