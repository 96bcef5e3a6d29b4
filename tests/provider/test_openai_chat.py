"""The OpenAI dialect and its dialects."""

from __future__ import annotations

import json

import pytest

from fakes.upstream import chat_chunk, chat_event, chat_wire
from mohist.provider import (
    Answer,
    AssistantMessage,
    Caps,
    Done,
    Failed,
    Request,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
    settled,
)
from mohist.provider.openai_chat import ChatDecoder, chat_body, chat_usage
from mohist.provider.sse import SseDecoder

TOOL = ToolSpec("read", "Reads.", {"type": "object"})


def answer_of(*wire: bytes) -> Answer:
    framing, decoder = SseDecoder(), ChatDecoder("acme", ())
    deltas = [delta for event in framing.feed(b"".join(wire)) for delta in decoder.feed(event)]
    answer = Answer(deltas)
    for delta in () if answer.end else decoder.cut():
        answer.add(delta)
    return answer


def fragment(**fields):
    return chat_chunk({"tool_calls": [fields]})


STOP = chat_chunk({}, "tool_calls") + b"data: [DONE]\n\n"


def body(messages, *, system="s", **caps):
    request = Request("m", system, tuple(messages), (TOOL,), session_id="run-1")
    return chat_body(request, settled(messages), Caps(**caps))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 3}, Usage(10, 0, 0, 3)),
        (
            {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}},
            Usage(2, 8, 0, 3),
        ),
        (
            {"prompt_tokens": 10, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4, "completion_tokens": 3},
            Usage(4, 6, 0, 3),
        ),
        ({"prompt_tokens": 10, "cached_tokens": 7, "completion_tokens": 3}, Usage(3, 7, 0, 3)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_creation_input_tokens": 5},
            },
            Usage(1, 4, 5, 3),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 13,
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(10, 0, 0, 3),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 18,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(10, 0, 0, 8),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": {"cached_tokens": 9}},
            Usage(0, 3, 0, 0),
        ),
    ],
    ids=["plain", "openai", "deepseek", "kimi", "qwen-marks", "reasoning-inside", "reasoning-beside", "nonsense"],
)
def test_the_four_classes_of_usage_do_not_overlap(usage, expected):
    assert chat_usage(usage) == expected


def test_usage_inside_a_choice_counts():
    told = {"prompt_tokens": 5, "completion_tokens": 1}
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": told}
    assert answer_of(chat_event({"choices": [choice], "usage": None})).end == Done("end", Usage(5, 0, 0, 1))


def test_an_answer_is_whole_without_the_done_mark_and_without_usage():
    assert answer_of(chat_chunk({"content": "hi"}), chat_chunk({}, "stop")).end == Done("end", None, "served-model")


def test_a_done_mark_without_a_finish_reason_is_a_cut_stream():
    end = answer_of(chat_chunk({"content": "hi"}), b"data: [DONE]\n\n").end
    assert isinstance(end, Failed)
    assert end.kind == "network"


A, B = ToolCall("a", "read", '{"n": 1}'), ToolCall("b", "write", '{"n": 2}')


@pytest.mark.parametrize(
    "fragments",
    [
        [
            fragment(index=0, id="a", function={"name": "read", "arguments": '{"n"'}),
            fragment(index=1, id="b", function={"name": "write", "arguments": ""}),
            fragment(index=0, function={"arguments": ": 1}"}),
            fragment(index=1, function={"arguments": '{"n": 2}'}),
        ],
        [
            fragment(index=0, id="a", function={"name": "read", "arguments": '{"n"'}),
            fragment(index=0, id="a", function={"name": "read", "arguments": ": 1}"}),
            fragment(index=1, id="b", function={"name": "write", "arguments": '{"n": 2}'}),
        ],
        [
            fragment(index=0, id="a", function={"name": "read", "arguments": '{"n": 1}'}),
            fragment(index=0, id="b", function={"name": "write", "arguments": '{"n": 2}'}),
        ],
        [
            fragment(id="a", function={"name": "read", "arguments": '{"n"'}),
            fragment(function={"arguments": ": 1}"}),
            fragment(id="b", function={"name": "write", "arguments": '{"n": 2}'}),
        ],
        [
            chat_chunk(
                {
                    "tool_calls": [
                        {"id": "a", "function": {"name": "read", "arguments": {"n": 1}}},
                        {"id": "b", "function": {"name": "write", "arguments": {"n": 2}}},
                    ]
                }
            )
        ],
        [
            fragment(index=0, id="a", function={"arguments": '{"n": 1}'}),
            fragment(index=0, function={"name": "read"}),
            fragment(index=1, id="b", function={"name": "write", "arguments": None}),
            fragment(index=1, id="", function={"name": "", "arguments": '{"n": 2}'}),
        ],
    ],
    ids=["interleaved", "id-repeated", "all-index-0", "no-index", "objects-at-once", "name-late"],
)
def test_parallel_calls_come_out_whole_however_a_server_numbers_them(fragments):
    answer = answer_of(*fragments, STOP)
    assert answer.message.calls == (A, B)
    assert isinstance(answer.end, Done)
    assert answer.end.stop == "tool_calls"


