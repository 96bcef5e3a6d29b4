"""HTTP/1.1 to the upstreams: pooled connections whose bytes are handed on as they come.

A small client of its own because general ones cost 2 to 25 times the CPU of the whole rest of a call, and some
hold a stream back. It speaks to asyncio's transports directly for the same reason. A response that is closed
before its end aborts its connection, so that the upstream stops working at once.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

Headers = list[tuple[bytes, bytes]]

HIGH_WATER_BYTES = 256 * 1024
"""Read ahead at most so much of a response that the client doesn't take."""
MAX_HEAD_BYTES = 64 * 1024
MAX_IDLE_PER_ORIGIN = 64
IDLE_LIFE_S = 30.0
"""Shorter than the keep-alive of the servers in use (60 s and up), so that few requests meet a closing connection."""


class WireError(Exception):
    """The upstream can't be reached, went away or doesn't speak HTTP. Never leaves this package."""

    def __init__(self, what: str, *, untouched: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.untouched = untouched
        """Not one byte of an answer came."""


class Origin(NamedTuple):
    """Where connections go to."""

    tls: bool
    host: str
    port: int

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, url: str) -> Origin:
        """The origin of an http(s) URL; ValueError for anything else."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http(s) address: {url!r}")
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname, parts.port or (443 if tls else 80))

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class _Connection(asyncio.Protocol):
    """One connection. Legal order: send, head, next*, then send again when `reusable`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        # Asked once: whoever asks has the system asked, too, which process this is.
        self._loop = asyncio.get_running_loop()
        self.closed = False
        self.reusable = False
        self.idle_since_s = 0.0
        self.uses = 0
        self._waiter: asyncio.Future[bool] | None = None
        self._begin()

    def _begin(self) -> None:
        self.headers: Headers = []
        self.status = 0
        self.has_head = False
        self.complete = False
        self.error: WireError | None = None
        self._framed = False
        self._bare_bytes = 0
        self._chunks: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._paused = False
        self._parser = httptools.HttpResponseParser(self)

    def send(self, request: bytes, body: bytes) -> None:
        if self.uses:
            self._begin()
        self.uses += 1
        self.reusable = False
        self.transport.writelines((request, body))  # one call of the system where there were two

    async def head(self, timeout_s: float) -> None:
        """Returns once the head of the answer is there."""
        while not self.has_head:
            if self.error is not None:
                raise self.error
            if not await self._wait(timeout_s):
                raise WireError(f"no answer within {timeout_s:g} s", untouched=True)

    async def next(self, timeout_s: float) -> bytes | None:
        """What has come since the last call; empty at the end, None when `timeout_s` passed in silence."""
        while not self._chunks:
            if self.complete:
                return b""
            if self.error is not None:
                raise self.error
            if not await self._wait(timeout_s):
                return None
        chunk = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered_bytes = 0
        if self._paused:
            self._paused = False
            if not self.closed:
                self.transport.resume_reading()
        return chunk

    async def _wait(self, timeout_s: float) -> bool:
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(timeout_s, _settle, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None:
            _settle(self._waiter, True)

    def _fail(self, what: str) -> None:
        if not self.complete and self.error is None:
            self.error = WireError(what, untouched=self._bare_bytes == 0 and not self.has_head)
        self.reusable = False
        self.closed = True
        self._wake()
        self.transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.complete or not self.uses:
            self._fail("bytes came that nobody asked for")
            return
        if not self.has_head:
            self._bare_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the answer is not HTTP/1.1")
            return
        if not self.has_head and self._bare_bytes > MAX_HEAD_BYTES:
            self._fail("the answer's headers are too long")
        elif self._buffered_bytes > HIGH_WATER_BYTES and not self._paused and not self.closed:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.reusable = False
        if self.has_head and not self._framed and exc is None:
            self.complete = True  # RFC 9112 section 6.3: no framing, the end of the connection is the end of the body
        if not self.complete and self.error is None:
            untouched = self._bare_bytes == 0 and not self.has_head
            self.error = WireError("the connection closed before the end of the answer", untouched=untouched)
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:
            lower = name.lower()
            self._framed = self._framed or lower in (b"content-length", b"transfer-encoding")
            self.headers.append((lower, value))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:  # an interim answer; the real one follows
            self.headers = []
            self._framed = False
            return
        self.has_head = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._chunks.append(body)
            self._buffered_bytes += len(body)
            self._wake()

    def on_message_complete(self) -> None:
        if not self.has_head:
            return
        self.reusable = not self.complete and self._parser.should_keep_alive()
        self.complete = True
        self._wake()


def _settle(waiter: asyncio.Future[bool], value: bool) -> None:
    if not waiter.done():
        waiter.set_result(value)


class Response:
    """An answer whose head has come. Must be closed; closing before the end tells the upstream to stop."""

    __slots__ = ("_connection", "_origin", "_pool", "headers", "status")

    def __init__(self, pool: Pool, origin: Origin, connection: _Connection) -> None:
        self._pool = pool
        self._origin = origin
        self._connection: _Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers

    async def next(self, timeout_s: float) -> bytes | None:
        """What has come since the last call; empty at the end, None when `timeout_s` passed in silence.

        Raises:
            WireError: the connection broke before the end of the body.
        """
        if self._connection is None:
            raise WireError("the response is closed")
        return await self._connection.next(timeout_s)

    def header(self, name: bytes) -> bytes:
        """The first value of a header (lower-case name); empty when there is none."""
        return next((value for key, value in self.headers if key == name), b"")

    def close(self) -> None:
        """Gives the connection back, or breaks it when the answer isn't over."""
        if self._connection is not None:
            self._pool.give_back(self._origin, self._connection)
            self._connection = None


class Pool:
    """Connections to all upstreams.

    Args:
        tls: for https origins; None: the system's certificate authorities.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._idle: dict[Origin, deque[_Connection]] = {}
        self._open: set[_Connection] = set()

    async def request(
        self, origin: Origin, head: bytes, body: bytes, *, connect_timeout_s: float, first_byte_timeout_s: float
    ) -> Response:
        """Sends one request and waits for the head of its answer.

        A kept connection that the server closed in the meantime is replaced once, unseen.

        Raises:
            WireError: no connection, or no answer.
        """
        kept = self._take_idle(origin)
        if kept is not None:
            try:
                return await self._exchange(origin, kept, head, body, first_byte_timeout_s)
            except WireError as error:
                if not (error.untouched and kept.closed):
                    raise
        fresh = await self._connect(origin, connect_timeout_s)
        return await self._exchange(origin, fresh, head, body, first_byte_timeout_s)

    def give_back(self, origin: Origin, connection: _Connection) -> None:
        """Keeps a connection whose answer is over; breaks any other."""
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = deque()
        if connection.reusable and not connection.closed and len(idle) < MAX_IDLE_PER_ORIGIN:
            connection.idle_since_s = time.monotonic()
            idle.append(connection)
        else:
            self._drop(connection)

    def close(self) -> None:
        """Breaks every connection."""
        for connection in list(self._open):
            self._drop(connection)
        self._idle.clear()

    def _take_idle(self, origin: Origin) -> _Connection | None:
        idle = self._idle.get(origin)
        oldest_s = time.monotonic() - IDLE_LIFE_S
        while idle:
            connection = idle.pop()
            if connection.closed or connection.transport.is_closing() or connection.idle_since_s < oldest_s:
                self._drop(connection)
            else:
                return connection
        return None

    async def _connect(self, origin: Origin, timeout_s: float) -> _Connection:
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        tls = self._tls if origin.tls else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(_Connection, origin.host, origin.port, ssl=tls)
        except TimeoutError:
            raise WireError(f"no connection within {timeout_s:g} s", untouched=True) from None
        except OSError as error:
            raise WireError(f"no connection ({type(error).__name__})", untouched=True) from error
        self._open.add(connection)
        return connection

    async def _exchange(
        self, origin: Origin, connection: _Connection, head: bytes, body: bytes, timeout_s: float
    ) -> Response:
        connection.send(head, body)
        try:
            await connection.head(timeout_s)
        except BaseException:
            self._drop(connection)
            raise
        return Response(self, origin, connection)

    def _drop(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.transport.abort()
