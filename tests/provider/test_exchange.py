"""What every dialect promises, on real sockets: the last delta, the kinds of failure, what is sent."""

from __future__ import annotations

import itertools
import json
import secrets
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

import anyio
import httpx2
import pytest

from fakes.clock import FakeClock
from fakes.upstream import (
    Call,
    Reply,
    Upstream,
    chat_event,
    chat_wire,
    error_reply,
    messages_event,
    messages_wire,
)
from mohist.provider import (
    Answer,
    AnthropicMessages,
    AssistantMessage,
    Caps,
    Delta,
    Done,
    Failed,
    OpenAIChat,
    Request,
    Secret,
    TextDelta,
    TextPart,
    Timeouts,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
    closing,
)
from mohist.provider.anthropic_messages import MessagesDecoder
from mohist.provider.openai_chat import ChatDecoder
from mohist.provider.sse import SseDecoder

TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
REQUEST = Request("some-model", "You are terse.", (UserMessage("Fix the bug."),), (TOOL,))
CALLS: tuple[Call, ...] = (
    ("call_a", "read", '{"path": "naïve 漢字.py"}'),
    ("call_b", "read", '{"path": "b.py", "n": 12}'),
)
TEXT = "I read both: naïve, 漢字 🎈."


@dataclass(frozen=True)
class Dialect:
    adapter: type[OpenAIChat | AnthropicMessages]
    path: str
    wire: Any
    decoder: Any
    error_event: bytes
    """An overload, told in the middle of a stream."""
    length: str
    filtered: str

    def provider(self, url: str, *, caps: Caps | None = None, key: str = "", idle_s: float = 20.0, **more: Any) -> Any:
        return self.adapter(
            "acme/model",
            url + "/v1",
            Secret(key) if key else None,
            caps or Caps(),
            lambda usage: usage.output_tokens,
            timeouts=Timeouts(connect_s=5, idle_s=idle_s),
            **more,
        )


OPENAI = Dialect(
    OpenAIChat,
    "/v1/chat/completions",
    chat_wire,
    ChatDecoder,
    chat_event({"error": {"type": "server_error", "code": "overloaded_error", "message": "busy"}}),
    "length",
    "content_filter",
)
ANTHROPIC = Dialect(
    AnthropicMessages,
    "/v1/messages",
    messages_wire,
    MessagesDecoder,
    messages_event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    "max_tokens",
    "refusal",
)


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param


async def asked(provider: Any, request: Request = REQUEST) -> list[Delta]:
    """All deltas of one call; closes the provider."""
    with anyio.fail_after(60):
        try:
            deltas = [delta async for delta in provider.stream(request)]
        finally:
            await provider.aclose()
    assert isinstance(deltas[-1], Done | Failed)
    assert not any(isinstance(delta, Done | Failed) for delta in deltas[:-1])
    return deltas


async def failure_of(dialect: Dialect, reply: Reply, request: Request = REQUEST, **more: Any) -> Failed:
    async with Upstream([reply]) as upstream:
        deltas = await asked(dialect.provider(upstream.url, **more), request)
    assert isinstance(deltas[-1], Failed)
    return deltas[-1]


def merged(deltas: list[Delta]) -> tuple[AssistantMessage, Done | Failed | None]:
    answer = Answer(deltas)
    return answer.message, answer.end


WHOLE = AssistantMessage((TextPart(TEXT), *(ToolCall(*call) for call in CALLS)))
WHOLE_END = Done("tool_calls", Usage(100, 0, 0, 7), "served-model")