def test_calls_without_any_id_or_index_get_ids():
    one = fragment(function={"name": "read", "arguments": '{"n": 1}'})
    two = fragment(function={"name": "write", "arguments": '{"n": 2}'})
    calls = answer_of(one, two, STOP).message.calls
    assert [(call.name, call.arguments) for call in calls] == [("read", '{"n": 1}'), ("write", '{"n": 2}')]
    assert len({call.id for call in calls}) == 2


def test_calls_beside_a_plain_stop_are_calls():
    end = answer_of(chat_wire("", [("a", "read", "{}")], finish="stop")).end
    assert isinstance(end, Done)
    assert end.stop == "tool_calls"


def test_a_refusal_in_words_is_an_answer_that_says_so():
    answer = answer_of(chat_chunk({"refusal": "I can't."}), chat_chunk({}, "stop"))
    assert answer.message.text == "I can't."
    assert isinstance(answer.end, Done)
    assert answer.end.stop == "refusal"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_apart_from_the_text(field):
    answer = answer_of(chat_chunk({field: "hm"}), chat_chunk({field: "m"}), chat_wire("yes"))
    assert answer.message.parts == (ThinkingPart("hmm"), TextPart("yes"))


@pytest.mark.parametrize(("quirks", "field"), [((), "reasoning_content"), (("reasoning_field",), "reasoning")])
def test_reasoning_is_handed_back_where_the_model_wants_it(quirks, field):
    messages = [UserMessage("go"), AssistantMessage((ThinkingPart("hmm"), A)), ToolMessage("a", "x")]
    wanted = body(messages, keep_thinking=True, quirks=frozenset(quirks))["messages"][2]
    assert wanted[field] == "hmm"
    assert field not in body(messages)["messages"][2]


def test_the_body_says_what_the_dialect_wants():
    assert body([UserMessage("hi")], output_tokens=99) == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 99,
        "tools": [
            {
                "type": "function",
                "function": {"name": "read", "description": "Reads.", "parameters": {"type": "object"}},
            }
        ],
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}],
    }


@pytest.mark.parametrize(
    ("quirk", "present", "absent"),
    [
        ("max_completion_tokens", {"max_completion_tokens": 8192}, {"max_tokens"}),
        ("no_max_tokens", {}, {"max_tokens", "max_completion_tokens"}),
        ("no_stream_options", {}, {"stream_options"}),
        ("thinking_disabled", {"thinking": {"type": "disabled"}}, {"enable_thinking"}),
        ("thinking_enabled", {"thinking": {"type": "enabled"}}, {"enable_thinking"}),
        ("enable_thinking", {"enable_thinking": True}, {"thinking"}),
        ("disable_thinking", {"enable_thinking": False}, {"thinking"}),
        ("prompt_cache_key", {"prompt_cache_key": "run-1"}, set()),
    ],
)
def test_a_quirk_changes_the_body(quirk, present, absent):
    plain = body([UserMessage("hi")])
    changed = body([UserMessage("hi")], quirks=frozenset({quirk}))
    assert changed != plain
    assert present.items() <= changed.items()
    assert not absent & changed.keys()


def test_user_messages_in_a_row_are_merged_only_where_roles_must_alternate():
    messages = [UserMessage("one"), UserMessage("two")]
    assert [m["content"] for m in body(messages)["messages"]] == ["s", "one", "two"]
    merged = body(messages, quirks=frozenset({"alternate_roles"}))["messages"]
    assert [m["content"] for m in merged] == ["s", "one\n\ntwo"]


def test_a_model_without_parallel_calls_is_asked_for_one():
    assert body([UserMessage("hi")], parallel_calls=False)["parallel_tool_calls"] is False


def test_a_model_without_native_tools_is_told_none():
    assert "tools" not in body([UserMessage("hi")], native_tools=False)


def test_marks_stand_on_the_system_prompt_and_the_last_two_user_side_messages():
    messages = [UserMessage("1"), AssistantMessage((A, B)), ToolMessage("a", "x"), ToolMessage("b", "y")]
    sent = body(messages, cache="marks")["messages"]
    marked = [index for index, message in enumerate(sent) if "cache_control" in json.dumps(message)]
    assert marked == [0, 3, 4]


def test_an_answer_that_only_calls_has_no_content_or_an_empty_one():
    messages = [UserMessage("go"), AssistantMessage((A,)), ToolMessage("a", "x")]
    assert body(messages)["messages"][2]["content"] is None
    assert body(messages, quirks=frozenset({"empty_content"}))["messages"][2]["content"] == ""


def test_arguments_go_back_byte_for_byte():
    odd = ToolCall("a", "read", '{ "n" :1.0,\n"ü": "\\u00fc" }')
    sent = body([UserMessage("go"), AssistantMessage((odd,)), ToolMessage("a", "x")])["messages"][2]
    assert sent["tool_calls"][0]["function"]["arguments"] == odd.arguments


def test_an_error_object_of_a_number_is_a_status():
    from mohist.provider.failure import kind_of, told_by

    told = told_by({"error": {"code": 502, "message": "Provider returned error"}})
    assert kind_of(200, told) == "overload"
