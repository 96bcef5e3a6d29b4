"""Streamed calls whose upstreams are silent before they answer at all."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Received, Reply, Upstream, chat_wire, error_reply, messages_wire
from mohist.gateway.call import Refusal
from mohist.gateway.limit import DoorSettings
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
STREAM = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
PINGS = {"openai-chat": b": ping\n\n", "anthropic-messages": b'event: ping\ndata: {"type": "ping"}\n\n'}
WIRES = {"openai-chat": chat_wire("hello there"), "anthropic-messages": messages_wire("hello there")}
PATHS = {"openai-chat": CHAT, "anthropic-messages": MESSAGES}
SETTINGS = DoorSettings(early_ping_after_s=0.05, ping_after_s=0.05, patrol_s=0.05)
SILENT = Reply(b"", stall_at=0)
DIALECTS = list(PATHS)


def _without_pings(body: bytes, dialect: str) -> bytes:
    pings = 0
    while body.startswith(PINGS[dialect]):
        body = body[len(PINGS[dialect]) :]
        pings += 1
    assert pings
    return body


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_client_gets_pings_and_then_the_answer_of_the_upstream_that_took_over(dialect):
    async with Upstream([SILENT]) as silent, Upstream([Reply(WIRES[dialect])]) as spare:
        upstreams = (at(silent.url, dialect, first_byte_timeout_s=0.4), at(spare.url, dialect, "two"))
        async with gateway([Route("m", upstreams)], SETTINGS) as gate:
            answered = await gate.post(PATHS[dialect], STREAM)
            [record] = await gate.keeper.recorded()
    assert (answered.status, answered.whole) == (200, True)
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert _without_pings(answered.body, dialect) == WIRES[dialect]
    assert (record.upstream, record.attempts, record.verdict) == ("two", 2, "allowed")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("last", "status", "words"),
    [
        (error_reply(429, "rate_limit_error", "slow down"), 429, "slow down"),
        (error_reply(400, "invalid_request_error", "what?"), 400, "what?"),
        (Reply(b"", cut_at=0), 502, "No upstream of this model answered"),
        (Reply(b'{"choices":[],"content":[]}', content_type="application/json"), 200, "no stream"),
    ],
    ids=["429", "400", "cut", "not streamed"],
)
async def test_a_late_failure_is_an_event_of_the_stream(dialect, last, status, words):
    async with Upstream([SILENT]) as silent, Upstream([last]) as spare:
        upstreams = (at(silent.url, dialect, first_byte_timeout_s=0.4), at(spare.url, dialect, "two"))
        async with gateway([Route("m", upstreams)], SETTINGS) as gate:
            answered = await gate.post(PATHS[dialect], STREAM)
            [record] = await gate.keeper.recorded()
    assert (answered.status, answered.whole) == (200, True)
    event = _without_pings(answered.body, dialect)
    assert words in json.loads(event.partition(b"data: ")[2])["error"]["message"]
    assert event.count(b"\n\n") == 1
    assert record.status == status


async def test_a_call_that_is_not_streamed_gets_its_status_however_late():
    async with Upstream([SILENT]) as silent, Upstream([error_reply(429, "x", "slow down")]) as spare:
        upstreams = (at(silent.url, idle_timeout_s=0.3), at(spare.url, name="two"))
        async with gateway([Route("m", upstreams)], SETTINGS) as gate:
            answered = await gate.post(CHAT, b'{"model":"m"}')
    assert answered.status == 429


async def test_a_hang_up_and_a_revoked_key_end_the_wait():
    arrived = [asyncio.Event(), asyncio.Event()]

    def silent(number: int):
        def answer(_request: Received) -> Reply:
            arrived[number].set()
            return SILENT

        return answer

    async with Upstream([silent(0), silent(1)]) as one, gateway([Route("m", (at(one.url),))], SETTINGS) as gate:
        async with gate.open(CHAT, STREAM) as talk:
            await talk.head()
            talk.hang_up()
            [left] = await gate.keeper.recorded()
        async with gate.open(CHAT, STREAM) as talk, asyncio.timeout(PATIENCE_S):
            await talk.head()
            gate.keeper.revoked = Refusal("auth", 401, "Key key-1 was revoked.")
            body = b""
            while chunk := await talk.chunk():
                body += chunk
        records = await gate.keeper.recorded(2)
    assert left.cancelled
    assert b"was revoked" in _without_pings(body, "openai-chat")
    assert (records[1].verdict, records[1].status) == ("auth", 401)
    assert len(gate.keeper.settled) == 2
