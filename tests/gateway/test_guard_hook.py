"""The place of the guard: what it is shown in both directions, and what its word does."""

from __future__ import annotations

import json
import threading

import pytest

from fakes.gateway import at, gateway
from fakes.guard import MASK, WordGuard
from fakes.upstream import Reply, Upstream, chat_wire, error_reply, messages_wire
from mohist.gateway.guard import Part, Replace
from mohist.gateway.limit import DoorSettings
from mohist.gateway.route import Route
from mohist.gateway.sieve import BlockedError, Sieve, SieveError

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
PATHS = {"openai-chat": CHAT, "openai-responses": RESPONSES, "anthropic-messages": MESSAGES}
WORD = "swordfish"
SAID = "the word is swordfish, and sword is none, nor swordfis"
ARGUMENTS = '{"q": "swordfish 你好"}'


def responses_wire(text: str, arguments: str) -> bytes:
    """A stream of the Responses dialect, which says each text up to four times."""
    events: list[dict[str, object]] = [{"type": "response.created", "response": {"id": "r", "output": []}}]
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    call = {"type": "function_call", "name": "f", "arguments": arguments}
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    events.append({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}})
    events.append({"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": ""}})
    events += [
        {"type": "response.output_text.delta", **place, "delta": text[at : at + 9]} for at in range(0, len(text), 9)
    ]
    events.append({"type": "response.output_text.done", **place, "text": text})
    events.append({"type": "response.content_part.done", **place, "part": message["content"][0]})  # type: ignore[index]
    events.append({"type": "response.output_item.done", "output_index": 0, "item": message})
    fed = {"item_id": "j", "output_index": 1}
    pieces = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
    events += [{"type": "response.function_call_arguments.delta", **fed, "delta": piece} for piece in pieces]
    events.append({"type": "response.function_call_arguments.done", **fed, "arguments": arguments})
    events.append({"type": "response.output_item.done", "output_index": 1, "item": call})
    usage = {"input_tokens": 100, "output_tokens": 7}
    events.append({"type": "response.completed", "response": {"id": "r", "output": [message, call], "usage": usage}})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


WIRES = {
    "openai-chat": chat_wire(SAID, [("c1", "f", ARGUMENTS), ("c2", "f", "{}")], thinking="hm " + SAID),
    "openai-responses": responses_wire(SAID, ARGUMENTS),
    "anthropic-messages": messages_wire(SAID, [("c1", "f", ARGUMENTS)], thinking="hm", signature="sig"),
}
DIALECTS = list(PATHS)


def strained(dialect: str, wire: bytes, guard: WordGuard, size: int) -> bytes:
    follower = guard.inbound(None)  # type: ignore[arg-type]
    assert follower is not None
    sieve = Sieve(dialect, follower)  # type: ignore[arg-type]
    return b"".join(sieve.feed(wire[start : start + size]) for start in range(0, len(wire), size)) + sieve.end()


def texts(wire: bytes) -> dict[str, str]:
    """All that a client puts together from a stream, by where it stands."""
    found: dict[str, str] = {}

    def add(key: str, text: object) -> None:
        if isinstance(text, str):
            found[key] = found.get(key, "") + text

    for line in wire.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        kind = event.get("type")
        for choice in event.get("choices", ()):
            add("text", choice["delta"].get("content"))
            add("thinking", choice["delta"].get("reasoning_content"))
            for call in choice["delta"].get("tool_calls", ()):
                add(f"call {call['index']}", call["function"]["arguments"])
        if kind == "content_block_delta":
            for key in ("text", "thinking", "partial_json"):
                add(key, event["delta"].get(key))
        elif isinstance(kind, str) and kind.endswith(".delta"):
            add(kind, event["delta"])
        elif isinstance(kind, str) and kind.endswith(".done"):
            add(kind, event.get("text") or event.get("arguments"))
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_a_stream_in_which_nothing_is_found_goes_on_byte_for_byte(dialect, crlf, size) -> None:
    wire = WIRES[dialect].replace(b"\n", b"\r\n") if crlf else WIRES[dialect]
    assert strained(dialect, wire, WordGuard("nothing of this"), size) == wire


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_word_split_over_events_is_replaced_everywhere_and_nothing_else_is_lost(dialect, size) -> None:
    wire = WIRES[dialect]
    seen = strained(dialect, wire, WordGuard(WORD), size)
    assert WORD.encode() not in seen.replace(b'","', b"")
    assert texts(seen) == {key: text.replace(WORD, MASK) for key, text in texts(wire).items()}
    assert sum(text.count(MASK) for text in texts(seen).values()) >= 2
    assert seen.count(b"usage") == wire.count(b"usage")


