"""Reads HTTP/1 requests off a stream without losing how they were written."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

HEAD_BYTES = 256 * 1024
BODY_BYTES = 64 * 1024**2


class IntakeError(Exception):
    """What came is no HTTP/1 request."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request, and when its head was there."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at_s: float
    """By the event loop's clock."""


class Intake:
    """Requests of one connection, one after the other."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffered = BufferedByteReceiveStream(stream)

    async def next(self) -> Arrived | None:
        """The next request; None: the other side is done.

        Raises:
            IntakeError: it is malformed, too large, or ends in the middle.
        """
        try:
            head = await self._buffered.receive_until(b"\r\n\r\n", HEAD_BYTES)
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.IncompleteRead):
            return None
        except anyio.DelimiterNotFound:
            raise IntakeError("a head of more than 256 KiB") from None
        at_s = anyio.current_time()
        first, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1"):
            raise IntakeError("no HTTP/1 request line")
        headers = tuple((name, value) for name, _, value in (line.partition(":") for line in lines))
        values = {name.lower(): value.strip() for name, value in headers}
        if values.get("expect", "").lower() == "100-continue":
            await self._stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = await self._body(values)
        except (ValueError, anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound) as error:
            raise IntakeError(f"a body that ends early or is malformed ({type(error).__name__})") from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return None
        return Arrived(words[0], _origin_form(words[1]), words[2], headers, body, at_s)

    async def _body(self, values: dict[str, str]) -> bytes:
        if "chunked" in values.get("transfer-encoding", "").lower():
            return await self._chunks()
        size = int(values.get("content-length") or 0)
        if not 0 <= size <= BODY_BYTES:
            raise ValueError(size)
        return await self._buffered.receive_exactly(size) if size else b""

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = await self._buffered.receive_until(b"\r\n", HEAD_BYTES)
            size = int(line.partition(b";")[0], 16)
            if not 0 <= size <= BODY_BYTES - len(body):
                raise ValueError(size)
            if size == 0:
                while await self._buffered.receive_until(b"\r\n", HEAD_BYTES):
                    pass  # trailers
                return bytes(body)
            body += await self._buffered.receive_exactly(size)
            await self._buffered.receive_exactly(2)


def _origin_form(target: str) -> str:
    """A proxy is told scheme and host in the target, RFC 9112 section 3.2.2; the request is the same."""
    scheme, mark, rest = target.partition("://")
    if not mark or not scheme.isalpha():
        return target
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"
