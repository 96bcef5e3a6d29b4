"""The list of messages at the door of a request."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mohist.provider import AssistantMessage, TextPart, ThinkingPart, ToolCall, ToolMessage, UserMessage, settled
from mohist.provider.dialogue import MISSING_RESULT, CallIds, wire_id

IDS = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(["", "x"])
MESSAGES = st.lists(
    st.one_of(
        st.builds(UserMessage, TEXTS),
        st.builds(ToolMessage, IDS, TEXTS),
        st.builds(
            AssistantMessage,
            st.lists(
                st.one_of(st.builds(TextPart, TEXTS), st.builds(ToolCall, IDS, st.just("t"), st.just("{}"))), max_size=4
            ).map(tuple),
        ),
    ),
    max_size=10,
)


@given(MESSAGES)
def test_each_call_has_exactly_one_result_right_behind_it_and_no_result_is_alone(messages):
    out = settled(messages)
    expected: list[str] = []
    for message in out:
        if isinstance(message, ToolMessage):
            assert expected
            assert message.call_id == expected.pop(0)
        else:
            assert not expected
            if isinstance(message, AssistantMessage):
                assert message.parts
                expected = [call.id for call in message.calls]
                assert len(expected) == len(set(expected))
    assert not expected
    assert [m for m in out if isinstance(m, UserMessage)] == [m for m in messages if isinstance(m, UserMessage)]
    assert settled(out) == out


@given(MESSAGES, MESSAGES)
def test_what_was_settled_before_an_answer_stays_when_more_follows(before, after):
    head = settled(before)
    assert settled([*before, AssistantMessage((TextPart("answer"),)), *after])[: len(head)] == head


def test_a_missing_result_says_that_nothing_is_known():
    out = settled([UserMessage("go"), AssistantMessage((ToolCall("a", "shell", "{}"),)), UserMessage("well?")])
    assert out[2] == ToolMessage("a", MISSING_RESULT, is_error=True)


def test_the_first_of_two_results_counts():
    out = settled(
        [AssistantMessage((ToolCall("a", "t", "{}"),)), ToolMessage("a", "first"), ToolMessage("a", "second")]
    )
    assert out[1:] == [ToolMessage("a", "first")]


def test_an_answer_of_nothing_but_thinking_is_left_out():
    assert settled([UserMessage("go"), AssistantMessage((ThinkingPart("hm", "sig"),))]) == [UserMessage("go")]


@given(st.text(max_size=80))
def test_an_id_fits_every_dialect_and_stays_the_same(call_id):
    sent = wire_id(call_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", sent)
    assert wire_id(sent) == sent


def test_new_ids_depend_on_the_conversation_alone():
    before = [AssistantMessage((ToolCall("call_m1", "t", "{}"), ToolCall("x", "t", "{}")))]
    one, two = CallIds(before), CallIds(before)
    taken = [one.take(""), one.take("x"), one.take("free"), one.take("free")]
    assert taken == [two.take(""), two.take("x"), two.take("free"), two.take("free")]
    assert len({*taken, "call_m1", "x"}) == 6
    assert taken[2] == "free"