def parsed(dialect: Dialect, pieces: list[bytes]) -> list[Delta]:
    """Without sockets: bytes through framing and dialect."""
    framing, decoder = SseDecoder(), dialect.decoder("acme", ())
    return [delta for piece in pieces for event in framing.feed(piece) for delta in decoder.feed(event)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_an_answer_split_at_each_byte_is_the_same_answer(dialect, line_end):
    wire = dialect.wire(TEXT, CALLS).replace(b"\n", line_end)
    whole = parsed(dialect, [wire])

    assert merged(whole) == (WHOLE, WHOLE_END)
    for cut in range(1, len(wire)):
        assert parsed(dialect, [wire[:cut], wire[cut:]]) == whole
    assert parsed(dialect, [bytes([byte]) for byte in wire]) == whole


def test_no_beginning_of_an_answer_counts_as_the_whole(dialect):
    wire = dialect.wire(TEXT, CALLS)
    decided = wire.rindex(b'"finish_reason": "tool_calls"' if dialect is OPENAI else b'{"type": "message_stop"')
    for cut in range(decided):
        framing, decoder = SseDecoder(), dialect.decoder("acme", ())
        for event in framing.feed(wire[:cut]):
            assert not any(isinstance(delta, Done | Failed) for delta in decoder.feed(event))
        assert decoder.cut() == []


@pytest.mark.enable_socket
@pytest.mark.parametrize("piece_bytes", [0, 1, 7, 64])
@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_over_a_socket_in_pieces_is_the_same_answer(dialect, piece_bytes, chunked):
    reply = Reply(dialect.wire(TEXT, CALLS), piece_bytes=piece_bytes, chunked=chunked)
    async with Upstream([reply.with_crlf()]) as upstream:
        assert merged(await asked(dialect.provider(upstream.url))) == (WHOLE, WHOLE_END)


@pytest.mark.enable_socket
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_stream_cut_in_the_middle_of_a_call_is_a_network_failure_without_the_call(dialect, chunked):
    wire = dialect.wire(TEXT, CALLS)
    cut_at = wire.rindex(b"b.py")
    async with Upstream([Reply(wire, cut_at=cut_at, chunked=chunked)]) as upstream:
        message, end = merged(await asked(dialect.provider(upstream.url)))

    assert isinstance(end, Failed)
    assert end.kind == "network"
    assert "call_b" not in {call.id for call in message.calls}
    assert message.text == TEXT


@pytest.mark.enable_socket
async def test_silence_longer_than_the_idle_limit_is_a_network_failure(dialect):
    wire = dialect.wire(TEXT)
    failed = await failure_of(dialect, Reply(wire, stall_at=len(wire) // 2), idle_s=0.05)

    assert failed.kind == "network"
    assert "silent" in failed.detail


@pytest.mark.enable_socket
async def test_a_slow_answer_is_no_failure_while_bytes_keep_coming(dialect):
    # Longer than the idle limit in all, never silent for it.
    async with Upstream([Reply(dialect.wire("x" * 900), piece_bytes=1)]) as upstream:
        deltas = await asked(dialect.provider(upstream.url, idle_s=2.0))
    assert isinstance(deltas[-1], Done)


@pytest.mark.enable_socket
async def test_cancelling_hangs_up_and_raises_nothing_else(dialect):
    wire = dialect.wire(TEXT)
    async with Upstream([Reply(wire, stall_at=len(wire) - 60)]) as upstream:
        provider = dialect.provider(upstream.url)
        got: list[Delta] = []
        with anyio.CancelScope() as scope, anyio.fail_after(60):
            async with closing(provider.stream(REQUEST)) as stream:
                async for delta in stream:
                    got.append(delta)
                    scope.cancel()
        with anyio.fail_after(60):
            await upstream.hung_up.wait()
        await provider.aclose()
    assert got
    assert not any(isinstance(delta, Done | Failed) for delta in got)


@pytest.mark.enable_socket
async def test_leaving_the_stream_early_hangs_up(dialect):
    wire = dialect.wire(TEXT)
    async with Upstream([Reply(wire, stall_at=len(wire) - 60)]) as upstream:
        provider = dialect.provider(upstream.url)
        async with closing(provider.stream(REQUEST)) as stream:
            async for _ in stream:
                break
        with anyio.fail_after(60):
            await upstream.hung_up.wait()
        await provider.aclose()


@pytest.mark.enable_socket
async def test_a_port_nobody_listens_on_is_a_network_failure(dialect):
    async with Upstream([]) as upstream:
        url = upstream.url
    deltas = await asked(dialect.provider(url))
    assert deltas == [Failed("network", "acme/model: no connection (Connection refused)")]


@pytest.mark.parametrize(
    ("url", "kind"), [("ftp://localhost", "bad_request"), ("http://[broken", "bad_request"), ("nothing", "bad_request")]
)
async def test_a_base_url_that_is_none_is_said_so(dialect, url, kind):
    (failed,) = await asked(dialect.provider(url))
    assert isinstance(failed, Failed)
    assert failed.kind == kind


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "invalid_request_error", "tools.0: field required", "bad_request"),
        (400, "invalid_request_error", "prompt is too long: 213462 tokens > 200000 maximum", "overflow"),
        (400, "context_length_exceeded", "too much", "overflow"),
        (400, "invalid_request_error", "Your credit balance is too low", "auth"),
        (400, "data_inspection_failed", "Input data may contain inappropriate content.", "content"),
        (401, "authentication_error", "invalid x-api-key", "auth"),
        (402, "", "Insufficient Balance", "auth"),
        (403, "permission_error", "no", "auth"),
        (404, "not_found_error", "model: nope", "bad_request"),
        (408, "timeout", "", "network"),
        (413, "request_too_large", "", "overflow"),
        (429, "rate_limit_error", "Too many tokens per minute, the maximum context length is fine", "rate"),
        (429, "insufficient_quota", "You exceeded your current quota", "auth"),
        (429, "rate_limit_exceeded", "Request too large for m on tokens per min: Limit 1, Requested 2", "overflow"),
        (500, "api_error", "internal", "overload"),
        (500, "", "the request exceeds the available context size", "overflow"),
        (502, "", "", "overload"),
        (503, "service_unavailable", "", "overload"),
        (529, "overloaded_error", "Overloaded", "overload"),
    ],
)
async def test_each_refusal_has_its_kind(dialect, status, code, message, kind):
    failed = await failure_of(dialect, error_reply(status, code, message))
    assert (failed.kind, failed.status) == (kind, status)
    assert str(status) in failed.detail


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ([("retry-after", "7")], 7.0),
        ([("Retry-After", "1.5")], 1.5),
        ([("retry-after-ms", "250"), ("retry-after", "1")], 0.25),
        ([("retry-after", "soon")], None),
        ([("retry-after", "-3")], None),
        ([], None),
    ],
)
async def test_a_refusal_tells_how_long_to_wait(dialect, headers, wait_s):
    failed = await failure_of(dialect, error_reply(429, "rate_limit_error", "slow down", headers))
    assert failed.retry_after_s == wait_s


