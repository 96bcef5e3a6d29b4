"""A scripted model on loopback: OpenAI Chat Completions, streamed or not, with the times of each request.

It answers the n-th request with the n-th answer, whatever is asked, and stamps when a request was wholly received
and when its answer was wholly sent. What lies between an answer and the next request is the client's own time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_PIECE_CHARS = 24


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says once: words, a call, or both."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Exchange:
    """One request and its answer; times are `time.monotonic()` of this process."""

    received_s: float
    size_bytes: int
    sent_s: float = 0.0
    streamed: bool = False


class Upstream:
    """Serves one script to one client; a context manager that owns its thread and socket."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = list(answers)
        self.exchanges: list[Exchange] = []
        self.first_body: dict[str, Any] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def gaps_s(self) -> list[float]:
        """Answer sent to next request received, in the order of the turns."""
        pairs = zip(self.exchanges, self.exchanges[1:], strict=False)
        return [after.received_s - before.sent_s for before, after in pairs]


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            exchange = Exchange(time.monotonic(), len(raw))
            body = json.loads(raw)
            if not upstream.exchanges:
                upstream.first_body = body
            number = min(len(upstream.exchanges), len(upstream.answers) - 1)
            upstream.exchanges.append(exchange)
            whole = _completion(upstream.answers[number], number, body.get("model", ""))
            if body.get("stream"):
                exchange.streamed = True
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in _events(whole):
                    self._chunk(f"data: {json.dumps(event)}\n\n")
                self._chunk("data: [DONE]\n\n")
                self._chunk("")
            else:
                data = json.dumps(whole).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            exchange.sent_s = time.monotonic()

        def _chunk(self, text: str) -> None:
            data = text.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    return Handler


def _completion(answer: Answer, number: int, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool:
        function = {"name": answer.tool, "arguments": json.dumps(answer.arguments)}
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if answer.tool else "stop"}],
        "usage": {"prompt_tokens": 1000 + number, "completion_tokens": 20, "total_tokens": 1020 + number},
    }


def _events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The same completion in pieces, as a streaming server sends it."""
    choice = whole["choices"][0]
    message = choice["message"]
    head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def event(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    events = [event({"role": "assistant", "content": ""})]
    events += [event({"content": piece}) for piece in _pieces(message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        opening = call | {"index": index, "function": function | {"arguments": ""}}
        events.append(event({"tool_calls": [opening]}))
        for piece in _pieces(function["arguments"]):
            events.append(event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    events.append(event({}, choice["finish_reason"]))
    events.append(head | {"choices": [], "usage": whole["usage"]})
    return events


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS)]
