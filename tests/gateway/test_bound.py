"""What no client can take more of than its share: connections, headers, time, calls, memory."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Reply, Upstream, chat_wire, messages_wire
from mohist.gateway.limit import ConnectionLimits, DoorSettings
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
GOOD = Reply(b'{"model":"served-model","choices":[],"content":[]}', content_type="application/json")
STREAM = b'{"model":"m","stream":true}'


@pytest.mark.parametrize(
    "sent", [b"", b"POS", b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-slow: ", b"GET / HTTP/1.1\r\n"]
)
async def test_a_client_that_dribbles_its_headers_is_turned_away_while_others_are_served(sent):
    limits = ConnectionLimits(header_timeout_s=0.2, keep_alive_s=1)
    async with (
        Upstream([GOOD]) as upstream,
        gateway([Route("m", (at(upstream.url),))], None, limits) as gate,
        gate.raw(sent) as slow,
    ):
        assert (await gate.post(CHAT, b'{"model":"m"}')).status == 200
        async with asyncio.timeout(PATIENCE_S):
            told = await slow.reader.read()
    assert told.startswith(b"HTTP/1.1 408 ") if sent else told == b""


async def test_a_client_that_goes_on_sending_a_header_line_by_line_is_turned_away_too():
    limits = ConnectionLimits(header_timeout_s=0.3)
    async with gateway([], None, limits) as gate, gate.raw(b"GET / HTTP/1.1\r\n") as slow:
        async with asyncio.timeout(PATIENCE_S):
            reading = asyncio.ensure_future(slow.reader.read())
            while not reading.done():
                slow.writer.write(b"x-a: b\r\n")
                await asyncio.wait([reading], timeout=0.02)
            told = reading.result()
    assert told.startswith(b"HTTP/1.1 408 ")


async def test_a_second_request_on_a_connection_has_the_same_bounds():
    limits = ConnectionLimits(header_timeout_s=1.0, max_header_bytes=2000)
    request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
    async with gateway([], None, limits) as gate:
        async with gate.raw(request + b"\r\n") as talk:
            await talk.rest()
            talk.writer.write(request)
            assert (await talk.rest()).status == 408
        async with gate.raw(request + b"\r\n") as talk:
            await talk.rest()
            talk.writer.write(request + b"x-long: " + b"a" * 2000 + b"\r\n\r\n")
            assert (await talk.rest()).status == 431


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nx-long: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"x-a: 123456789\r\n" * 5_000 + b"\r\n",
        b"GET /healthz?" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nx-endless: " + b"a" * 400_000,
    ],
    ids=["long", "many", "url", "endless"],
)
async def test_headers_over_their_bound_are_refused(head):
    async with gateway([]) as gate, gate.raw(head) as talk:
        answered = await talk.rest()
    assert answered.status == 431
    assert json.loads(answered.body)["error"]["message"]


async def test_headers_just_under_their_bound_and_a_body_of_20_mb_pass():
    body = b'{"model":"m","x":"' + b"a" * 20_000_000 + b'"}'
    async with Upstream([GOOD]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        answered = await gate.post(CHAT, body, [("x-long", "a" * 60_000)])
    assert answered.status == 200
    assert upstream.requests[0].body == body


async def test_connections_beyond_the_bound_are_turned_away_and_room_comes_back():
    limits = ConnectionLimits(max_connections=3)
    ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    async with gateway([], None, limits) as gate:
        async with gate.raw(ask) as one, gate.raw(ask) as two, gate.raw(ask) as three:
            for talk in (one, two, three):
                assert (await talk.rest()).status == 200
            async with gate.raw(ask) as four:
                refused = await four.rest()
        async with asyncio.timeout(PATIENCE_S):
            again = refused
            while again.status != 200:
                async with gate.raw(ask) as talk:
                    again = await talk.rest()
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")


async def test_connections_of_one_address_have_a_bound_of_their_own():
    limits = ConnectionLimits(max_connections_per_peer=1)
    ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    async with gateway([], None, limits) as gate, gate.raw(ask) as one:
        assert (await one.rest()).status == 200
        async with gate.raw(ask) as two:
            assert (await two.rest()).status == 503


async def test_an_idle_connection_is_closed():
    async with (
        gateway([], None, ConnectionLimits(keep_alive_s=1)) as gate,
        gate.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n") as talk,
    ):
        await talk.rest()
        async with asyncio.timeout(PATIENCE_S):
            assert await talk.reader.read() == b""


async def test_a_body_that_dribbles_is_given_up_though_no_pause_is_long():
    settings = DoorSettings(body_timeout_s=5, body_total_s=0.2)
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))], settings) as gate:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.keeper.key}\r\ncontent-length: 1000000\r\n\r\n"
        async with gate.raw(head.encode()) as talk, asyncio.timeout(PATIENCE_S):
            reading = asyncio.ensure_future(talk.rest())
            while not reading.done():
                talk.writer.write(b"a")
                await asyncio.wait([reading], timeout=0.02)
            answered = reading.result()
    assert answered.status == 408


@pytest.mark.parametrize(
    ("settings", "status"), [(DoorSettings(max_calls=1), 503), (DoorSettings(max_calls_per_key=1), 429)]
)
async def test_calls_beyond_the_bound_wait_outside_before_their_body_is_read(settings, status):
    stalled = Reply(messages_wire("hello"), stall_at=500)
    async with (
        Upstream([stalled, GOOD]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))], settings) as gate,
    ):
        async with gate.open(MESSAGES, STREAM) as talk:
            await talk.head()
            head = (
                f"POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.keeper.key}\r\ncontent-length: 9000\r\n\r\n"
            )
            async with gate.raw(head.encode()) as second:
                refused = await second.rest()
        await gate.keeper.recorded(2)
        assert (await gate.post(MESSAGES, b'{"model":"m"}')).status == 200
    assert (refused.status, refused.headers["retry-after"]) == (status, "1")
    assert json.loads(refused.body)["type"] == "error"


async def test_bodies_of_all_calls_together_have_a_bound_and_room_comes_back():
    settings = DoorSettings(max_buffered_bytes=3_000_000)
    body = b'{"model":"m","stream":true,"x":"' + b"a" * 2_000_000 + b'"}'
    stalled = Reply(chat_wire("hello"), stall_at=500)
    async with (
        Upstream([stalled, Reply(chat_wire("x"))]) as upstream,
        gateway([Route("m", (at(upstream.url),))], settings) as gate,
    ):
        async with gate.open(CHAT, body) as talk:
            await talk.head()
            refused = await gate.post(CHAT, body)
        await gate.keeper.recorded(2)
        assert (await gate.post(CHAT, body)).status == 200
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    assert b"MiB" in refused.body


async def test_whole_answers_of_all_calls_together_have_a_bound_that_is_no_fault_of_the_upstream():
    settings = DoorSettings(max_buffered_bytes=1_000_000)
    large = Reply(b'{"model":"m","x":"' + b"a" * 2_000_000 + b'"}', content_type="application/json")
    async with (
        Upstream([large] * 4 + [GOOD]) as upstream,
        Upstream([]) as spare,
        gateway([Route("m", (at(upstream.url), at(spare.url, name="two")))], settings) as gate,
    ):
        refused = [await gate.post(CHAT, b'{"model":"m"}') for _ in range(4)]
        answered = await gate.post(CHAT, b'{"model":"m"}')
    assert [one.status for one in refused] == [503] * 4
    assert answered.status == 200
    assert not spare.requests


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on():
    body = b'{"model":"m"}'
    async with Upstream([GOOD]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {gate.keeper.key}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gate.url.rpartition(":")[2]))
        async with asyncio.timeout(60):
            writer.write(f"{head}expect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