@pytest.mark.enable_socket
@pytest.mark.parametrize(("seconds", "wait_s"), [(90, 90.0), (-90, 0.0)])
async def test_a_time_to_wait_until_becomes_seconds_from_now(dialect, seconds, wait_s):
    from datetime import UTC, datetime

    clock = FakeClock()
    date = format_datetime(datetime.fromtimestamp(clock.now_ms() / 1000 + seconds, UTC), usegmt=True)
    failed = await failure_of(dialect, error_reply(503, "busy", "", [("retry-after", date)]), clock=clock)
    assert failed.retry_after_s == wait_s


@pytest.mark.enable_socket
async def test_an_error_after_a_good_status_keeps_what_was_used(dialect):
    wire = dialect.wire(TEXT)
    begun = wire.index(b"\n\n", wire.index(b"I read")) + 2
    async with Upstream([Reply(wire[:begun] + dialect.error_event)]) as upstream:
        deltas = await asked(dialect.provider(upstream.url))

    assert isinstance(deltas[0], TextDelta)
    failed = deltas[-1]
    assert isinstance(failed, Failed)
    assert failed.kind == "overload"
    assert failed.usage == (None if dialect is OPENAI else Usage(100, 0, 0, 1))


@pytest.mark.enable_socket
async def test_a_stop_for_length_is_reported_and_the_torso_of_a_call_is_not_ready(dialect):
    cut = (*CALLS[:1], ("call_b", "write", '{"path": "b.py", "text": "half'))
    wire = chat_wire(TEXT, cut, finish="length") if dialect is OPENAI else messages_wire(TEXT, cut, stop=dialect.length)
    async with Upstream([Reply(wire)]) as upstream:
        message, end = merged(await asked(dialect.provider(upstream.url)))

    assert isinstance(end, Done)
    assert end.stop == "length"
    assert [call.id for call in message.calls] == ["call_a"]


