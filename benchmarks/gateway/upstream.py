"""A model endpoint that costs as little as possible: fixed answers in Chat Completions and Anthropic Messages.

    python upstream.py        prints its port

A streamed answer has as many pieces as the request's `max_tokens` (of `max_tokens: 200` all differ), 20 ms apart.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Any

import httptools
import uvloop

PAUSE_S = 0.02
_USAGE = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "bench",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 20}, "finish_reason": "stop"}],
    "usage": _USAGE,
}
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "bench",
    "content": [{"type": "text", "text": "word " * 20}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 200, "output_tokens": 20},
}
_LIMIT = re.compile(rb'"max_(?:completion_)?tokens": ?(\d+)')


def _whole(value: dict[str, Any]) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _piece(event: str, value: dict[str, Any]) -> bytes:
    name = f"event: {event}\n" if event else ""
    data = f"{name}data: {json.dumps(value)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _chat_chunk(delta: dict[str, Any], finish: str | None = None, usage: Any = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if usage is None else []
    value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": choices}
    return _piece("", value | ({"usage": usage} if usage else {}))


_ANSWERS = {True: _whole(_MESSAGE), False: _whole(_CHAT)}
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class _Endpoint(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body, self._task = b"", bytearray(), None

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, bytearray()

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        anthropic = b"/messages" in self._url
        if b'"stream":true' in self._body or b'"stream": true' in self._body:
            limit = _LIMIT.search(self._body)
            self._task = asyncio.ensure_future(self._stream(anthropic, int(limit[1]) if limit else 20))
        else:
            self._transport.write(_ANSWERS[anthropic])

    async def _stream(self, anthropic: bool, pieces: int) -> None:
        write = self._transport.write
        write(_HEAD)
        if anthropic:
            write(_piece("message_start", {"type": "message_start", "message": _MESSAGE | {"content": []}}))
            block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            write(_piece("content_block_start", block))
        for number in range(pieces):
            await asyncio.sleep(PAUSE_S)
            text = f"word{number} "
            if anthropic:
                delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
                write(_piece("content_block_delta", delta))
            else:
                write(_chat_chunk({"content": text}))
        if anthropic:
            write(_piece("content_block_stop", {"type": "content_block_stop", "index": 0}))
            end = {"stop_reason": "end_turn", "stop_sequence": None}
            write(_piece("message_delta", {"type": "message_delta", "delta": end, "usage": {"output_tokens": pieces}}))
            write(_piece("message_stop", {"type": "message_stop"}))
        else:
            write(_chat_chunk({}, "stop") + _chat_chunk({}, usage=_USAGE))
            write(b"e\r\ndata: [DONE]\n\n\r\n")
        write(b"0\r\n\r\n")


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(_Endpoint, sock=listener)
    print(listener.getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