@pytest.mark.parametrize("wire", [chat_wire(WORD), responses_wire(WORD, "{}"), messages_wire(WORD)], ids=DIALECTS)
def test_a_blocked_word_stops_the_stream(wire, request) -> None:
    with pytest.raises(BlockedError, match="may not pass"):
        strained(request.node.callspec.id, wire, WordGuard(WORD, "block"), 100_000)


def test_what_is_held_back_comes_though_a_vendor_leaves_out_the_end_of_a_part() -> None:
    events = [event + b"\n\n" for event in WIRES["openai-responses"].split(b"\n\n") if event]
    ends = (b"event: response.output_text.done", b"event: response.function_call_arguments.done")
    wire = b"".join(event for event in events if not event.startswith(ends))
    seen = strained("openai-responses", wire, WordGuard(WORD), 100_000)
    assert texts(seen) == {key: text.replace(WORD, MASK) for key, text in texts(wire).items()}
    item = seen.index(b"event: response.output_item.done")
    assert seen.rindex(b"event: response.output_text.delta") < item


def test_signed_thinking_is_never_changed() -> None:
    class Changer:
        def feed(self, part: Part, text: str) -> str:
            return text.upper()

        def end(self, part: Part) -> str:
            return ""

    with pytest.raises(SieveError, match="only block"):
        Sieve("anthropic-messages", Changer()).feed(WIRES["anthropic-messages"])


def test_a_guard_that_holds_everything_back_is_at_fault() -> None:
    class Hoarder:
        def feed(self, part: Part, text: str) -> str:
            return ""

        def end(self, part: Part) -> str:
            return ""

    with pytest.raises(SieveError, match="too much"):
        Sieve("openai-chat", Hoarder()).feed(chat_wire("a" * 70_000))


WHOLE = {
    "openai-chat": {
        "choices": [
            {"message": {"content": SAID, "tool_calls": [{"function": {"name": "f", "arguments": ARGUMENTS}}]}},
        ]
    },
    "openai-responses": {
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": SAID}]},
            {"type": "function_call", "arguments": ARGUMENTS},
        ]
    },
    "anthropic-messages": {
        "content": [{"type": "text", "text": SAID}, {"type": "tool_use", "name": "f", "input": json.loads(ARGUMENTS)}]
    },
}


@pytest.mark.enable_socket
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_guard_masks_both_ways_and_the_call_is_metered_as_ever(dialect, stream):
    whole = Reply(json.dumps(WHOLE[dialect]).encode(), content_type="application/json")
    body = json.dumps({"model": "m", "stream": stream, "x": f"a {WORD}"}).encode()
    guard = WordGuard(WORD)
    async with (
        Upstream([Reply(WIRES[dialect], piece_bytes=50) if stream else whole]) as upstream,
        gateway([Route("m", (at(upstream.url, dialect, provider="acme", region="eu"),))], guard=guard) as gate,
    ):
        answered = await gate.post(PATHS[dialect], body, [("x-session-id", "s1"), ("user-agent", "cli/1")])
        [record] = await gate.keeper.recorded()
    assert (answered.status, answered.whole) == (200, True)
    assert WORD not in answered.body.decode()
    assert MASK in answered.body.decode()
    assert WORD.encode() not in upstream.requests[0].body
    [asked] = guard.asked
    assert (asked.principal.user, asked.client, asked.session_id, asked.model) == ("ada", "cli/1", "s1", "m")
    assert (asked.destination.vendor, asked.destination.region, asked.body) == ("acme", "eu", body)
    assert record.verdict == "allowed"
    if stream:
        assert record.usage is not None


@pytest.mark.enable_socket
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_blocked_body_is_refused_in_the_dialect_and_reaches_nobody(dialect):
    guard = WordGuard(WORD, "block")
    async with (
        Upstream([]) as upstream,
        gateway([Route("m", (at(upstream.url, dialect),))], guard=guard) as gate,
    ):
        answered = await gate.post(PATHS[dialect], b'{"model":"m","x":"swordfish"}')
        [record] = await gate.keeper.recorded()
    assert (answered.status, record.verdict, record.attempts) == (400, "guard", 0)
    assert json.loads(answered.body)["error"]["message"] == "This holds what may not pass."
    assert not upstream.requests


@pytest.mark.enable_socket
async def test_what_may_not_go_to_one_upstream_may_go_to_the_next():
    guard = WordGuard(WORD, "block", inwards=False, trusted=frozenset({"home"}))
    good = Reply(b'{"choices":[]}', content_type="application/json")
    async with Upstream([]) as vendor, Upstream([good, error_reply(500, "x", "y")]) as home:
        upstreams = (at(vendor.url, name="vendor"), at(home.url, name="home"))
        async with gateway([Route("m", upstreams)], guard=guard) as gate:
            answered = await gate.post(CHAT, b'{"model":"m","x":"swordfish"}')
            failed = await gate.post(CHAT, b'{"model":"m","x":"swordfish"}')
    assert (answered.status, failed.status) == (200, 500)
    assert not vendor.requests