async def test_malformed_arguments_of_a_whole_answer_are_handed_on_as_they_are(dialect):
    message, end = merged(parsed(dialect, [dialect.wire("", [("call_a", "read", '{"path": oops}')])]))
    assert message.calls == (ToolCall("call_a", "read", '{"path": oops}'),)
    assert isinstance(end, Done)
    assert end.stop == "tool_calls"


async def test_a_call_without_arguments_has_an_empty_object(dialect):
    message, _ = merged(parsed(dialect, [dialect.wire("", [("call_a", "plan", "")])]))
    assert message.calls == (ToolCall("call_a", "plan", "{}"),)


@pytest.mark.parametrize("given_id", ["", "call_old"])
async def test_an_id_that_is_missing_or_used_before_is_replaced(dialect, given_id):
    before = (
        AssistantMessage((ToolCall("call_old", "read", "{}"),)),
        ToolMessage("call_old", "text"),
    )
    framing, decoder = SseDecoder(), dialect.decoder("acme", before)
    wire = dialect.wire("", [(given_id, "read", '{"path": "a"}'), ("call_new", "read", "{}")])
    message, _ = merged([d for event in framing.feed(wire) for d in decoder.feed(event)])

    first, second = message.calls
    assert first.id not in ("", "call_old", "call_new")
    assert (first.arguments, second.id) == ('{"path": "a"}', "call_new")


async def test_a_content_filter_is_a_content_failure(dialect):
    wire = chat_wire("I", finish=dialect.filtered) if dialect is OPENAI else messages_wire("I", stop=dialect.filtered)
    end = parsed(dialect, [wire])[-1]
    assert isinstance(end, Failed)
    assert end.kind == "content"
    assert end.usage == Usage(100, 0, 0, 7)


async def test_an_answer_that_ran_into_the_context_window_is_an_overflow(dialect):
    stop = "model_context_window_exceeded"
    wire = chat_wire("I", finish=stop) if dialect is OPENAI else messages_wire("I", stop=stop)
    end = parsed(dialect, [wire])[-1]
    assert isinstance(end, Failed)
    assert end.kind == "overflow"


@pytest.mark.enable_socket
async def test_an_empty_answer_is_whole_and_empty(dialect):
    async with Upstream([Reply(dialect.wire(""))]) as upstream:
        message, end = merged(await asked(dialect.provider(upstream.url)))
    assert message.parts == ()
    assert end == Done("end", Usage(100, 0, 0, 7), "served-model")


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"data: {not json\n\n", "text/event-stream", "protocol"),
        (b"data: [1]\n\n", "text/event-stream", "protocol"),
        (b'data: {"type": "content_block_delta", "index": 3, "choices": 7}\n\n', "text/event-stream", "protocol"),
        (b"<html>log in</html>", "text/html; charset=utf-8", "protocol"),
        (b'{"choices": []}', "application/json", "protocol"),
        (b'{"error": {"type": "rate_limit_error", "message": "later"}}', "application/json", "rate"),
        (b"", "text/event-stream", "network"),
    ],
)
async def test_what_is_no_stream_of_the_dialect_is_told(dialect, body, content_type, kind):
    failed = await failure_of(dialect, Reply(body, content_type=content_type))
    assert failed.kind == kind


@pytest.mark.enable_socket
async def test_a_redirect_is_not_followed_and_the_key_stays_here(dialect):
    async with Upstream([]) as other:
        reply = Reply(b"", 307, (("location", other.url + "/v1/messages"),))
        failed = await failure_of(dialect, reply, key="sk-" + secrets.token_hex(8))
        assert other.requests == []
    assert failed.kind == "bad_request"


