"""A key that is revoked while its calls run."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Reply, Upstream, chat_wire, messages_event, messages_wire
from mohist.gateway.call import Refusal
from mohist.gateway.limit import DoorSettings
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
REVOKED = Refusal("auth", 401, "Key key-1 was revoked.")
SETTINGS = DoorSettings(patrol_s=0.02)


@pytest.mark.parametrize(("dialect", "path"), [("openai-chat", CHAT), ("anthropic-messages", MESSAGES)])
@pytest.mark.parametrize("within", [False, True], ids=["between events", "within one"])
async def test_a_stream_is_cut_so_that_nobody_takes_it_for_whole(dialect, path, within):
    wire = chat_wire("hello there") if dialect == "openai-chat" else messages_wire("hello there")
    stall_at = [end for end in range(len(wire)) if wire[:end].endswith(b"\n\n")][4] + (9 if within else 0)
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    async with (
        Upstream([Reply(wire, stall_at=stall_at)]) as upstream,
        gateway([Route("m", (at(upstream.url, dialect),))], SETTINGS) as gate,
        gate.open(path, body) as talk,
    ):
        answered = await talk.head()
        seen = b""
        while len(seen) < stall_at:
            seen += await talk.chunk()
        gate.keeper.revoked = REVOKED
        rest = b""
        try:
            while chunk := await talk.chunk():
                rest += chunk
            whole = True
        except asyncio.IncompleteReadError:
            whole = False
        async with asyncio.timeout(PATIENCE_S):
            await upstream.hung_up.wait()
        [record] = await gate.keeper.recorded()
    assert answered.status == 200
    if within:
        assert (whole, rest) == (False, b"")
    else:
        assert whole
        assert "revoked" in json.loads(rest.split(b"data: ")[1])["error"]["message"]
    assert (record.verdict, record.status, record.cancelled) == ("auth", 200, False)
    assert record.usage is not None
    assert len(gate.keeper.settled) == 1


async def test_a_call_that_is_not_streamed_is_refused_and_its_upstream_left():
    arrived = asyncio.Event()

    def answer(_request):
        arrived.set()
        return Reply(b'{"half":', content_type="application/json", stall_at=8)

    async with (
        Upstream([answer]) as upstream,
        gateway([Route("m", (at(upstream.url),))], SETTINGS) as gate,
        gate.open(CHAT, b'{"model":"m"}') as talk,
    ):
        async with asyncio.timeout(PATIENCE_S):
            await arrived.wait()
        gate.keeper.revoked = REVOKED
        answered = await talk.rest()
        async with asyncio.timeout(PATIENCE_S):
            await upstream.hung_up.wait()
        [record] = await gate.keeper.recorded()
    assert (answered.status, record.status, record.verdict) == (401, 401, "auth")
    assert json.loads(answered.body)["error"]["code"] == "invalid_api_key"


async def test_a_client_that_does_not_read_does_not_keep_a_revoked_call_alive():
    wire = messages_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a" * 1000}) * 20_000
    async with (
        Upstream([Reply(wire, piece_bytes=65_536)]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))], SETTINGS) as gate,
        gate.open(MESSAGES, b'{"model":"m","stream":true}') as talk,
    ):
        await talk.head()
        gate.keeper.revoked = REVOKED
        [record] = await gate.keeper.recorded()
    assert record.verdict == "auth"
