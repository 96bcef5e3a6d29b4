"""What clients and upstreams do wrong beyond the faults that failover is about."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Received, Reply, Upstream, chat_event, chat_wire, error_reply, messages_event, messages_wire
from mohist.base import SystemClock
from mohist.gateway.call import Refusal
from mohist.gateway.limit import DoorSettings
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
STREAM = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
GOOD = Reply(b'{"model":"served-model","choices":[],"content":[]}', content_type="application/json")


class JumpingClock(SystemClock):
    """A machine whose wall clock is set while it works."""

    offset_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"\xff\xfe{\x00}\x00",
        b'{"model":"m"} {"model":"n"}',
        b'{"model":"m","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"m","x":NaN}',
        b'{"model":{"name":"m"}}',
        b'{"model":"' + b"m" * 300 + b'"}',
        b'{"model":"m","max_tokens":-1}',
        b'{"model":"m","max_tokens":1e400}',
        b'{"model":"m","stream":1}',
    ],
    ids=range(11),
)
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
async def test_broken_json_and_wrong_types_are_refused_in_the_dialect(body, path):
    async with Upstream([]) as upstream:
        ends = (
            at(upstream.url),
            at(upstream.url, "openai-responses", "two"),
            at(upstream.url, "anthropic-messages", "3"),
        )
        async with gateway([Route("m", ends)]) as gate:
            answered = await gate.post(path, body)
            [record] = await gate.keeper.recorded()
    assert answered.status == 400
    assert json.loads(answered.body)["error"]["message"]
    assert record.verdict == "bad_request"
    assert not upstream.requests


@pytest.mark.parametrize(
    "more",
    ['"messages":5', '"messages":[1,null,{}]', '"tools":"x"', '"tools":[1]', '"metadata":[]', '"n":"x"', '"system":{}'],
)
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
async def test_wrong_types_that_the_gateway_does_not_read_are_the_upstreams_to_refuse(more, path):
    told = error_reply(400, "invalid_request_error", "`messages`: expected a list")
    body = f'{{"model":"m",{more}}}'.encode()
    async with Upstream([told]) as upstream:
        ends = (
            at(upstream.url),
            at(upstream.url, "openai-responses", "two"),
            at(upstream.url, "anthropic-messages", "3"),
        )
        async with gateway([Route("m", ends)]) as gate:
            answered = await gate.post(path, body)
    assert (answered.status, answered.body) == (400, told.body)
    assert upstream.requests[0].body == body


@pytest.mark.parametrize("seconds", [-7200, 7200])
async def test_a_wall_clock_that_is_set_while_a_stream_runs_changes_nothing(seconds):
    clock = JumpingClock()
    wire = messages_wire("hello there")
    settings = DoorSettings(ping_after_s=0.05)

    def answer(_request: Received) -> Reply:
        clock.offset_ms = seconds * 1000
        return Reply(wire, piece_bytes=40)

    async with (
        Upstream([answer, GOOD]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))], settings, clock=clock) as gate,
    ):
        answered = await gate.post(MESSAGES, STREAM)
        again = await gate.post(MESSAGES, b'{"model":"m"}')
        [record, _] = await gate.keeper.recorded(2)
    assert (answered.body, again.status) == (wire, 200)
    assert 0 <= record.duration_ms < PATIENCE_S * 1000
    assert record.first_byte_ms is not None
    assert 0 <= record.first_byte_ms <= record.duration_ms


@pytest.mark.parametrize(
    "kind", ["text/html", "text/plain; charset=utf-8", "application/octet-stream", "", "text/event-streamx"]
)
async def test_a_stream_of_another_content_type_is_handed_on_and_metered(kind):
    wire = chat_wire("hello")
    async with (
        Upstream([Reply(wire, content_type=kind)]) as upstream,
        gateway([Route("m", (at(upstream.url),))]) as gate,
    ):
        answered = await gate.post(CHAT, STREAM)
        [record] = await gate.keeper.recorded()
    assert answered.body == wire
    assert record.usage is not None


async def test_a_page_of_html_with_status_200_is_no_answer_to_a_stream():
    page = Reply(b"<html><body>Please log in</body></html>", content_type="text/html")
    async with Upstream([page]) as portal, Upstream([Reply(chat_wire("hello"))]) as spare:
        upstreams = (at(portal.url), at(spare.url, name="two"))
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(CHAT, STREAM)
    assert answered.body == chat_wire("hello")


async def test_bytes_that_are_no_utf8_go_through_and_confuse_nobody():
    wire = chat_event({"choices": [{"delta": {"content": "a"}}]})
    wire += b'data: {"choices":[{"delta":{"content":"\xe4\xbd"}}]}\n\n' + chat_wire("b")
    async with (
        Upstream([Reply(wire, piece_bytes=1)]) as upstream,
        gateway([Route("m", (at(upstream.url),))]) as gate,
    ):
        answered = await gate.post(CHAT, STREAM)
        [record] = await gate.keeper.recorded()
    assert answered.body == wire
    assert record.usage is not None


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_compresses_though_it_was_asked_not_to_is_never_unpacked(stream):
    bomb = gzip.compress(b"0" * 50_000_000)
    packed = Reply(bomb, headers=(("content-encoding", "gzip"),), content_type="application/json")
    async with Upstream([packed]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        answered = await gate.post(CHAT, STREAM if stream else b'{"model":"m"}')
        [record] = await gate.keeper.recorded()
    assert (answered.body, answered.headers["content-encoding"]) == (bomb, "gzip")
    assert record.usage is None, "unknown, so what was held is charged"


async def test_headers_of_an_upstream_can_neither_break_nor_inject():
    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nx-good: 1\r\n"
            b"x-bell: a\x7fb\r\nset-cookie: a=b\r\nx-mohist-refused: no\r\nconnection: upgrade\r\n\r\n{}"
        )
        writer.close()

    server = await asyncio.start_server(strange, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Upstream([GOOD]) as spare, gateway([Route("m", (at(url), at(spare.url, name="two")))]) as gate:
            answered = await gate.post(CHAT, b'{"model":"m"}')
    assert answered.status == 200
    assert "set-cookie" not in answered.headers
    assert not any("\x7f" in value for value in answered.headers.values())


async def test_an_answer_that_never_ends_is_cut_by_its_size_and_another_upstream_asked(monkeypatch):
    monkeypatch.setattr("mohist.gateway.attempt.MAX_WHOLE_BYTES", 100_000)
    endless = Reply(b'{"x":"' + b"a" * 1_000_000, content_type="application/json", stall_at=1_000_000)
    async with (
        Upstream([endless]) as one,
        Upstream([GOOD]) as two,
        gateway([Route("m", (at(one.url), at(two.url, name="two")))]) as gate,
    ):
        answered = await gate.post(CHAT, b'{"model":"m"}')
        async with asyncio.timeout(PATIENCE_S):
            await one.hung_up.wait()
    assert answered.body == GOOD.body


async def test_no_secret_is_in_any_answer_record_or_log_whatever_fails(caplog):
    caplog.set_level("DEBUG")
    upstream_key = "sk-" + "s3cr3t" * 4
    told = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": f"Incorrect API key: {upstream_key}"},
    }
    quoting = [
        Reply(json.dumps(told).encode(), status, (("x-echo", upstream_key),), content_type="application/json")
        for status in (400, 401, 403, 404, 422, 429, 500)
    ]
    echo = Reply(messages_wire("hi"), headers=(("x-echo", f"Bearer {upstream_key}"),))
    began = Reply(messages_event("error", error=told["error"]))
    cut = Reply(messages_wire("hello there"), cut_at=500)
    async with Upstream([*quoting, began, echo, cut]) as upstream:
        route = Route("m", (at(upstream.url, "anthropic-messages", key=upstream_key),))
        settings = DoorSettings(early_ping_after_s=0)
        async with gateway([route], settings) as gate:
            answers = []
            for _ in range(len(quoting) + 3):
                gate.router._circuits.clear()  # each of them is tried, however many failed before
                answers.append(await gate.post(MESSAGES, STREAM))
            gate.keeper.refusal = Refusal("budget", 402, "The budget is used up.")
            answers.append(await gate.post(MESSAGES, STREAM))
            answers.append(await gate.post(MESSAGES, b"{", key=gate.keeper.key))
            answers.append(await gate.post(MESSAGES, STREAM, [("x-thing", f"a\x01{gate.keeper.key}")]))
            answers.append(await gate.post(f"{MESSAGES}/{gate.keeper.key}", STREAM))
            records = await gate.keeper.recorded(
                len(answers) - 2
            )  # neither an unknown path nor what is no HTTP is a call
            key = gate.keeper.key
    assert len(upstream.requests) == len(quoting) + 3
    assert [answer.status for answer in answers[: len(quoting) + 2]] == [502] * 8 + [200]
    text = f"{answers} {records} {caplog.text}"
    assert upstream_key not in text
    assert key not in text
