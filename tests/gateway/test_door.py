"""Calls through the door in their own dialect: bytes, usage, hang-ups, refusals."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
import zstandard

from fakes.gateway import PATIENCE_S, Gateway, at, gateway
from fakes.upstream import Reply, Upstream, chat_wire, messages_event, messages_wire
from mohist.gateway.call import Refusal
from mohist.gateway.key import new_secret
from mohist.gateway.limit import DoorSettings
from mohist.gateway.route import Route
from mohist.provider.message import Usage

pytestmark = pytest.mark.enable_socket

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"


def responses_wire(text: str = "hello") -> bytes:
    """A whole answer of the Responses dialect."""
    usage = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 7}
    events = [
        {"type": "response.created", "response": {"id": "r", "model": "served-model"}},
        {"type": "response.output_text.delta", "delta": text},
        {"type": "response.completed", "response": {"id": "r", "model": "served-model", "usage": usage}},
    ]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


DIALECTS = [
    pytest.param(
        "openai-chat", CHAT, chat_wire("héllo 你好", [("c1", "run", '{"a": 1}')]), Usage(100, 0, 0, 7), id="chat"
    ),
    pytest.param("openai-responses", RESPONSES, responses_wire("héllo 你好"), Usage(60, 40, 0, 7), id="responses"),
    pytest.param(
        "anthropic-messages",
        MESSAGES,
        messages_wire("héllo 你好", [("c1", "run", "{}")], thinking="hm", signature="sig"),
        Usage(100, 0, 0, 7),
        id="messages",
    ),
]
# Odd spacing, key order, big integers, and escapes must survive.
ODD_BODY = b'{ "stream" :true,"stream_options" :{"include_usage": true },"x": 123456789012345678901234567890, "model"\t: "m\\u0031" ,"a":1,"b":1.0, "t":"\\ud83d\\ude00 \xe4\xbd\xa0"}\n'


@pytest.mark.parametrize(("dialect", "path", "wire", "usage"), DIALECTS)
@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
@pytest.mark.parametrize("piece_bytes", [0, 1, 7])
async def test_a_streamed_call_keeps_every_byte_both_ways_and_is_metered(dialect, path, wire, usage, crlf, piece_bytes):
    reply = Reply(wire, piece_bytes=piece_bytes)
    reply = reply.with_crlf() if crlf else reply
    async with Upstream([reply]) as upstream, gateway([Route("m1", (at(upstream.url, dialect),))]) as gate:
        answered = await gate.post(path, ODD_BODY)
        [record] = await gate.keeper.recorded()
    assert (answered.status, answered.whole) == (200, True)
    assert answered.body == reply.body
    assert upstream.requests[0].body == ODD_BODY
    assert record.usage == usage
    assert (record.model_asked, record.model_served, record.upstream) == ("m1", "served-model", "one")
    assert (record.verdict, record.status, record.attempts, record.cancelled) == ("allowed", 200, 1, False)
    assert record.cost_microusd is not None
    assert record.price_row == "test 2026-01-01"


@pytest.mark.parametrize(("dialect", "path"), [("openai-chat", CHAT), ("anthropic-messages", MESSAGES)])
async def test_a_call_that_is_not_streamed_keeps_every_byte_both_ways_and_is_metered(dialect, path):
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "input_tokens": 100, "output_tokens": 7}
    body = b' {"model" :"served-model",  "choices":[],"usage":' + json.dumps(usage).encode() + b"} \n"
    request = b'{"model":"m", "messages":[ ]}'
    async with (
        Upstream([Reply(body, content_type="application/json")]) as upstream,
        gateway([Route("m", (at(upstream.url, dialect),))]) as gate,
    ):
        answered = await gate.post(path, request)
        [record] = await gate.keeper.recorded()
    assert answered.body == body
    assert upstream.requests[0].body == request
    assert record.usage == Usage(100, 0, 0, 7)
    assert record.model_served == "served-model"


@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
@pytest.mark.parametrize("piece_bytes", [0, 1, 7, 50])
async def test_a_chat_stream_that_tells_no_usage_is_asked_for_it_and_the_client_does_not_see_it(crlf, piece_bytes):
    wire = chat_wire("héllo 你好")
    start = wire.index(b'data: {"id": "c", "model": "served-model", "choices": []')
    hidden = wire[:start] + wire[wire.index(b"\n\n", start) + 2 :]
    reply = Reply(wire, piece_bytes=piece_bytes)
    reply, hidden = (reply.with_crlf(), hidden.replace(b"\n", b"\r\n")) if crlf else (reply, hidden)
    body = b' {"model":"m", "stream":true}'
    async with (
        Upstream([reply, reply]) as upstream,
        gateway([Route("m", (at(upstream.url, model="n"),)), Route("o", (at(upstream.url, ask_usage=False),))]) as gate,
    ):
        asked = await gate.post(CHAT, body)
        left_alone = await gate.post(CHAT, body.replace(b'"m"', b'"o"'))
        records = await gate.keeper.recorded(2)
    assert upstream.requests[0].body == b' {"stream_options":{"include_usage":true},"model":"n", "stream":true}'
    assert upstream.requests[1].body == b' {"model":"o", "stream":true}'
    assert asked.body == hidden
    assert left_alone.body == reply.body
    assert records[0].usage == Usage(100, 0, 0, 7)


async def test_only_the_model_changes_where_the_upstream_calls_it_otherwise():
    body = b'{"messages":[{"content":"\\"model\\": \\"m\\"","model":"m"}], "model" : "m" , "stream":false}'
    async with (
        Upstream([Reply(chat_wire("x"))]) as upstream,
        gateway([Route("m", (at(upstream.url, model="other/é"),))]) as gate,
    ):
        await gate.post(CHAT, body)
    assert upstream.requests[0].body == body.replace(b'"model" : "m"', '"model" : "other/é"'.encode())


async def test_headers_that_matter_go_on_and_credentials_do_not():
    upstream_key = "sk-upstream"
    sent = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a-1,b-2"),
        ("x-claude-code-session-id", "s1"),
        ("user-agent", "claude-cli/2.1.330 (external, sdk-cli)"),
        ("cookie", "a=b"),
        ("openai-organization", "org"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("accept-encoding", "gzip"),
    ]
    route = None
    async with Upstream([Reply(messages_wire("x"))]) as upstream:
        route = Route("m", (at(upstream.url, "anthropic-messages", key=upstream_key),))
        async with gateway([route]) as gate:
            await gate.post(MESSAGES + "?beta=true&api_key=zzz", b'{"model":"m","stream":true}', sent)
            [record] = await gate.keeper.recorded()
            key = gate.keeper.key
    [received] = upstream.requests
    assert received.path == "/v1/messages?beta=true"
    assert received.headers["x-api-key"] == upstream_key
    assert received.headers["accept-encoding"] == "identity"
    for name, value in sent[:4]:
        assert received.headers[name] == value
    assert not {"authorization", "cookie", "openai-organization", "x-hop", "connection"} & received.headers.keys()
    assert key not in repr(received)
    assert (record.client, record.session_id) == ("claude-cli/2.1.330", "s1")


async def test_a_key_in_a_place_of_no_key_goes_nowhere_and_is_not_written_down():
    key = new_secret()
    odd = [("x-session-id", key), ("user-agent", key), ("x-auth", f"Bearer {key}"), ("tracestate", f"a={key}")]
    body = json.dumps({"model": "m", "stream": True, "prompt_cache_key": key}).encode()
    async with (
        Upstream([Reply(chat_wire("x"))]) as upstream,
        gateway([Route("m", (at(upstream.url),))]) as gate,
    ):
        answered = await gate.post(f"{CHAT}?a=b&x={key}&y=%6dhk-{key[4:]}", body, odd)
        [record] = await gate.keeper.recorded()
    [received] = upstream.requests
    assert answered.status == 200
    assert received.path == CHAT + "?a=b"
    assert key not in repr(received.headers)
    assert (record.session_id, record.client) == ("", "")


async def test_a_stream_of_no_known_shape_is_no_answer_and_the_next_upstream_is_asked():
    odd = b'data: {"choices": 5}\n\n'
    async with (
        Upstream([Reply(odd)]) as first,
        Upstream([Reply(chat_wire("x"))]) as second,
        gateway([Route("m", (at(first.url), at(second.url, name="two")))]) as gate,
    ):
        answered = await gate.post(CHAT, b'{"model":"m","stream":true}')
    assert answered.status == 200
    assert b"x" in answered.body


@pytest.mark.parametrize("stream", [True, False])
async def test_a_hang_up_closes_the_upstream_at_once_and_is_settled(stream):
    wire = messages_wire("a long answer " * 10)
    body = json.dumps({"model": "m", "stream": stream}).encode()
    reply = Reply(wire, stall_at=700) if stream else Reply(b'{"half":', content_type="application/json", stall_at=8)
    arrived = asyncio.Event()

    def answer(_request):
        arrived.set()
        return reply

    async with (
        Upstream([answer]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))]) as gate,
    ):
        async with gate.open(MESSAGES, body) as talk:
            if stream:
                assert (await talk.head()).status == 200
                await talk.chunk()
            else:
                async with asyncio.timeout(PATIENCE_S):
                    await arrived.wait()
            talk.hang_up()
            async with asyncio.timeout(PATIENCE_S):
                await upstream.hung_up.wait()
        [record] = await gate.keeper.recorded()
    assert record.cancelled
    assert record.usage is not None
    assert record.usage.input_tokens > 0
    assert len(gate.keeper.settled) == 1
    if stream:
        assert record.usage.output_tokens > 1, "what was streamed counts, not what message_start foresaw"


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.ZstdCompressor().compress)],
)
async def test_a_compressed_body_is_undone_and_a_bomb_is_refused(coding, pack):
    body = b'{"model":"m","stream":false}'
    bomb = pack(b'{"model":"m","x":"' + b"0" * 5_000_000 + b'"}')
    async with (
        Upstream([Reply(chat_wire("x"))]) as upstream,
        gateway([Route("m", (at(upstream.url),))], DoorSettings(max_body_bytes=1_000_000)) as gate,
    ):
        answered = await gate.post(CHAT, pack(body), [("content-encoding", coding)])
        bombed = await gate.post(CHAT, bomb, [("content-encoding", coding)])
        torn = await gate.post(CHAT, pack(body)[:-9], [("content-encoding", coding)])
    assert answered.status == 200
    assert upstream.requests[0].body == body
    assert "content-encoding" not in upstream.requests[0].headers
    assert (bombed.status, torn.status) == (413, 400)
    assert len(upstream.requests) == 1


async def test_a_body_of_100_mb_is_refused_before_it_is_sent():
    async with gateway([Route("m", ())]) as gate:
        head = f"POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.keeper.key}\r\n"
        async with gate.raw(f"{head}content-length: 104857600\r\n\r\n".encode()) as talk:
            answered = await talk.rest()
        async with gate.raw(f"{head}transfer-encoding: chunked\r\n\r\n".encode()) as talk:
            piece = b"100000\r\n" + b"0" * 0x100000 + b"\r\n"
            sent = 0
            while not talk.reader._buffer and sent < 100:  # type: ignore[attr-defined]
                talk.writer.write(piece)
                await talk.writer.drain()
                sent += 1
            streamed = await talk.rest()
    assert (answered.status, streamed.status) == (413, 413)
    assert json.loads(answered.body)["error"]["type"] == "request_too_large"
    assert sent < 100


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"model":1}', 400),
        (b'{"model":""}', 400),
        (b'{"model":"m","stream":"yes"}', 400),
        (b'{"model":"m","max_tokens":"many"}', 400),
        (b'{"model":"m","model":"n"}', 400),
        (b'{"model":"m","mod\\u0065l":"n"}', 400),
        (b'{"model":"\xff"}', 400),
        (b'{"model":"unknown"}', 404),
    ],
)
async def test_a_bad_body_is_refused_in_the_dialect_and_recorded_once(body, status):
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        chat = await gate.post(CHAT, body)
        messages = await gate.post(MESSAGES, body)
        records = await gate.keeper.recorded(2)
    assert (chat.status, messages.status) == (status, status)
    assert json.loads(chat.body)["error"]["message"]
    assert json.loads(messages.body)["type"] == "error"
    assert len(records) == 2
    assert {record.verdict for record in records} == {"bad_request"}
    assert not upstream.requests


async def test_a_wrong_or_missing_or_double_key_is_refused():
    async with gateway([Route("m", ())]) as gate:
        wrong = await gate.post(CHAT, b"{}", key="mk-wrong")
        none = await gate.post(MESSAGES, b"{}", key="")
        double = await gate.post(CHAT, b"{}", [("x-api-key", "another")], key=None)
        same = await gate.post(CHAT, b"{}", [("x-api-key", gate.keeper.key)])
    assert (wrong.status, none.status, double.status, same.status) == (401, 401, 400, 400)
    assert json.loads(wrong.body)["error"]["code"] == "invalid_api_key"
    assert json.loads(none.body)["error"]["type"] == "authentication_error"
    assert b"two different keys" in double.body
    assert b"model" in same.body
    assert b"mk-wrong" not in wrong.body


async def test_a_refused_reservation_is_told_with_its_wait_and_never_reaches_an_upstream():
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        gate.keeper.refusal = Refusal("budget", 402, "The budget of team blue is spent until 1 May.", 12.4)
        answered = await gate.post(CHAT, b'{"model":"m"}')
    assert answered.status == 402
    assert answered.headers["retry-after"] == "12"
    assert json.loads(answered.body)["error"]["message"] == "The budget of team blue is spent until 1 May."
    assert [record.verdict for record in gate.keeper.turned_away] == ["budget"]
    assert not upstream.requests


async def test_tokens_are_counted_free_of_charge():
    reply = Reply(b'{"input_tokens": 12}', content_type="application/json")
    async with (
        Upstream([reply]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))]) as gate,
    ):
        answered = await gate.post("/v1/messages/count_tokens?beta=true", b'{"model":"m"}')
        [record] = await gate.keeper.recorded()
    assert answered.body == reply.body
    assert upstream.requests[0].path == "/v1/messages/count_tokens?beta=true"
    assert (record.usage, record.cost_microusd) == (Usage(), 0)
    assert gate.keeper.reserved[0].tokens == 0


async def _plain(gate: Gateway, line: str, *headers: str):
    async with gate.raw("\r\n".join([f"{line} HTTP/1.1", "host: x", *headers, "", ""]).encode()) as talk:
        answered = await talk.head()
        if not line.startswith("HEAD"):
            answered.body = await talk.reader.readexactly(int(answered.headers["content-length"]))
        return answered


async def test_models_probes_and_unknown_paths_answer_in_the_callers_dialect():
    chat, anthropic = at("http://127.0.0.1:9"), at("http://127.0.0.1:9", "anthropic-messages")
    routes = [Route("gpt", (chat,)), Route("claude-x", (anthropic,)), Route("claude-*", (anthropic,))]
    async with gateway(routes) as gate:
        key = gate.keeper.key
        openai = await _plain(gate, "GET /v1/models", f"authorization: Bearer {key}")
        claude = await _plain(gate, "GET /v1/models?limit=1000", f"x-api-key: {key}", "anthropic-version: 2023-06-01")
        assert (await _plain(gate, "GET /v1/models")).status == 401
        assert (await _plain(gate, "HEAD /")).status == 200
        assert (await _plain(gate, "HEAD /api/hello")).status == 200
        assert (await _plain(gate, "GET /healthz")).status == 200
        assert (await _plain(gate, "GET /v1/responses")).status == 405
        upgrade = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13")
        assert (await _plain(gate, "GET /v1/responses", *upgrade)).status == 405
        unknown = await _plain(gate, "GET /nope")
        unknown_claude = await _plain(gate, "GET /nope", "anthropic-version: 2023-06-01")
    assert [model["id"] for model in json.loads(openai.body)["data"]] == ["gpt"]
    assert [model["id"] for model in json.loads(claude.body)["data"]] == ["claude-x"]
    assert json.loads(claude.body)["has_more"] is False
    assert (unknown.status, json.loads(unknown.body)["error"]["code"]) == (404, "not_found")
    assert json.loads(unknown_claude.body)["error"]["type"] == "not_found_error"


async def test_models_that_a_key_is_not_for_are_not_listed():
    chat = at("http://127.0.0.1:9")
    async with gateway([Route("gpt", (chat,)), Route("qwen", (chat,)), Route("kimi", (chat,))]) as gate:
        gate.keeper.unlisted = {("openai-chat", "gpt"), ("openai-responses", "gpt"), ("openai-chat", "kimi")}
        listed = await _plain(gate, "GET /v1/models", f"authorization: Bearer {gate.keeper.key}")
    assert [model["id"] for model in json.loads(listed.body)["data"]] == ["kimi", "qwen"]


@pytest.mark.parametrize(
    ("dialect", "path", "ping"),
    [
        ("openai-chat", CHAT, b": ping\n\n"),
        ("anthropic-messages", MESSAGES, b'event: ping\ndata: {"type": "ping"}\n\n'),
    ],
)
async def test_a_silent_stream_gets_pings_between_events_and_never_within_one(dialect, path, ping):
    wire = chat_wire("hello there") if dialect == "openai-chat" else messages_wire("hello there")
    ends = [end for end in range(len(wire)) if wire[:end].endswith(b"\n\n")]
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
    settings = DoorSettings(ping_after_s=0.02)
    between, within = Reply(wire, stall_at=ends[4]), Reply(wire, stall_at=ends[4] + 9)
    async with (
        Upstream([between, within]) as upstream,
        gateway([Route("m", (at(upstream.url, dialect, idle_timeout_s=0.3),))], settings) as gate,
    ):
        paused = await gate.post(path, body)
        torn = await gate.post(path, body)
    assert paused.body.startswith(wire[: ends[4]] + ping)
    assert b"error" in paused.body.split(ping)[-1]
    assert paused.whole
    assert torn.body == wire[: ends[4] + 9]
    assert not torn.whole


async def test_no_secret_stands_in_errors_records_or_logs(caplog):
    caplog.set_level("DEBUG")
    upstream_key = "sk-" + "s3cr3t" * 4
    echo = Reply(
        json.dumps({"error": {"message": f"bad key {upstream_key}"}}).encode(), 401, content_type="application/json"
    )
    async with Upstream([echo]) as upstream, gateway([Route("m", (at(upstream.url, key=upstream_key),))]) as gate:
        refused = await gate.post(CHAT, b'{"model":"m"}')
        broken = await gate.post(CHAT, b"{", key="mk-" + "wr0ng" * 5)
        records = await gate.keeper.recorded(2)
    told = f"{refused} {broken} {records} {caplog.text} {gate.router.table.routes[0].model}"
    assert refused.status == 502
    for secret in (upstream_key, gate.keeper.key, "wr0ng"):
        assert secret not in told


async def test_an_event_of_8_mb_and_100_equal_deltas_reach_the_client():
    wire = messages_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}) * 100
    wire += b"data: " + b"x" * 9_000_000 + b"\n\n"
    async with (
        Upstream([Reply(wire)]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))]) as gate,
    ):
        answered = await gate.post(MESSAGES, b'{"model":"m","stream":true}')
    assert answered.body == wire


@pytest.mark.parametrize("end", ["\r\n", "\n"])
async def test_headers_that_hide_another_one_never_reach_an_upstream(end):
    async with (
        Upstream([Reply(b"{}", content_type="application/json")] * 5) as upstream,
        gateway([Route("m", (at(upstream.url),))]) as gate,
    ):
        for value in (f"a{end} x-evil: 1", "a\x00b", "a\x0bb", "a\rb"):
            await gate.post(CHAT, b'{"model":"m"}', [("x-thing", value)])
        await gate.post(CHAT + "?a=b%0d%0ax-evil:1", b'{"model":"m"}')
    assert upstream.requests[-1].path.endswith("?a=b%0d%0ax-evil:1")
    for received in upstream.requests:
        assert not any("\r" in value or "\n" in value or "\x00" in value for value in received.headers.values())
        assert "\x0b" not in received.headers.get("x-thing", "")


async def test_a_body_that_never_comes_is_given_up():
    settings = DoorSettings(body_timeout_s=1.0)
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))], settings) as gate:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.keeper.key}\r\ncontent-length: 100\r\n\r\n"
        async with gate.raw(head.encode() + b'{"mod') as talk:
            answered = await talk.rest()
        async with gate.raw(head.encode() + b'{"mod') as talk:
            talk.hang_up()
        records = await gate.keeper.recorded(2)
    assert answered.status == 408
    assert [record.status for record in records] == [408, 499]
    assert not gate.keeper.reserved


async def test_a_bug_in_the_gateway_is_told_without_its_words_and_recorded(caplog):
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:

        def broken(*_):
            raise RuntimeError("secret " + "words")

        gate.router.order = broken  # type: ignore[method-assign]
        answered = await gate.post(CHAT, b'{"model":"m"}')
        [record] = await gate.keeper.recorded()
    assert (answered.status, record.verdict) == (500, "unavailable")
    assert "secret words" not in f"{answered.body!r} {caplog.text}"
    assert len(gate.keeper.settled) == 1


async def test_a_client_that_reads_slowly_gets_every_byte_and_the_gateway_does_not_read_ahead_of_it():
    piece = messages_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a" * 1000})
    wire = piece * 20_000
    async with (
        Upstream([Reply(wire, piece_bytes=65_536)]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))]) as gate,
        gate.open(MESSAGES, b'{"model":"m","stream":true}') as talk,
    ):
        assert (await talk.head()).status == 200
        other = await gate.post(MESSAGES, b"{")
        assert other.status == 400, "others are served meanwhile"
        assert not gate.keeper.settled, "20 MB fit in no buffer on the way"
        body = b""
        while chunk := await talk.chunk():
            body += chunk
    assert body == wire
