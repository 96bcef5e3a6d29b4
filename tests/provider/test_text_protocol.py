"""Tool calls written as text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.provider import (
    Answer,
    AssistantMessage,
    CallReady,
    Caps,
    Delta,
    Done,
    Failed,
    Request,
    TextDelta,
    TextPart,
    TextTools,
    ThinkingDelta,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
)
from mohist.provider.dialogue import CallIds
from mohist.provider.text_protocol import ToolText, told_tools

TOOL = ToolSpec(
    "read",
    "Reads a file.",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Where."},
            "mode": {"enum": ["text", "hex"], "type": "string"},
        },
        "required": ["path"],
    },
)
REQUEST = Request("m", "Be terse.", (UserMessage("go"),), (TOOL,))
SAID = (
    "I look.\n"
    '```tool read\n{"path": "a\\n```\\n.py"}\n```\n'
    "And ```inline``` and\n"
    "```python\nprint('```tool read')\n```\n"
    '````tool\n{"name": "read", "arguments": {"path": "b"}}\n````'
)


class Said:
    """A provider without tools that says one thing, in pieces; keeps what it was asked."""

    name, caps = "said", Caps(native_tools=False)

    def __init__(self, *deltas: Delta) -> None:
        self.deltas = deltas
        self.asked: list[Request] = []

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.asked.append(request)
        for delta in self.deltas:
            yield delta

    def cost_microusd(self, usage: Usage) -> int | None:
        return usage.output_tokens

    async def aclose(self) -> None:
        """Nothing is open."""


def read(*pieces: str, cut: bool = False) -> Answer:
    parser = ToolText(CallIds(()))
    answer = Answer(delta for piece in pieces for delta in parser.feed(piece))
    for delta in parser.end(cut=cut):
        answer.add(delta)
    return answer


def test_blocks_become_calls_and_all_else_stays_text():
    message = read(SAID).message
    assert message.parts == (
        TextPart("I look.\n"),
        ToolCall("call_m1", "read", '{"path": "a\\n```\\n.py"}'),
        TextPart("And ```inline``` and\n```python\nprint('```tool read')\n```\n"),
        ToolCall("call_m2", "read", '{"path": "b"}'),
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_text_split_anywhere_gives_the_same_answer(line_end):
    text = SAID.replace("\n", line_end)
    whole = read(text).message
    assert len(whole.calls) == 2
    for cut in range(len(text)):
        assert read(text[:cut], text[cut:]).message == whole
    assert read(*text).message == whole


SHARDS = ["```tool read\n", "````tool\n", "```", "````", "`", "\n", "\r\n", "x", " ", '{"name": "y"}']


@given(st.lists(st.sampled_from(SHARDS), max_size=8).map("".join), st.data())
def test_any_text_split_anywhere_gives_the_same_answer_and_loses_nothing_without_a_block(text, data):
    cut = data.draw(st.integers(0, len(text)))
    whole = read(text).message
    assert read(text[:cut], text[cut:]).message == whole
    if "tool" not in text:
        assert whole.text == text


def test_words_are_given_out_as_soon_as_they_can_be_no_fence():
    parser = ToolText(CallIds(()))
    assert parser.feed("He") == [TextDelta("He")]
    assert parser.feed("llo ```tool") == [TextDelta("llo ```tool")]
    assert parser.feed("\n``") == [TextDelta("\n")]
    assert parser.feed("`py") == [TextDelta("```py")]


def test_a_fence_in_the_middle_of_a_line_is_text_however_it_is_split():
    for pieces in (["x```tool read\n{}\n```"], ["x", "```tool read\n{}\n```"]):
        assert read(*pieces).message.parts == (TextPart("x```tool read\n{}\n```"),)


def test_a_block_nobody_closed_is_a_call_unless_the_answer_was_cut_for_length():
    text = '```tool read\n{"path": "a"}'
    assert read(text).message.calls == (ToolCall("call_m1", "read", '{"path": "a"}'),)
    assert read(text, cut=True).message.calls == ()


def test_malformed_arguments_are_handed_on_as_they_are():
    assert read("```tool read\n{oops\n```").message.calls == (ToolCall("call_m1", "read", "{oops"),)
    assert read("```tool\n{oops\n```").message.calls == (ToolCall("call_m1", "unnamed", "{oops"),)


async def test_the_model_is_told_the_tools_and_its_blocks_come_out_as_calls():
    inner = Said(ThinkingDelta("hm"), *(TextDelta(char) for char in SAID), Done("end", Usage(1, 0, 0, 2), "m"))
    deltas = [delta async for delta in TextTools(inner).stream(REQUEST)]

    assert deltas[-1] == Done("tool_calls", Usage(1, 0, 0, 2), "m")
    assert [delta.call.name for delta in deltas if isinstance(delta, CallReady)] == ["read", "read"]
    (asked,) = inner.asked
    assert asked.tools == ()
    assert asked.system == "Be terse.\n\n" + told_tools((TOOL,))
    assert "- path (string): Where.\n" in asked.system
    assert "optional" in asked.system.split("- mode")[1]


async def test_calls_and_results_of_earlier_turns_go_back_as_text():
    inner = Said(TextDelta("Done."), Done("end", None))
    first = Answer(read(SAID.split("\n````")[0]).message.parts and ToolText(CallIds(())).feed(SAID))
    messages = (
        UserMessage("go"),
        AssistantMessage(
            (TextPart("I look.\n"), ToolCall("c1", "read", '{"path": "a"}'), ToolCall("c2", "read", "{}"))
        ),
        ToolMessage("c1", "text of a"),
        UserMessage("hurry"),
    )
    assert first.message.parts
    end = [d async for d in TextTools(inner).stream(Request("m", "s", messages, (TOOL,)))][-1]

    assert end == Done("end", None)
    assert inner.asked[0].messages == (
        UserMessage("go"),
        AssistantMessage((TextPart('I look.\n```tool read\n{"path": "a"}\n```\n```tool read\n{}\n```'),)),
        UserMessage(
            "Result of read (c1):\ntext of a\n\n"
            "Error of read (c2):\nNo result: the call was interrupted, and it is not known whether it ran.\n\nhurry"
        ),
    )


async def test_a_failure_and_a_length_stop_pass_through():
    failed = Failed("rate", "slow down", 3.0)
    assert [d async for d in TextTools(Said(failed)).stream(REQUEST)] == [failed]
    cut = Said(TextDelta('```tool read\n{"path"'), Done("length", None))
    deltas = [d async for d in TextTools(cut).stream(REQUEST)]
    assert deltas[-1] == Done("length", None)
    assert not any(isinstance(d, CallReady) for d in deltas)


async def test_without_tools_nothing_is_changed():
    inner = Said(TextDelta("```tool read\n{}\n```"), Done("end", None))
    request = Request("m", "s", (UserMessage("go"),))
    assert [d async for d in TextTools(inner).stream(request)] == list(inner.deltas)
    assert inner.asked == [request]


def test_telling_the_tools_is_shorter_than_their_schemas():
    schemas = json.dumps([{"name": TOOL.name, "description": TOOL.description, "parameters": TOOL.parameters}])
    one, two = told_tools((TOOL,)), told_tools((TOOL, TOOL))
    assert len(two) - len(one) < len(schemas)
