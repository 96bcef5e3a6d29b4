"""What upstreams do that their dialect's documents don't say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes import answer_wire
from fakes.answer_wire import Said, chunk, sse
from fakes.strict_stream import check
from mohist.gateway.call import Dialect
from mohist.gateway.translate import AskFacts, StreamTranslator, translate_reply
from mohist.gateway.translate.form import Ask, Broken, Call, Text, Tool, Turn
from mohist.gateway.translate.name import Names

FACTS = AskFacts("asked-model", "c7", 1_700_000_000)
DONE = b"data: [DONE]\n\n"


def blocks(*upstream: bytes, source: Dialect = "openai-chat") -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What an Anthropic client makes of a stream: its content, and the last message_delta."""
    translator = StreamTranslator(source, "anthropic-messages", FACTS)
    out = translator.feed(b"".join(upstream)) + translator.end()
    assert check("anthropic-messages", out) == "whole", out
    content: list[dict[str, Any]] = []
    end: dict[str, Any] = {}
    for event in out.split(b"\n\n")[:-1]:
        value = json.loads(event.partition(b"data: ")[2])
        match value["type"]:
            case "content_block_start":
                content.append(value["content_block"] | {"said": ""})
            case "content_block_delta":
                delta = value["delta"]
                content[-1]["said"] += delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            case "message_delta":
                end = value
    return content, end


def call(index: int | None, call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fragment: dict[str, Any] = {"function": function}
    if call_id is not None:
        fragment["id"] = call_id
    if index is not None:
        fragment["index"] = index
    return {"tool_calls": [fragment]}


def calls_of(*upstream: bytes) -> list[tuple[str, str]]:
    content, end = blocks(*upstream)
    assert end["delta"]["stop_reason"] == "tool_use"
    return [(block["name"], block["said"]) for block in content if block["type"] == "tool_use"]


def test_calls_without_an_index() -> None:
    one = chunk(call(None, "a", "f", '{"x":')), chunk(call(None, None, None, "1}"))
    two = chunk(call(None, "b", "g", "{}"), "tool_calls")

    assert calls_of(*one, two) == [("f", '{"x":1}'), ("g", "{}")]


def test_calls_that_are_all_number_0() -> None:
    assert calls_of(chunk(call(0, "a", "f", '{"x":1}')), chunk(call(0, "b", "g", "{}"), "tool_calls")) == [
        ("f", '{"x":1}'),
        ("g", "{}"),
    ]


def test_an_id_that_is_told_again_with_each_fragment() -> None:
    assert calls_of(chunk(call(0, "a", "f", '{"x"')), chunk(call(0, "a", "f", ":1}"), "tool_calls")) == [
        ("f", '{"x":1}')
    ]


def test_arguments_that_are_an_object_or_nothing() -> None:
    assert calls_of(
        chunk(call(0, "a", "f", {"x": 1})), chunk(call(1, "b", "g", None)), chunk(call(2, "c", "h", ""), "stop"), DONE
    ) == [("f", '{"x":1}'), ("g", "{}"), ("h", "{}")]


def test_a_name_that_comes_after_the_first_arguments() -> None:
    assert calls_of(chunk(call(0, "a", None, '{"x"')), chunk(call(0, None, "f", ":1}"), "tool_calls")) == [
        ("f", '{"x":1}')
    ]


def test_the_old_function_call() -> None:
    delta = {"function_call": {"name": "f", "arguments": '{"x"'}}
    assert calls_of(chunk(delta), chunk({"function_call": {"arguments": ":1}"}}, "function_call")) == [("f", '{"x":1}')]


def test_a_finish_reason_that_tells_of_no_calls() -> None:
    assert calls_of(chunk(call(0, "a", "f", "{}")), chunk({}, "stop"), DONE) == [("f", "{}")]


def test_a_finish_reason_that_tells_of_calls_where_none_is() -> None:
    _, end = blocks(chunk({"content": "Hi"}), chunk({}, "tool_calls"), DONE)
    assert end["delta"]["stop_reason"] == "end_turn"


def test_text_after_a_call_is_told_after_it() -> None:
    content, _ = blocks(
        chunk(call(0, "a", "f", '{"x":')), chunk({"content": "Then"}), chunk(call(0, None, None, "1}"), "tool_calls")
    )
    assert [block["said"] for block in content] == ['{"x":1}', "Then"]


def test_a_call_is_told_as_it_comes_while_no_other_is_open() -> None:
    translator = StreamTranslator("openai-chat", "anthropic-messages", FACTS)
    assert b'"name":"f"' in translator.feed(chunk(call(0, "a", "f", "")))
    assert b"partial_json" in translator.feed(chunk(call(0, None, None, '{"x":')))
    assert b"partial_json" in translator.feed(chunk(call(0, None, None, "1}")))
    # The first is a whole object, so the second need not wait for the end.
    assert b'"name":"g"' in translator.feed(chunk(call(1, "b", "g", "")))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_by_either_name(field: str) -> None:
    content, _ = blocks(chunk({field: "Hm", "content": None}), chunk({"content": "Hi", field: None}, "stop"), DONE)
    assert [(block["type"], block["said"]) for block in content] == [("thinking", "Hm"), ("text", "Hi")]


def test_content_as_parts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]
    content, _ = blocks(chunk({"content": parts}, "stop"), DONE)
    assert [(block["type"], block["said"]) for block in content] == [("thinking", "Hm"), ("text", "Hi")]


