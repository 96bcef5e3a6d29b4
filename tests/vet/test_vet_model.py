"""The scripted model: what it is asked is kept as it was written, and it always says the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.streams.stapled import StapledObjectStream

from fakes.vendor_read import read_request
from mohist.sandbox.fence import Asked
from mohist.vet.behaviour.model import Model
from mohist.vet.behaviour.script import LAST_WORDS, SIDE_WORDS, Script, answer
from mohist.vet.behaviour.wire import encode

SCRIPT = Script("/work/README.md")
ASKED = Asked("direct", "gateway.example.com", 80)
READ = {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]}
SHELL = {
    "type": "object",
    "properties": {"command": {"type": "array"}, "why": {"type": "string"}},
    "required": ["command", "why"],
}


@asynccontextmanager
async def line(model: Model) -> AsyncIterator[StapledObjectStream[bytes]]:
    """A connection that the model serves."""
    out_send, out_receive = anyio.create_memory_object_stream[bytes](100)
    in_send, in_receive = anyio.create_memory_object_stream[bytes](100)

    async def serve() -> None:
        async with StapledObjectStream(in_send, out_receive) as theirs:
            await model.serve(theirs, ASKED)

    async with StapledObjectStream(out_send, in_receive) as ours, anyio.create_task_group() as group:
        group.start_soon(serve)
        yield ours
        await out_send.aclose()


def request(value: object, *more: str, path: str = "/v1/chat/completions") -> bytes:
    body = json.dumps(value).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: gateway.example.com", *more, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chat(*messages: dict, tools: bool = True, stream: bool = False) -> dict:
    declared = [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in (("read_file", READ), ("shell", SHELL))
    ]
    return {"model": "m", "stream": stream, "messages": list(messages)} | ({"tools": declared} if tools else {})


async def test_requests_are_kept_byte_for_byte_in_order() -> None:
    model = Model(SCRIPT)
    async with line(model) as stream:
        raw = request(chat(), "x-ODD:  two spaces ", "X-Odd: again")
        for piece in (raw[:30], raw[30:200], raw[200:]):
            await stream.send(piece)
        assert b"200 OK" in await stream.receive()
        await stream.send(b"HEAD /api/hello HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await stream.receive()).endswith(b"\r\n\r\n")
    first, second = model.sent
    assert first.headers[1:3] == (("x-ODD", "  two spaces "), ("X-Odd", " again"))
    assert first.head + b"\r\n\r\n" + first.body == raw
    assert (second.method, second.target, second.headers) == ("HEAD", "/api/hello", (("host", " a"),))
    assert second.at_ms >= first.at_ms >= 0
    assert second.waited_ms >= 0


async def test_chunks_proxy_form_and_compression_are_undone_and_kept() -> None:
    model = Model(SCRIPT)
    body = gzip.compress(json.dumps(chat()).encode())
    head = b"POST http://gateway.example.com/v1/chat/completions?x=1 HTTP/1.1\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with line(model) as stream:
        await stream.send(head + b"%x\r\n%s\r\n%x;e=1\r\n%s\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:]))
        assert b"200 OK" in await stream.receive()
    assert model.sent[0].target == "/v1/chat/completions?x=1"
    assert model.sent[0].body == body
    assert json.loads(model.sent[0].content) == chat()


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/2\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
async def test_what_is_no_http_is_told(raw: bytes) -> None:
    model = Model(SCRIPT)
    async with line(model) as stream:
        await stream.send(raw)
        with anyio.fail_after(60), pytest.raises(anyio.EndOfStream):
            await stream.receive()
    assert model.sent == []
    assert len(model.garbled) == 1


CASES = {
    "openai-chat": (
        chat,
        lambda said: [
            {"role": "assistant", "content": said.text, "tool_calls": [{"id": said.call.call_id, "type": "function", "function": {"name": said.call.name, "arguments": said.call.arguments}}]},
            {"role": "tool", "tool_call_id": said.call.call_id, "content": "ok"},
        ],
    ),
    "anthropic-messages": (
        lambda *messages, tools=True, stream=False: {"model": "m", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "x"}, *messages]}
        | ({"tools": [{"name": "Read", "input_schema": READ}, {"name": "Bash", "input_schema": SHELL}]} if tools else {}),
        lambda said: [
            {"role": "assistant", "content": [{"type": "tool_use", "id": said.call.call_id, "name": said.call.name, "input": json.loads(said.call.arguments)}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": said.call.call_id, "content": "ok"}]},
        ],
    ),
    "openai-responses": (
        lambda *messages, tools=True, stream=False: {"model": "m", "stream": stream, "input": list(messages)}
        | ({"tools": [{"type": "function", "name": "exec_command", "parameters": SHELL}]} if tools else {}),
        lambda said: [
            {"type": "function_call", "call_id": said.call.call_id, "name": said.call.name, "arguments": said.call.arguments},
            {"type": "function_call_output", "call_id": said.call.call_id, "output": "ok"},
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("dialect", CASES)
def test_a_conversation_has_two_calls_and_a_last_word(dialect: str) -> None:
    make, results = CASES[dialect]
    history: list[dict] = []
    for _ in range(2):
        said = answer(dialect, json.dumps(make(*history)).encode(), SCRIPT)
        assert said is not None
        assert said.call is not None
        arguments = json.loads(said.call.arguments)
        assert "/work/README.md" in json.dumps(arguments) or "echo vetted" in json.dumps(arguments)
        history += results(said)
        read_request(dialect, json.dumps(make(*history)).encode(), False)
    last = answer(dialect, json.dumps(make(*history)).encode(), SCRIPT)
    assert last is not None
    assert (last.text, last.call) == (LAST_WORDS, None)
    side = answer(dialect, json.dumps(make(tools=False)).encode(), SCRIPT)
    assert side is not None
    assert side.text == SIDE_WORDS


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", CASES)
def test_the_same_question_has_the_same_answer(dialect: str, stream: bool) -> None:
    make, _ = CASES[dialect]
    question = json.dumps(make(stream=stream)).encode()
    said = [answer(dialect, question, SCRIPT) for _ in range(2)]
    assert said[0] is not None
    assert said[1] is not None
    written = [encode(dialect, one) for one in said if one is not None]
    assert written[0] == written[1]
    assert written[0].startswith(b"{") != stream


def test_what_is_no_request_has_no_answer() -> None:
    assert answer("openai-chat", b"[]", SCRIPT) is None
    assert answer("openai-chat", b"{", SCRIPT) is None
