"""Every answer of every upstream for clients of every other dialect."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from fakes import answer_wire
from fakes.answer_wire import Said
from fakes.strict_stream import check
from mohist.gateway.call import Dialect
from mohist.gateway.translate import AnswerError, AskFacts, StreamTranslator, translate_reply
from mohist.gateway.translate.answer import read_reply
from mohist.gateway.translate.chat_stream import ChatReader
from mohist.gateway.translate.form import Call, Piece, Reply, Text, Thinking, Tool
from mohist.gateway.translate.messages_stream import MessagesReader
from mohist.gateway.translate.name import Names
from mohist.gateway.translate.order import Order, gathered
from mohist.gateway.translate.reasoning import unwrap
from mohist.gateway.translate.responses_stream import ResponsesReader
from mohist.provider.message import Usage
from mohist.provider.sse import SseDecoder

DIALECTS: tuple[Dialect, ...] = ("openai-chat", "openai-responses", "anthropic-messages")
WAYS = list(itertools.permutations(DIALECTS, 2))
FACTS = AskFacts("asked-model", "c7", 1_700_000_000, usage_asked=True)
PLAIN = AskFacts("again", "c8")

WEATHER = Call("call_a", "weather", '{"city": "上海"}')
CLOCK = Call("call_b", "clock", '{"zone": "UTC"}')

SAYINGS = {
    "text": Said((Text("Hello, wörld 🌍"),)),
    "thinking and text": Said((Thinking("Let me see.", "sig=="), Text("Hello")), reasoning_tokens=12),
    "call": Said((WEATHER,), "tool_calls"),
    "call without arguments": Said((Call("call_a", "now", "{}"),), "tool_calls"),
    "thinking, text and call": Said((Thinking("Let me see.", "sig=="), Text("I look."), WEATHER), "tool_calls"),
    "parallel calls": Said((WEATHER, CLOCK), "tool_calls"),
    "parallel calls in turns": Said((WEATHER, CLOCK), "tool_calls", interleaved=True),
    "length": Said((Text("Hello, wö"),), "length"),
    "filtered": Said((Text("I"),), "refusal"),
    "nothing": Said(()),
    "no usage": Said((Text("Hello"),), usage=None),
}


def reread(dialect: Dialect, stream: bytes) -> Reply:
    """The stream as our own reader sees it."""
    readers = {"openai-chat": ChatReader, "openai-responses": ResponsesReader, "anthropic-messages": MessagesReader}
    reader = readers[dialect]()
    pieces: list[Piece] = [piece for event in SseDecoder().feed(stream) for piece in reader.feed(event)]
    reply = gathered(Order(PLAIN, "openai-responses").put(pieces))
    assert isinstance(reply, Reply)
    return reply


def seen(reply: Reply) -> list[tuple[object, ...]]:
    """The parts as far as every dialect can say them."""
    out: list[tuple[object, ...]] = []
    for part in reply.parts:
        match part:
            case Text():
                out.append(("text", part.text))
            case Thinking():
                out.append(("thinking", part.text))
            case Call():
                arguments = part.arguments if part.freeform else json.loads(part.arguments)
                out.append(("call", part.id, part.namespace, part.name, part.freeform, arguments))
    return out


def streamed(source: Dialect, target: Dialect, upstream: bytes, facts: AskFacts = FACTS) -> bytes:
    translator = StreamTranslator(source, target, facts)
    return translator.feed(upstream) + translator.end()


@pytest.mark.parametrize("name", SAYINGS)
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_stream_is_legal_and_says_what_the_upstream_said(source: Dialect, target: Dialect, name: str) -> None:
    said = SAYINGS[name]
    translator = StreamTranslator(source, target, FACTS)

    out = translator.feed(answer_wire.stream(source, said)) + translator.end()

    assert check(target, out) == "whole"
    reply = reread(target, out)
    assert seen(reply) == seen(Reply("", "", said.parts, said.stop))
    assert reply.stop == said.stop
    assert translator.ended
    assert translator.failed is None
    assert translator.begun_content
    assert translator.model == "served"
    if said.usage is not None:
        assert reply.usage == said.usage == translator.usage


@pytest.mark.parametrize("name", SAYINGS)
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_whole_answer_and_its_stream_say_the_same(source: Dialect, target: Dialect, name: str) -> None:
    said = SAYINGS[name]
    body = translate_reply(answer_wire.whole(source, said), source, target, FACTS)
    of_body = read_reply(body, target, "openai-responses", PLAIN)

    of_stream = reread(target, streamed(source, target, answer_wire.stream(source, said)))

    assert seen(of_body) == seen(of_stream)
    assert (of_body.stop, of_body.usage, of_body.reasoning_tokens) == (
        of_stream.stop,
        of_stream.usage,
        of_stream.reasoning_tokens,
    )
    assert (of_body.id, of_body.model) == (of_stream.id, "asked-model")
    thoughts = [[part for part in reply.parts if isinstance(part, Thinking)] for reply in (of_body, of_stream)]
    assert thoughts[0] == thoughts[1]


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_an_error_in_the_stream_is_the_client_s_kind_of_error(source: Dialect, target: Dialect) -> None:
    translator = StreamTranslator(source, target, FACTS)

    out = translator.feed(answer_wire.begun(source) + answer_wire.error(source)) + translator.end()

    assert check(target, out) == "error"
    assert b"We are overloaded" in out
    assert b"Hel" in out
    assert translator.failed is not None
    assert translator.failed.kind == "overload"
    assert not translator.ended


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_stream_that_begins_with_an_error_has_no_content(source: Dialect, target: Dialect) -> None:
    translator = StreamTranslator(source, target, FACTS)

    out = translator.feed(answer_wire.error(source)) + translator.end()

    assert check(target, out) == "error"
    assert not translator.begun_content


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_stream_that_breaks_off_never_looks_whole(source: Dialect, target: Dialect) -> None:
    whole = answer_wire.stream(source, SAYINGS["thinking, text and call"])
    # A chat answer is whole with its finish reason; before that nothing is.
    last = whole.rindex(b'"finish_reason": "tool_calls"') if source == "openai-chat" else whole.rindex(b"}\n\n")
    for cut in range(0, last, 7):
        out = streamed(source, target, whole[:cut])
        assert check(target, out) == "error", cut


@pytest.mark.parametrize(("source", "target"), WAYS)
@pytest.mark.parametrize(
    "event",
    [b"data: {nonsense\n\n", b"data: [1]\n\n", b'data: "x"\n\n', b"data: " + b"[" * 100_000 + b"\n\n"],
    ids=["no JSON", "a list", "a string", "nesting"],
)
def test_an_event_that_is_no_object_ends_the_stream_with_an_error(
    source: Dialect, target: Dialect, event: bytes
) -> None:
    out = streamed(source, target, answer_wire.begun(source) + event + answer_wire.stream(source, SAYINGS["text"]))

    assert check(target, out) == "error"


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_an_event_that_is_too_large_ends_the_stream_with_an_error(source: Dialect, target: Dialect) -> None:
    translator = StreamTranslator(source, target, FACTS, max_event_bytes=1000)

    out = translator.feed(answer_wire.begun(source) + b"data: " + b"x" * 2000) + translator.end()

    assert check(target, out) == "error"
    assert b"Hel" in out


CODEX_TOOLS = (
    Tool("apply_patch", "", {}, freeform=True),
    Tool("spawn", "", {"type": "object"}, namespace="agents"),
)


@pytest.mark.parametrize("source", ["openai-chat", "anthropic-messages"])
def test_freeform_and_namespaced_tools_come_back_as_the_client_declared_them(source: Dialect) -> None:
    names = Names.of(CODEX_TOOLS)
    facts = AskFacts("gpt", "c9", names=names)
    patch = '*** Begin Patch\n"x" \\ 🌍\n*** End Patch'
    said = Said(
        (
            Call("call_a", "apply_patch", json.dumps({"input": patch})),
            Call("call_b", names.outward("agents", "spawn"), '{"n": 1}'),
        ),
        "tool_calls",
    )

    out = streamed(source, "openai-responses", answer_wire.stream(source, said), facts)
    body = translate_reply(answer_wire.whole(source, said), source, "openai-responses", facts)

    assert check("openai-responses", out) == "whole"
    expected = [
        ("call", "call_a", "", "apply_patch", True, patch),
        ("call", "call_b", "agents", "spawn", False, {"n": 1}),
    ]
    assert seen(reread_raw(out)) == expected
    for items in (body["output"], json.loads(out.split(b"data: ")[-1])["response"]["output"]):
        assert [item["type"] for item in items] == ["custom_tool_call", "function_call"]
        assert "namespace" not in items[0]
        assert items[1]["namespace"] == "agents"


def reread_raw(out: bytes) -> Reply:
    reply = reread("openai-responses", out)
    assert isinstance(reply, Reply)
    return reply


def test_a_freeform_call_of_a_chat_client_s_own_comes_back_from_responses() -> None:
    names = Names.same([Tool("grep", "", {}, freeform=True)])
    said = Said((Call("call_a", "grep", "a b", freeform=True),), "tool_calls")

    out = streamed(
        "openai-responses", "openai-chat", answer_wire.stream("openai-responses", said), AskFacts("m", "c", names=names)
    )

    assert check("openai-chat", out) == "whole"
    assert seen(reread("openai-chat", out)) == [("call", "call_a", "", "grep", True, "a b")]


# Anthropic has no words of refusal apart from text.
@pytest.mark.parametrize(("source", "target"), [way for way in WAYS if way[0] != "anthropic-messages"])
def test_a_refusal_in_the_model_s_own_words_stays_one(source: Dialect, target: Dialect) -> None:
    said = Said((Text("I won't.", refusal=True),), "refusal")

    out = streamed(source, target, answer_wire.stream(source, said))
    body = translate_reply(answer_wire.whole(source, said), source, target, FACTS)

    assert check(target, out) == "whole"
    reply = reread(target, out)
    assert seen(reply) == [("text", "I won't.")]
    # Anthropic's `refusal` is its safety system's word, not the model's.
    stop = "end" if target == "anthropic-messages" else "refusal"
    assert reply.stop == stop == read_reply(body, target, target, PLAIN).stop
    if target != "anthropic-messages":
        (part,) = reply.parts
        assert isinstance(part, Text)
        assert part.refusal
        assert b"content_filter" not in out


@pytest.mark.parametrize("target", ["openai-chat", "openai-responses"])
@pytest.mark.parametrize("stop", ["pause", "window"])
def test_an_answer_that_is_not_finished_is_not_told_as_finished(target: Dialect, stop: Any) -> None:
    said = Said((Text("Hel"),), stop)

    out = streamed("anthropic-messages", target, answer_wire.stream("anthropic-messages", said))

    assert check(target, out) == "whole"
    assert reread(target, out).stop == "length"


# Chat has no place for what is opaque.
@pytest.mark.parametrize(("source", "target"), [way for way in WAYS if way[1] != "openai-chat"])
def test_what_a_model_thought_goes_back_to_its_maker_unchanged(source: Dialect, target: Dialect) -> None:
    opaque = "" if source == "openai-chat" else "sig/+=="
    said = Said((Thinking("Hm.", opaque), Text("Yes")))
    body = translate_reply(answer_wire.whole(source, said), source, target, FACTS)

    if target == "anthropic-messages":
        block = body["content"][0]
        back = unwrap(block["signature"], block["thinking"])
    else:
        item = body["output"][0]
        back = unwrap(item["encrypted_content"], item["summary"][0]["text"])

    item_id = "item_0" if source == "openai-responses" else ""
    assert back == Thinking("Hm.", opaque, source, item_id=item_id)


def test_redacted_thinking_goes_through_a_responses_client() -> None:
    said = Said((Thinking("", "secret-blob", redacted=True), Text("Yes")))
    out = streamed("anthropic-messages", "openai-responses", answer_wire.stream("anthropic-messages", said))

    assert check("openai-responses", out) == "whole"
    item = json.loads(out.split(b"data: ")[-1])["response"]["output"][0]
    assert item["summary"] == []
    assert unwrap(item["encrypted_content"]) == Thinking("", "secret-blob", "anthropic-messages", redacted=True)


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_whole_answer_that_is_an_error_is_told_as_one(source: Dialect, target: Dialect) -> None:
    with pytest.raises(AnswerError) as told:
        translate_reply({"error": {"type": "overloaded_error", "message": "busy"}}, source, target, FACTS)
    assert told.value.broken.kind == "overload"
    for body in (
        {},
        {"choices": [None]},
        {"content": 1},
        {"output": [{"type": "web_search_call"}], "status": "completed"},
    ):
        with pytest.raises(AnswerError):
            translate_reply(body, source, target, FACTS)


def test_usage_that_was_not_asked_for_is_not_told() -> None:
    said = SAYINGS["text"]
    out = streamed("anthropic-messages", "openai-chat", answer_wire.stream("anthropic-messages", said), PLAIN)

    assert check("openai-chat", out) == "whole"
    assert b"usage" not in out


def test_a_program_that_asked_for_no_thinking_gets_text_first() -> None:
    facts = AskFacts("m", "c", hide_thinking=True)
    said = SAYINGS["thinking and text"]

    out = streamed("openai-chat", "anthropic-messages", answer_wire.stream("openai-chat", said), facts)
    body = translate_reply(answer_wire.whole("openai-chat", said), "openai-chat", "anthropic-messages", facts)

    assert check("anthropic-messages", out) == "whole"
    assert seen(reread("anthropic-messages", out)) == [("text", "Hello")]
    assert [block["type"] for block in body["content"]] == ["text"]


def test_calls_get_ids_that_the_conversation_has_not_seen() -> None:
    facts = AskFacts("m", "c1", used_ids=frozenset({"call_0"}))
    said = Said((Call("call_0", "f", "{}"), Call("", "g", "{}"), Call("x" * 90 + "!", "h", "{}")), "tool_calls")

    body = translate_reply(answer_wire.whole("openai-chat", said), "openai-chat", "anthropic-messages", facts)

    ids = [block["id"] for block in body["content"]]
    assert ids[:2] == ["call_c1_1", "call_c1_2"]
    assert ids[2].startswith("call_")
    assert len(ids[2]) <= 40


def test_usage_has_no_class_counted_twice() -> None:
    usage = Usage(1, 20, 300, 4000)
    said = Said((Text("x"),), usage=usage, reasoning_tokens=3)
    chat = translate_reply(answer_wire.messages_whole(said), "anthropic-messages", "openai-chat", FACTS)["usage"]
    responses = translate_reply(answer_wire.chat_whole(said), "openai-chat", "openai-responses", FACTS)["usage"]
    messages = translate_reply(answer_wire.responses_whole(said), "openai-responses", "anthropic-messages", FACTS)[
        "usage"
    ]

    assert (chat["prompt_tokens"], chat["completion_tokens"], chat["total_tokens"]) == (321, 4000, 4321)
    assert chat["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 300}
    assert responses["output_tokens_details"] == {"reasoning_tokens": 3}
    assert messages == {
        "input_tokens": 1,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 300,
        "output_tokens": 4000,
    }
