"""Byte streams that can be looked into, are counted, and join two sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.stapled import StapledByteStream

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.limit import FenceLimits

_CHUNK_BYTES = 65536
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)
"""How the other side of a stream ends, politely or not."""


class Meter:
    """Counts what passes, and stops it beyond a bound.

    Args:
        spend: told of each chunk's size; raises FencedError where the whole fence's bound is reached.
    """

    def __init__(self, most_bytes: int, spend: Callable[[int], None]) -> None:
        self._most_bytes = most_bytes
        self._spend = spend
        self.sent_bytes = 0
        self.received_bytes = 0

    def send(self, count: int) -> None:
        """Of the program's. Raises FencedError `budget`."""
        self.sent_bytes += count
        self._check(count)

    def receive(self, count: int) -> None:
        """Of the other side's. Raises FencedError `budget`."""
        self.received_bytes += count
        self._check(count)

    def _check(self, count: int) -> None:
        if self._most_bytes and self.sent_bytes + self.received_bytes > self._most_bytes:
            raise FencedError("budget", f"The connection carried more than {self._most_bytes} bytes.")
        self._spend(count)


class Peeked(ByteStream):
    """A stream whose first bytes can be looked at before they are taken; counts what is taken and given.

    Args:
        meter: None counts nothing.
    """

    def __init__(self, stream: ByteStream, meter: Meter | None = None) -> None:
        self._stream = stream
        self._waiting = b""
        self._meter = meter

    @property
    def seen(self) -> bytes:
        """What was looked at and not taken yet."""
        return self._waiting

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self._stream.extra_attributes

    async def peek(self, most_bytes: int) -> bytes:
        """Waits for more bytes than were seen; all that were. Raises anyio.EndOfStream, FencedError `too-long`."""
        if len(self._waiting) >= most_bytes:
            raise FencedError("too-long", f"More than {most_bytes} bytes before it was said what is wanted.")
        self._waiting += await self._stream.receive(_CHUNK_BYTES)
        return self._waiting

    def take(self, count: int) -> bytes:
        """Of what was seen."""
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def receive(self, max_bytes: int = _CHUNK_BYTES) -> bytes:
        data = self.take(max_bytes) if self._waiting else await self._stream.receive(max_bytes)
        if self._meter is not None:
            self._meter.send(len(data))
        return data

    async def send(self, item: bytes) -> None:
        if self._meter is not None:
            self._meter.receive(len(item))
        await self._stream.send(item)

    async def send_eof(self) -> None:
        with suppress(NotImplementedError):  # TLS can't end one side
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def join(client: ByteStream, server: ByteStream, limits: FenceLimits) -> None:
    """Copies both ways until both sides have ended, one broke off, or nothing moved for a while."""
    last_s = anyio.current_time()

    async def copy(source: ByteStream, target: ByteStream) -> None:
        nonlocal last_s
        while True:
            wait_s = last_s + limits.idle_s - anyio.current_time() if limits.idle_s else math.inf
            if wait_s <= 0:
                group.cancel_scope.cancel()
                return
            with anyio.move_on_after(wait_s):
                try:
                    data = await source.receive(_CHUNK_BYTES)
                except anyio.EndOfStream:
                    break
                last_s = anyio.current_time()
                await target.send(data)
        try:
            with suppress(*GONE):
                await target.send_eof()
        except NotImplementedError:  # TLS can't end one side
            group.cancel_scope.cancel()

    broken: FencedError | None = None

    async def guarded(source: ByteStream, target: ByteStream) -> None:
        nonlocal broken
        try:
            await copy(source, target)
        except GONE:
            group.cancel_scope.cancel()
        except FencedError as error:
            broken = error
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(guarded, client, server)
        group.start_soon(guarded, server, client)
    if broken is not None:
        raise broken


def pipe() -> tuple[ByteStream, ByteStream]:
    """Two ends of a stream within this process."""
    return _pair()


class _Feed:
    """One direction: chunks in a queue of one, cut to what the reader takes."""

    def __init__(self) -> None:
        self.sender, self.receiver = anyio.create_memory_object_stream[bytes](1)
        self.rest = b""


class _Reader(anyio.abc.ByteReceiveStream):
    def __init__(self, feed: _Feed) -> None:
        self._feed = feed

    async def receive(self, max_bytes: int = _CHUNK_BYTES) -> bytes:
        feed = self._feed
        if not feed.rest:
            feed.rest = await feed.receiver.receive()
        taken, feed.rest = feed.rest[:max_bytes], feed.rest[max_bytes:]
        return taken

    async def aclose(self) -> None:
        self._feed.receiver.close()


class _Writer(anyio.abc.ByteSendStream):
    def __init__(self, feed: _Feed) -> None:
        self._feed = feed

    async def send(self, item: bytes) -> None:
        if item:
            await self._feed.sender.send(item)

    async def aclose(self) -> None:
        self._feed.sender.close()


def _pair() -> tuple[ByteStream, ByteStream]:
    there, back = _Feed(), _Feed()
    return (
        StapledByteStream(_Writer(there), _Reader(back)),
        StapledByteStream(_Writer(back), _Reader(there)),
    )
