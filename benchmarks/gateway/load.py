"""Sends requests and waits for their answers, with as little of its own work as possible."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httptools

_CODE = (
    "def handler(request, limit=10):\n    rows = [row for row in request.rows if row.size < limit]\n    return rows\n"
)


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent: path and body."""

    path: str
    body: bytes

    def request(self, key: str) -> bytes:
        """The bytes on the wire; the key in both of the ways in which clients show it."""
        name = "x-api-key: " if "messages" in self.path else "authorization: Bearer "
        head = f"POST {self.path} HTTP/1.1\r\nhost: gateway\r\nuser-agent: bench/1.0\r\n{name}{key}\r\n"
        head += f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        return head.encode() + self.body


def small(stream_pieces: int = 0) -> Call:
    """A chat request of 0.8 kB."""
    words = "Say in one sentence what this function does and whether it can be called twice. " * 8
    return Call("/v1/chat/completions", _body([{"role": "user", "content": words}], stream_pieces))


def agent(stream_pieces: int = 0) -> Call:
    """The 200 kB of a coding agent in its fortieth turn: system prompt, tools, calls and their results."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": "Fix the failing test in handler.py."}]
    for number in range(36):
        use = {
            "type": "tool_use",
            "id": f"toolu_{number:04}",
            "name": "read",
            "input": {"path": f"src/part{number}.py"},
        }
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": f"# part {number}\n" + _CODE * 40}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    schema = {"type": "object", "properties": {"path": {"type": "string", "description": "File. " * 30}}}
    tools = [{"name": f"tool{n}", "description": "Does one thing. " * 60, "input_schema": schema} for n in range(12)]
    body = {"system": [{"type": "text", "text": "You are a coding agent. " * 650}], "tools": tools}
    return Call("/v1/messages", _body(turns, stream_pieces, body))


def _body(messages: list[dict[str, Any]], stream_pieces: int, more: dict[str, Any] | None = None) -> bytes:
    body = {"model": "bench", "max_tokens": stream_pieces or 64, "messages": messages, **(more or {})}
    return json.dumps(body | ({"stream": True} if stream_pieces else {})).encode()


class Line(asyncio.Protocol):
    """One kept connection, one call at a time."""

    def __init__(self) -> None:
        self.status = 0
        self.first_s = 0.0
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the gateway closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        if not self.first_s and (b"word" in part or b"content_block_delta" in part):
            self.first_s = time.perf_counter()

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        assert self._done is not None
        self._done.set_result(None)
        self._parser = httptools.HttpResponseParser(self)

    async def call(self, request: bytes) -> None:
        """Sends and waits for the end of the answer; raises ConnectionError when it is none."""
        self._done = asyncio.get_running_loop().create_future()
        self.first_s = 0.0
        self._transport.write(request)
        await self._done
        if self.status != 200:
            raise ConnectionError(f"status {self.status}")

    def close(self) -> None:
        self._transport.close()


async def opened(port: int) -> Line:
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line


async def saturate(port: int, request: bytes, calls: int, lines: int) -> float:
    """Seconds that `calls` take over `lines` connections at once."""
    left = iter(range(calls))

    async def work() -> None:
        line = await opened(port)
        for _ in left:
            await line.call(request)
        line.close()

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(lines)))
    return time.perf_counter() - begin


async def pace(ports: dict[str, int], requests: dict[str, bytes], calls: int, pause_s: float) -> dict[str, list[float]]:
    """Milliseconds of single calls at a low rate, all ports in turn."""
    lines = {name: await opened(port) for name, port in ports.items()}
    taken: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(calls + 3):
        for name, line in lines.items():
            await asyncio.sleep(pause_s)
            begin = time.perf_counter()
            await line.call(requests[name])
            if number >= 3:  # the first ones fill caches and pools
                taken[name].append((time.perf_counter() - begin) * 1000)
    for line in lines.values():
        line.close()
    return taken


async def streams(port: int, request: bytes, lines: int) -> list[float]:
    """Milliseconds until the first piece, of streams that run side by side."""
    opened_lines = [await opened(port) for _ in range(lines)]
    begin = time.perf_counter()
    await asyncio.gather(*(line.call(request) for line in opened_lines))
    taken = [(line.first_s - begin) * 1000 for line in opened_lines]
    for line in opened_lines:
        line.close()
    return taken
