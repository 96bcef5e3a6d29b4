"""The Anthropic dialect."""

from __future__ import annotations

import pytest

from fakes.upstream import messages_block, messages_event, messages_wire
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
from mohist.provider.anthropic_messages import MessagesDecoder, messages_body, messages_url
from mohist.provider.sse import SseDecoder

TOOLS = (ToolSpec("read", "Reads.", {"type": "object"}), ToolSpec("write", "Writes.", {"type": "object"}))
A, B = ToolCall("a", "read", '{"n": 1}'), ToolCall("b", "write", '{"n": 2}')


def answer_of(*wire: bytes) -> Answer:
    framing, decoder = SseDecoder(), MessagesDecoder("acme", ())
    return Answer(delta for event in framing.feed(b"".join(wire)) for delta in decoder.feed(event))


def body(messages, *, system="s", tools=TOOLS, **caps):
    return messages_body(Request("m", system, tuple(messages), tools), settled(messages), Caps(**caps))


def test_thinking_and_its_signature_go_back_unchanged():
    said = answer_of(messages_wire("Yes.", [("a", "read", '{"n": 1}')], thinking="let me see", signature="c2ln" * 9))
    assert said.message.parts == (ThinkingPart("let me see", "c2ln" * 9), TextPart("Yes."), A)

    sent = body([UserMessage("go"), said.message, ToolMessage("a", "x")])["messages"][1]
    assert sent["content"] == [
        {"type": "thinking", "thinking": "let me see", "signature": "c2ln" * 9},
        {"type": "text", "text": "Yes."},
        {"type": "tool_use", "id": "a", "name": "read", "input": {"n": 1}},
    ]


def test_redacted_thinking_goes_back_unchanged():
    said = answer_of(messages_wire("Yes.", thinking="one", signature="s1", redacted="b3BhcXVl"))
    assert said.message.parts[:2] == (ThinkingPart("one", "s1"), ThinkingPart("", "b3BhcXVl", redacted=True))

    sent = body([UserMessage("go"), said.message, UserMessage("on")])["messages"][1]
    assert sent["content"][1] == {"type": "redacted_thinking", "data": "b3BhcXVl"}


def test_a_signed_block_without_words_goes_back_too():
    said = answer_of(
        messages_event("message_start", message={"model": "m", "usage": {"input_tokens": 1}}),
        messages_block(0, {"type": "thinking", "thinking": ""}, [{"type": "signature_delta", "signature": "sig"}]),
        messages_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        messages_event("message_stop"),
    )
    assert said.message.parts == (ThinkingPart("", "sig"),)


@pytest.mark.parametrize(("quirks", "kept"), [((), False), (("unsigned_thinking",), True)])
def test_thinking_that_nobody_signed_goes_back_only_where_that_is_known_to_work(quirks, kept):
    messages = [UserMessage("go"), AssistantMessage((ThinkingPart("hm"), TextPart("yes"))), UserMessage("on")]
    sent = body(messages, keep_thinking=True, quirks=frozenset(quirks))["messages"][1]["content"]
    assert ({"type": "thinking", "thinking": "hm", "signature": ""} in sent) is kept


def test_usage_is_the_last_count_of_each_class():
    start = {
        "input_tokens": 5,
        "cache_read_input_tokens": 70,
        "cache_creation_input_tokens": 9,
        "output_tokens": 1,
        "service_tier": "standard",
    }
    end = {"output_tokens": 33, "input_tokens": 0, "cache_read_input_tokens": None}
    assert answer_of(messages_wire("x", usage=start, end_usage=end)).end == Done(
        "end", Usage(5, 70, 9, 33), "served-model"
    )


def test_a_server_that_counts_input_only_at_the_end_is_believed():
    end = {"input_tokens": 40, "output_tokens": 3}
    done = answer_of(messages_wire("x", usage={"input_tokens": 0, "output_tokens": 0}, end_usage=end)).end
    assert isinstance(done, Done)
    assert done.usage == Usage(40, 0, 0, 3)