@pytest.mark.enable_socket
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("how", "status", "words"), [("block", 400, "may not pass"), ("fail", 503, "inspects calls")])
async def test_an_answer_that_may_not_pass_is_cut_or_refused(dialect, how, status, words, caplog):
    guard = WordGuard(WORD, how, outwards=False)
    text = "x" * 200 + "swordfish"
    wire = {
        "openai-chat": chat_wire(text).replace(b"sword", b"swordfish"),
        "openai-responses": responses_wire(text, "{}").replace(b"sword", b"swordfish"),
        "anthropic-messages": messages_wire(text).replace(b"sword", b"swordfish"),
    }[dialect]
    whole = json.dumps(WHOLE[dialect]).encode()
    async with (
        Upstream([Reply(wire, piece_bytes=40), Reply(whole, content_type="application/json")]) as upstream,
        gateway([Route("m", (at(upstream.url, dialect),))], guard=guard) as gate,
    ):
        cut = await gate.post(PATHS[dialect], b'{"model":"m","stream":true}')
        refused = await gate.post(PATHS[dialect], b'{"model":"m"}')
        records = await gate.keeper.recorded(2)
    assert (cut.status, cut.whole, refused.status) == (200, True, status)
    last = json.loads(cut.body.rsplit(b"data: ", 1)[1])
    assert words in last.get("error", last)["message"]
    assert words in json.loads(refused.body)["error"]["message"]
    assert [record.verdict for record in records] == ["guard", "guard"]
    assert all(record.usage != 0 for record in records)
    assert WORD.encode() not in cut.body + refused.body
    assert WORD not in caplog.text
    assert len(gate.keeper.settled) == 2


@pytest.mark.enable_socket
@pytest.mark.parametrize(("setting", "status"), [("closed", 503), ("open", 200)])
async def test_a_guard_that_fails_stops_the_call_unless_it_is_said_otherwise(setting, status):
    guard = WordGuard(WORD, "fail", inwards=False)
    settings = DoorSettings(on_guard_failure=setting)
    good = Reply(b'{"choices":[]}', content_type="application/json")
    async with Upstream([good]) as upstream, gateway([Route("m", (at(upstream.url),))], settings, guard=guard) as gate:
        answered = await gate.post(CHAT, b'{"model":"m","x":"swordfish"}')
    assert answered.status == status
    assert len(upstream.requests) == (status == 200)


@pytest.mark.enable_socket
async def test_a_guard_can_neither_change_the_model_nor_be_kept_from_looking_by_compression():
    class Changer(WordGuard):
        def outbound(self, request):
            return Replace(b'{"model":"n"}')

    packed = Reply(chat_wire("x"), headers=(("content-encoding", "gzip"),))
    body = b'{"model":"m","stream":true}'
    async with Upstream([packed]) as upstream:
        route = Route("m", (at(upstream.url),))
        async with gateway([route], guard=Changer(WORD)) as gate:
            changed = await gate.post(CHAT, body)
        async with gateway([route], guard=WordGuard(WORD)) as gate:
            hidden = await gate.post(CHAT, body)
    assert (changed.status, hidden.status) == (503, 503)
    assert len(upstream.requests) == 1


@pytest.mark.enable_socket
async def test_large_bodies_are_looked_at_in_a_thread():
    guard = WordGuard(WORD)
    good = Reply(b'{"choices":[]}', content_type="application/json")
    async with Upstream([good] * 2) as upstream, gateway([Route("m", (at(upstream.url),))], guard=guard) as gate:
        await gate.post(CHAT, b'{"model":"m"}')
        assert guard.threads == {threading.get_ident()}
        await gate.post(CHAT, json.dumps({"model": "m", "x": "a" * 100_000}).encode())
    assert len(guard.threads) == 2


@pytest.mark.enable_socket
@pytest.mark.parametrize("stream", [False, True])
async def test_a_translated_call_is_looked_at_in_the_words_of_the_client(stream):
    spoken = {"role": "assistant", "content": SAID}
    whole = {"id": "c", "model": "s", "choices": [{"index": 0, "message": spoken, "finish_reason": "stop"}]}
    reply = Reply(chat_wire(SAID)) if stream else Reply(json.dumps(whole).encode(), content_type="application/json")
    asked = {"model": "m", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": f"a {WORD}"}]}
    guard = WordGuard(WORD)
    async with Upstream([reply]) as upstream, gateway([Route("m", (at(upstream.url),))], guard=guard) as gate:
        answered = await gate.post(MESSAGES, json.dumps(asked).encode())
    assert answered.status == 200
    assert MASK in answered.body.decode()
    assert WORD not in answered.body.decode()
    assert guard.asked[0].dialect == "anthropic-messages"
    assert upstream.requests[0].path == "/v1/chat/completions"
    assert WORD.encode() not in upstream.requests[0].body
