"""What the gateway does when an upstream fails: before the first byte, at it, and after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Reply, Upstream, chat_event, chat_wire, error_reply, messages_event, messages_wire
from mohist.gateway.call import Dialect
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket

PATHS: dict[Dialect, str] = {"openai-chat": "/v1/chat/completions", "anthropic-messages": "/v1/messages"}
WIRES: dict[Dialect, bytes] = {
    "openai-chat": chat_wire("hello there"),
    "anthropic-messages": messages_wire("hello there"),
}
STREAM, WHOLE = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}', b'{"model":"m"}'
OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}
START = messages_event("message_start", message={"model": "served-model", "usage": {"input_tokens": 3}})
GOOD = Reply(b'{"model":"served-model","choices":[],"content":[]}', content_type="application/json")


def _json(status: int, value: object, **headers: str) -> Reply:
    return Reply(json.dumps(value).encode(), status, tuple(headers.items()), content_type="application/json")


FAULTS = [
    *(
        pytest.param(error_reply(status, "x", "y"), id=str(status))
        for status in (401, 402, 403, 408, 429, 500, 502, 503, 529)
    ),
    pytest.param(Reply(status=302, headers=(("location", "/x"),)), id="redirect"),
    pytest.param(Reply(b"", cut_at=0), id="cut at once"),
    pytest.param(Reply(b"", stall_at=0), id="silent after its headers"),
    pytest.param(Reply(b""), id="empty"),
    pytest.param(Reply(b": hello\n\n"), id="only a comment"),
]


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", list(PATHS))
async def test_a_fault_before_the_first_byte_is_answered_by_the_next_upstream(fault, dialect):
    good = Reply(WIRES[dialect])
    async with Upstream([fault]) as bad, Upstream([good]) as spare:
        upstreams = (at(bad.url, dialect, first_byte_timeout_s=0.3), at(spare.url, dialect, "two"))
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(PATHS[dialect], STREAM)
            [record] = await gate.keeper.recorded()
    assert (answered.status, answered.body) == (200, good.body)
    assert (record.upstream, record.attempts, record.status) == ("two", 2, 200)
    assert bad.requests[0].body == spare.requests[0].body == STREAM


@pytest.mark.parametrize(
    ("dialect", "wire"),
    [
        ("anthropic-messages", messages_event("error", error=OVERLOADED)),
        ("anthropic-messages", START + messages_event("ping") + messages_event("error", error=OVERLOADED)),
        ("anthropic-messages", START),
        ("anthropic-messages", START[:40]),
        ("openai-chat", chat_event({"error": OVERLOADED})),
        (
            "openai-chat",
            chat_event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
            + chat_event({"error": OVERLOADED}),
        ),
    ],
)
async def test_a_stream_that_fails_before_its_first_content_is_answered_by_the_next_upstream(dialect, wire):
    good = Reply(WIRES[dialect])
    async with Upstream([Reply(wire, piece_bytes=11)]) as bad, Upstream([good]) as spare:
        upstreams = (at(bad.url, dialect), at(spare.url, dialect, "two"))
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(PATHS[dialect], STREAM)
    assert answered.body == good.body


async def test_a_dead_address_and_a_server_that_speaks_no_http_are_passed_over():
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-x\r\n\r\n")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    babbler = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with babbler, Upstream([Reply(WIRES["openai-chat"])]) as spare:
        port = babbler.sockets[0].getsockname()[1]
        dead = at(f"http://127.0.0.1:{_closed_port()}")
        upstreams = (dead, at(f"http://127.0.0.1:{port}", name="two"), at(spare.url, name="three"))
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(PATHS["openai-chat"], STREAM)
            [record] = await gate.keeper.recorded()
    assert (answered.status, record.upstream, record.attempts) == (200, "three", 3)


@pytest.mark.parametrize(
    "fault",
    [
        Reply(GOOD.body, content_type="application/json", cut_at=9),
        _json(200, {"type": "error", "error": OVERLOADED}),
        error_reply(500, "x", "y"),
    ],
    ids=["cut", "error with status 200", "500"],
)
async def test_an_answer_that_is_not_streamed_is_whole_or_from_the_next_upstream(fault):
    async with (
        Upstream([fault]) as bad,
        Upstream([GOOD]) as spare,
        gateway([Route("m", (at(bad.url), at(spare.url, name="two")))]) as gate,
    ):
        answered = await gate.post(PATHS["openai-chat"], WHOLE)
    assert (answered.status, answered.body) == (200, GOOD.body)


async def test_the_last_upstreams_own_error_is_passed_on_with_the_shortest_wait():
    first = error_reply(429, "rate_limit_error", "slow down", (("retry-after", "20"), ("anthropic-ratelimit-x", "1")))
    second = error_reply(529, "overloaded_error", "busy", (("retry-after", "60"),))
    async with Upstream([first]) as one, Upstream([second]) as two:
        upstreams = (at(one.url, "anthropic-messages"), at(two.url, "anthropic-messages", "two"))
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(PATHS["anthropic-messages"], STREAM)
            again = await gate.post(PATHS["anthropic-messages"], STREAM)
            records = await gate.keeper.recorded(2)
    assert (answered.status, answered.body) == (429, first.body)
    assert (answered.headers["retry-after"], answered.headers["anthropic-ratelimit-x"]) == ("20", "1")
    assert (again.status, again.headers["retry-after"]) == (429, "20")
    assert len(one.requests) == len(two.requests) == 1, "an upstream that asked for rest is left alone"
    assert [record.verdict for record in records] == ["allowed", "rate"]
    assert len(gate.keeper.settled) == 2


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_clients_own_mistake_is_passed_on_verbatim_and_not_tried_again(status):
    reply = error_reply(status, "invalid_request_error", "`messages.0.content`: …", (("request-id", "r1"),))
    async with (
        Upstream([reply]) as one,
        Upstream([GOOD]) as two,
        gateway([Route("m", (at(one.url), at(two.url, name="two")))]) as gate,
    ):
        answered = await gate.post(PATHS["openai-chat"], STREAM)
    assert (answered.status, answered.body, answered.headers["request-id"]) == (status, reply.body, "r1")
    assert not two.requests


async def test_a_stream_that_begins_with_an_error_is_passed_on_when_nobody_else_is_left():
    reply = Reply(messages_event("error", error=OVERLOADED))
    async with Upstream([reply]) as one, gateway([Route("m", (at(one.url, "anthropic-messages"),))]) as gate:
        answered = await gate.post(PATHS["anthropic-messages"], STREAM)
    assert answered.body == reply.body


async def test_nobody_answering_is_told_in_the_dialect():
    async with gateway([Route("m", (at(f"http://127.0.0.1:{_closed_port()}", "anthropic-messages"),))]) as gate:
        answered = await gate.post(PATHS["anthropic-messages"], STREAM)
        [record] = await gate.keeper.recorded()
    assert answered.status == 502
    assert json.loads(answered.body)["error"]["type"] == "api_error"
    assert (record.verdict, record.status, record.upstream) == ("unavailable", 502, "")
    assert len(gate.keeper.settled) == 1


@pytest.mark.parametrize("cut", ["between", "within", "in a character"])
async def test_an_upstream_that_goes_away_after_the_first_byte_is_never_taken_for_a_whole_answer(cut):
    wire = messages_wire("hello 你好 you")
    between = wire.index(b"event: content_block_stop")
    at_byte = {"between": between, "within": between + 20, "in a character": wire.index("你".encode()) + 1}[cut]
    async with Upstream([Reply(wire, cut_at=at_byte)]) as one, Upstream([GOOD]) as two:
        upstreams = (at(one.url, "anthropic-messages"), at(two.url, "anthropic-messages", "two"))
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(PATHS["anthropic-messages"], STREAM)
            [record] = await gate.keeper.recorded()
    assert not two.requests
    assert answered.body[:at_byte] == wire[:at_byte]
    if cut == "between":
        assert answered.body[at_byte:].startswith(b"event: error\n")
    else:
        assert (answered.whole, len(answered.body)) == (False, at_byte)
    assert record.usage is not None
    assert record.usage.input_tokens == 100


async def test_an_upstream_killed_under_load_costs_no_client_an_error():
    calls = 120
    killed = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack, Upstream([GOOD] * calls) as spare:
        victim = await stack.enter_async_context(Upstream([GOOD] * calls))
        async with gateway([Route("m", (at(victim.url), at(spare.url, name="two")))]) as gate:

            async def client() -> list[int]:
                statuses = []
                for turn in range(calls // 20):
                    if turn == 2:
                        killed.set()
                    statuses.append((await gate.post(PATHS["openai-chat"], WHOLE)).status)
                return statuses

            async def killer() -> None:
                await killed.wait()
                await stack.aclose()

            async with asyncio.timeout(PATIENCE_S):
                *answers, _ = await asyncio.gather(*(client() for _ in range(20)), killer())
            records = await gate.keeper.recorded(calls)
    assert [status for statuses in answers for status in statuses] == [200] * calls
    assert {record.upstream for record in records} == {"one", "two"}
    assert len(records) == calls


async def test_a_session_stays_with_the_upstream_that_took_it_over():
    async with (
        Upstream([error_reply(500, "x", "y"), *[GOOD] * 3]) as one,
        Upstream([GOOD] * 3) as two,
        gateway([Route("m", (at(one.url), at(two.url, name="two")))]) as gate,
    ):
        for _ in range(2):
            await gate.post(PATHS["openai-chat"], WHOLE, [("x-claude-code-session-id", "s1")])
        await gate.post(PATHS["openai-chat"], b'{"model":"m","prompt_cache_key":"s2"}')
        records = await gate.keeper.recorded(3)
    assert [record.upstream for record in records] == ["two", "two", "one"]
    assert [record.session_id for record in records] == ["s1", "s1", "s2"]


async def test_connections_are_kept_and_a_stale_one_is_replaced_unseen():
    served = 0

    async def fickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request, then closes on the next without a word."""
        nonlocal served
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n" + WHOLE)
            served += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            await reader.readuntil(b"\r\n\r\n" + WHOLE)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(fickle, "127.0.0.1", 0)
    async with server, Upstream([GOOD] * 3) as steady:
        fickle_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with gateway([Route("m", (at(fickle_url),)), Route("n", (at(steady.url, name="two"),))]) as gate:
            statuses = [(await gate.post(PATHS["openai-chat"], WHOLE)).status for _ in range(3)]
            for _ in range(3):
                await gate.post(PATHS["openai-chat"], b'{"model":"n"}')
            records = await gate.keeper.recorded(6)
    assert (statuses, served) == ([200] * 3, 3)
    assert {record.attempts for record in records} == {1}
    assert steady.connections == 1


@pytest.mark.parametrize(
    ("base", "path"), [("", "/v1/messages"), ("/v1/", "/v1/messages"), ("/apps/a", "/apps/a/v1/messages")]
)
async def test_an_anthropic_address_works_with_and_without_its_version(base, path):
    async with Upstream([GOOD]) as one:
        end = replace(at(one.url, "anthropic-messages"), base_url=one.url + base)
        broken = replace(end, name="broken", base_url="localhost:80")
        async with gateway([Route("m", (broken, end))]) as gate:
            answered = await gate.post("/v1/messages", WHOLE)
    assert (answered.status, one.requests[0].path) == (200, path)