def test_null_deltas_empty_choices_and_no_done() -> None:
    content, end = blocks(
        sse({"choices": []}),
        sse({"choices": None}),
        sse({"choices": [{"index": 0, "delta": None}]}),
        chunk({"role": "assistant", "content": "Hi", "tool_calls": None, "refusal": None}),
        sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    )
    assert [block["said"] for block in content] == ["Hi"]
    assert end["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("where", ["own chunk", "last chunk", "choice"])
def test_usage_wherever_it_stands(where: str) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}
    last = {
        "own chunk": chunk({}, "stop", usage=None) + sse({"choices": [], "usage": usage}),
        "last chunk": chunk({}, "stop", usage=usage),
        "choice": sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]}),
    }[where]
    _, end = blocks(chunk({"content": "Hi"}), last, DONE)
    assert end["usage"] == {
        "input_tokens": 6,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 0,
        "output_tokens": 5,
    }


@pytest.mark.parametrize("finish", ["insufficient_system_resource", "network_error", "error", "abort"])
def test_an_answer_that_the_server_gave_up_is_an_error(finish: str) -> None:
    translator = StreamTranslator("openai-chat", "anthropic-messages", FACTS)
    out = translator.feed(chunk({"content": "Hi"}) + chunk({}, finish) + DONE) + translator.end()
    assert check("anthropic-messages", out) == "error"


def test_done_without_a_finish_reason_is_an_error() -> None:
    translator = StreamTranslator("openai-chat", "openai-responses", FACTS)
    assert check("openai-responses", translator.feed(chunk({"content": "Hi"}) + DONE)) == "error"


def test_a_message_that_stops_without_a_reason_is_an_error() -> None:
    upstream = sse({"type": "message_start", "message": {"content": []}}) + sse({"type": "message_stop"})
    translator = StreamTranslator("anthropic-messages", "openai-chat", FACTS)
    assert check("openai-chat", translator.feed(upstream)) == "error"


def test_nothing_follows_the_end() -> None:
    translator = StreamTranslator("openai-chat", "anthropic-messages", FACTS)
    whole = translator.feed(answer_wire.stream("openai-chat", Said((Text("Hi"),))))
    assert check("anthropic-messages", whole) == "whole"
    assert translator.feed(chunk({"content": "more"})) == b""
    assert translator.feed(b"data: {broken\n\n") == b""
    assert translator.fail(Broken("unavailable", "late")) == b""
    assert translator.end() == b""


def test_the_gateway_can_end_a_stream_with_words_of_its_own() -> None:
    translator = StreamTranslator("openai-chat", "anthropic-messages", FACTS)
    out = translator.feed(chunk({"content": "Hi"})) + translator.fail(Broken("unavailable", "The key was revoked."))
    assert check("anthropic-messages", out) == "error"
    assert b"The key was revoked." in out
    assert translator.feed(chunk({"content": "more"})) + translator.end() == b""


def test_half_an_emoji_goes_through() -> None:
    upstream = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83c"}}]}\n\n'
    upstream += b'data: {"choices":[{"index":0,"delta":{"content":"\\udf0d"},"finish_reason":"stop"}]}\n\n' + DONE
    content, _ = blocks(upstream)
    assert content[0]["said"].encode("utf-16", "surrogatepass").decode("utf-16") == "🌍"


def test_a_tool_use_whose_input_comes_whole_at_its_start() -> None:
    start = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    upstream = sse({"type": "message_start", "message": {"content": []}})
    upstream += sse({"type": "content_block_start", "index": 0, "content_block": start})
    upstream += sse({"type": "content_block_stop", "index": 0})
    upstream += sse({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}) + sse({"type": "message_stop"})
    translator = StreamTranslator("anthropic-messages", "openai-chat", FACTS)
    out = translator.feed(upstream)
    assert check("openai-chat", out) == "whole"
    assert rb'"arguments":"{\"x\":1}"' in out


