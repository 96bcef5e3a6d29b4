"""A small switch for single hosts: one address, releases behind it, and shares of new connections between them.

Turning it is one assignment, so no connection sees something in between. Bytes pass as they are; HTTP/1.1 is only
watched, to know when a connection is between two requests: there it may go on with another release, so that clients
that keep theirs are moved without noticing. What is not HTTP stays with its release until it ends or is drained.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import httptools

_CHUNK = 64 * 1024
_CONNECT_S = 5.0
_LOOK_S = 0.02
_QUIET_S = 0.5
"""What is not HTTP and has moved nothing for so long may be ended when its release goes."""
_SWITCHING, _SUCCESS = 101, 200

Shares = tuple[tuple[str, int, int], ...]
"""Name, port on loopback, weight."""


class _Watch:
    """Counts the requests under way on one connection, from both directions' bytes."""

    def __init__(self) -> None:
        self.opaque = False
        self.keeps = True
        """The last answer did not say that the connection ends with it."""
        self._methods: deque[bytes] = deque()
        self._began = 0
        self._bodyless = False
        self._asked = httptools.HttpRequestParser(_Requests(self))
        self._answered = httptools.HttpResponseParser(_Answers(self))

    @property
    def between(self) -> bool:
        return not self.opaque and self._began == 0

    def goes_in(self, chunk: bytes) -> None:
        self._feed(self._asked, chunk)

    def comes_out(self, chunk: bytes) -> None:
        self._feed(self._answered, chunk)
        if self._bodyless:
            self.ended()
            self._answered = httptools.HttpResponseParser(_Answers(self))

    def _feed(self, parser: httptools.HttpRequestParser | httptools.HttpResponseParser, chunk: bytes) -> None:
        if not self.opaque:
            try:
                parser.feed_data(chunk)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self.opaque = True

    def began(self) -> None:
        self._began += 1

    def named(self) -> None:
        self._methods.append(self._asked.get_method())

    def headed(self) -> None:
        # An answer to HEAD has a length and no body (RFC 9110, 9.3.2); the parser can't know what was asked.
        status = self._answered.get_status_code()
        self._bodyless = status >= _SUCCESS and bool(self._methods) and self._methods[0] == b"HEAD"

    def ended(self) -> None:
        status = self._answered.get_status_code()
        if status < _SUCCESS and status != _SWITCHING:
            return  # 100 Continue and the like: the answer is still to come
        self._bodyless = False
        self.keeps = self._answered.should_keep_alive()
        if self._methods:
            self._methods.popleft()
        self._began = max(0, self._began - 1)


class _Requests:
    def __init__(self, watch: _Watch) -> None:
        self.on_message_begin = watch.began
        self.on_headers_complete = watch.named


class _Answers:
    def __init__(self, watch: _Watch) -> None:
        self.on_headers_complete = watch.headed
        self.on_message_complete = watch.ended


class _Line:
    """One client's connection, and the release that it is connected to just now."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self.reader, self.writer, self.task = reader, writer, task
        self.watch = _Watch()
        self.name = ""
        self.moved_s = time.monotonic()
        self._forth: asyncio.StreamWriter | None = None
        self._pump: asyncio.Task[None] | None = None

    async def connect(self, name: str, port: int) -> None:
        async with asyncio.timeout(_CONNECT_S):
            back, self._forth = await asyncio.open_connection("127.0.0.1", port)
        self.name = name
        self._pump = asyncio.create_task(self._carry_back(back))

    def leave(self) -> None:
        """Gives its release up; the next request finds another."""
        self.name = ""
        if self._pump is not None:
            self._pump.cancel()
        if self._forth is not None:
            self._forth.close()
        self._pump = self._forth = None

    async def send(self, chunk: bytes) -> None:
        assert self._forth is not None
        self.moved_s = time.monotonic()
        self.watch.goes_in(chunk)
        self._forth.write(chunk)
        await self._forth.drain()

    async def finish(self) -> None:
        """The client sends no more; what is still to be answered is."""
        if self._forth is not None and self._pump is not None and not self.watch.between:
            with suppress(OSError):
                self._forth.write_eof()
            await asyncio.wait([self._pump])

    async def _carry_back(self, back: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while chunk := await back.read(_CHUNK):
                self.moved_s = time.monotonic()
                self.watch.comes_out(chunk)
                self.writer.write(chunk)
                await self.writer.drain()
        if self.watch.between and self.watch.keeps:
            self._pump = None
            self.leave()
        else:
            self.writer.close()


class Switch:
    """Listens, and hands each new connection to a release by share.

    Args:
        chance: a number in [0, 1) for each connection.
        now_s: a monotonic clock.
    """

    def __init__(
        self, chance: Callable[[], float] = random.random, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._chance = chance
        self._now_s = now_s
        self._shares: Shares = ()
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begins to listen; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    def turn(self, shares: Shares) -> None:
        """From now on new connections, and kept ones at their next request, go to these."""
        self._shares = tuple(share for share in shares if share[2] > 0)

    async def drain(self, name: str, within_s: float) -> int:
        """Takes every connection off `name` once its requests are answered; returns how many were cut at the end."""
        left_s = within_s
        while left := [line for line in self._lines if line.name == name]:
            over = left_s <= 0
            for line in left:
                if line.watch.between:
                    line.leave()
                elif over or (line.watch.opaque and time.monotonic() - line.moved_s > _QUIET_S):
                    line.task.cancel()
            if over:
                return sum(not line.watch.between for line in left)
            began_s = self._now_s()
            await asyncio.sleep(_LOOK_S)
            # While this process stood still (an overloaded or a paused machine) no answer could pass: that time is not theirs.
            left_s -= min(self._now_s() - began_s, 5 * _LOOK_S)
        return 0

    async def close(self) -> None:
        """Ends listening and every connection."""
        if self._server is not None:
            self._server.close()
        tasks = [line.task for line in self._lines]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _choose(self) -> tuple[str, int] | None:
        point = self._chance() * sum(weight for _, _, weight in self._shares)
        for name, port, weight in self._shares:
            point -= weight
            if point < 0:
                return name, port
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        line = _Line(reader, writer, task)
        self._lines.add(line)
        # Cancelled only by drain and close; the stream's owner would log what it can't know.
        with suppress(OSError, asyncio.CancelledError):
            await self._carry(line)
        self._lines.discard(line)
        line.leave()
        writer.close()

    async def _carry(self, line: _Line) -> None:
        while chunk := await line.reader.read(_CHUNK):
            if line.watch.between and not any(line.name == name for name, _, _ in self._shares):
                line.leave()
                chosen = self._choose()
                if chosen is None:
                    return
                await line.connect(*chosen)
            await line.send(chunk)
        await line.finish()
