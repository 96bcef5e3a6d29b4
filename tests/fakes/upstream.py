"""A model endpoint on loopback that answers what a test wrote, byte for byte.

A raw asyncio server: it can split the stream anywhere, cut it, fall silent, and say what no well-behaved
HTTP framework would. Tests that use it carry `@pytest.mark.enable_socket`.

    async with Upstream([Reply(chat_wire("hello"))]) as upstream:
        OpenAIChat("fake", upstream.url + "/v1", …)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

Call = tuple[str, str, str]
"""Id, name, arguments as JSON text."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "text/event-stream"
    piece_bytes: int = 0
    """The body comes in chunks of so many bytes; 0: all at once."""
    cut_at: int | None = None
    """The connection breaks after so many bytes of the body."""
    stall_at: int | None = None
    """After so many bytes of the body nothing comes any more; the connection stays."""
    chunked: bool = True
    """False: no transfer coding, the end of the connection is the end of the body, so that a cut looks like an end."""

    def with_crlf(self) -> Reply:
        """The same with CRLF line ends."""
        return replace(self, body=self.body.replace(b"\n", b"\r\n"))


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Upstream:
    """Answers request N with reply N; a callable is given the request. What is not scripted is a 500.

    Args:
        replies: in order.
        port: 0 takes a free one.
    """

    def __init__(self, replies: Iterable[Reply | Callable[[Received], Reply]], port: int = 0) -> None:
        self._port = port
        self._replies = list(replies)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Received] = []
        self.hung_up = asyncio.Event()
        """Set when a client went away in the middle of an answer."""
        self.url = ""
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.json for request in self.requests]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while received := await _read_request(reader):
                self.requests.append(received)
                if not await self._answer(received, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Sends the next reply; False when the connection is done with."""
        scripted = self._replies.pop(0) if self._replies else error_reply(500, "scripted", "no reply is scripted")
        reply = scripted(received) if callable(scripted) else scripted
        coding = ("transfer-encoding", "chunked") if reply.chunked else ("connection", "close")
        head = [f"HTTP/1.1 {reply.status} Scripted", f"content-type: {reply.content_type}", ": ".join(coding)]
        head += [": ".join(pair) for pair in reply.headers]
        writer.write("\r\n".join([*head, "", ""]).encode())
        limits = [limit for limit in (reply.cut_at, reply.stall_at) if limit is not None]
        body = reply.body[: min(limits, default=len(reply.body))]
        size = reply.piece_bytes or len(body) or 1
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.chunked else piece)
            await writer.drain()
        if reply.stall_at is not None:
            await reader.read()  # until the client hangs up
            self.hung_up.set()
            return False
        if reply.cut_at is not None or not reply.chunked:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body)


def error_reply(status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """An error with the envelope that OpenAI and Anthropic share."""
    body = {"type": "error", "error": {"type": code, "message": message}}
    return Reply(json.dumps(body).encode(), status, tuple(headers), content_type="application/json")


def chat_event(value: object) -> bytes:
    """One event of the OpenAI dialect."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def chat_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One chunk of the OpenAI dialect."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return chat_event(
        {"id": "c", "object": "chat.completion.chunk", "model": "served-model", "choices": [choice]} | more
    )


def chat_wire(
    text: str = "",
    calls: Sequence[Call] = (),
    *,
    thinking: str = "",
    finish: str | None = None,
    usage: dict[str, Any] | None = None,
    done: bool = True,
) -> bytes:
    """A whole answer of the OpenAI dialect; calls come interleaved, in fragments by index."""
    out = [chat_chunk({"role": "assistant", "content": ""})]
    out += [chat_chunk({"reasoning_content": piece}) for piece in pieces(thinking)]
    out += [chat_chunk({"content": piece}) for piece in pieces(text)]
    for index, (call_id, name, _) in enumerate(calls):
        opening = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        out.append(chat_chunk({"tool_calls": [opening]}))
    fragments = [[(index, piece) for piece in pieces(arguments)] for index, (_, _, arguments) in enumerate(calls)]
    for row in range(max(map(len, fragments), default=0)):
        for column in fragments:
            if row < len(column):
                index, piece = column[row]
                out.append(chat_chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    out.append(chat_chunk({}, finish or ("tool_calls" if calls else "stop")))
    told = {"prompt_tokens": 100, "completion_tokens": 7} if usage is None else usage
    out.append(chat_event({"id": "c", "model": "served-model", "choices": [], "usage": told}))
    if done:
        out.append(b"data: [DONE]\n\n")
    return b"".join(out)


def messages_event(kind: str, **data: Any) -> bytes:
    """One event of the Anthropic dialect."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | data, ensure_ascii=False)}\n\n".encode()


def messages_block(index: int, block: dict[str, Any], deltas: Iterable[dict[str, Any]]) -> bytes:
    """One content block of the Anthropic dialect."""
    out = [messages_event("content_block_start", index=index, content_block=block)]
    out += [messages_event("content_block_delta", index=index, delta=delta) for delta in deltas]
    out.append(messages_event("content_block_stop", index=index))
    return b"".join(out)


def messages_wire(
    text: str = "",
    calls: Sequence[Call] = (),
    *,
    thinking: str = "",
    signature: str = "",
    redacted: str = "",
    stop: str | None = None,
    usage: dict[str, Any] | None = None,
    end_usage: dict[str, Any] | None = None,
) -> bytes:
    """A whole answer of the Anthropic dialect, with a ping in it."""
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if thinking:
        deltas: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(thinking)]
        deltas += [{"type": "signature_delta", "signature": piece} for piece in pieces(signature)]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if redacted:
        blocks.append(({"type": "redacted_thinking", "data": redacted}, []))
    if text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(text)]))
    for call_id, name, arguments in calls:
        fragments = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments)]
        blocks.append(({"type": "tool_use", "id": call_id, "name": name, "input": {}}, fragments))
    start_usage = {"input_tokens": 100, "output_tokens": 1} if usage is None else usage
    message = {"id": "m", "role": "assistant", "model": "served-model", "content": [], "usage": start_usage}
    out = [messages_event("message_start", message=message), messages_event("ping")]
    out += [messages_block(index, block, deltas) for index, (block, deltas) in enumerate(blocks)]
    delta = {"stop_reason": stop or ("tool_use" if calls else "end_turn"), "stop_sequence": None}
    out.append(messages_event("message_delta", delta=delta, usage=end_usage or {"output_tokens": 7}))
    out.append(messages_event("message_stop"))
    return b"".join(out)


def pieces(text: str, size: int = 9) -> list[str]:
    """`text` in pieces of `size` characters."""
    return [text[start : start + size] for start in range(0, len(text), size)]