def test_kinds_of_events_that_nobody_knows_are_passed_over() -> None:
    for source in ("anthropic-messages", "openai-responses"):
        known = answer_wire.stream(source, Said((Text("Hi"),)))
        strange = known.replace(b"\n\n", b'\n\ndata: {"type": "new.thing", "index": 0}\n\n', 2)
        expected = StreamTranslator(source, "openai-chat", FACTS).feed(known)
        assert StreamTranslator(source, "openai-chat", FACTS).feed(strange) == expected


def test_content_that_no_other_dialect_knows_is_an_error_and_not_left_out() -> None:
    audio = chunk({"content": "Hi", "audio": {"data": "aGk="}})
    assert check("openai-responses", StreamTranslator("openai-chat", "openai-responses", FACTS).feed(audio)) == "error"
    block = {"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}}
    upstream = sse({"type": "message_start", "message": {"content": []}})
    upstream += sse({"type": "content_block_start", "index": 0, "content_block": block})
    assert check("openai-chat", StreamTranslator("anthropic-messages", "openai-chat", FACTS).feed(upstream)) == "error"
    item = sse({"type": "response.output_item.added", "output_index": 0, "item": {"type": "web_search_call"}})
    upstream = sse({"type": "response.created", "response": {}}) + item
    assert check("openai-chat", StreamTranslator("openai-responses", "openai-chat", FACTS).feed(upstream)) == "error"


def test_responses_that_leave_the_deltas_out() -> None:
    events = answer_wire.stream("openai-responses", Said((Text("Hi"),))).split(b"\n\n")
    few = b"\n\n".join(event for event in events if b"delta" not in event and b"output_text.done" not in event)
    content, _ = blocks(few, source="openai-responses")
    assert [block["said"] for block in content] == ["Hi"]
    only_end = b"\n\n".join([events[0], events[-2], b""])
    assert [block["said"] for block in blocks(only_end, source="openai-responses")[0]] == ["Hi"]


def test_several_summaries_of_one_reasoning_are_one_thought() -> None:
    def event(kind: str, **more: Any) -> bytes:
        return sse({"type": f"response.{kind}", "output_index": 0} | more)

    summary = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    item = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "x"}
    upstream = sse({"type": "response.created", "response": {}})
    upstream += event("output_item.added", item=item | {"summary": []})
    for index, part in enumerate(summary):
        upstream += event("reasoning_summary_text.delta", summary_index=index, delta=part["text"])
        upstream += event("reasoning_summary_text.done", summary_index=index, text=part["text"])
    upstream += event("output_item.done", item=item)
    end = {"status": "completed", "output": [item]}
    upstream += sse({"type": "response.completed", "response": end})

    content, _ = blocks(upstream, source="openai-responses")
    whole = translate_reply(end, "openai-responses", "anthropic-messages", FACTS)

    assert [block["said"] for block in content] == ["One.\n\nTwo."] == [block["thinking"] for block in whole["content"]]


def test_a_call_that_was_cut_off_is_not_handed_out_whole() -> None:
    message = {"content": "Hi", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x": "ha'}}]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}]}
    value = translate_reply(body, "openai-chat", "anthropic-messages", FACTS)
    assert [block["type"] for block in value["content"]] == ["text"]
    assert value["stop_reason"] == "max_tokens"


def test_the_facts_of_a_call_are_read_from_its_request() -> None:
    turn = Turn("assistant", (Call("call_1", "f", "{}"),))
    ask = Ask("asked", (), (turn,))
    names = Names()

    chat = AskFacts.of(
        "openai-chat", {"stream_options": {"include_usage": True}}, ask, names, call_id="c", created_at_s=5
    )
    quiet = AskFacts.of("anthropic-messages", {}, ask, names, call_id="c", created_at_s=5)
    loud = AskFacts.of(
        "anthropic-messages", {"thinking": {"type": "adaptive"}}, ask, names, call_id="c", created_at_s=5
    )
    tool = Ask("asked", (), (), (Tool("f", "", {}),))
    tools = AskFacts.of("anthropic-messages", {}, tool, names, call_id="c", created_at_s=5)

    assert chat.usage_asked
    assert chat.used_ids == {"call_1"}
    assert chat.model == "asked"
    assert [facts.hide_thinking for facts in (chat, quiet, loud, tools)] == [False, True, False, False]