def test_arguments_that_come_whole_with_the_start_of_a_block_count():
    block = {"type": "tool_use", "id": "a", "name": "read", "input": {"n": 1}}
    said = answer_of(
        messages_event("message_start", message={"model": "m"}),
        messages_block(0, block, []),
        messages_event("message_delta", delta={"stop_reason": "tool_use"}),
        messages_event("message_stop"),
    )
    assert said.message.calls == (A,)
    assert said.end == Done("tool_calls", None, "m")


def test_unknown_events_and_blocks_are_passed_over():
    said = answer_of(
        messages_event("message_start", message={"model": "m"}),
        messages_event("content_block_brand_new", index=7),
        messages_block(0, {"type": "server_tool_use", "id": "x"}, [{"type": "input_json_delta", "partial_json": "{"}]),
        messages_block(1, {"type": "text", "text": "a"}, [{"type": "citations_delta", "citation": {}}]),
        messages_event("message_delta", delta={"stop_reason": "end_turn"}),
        messages_event("message_stop"),
    )
    assert said.message.parts == (TextPart("a"),)
    assert isinstance(said.end, Done)


def test_an_end_without_a_reason_is_told():
    end = answer_of(messages_event("message_stop")).end
    assert isinstance(end, Failed)
    assert end.kind == "protocol"


def test_results_come_first_in_their_message_and_roles_alternate():
    messages = [
        UserMessage("one"),
        UserMessage("two"),
        AssistantMessage((A, B)),
        UserMessage("a reminder"),
        ToolMessage("b", "y", is_error=True),
        ToolMessage("a", ""),
    ]
    assert body(messages)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a", "name": "read", "input": {"n": 1}},
                {"type": "tool_use", "id": "b", "name": "write", "input": {"n": 2}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a"},
                {"type": "tool_result", "tool_use_id": "b", "content": "y", "is_error": True},
                {"type": "text", "text": "a reminder"},
            ],
        },
    ]


def test_a_conversation_that_lost_its_beginning_still_starts_with_the_user():
    sent = body([AssistantMessage((TextPart("done"),)), UserMessage("on")])["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]


def test_four_marks_at_most_on_tools_system_and_the_last_two_user_messages():
    messages = [UserMessage("1"), AssistantMessage((A,)), ToolMessage("a", "x"), AssistantMessage((B,))]
    sent = body(messages, cache="marks")
    mark = {"type": "ephemeral"}
    assert [tool.get("cache_control") for tool in sent["tools"]] == [None, mark]
    assert sent["system"] == [{"type": "text", "text": "s", "cache_control": mark}]
    user = [message for message in sent["messages"] if message["role"] == "user"]
    assert [message["content"][-1].get("cache_control") for message in user] == [None, mark, mark]
    assert str(sent).count("cache_control") == 4


def test_quirks_of_thinking_and_parallel_calls_change_the_body():
    messages = [UserMessage("hi")]
    assert body(messages, quirks=frozenset({"thinking_disabled"}))["thinking"] == {"type": "disabled"}
    assert body(messages, quirks=frozenset({"thinking_adaptive"}))["thinking"] == {"type": "adaptive"}
    assert body(messages, parallel_calls=False)["tool_choice"]["disable_parallel_tool_use"] is True
    plain = body(messages)
    assert not {"thinking", "tool_choice"} & plain.keys()


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://a.example", "https://a.example/v1/messages"),
        ("https://a.example/", "https://a.example/v1/messages"),
        ("https://a.example/anthropic", "https://a.example/anthropic/v1/messages"),
        ("https://a.example/anthropic/v1/", "https://a.example/anthropic/v1/messages"),
    ],
)
def test_a_base_url_is_good_with_and_without_its_version(base_url, url):
    assert messages_url(base_url) == url