@pytest.mark.enable_socket
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_no_failure_repeats_the_key_or_what_was_sent(dialect, status):
    key = "sk-" + secrets.token_hex(12)
    secret_text = "the launch code of the second site is 4711, keep it safe"
    request = Request("some-model", "", (UserMessage(f"Remember: {secret_text}"),))
    reply = error_reply(status, "invalid_request_error", f"bad key {key}; input was: Remember: {secret_text}")
    failed = await failure_of(dialect, reply, request, key=key)

    for hidden in (key, "launch code", "4711", "keep it safe"):
        assert hidden not in failed.detail
    assert len(failed.detail) < 400


@pytest.mark.enable_socket
async def test_no_part_of_the_key_gets_out(dialect):
    key = "sk-" + secrets.token_hex(12)
    masked = await failure_of(dialect, error_reply(401, "x", f"Incorrect API key provided: ****{key[-4:]}"), key=key)
    assert key[-4:] not in masked.detail
    at_the_limit = "x" * 230 + key
    cut = await failure_of(dialect, error_reply(400, "invalid_request_error", at_the_limit), key=key)
    assert key[:6] not in cut.detail


def test_a_key_does_not_show_itself():
    key = "sk-" + secrets.token_hex(12)
    secret = Secret(lambda: key + "\n")
    assert key not in f"{secret!r} {secret}"
    assert secret.reveal() == key


@pytest.mark.enable_socket
async def test_the_key_is_read_at_each_call_and_sent_as_the_dialect_wants(dialect):
    keys = iter(["key-one", "key-two"])
    async with Upstream([Reply(dialect.wire("a")), Reply(dialect.wire("b"))]) as upstream:
        provider = dialect.adapter(
            "m", upstream.url, Secret(lambda: next(keys)), Caps(), lambda _: None, headers={"X-Own": "1"}
        )
        for _ in range(2):
            async for _ in provider.stream(REQUEST):
                pass
        await provider.aclose()
        first, second = upstream.requests
    header, prefix = ("authorization", "Bearer ") if dialect is OPENAI else ("x-api-key", "")
    assert first.headers[header] == prefix + "key-one"
    assert second.headers[header] == prefix + "key-two"
    assert first.headers["x-own"] == "1"
    assert ("authorization" in first.headers) + ("x-api-key" in first.headers) == 1


async def test_a_key_with_a_line_break_never_becomes_a_header(dialect):
    (failed,) = await asked(dialect.provider("http://localhost", key="a\r\nx-evil: 1"))
    assert isinstance(failed, Failed)
    assert failed.kind == "auth"
    assert "evil" not in failed.detail


@pytest.mark.enable_socket
async def test_a_given_client_is_used_and_left_open(dialect):
    async with Upstream([Reply(dialect.wire("hi"))]) as upstream, httpx2.AsyncClient(trust_env=False) as client:
        await asked(dialect.provider(upstream.url, client=client))
        assert not client.is_closed
        assert upstream.requests[0].path == dialect.path


@pytest.mark.enable_socket
async def test_the_turns_of_a_run_share_one_connection(dialect):
    async with Upstream([Reply(dialect.wire("a")), error_reply(429, "x", "y"), Reply(dialect.wire("b"))]) as upstream:
        provider = dialect.provider(upstream.url)
        for _ in range(3):
            async with closing(provider.stream(REQUEST)) as stream:
                async for delta in stream:
                    if isinstance(delta, Done | Failed):
                        break
        await provider.aclose()
        assert (len(upstream.requests), upstream.connections) == (3, 1)


@pytest.mark.enable_socket
async def test_a_server_that_never_ends_a_whole_answer_does_not_hold_it_up(dialect):
    wire = dialect.wire("hi")
    async with Upstream([Reply(wire, stall_at=len(wire))]) as upstream:
        assert merged(await asked(dialect.provider(upstream.url)))[1] == Done(
            "end", Usage(100, 0, 0, 7), "served-model"
        )


@pytest.mark.enable_socket
@pytest.mark.parametrize("fields", [{}, {"chunked": False}, {"cut_at": -1}, {"stall_at": -1}])
async def test_an_openai_answer_that_gave_its_finish_reason_is_whole_however_the_stream_ends(fields):
    wire = chat_wire("hi", done=False)
    reply = Reply(wire, **{key: len(wire) if value == -1 else value for key, value in fields.items()})
    async with Upstream([reply]) as upstream:
        end = (await asked(OPENAI.provider(upstream.url, idle_s=1.0)))[-1]
    assert end == Done("end", Usage(100, 0, 0, 7), "served-model")


def turns() -> list[Request]:
    """Three requests of one run, each the one before and more."""
    first = (UserMessage("Fix the bug."),)
    second = (
        *first,
        AssistantMessage((TextPart("Reading."), ToolCall("c1", "read", '{"path": "ü"}'))),
        ToolMessage("c1", "text"),
    )
    third = (
        *second,
        AssistantMessage((ToolCall("c2", "read", "{}"), ToolCall("c3", "read", '{"a": 1}'))),
        ToolMessage("c2", "x"),
        ToolMessage("c3", "y", is_error=True),
        UserMessage("A reminder."),
    )
    return [Request("m", "system", messages, (TOOL,)) for messages in (first, second, third)]


@pytest.mark.enable_socket
@pytest.mark.parametrize("cache", ["automatic", "marks"])
async def test_what_was_sent_is_the_beginning_of_what_is_sent_next(dialect, cache):
    async with Upstream([Reply(dialect.wire("ok"))] * 3) as upstream:
        provider = dialect.provider(upstream.url, caps=Caps(cache=cache))
        for request in turns():
            async for _ in provider.stream(request):
                pass
        await provider.aclose()
        mark = b',"cache_control":{"type":"ephemeral"}'
        bodies = [request.body for request in upstream.requests]

    assert all((mark in body) == (cache == "marks") for body in bodies)
    assert all(body.count(mark) <= 4 for body in bodies)
    plain = [body.replace(mark, b"") for body in bodies]
    for before, after in itertools.pairwise(plain):
        shared = before.removesuffix(b"]}")
        assert after.startswith(shared)
        assert json.loads(after)["messages"][: len(json.loads(before)["messages"])] == json.loads(before)["messages"]


@pytest.mark.enable_socket
async def test_text_that_no_utf8_can_hold_is_still_sent(dialect):
    async with Upstream([Reply(dialect.wire("ok"))]) as upstream:
        provider = dialect.provider(upstream.url)
        (*_, end) = await asked(provider, Request("m", "", (UserMessage("a \ud800 b"),)))
        assert isinstance(end, Done)
        assert "a ? b" in upstream.requests[0].body.decode()


async def test_the_price_is_what_the_caller_gave(dialect):
    assert dialect.provider("http://localhost").cost_microusd(Usage(output_tokens=3)) == 3


async def test_a_key_that_cannot_be_read_is_an_auth_failure(dialect):
    provider = dialect.adapter("m", "http://localhost", Secret(lambda: {}["KEY"]), Caps(), lambda _: None)
    assert await asked(provider) == [Failed("auth", "m: the key can't be read (KeyError)")]


@pytest.mark.parametrize(
    "arguments", ["not json", "[1]", '{"a": NaN}', '{"a": 1e999}', '{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}"]
)
@pytest.mark.enable_socket
async def test_arguments_that_no_server_would_parse_are_handed_back_as_text(dialect, arguments):
    messages = (
        UserMessage("go"),
        AssistantMessage((ToolCall("c1", "read", arguments),)),
        ToolMessage("c1", "malformed arguments", is_error=True),
    )
    async with Upstream([Reply(dialect.wire("ok"))]) as upstream:
        (*_, end) = await asked(dialect.provider(upstream.url), Request("m", "", messages))
        assert isinstance(end, Done)
        answer = upstream.bodies[0]["messages"][1]
    if dialect is OPENAI:
        assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == {"unparsed": arguments}
    else:
        assert answer["content"][0]["input"] == {"unparsed": arguments}
