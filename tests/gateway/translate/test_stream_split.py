"""A stream's translation depends on its bytes alone: not on where they are cut, nor on what they hold."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import answer_wire
from fakes.answer_wire import Said
from fakes.strict_stream import check
from mohist.gateway.call import Dialect
from mohist.gateway.translate import AnswerError, AskFacts, StreamTranslator, translate_reply
from mohist.gateway.translate.form import Call, Text, Thinking

DIALECTS: tuple[Dialect, ...] = ("openai-chat", "openai-responses", "anthropic-messages")
WAYS = list(itertools.permutations(DIALECTS, 2))
FACTS = AskFacts("asked-model", "c7", 1_700_000_000, usage_asked=True)
RICH = Said(
    (Thinking("Höchst 思考", "sig=="), Text("é🌍 text"), Call("call_a", "f", '{"a": "ü"}'), Call("call_b", "g", "{}")),
    "tool_calls",
)
SHORT = Said((Text("é🌍"),))


def upstream(source: Dialect, said: Said = RICH) -> bytes:
    """With letters as they are, not as escapes."""
    lines = answer_wire.stream(source, said).decode().split("\n")
    raw = [
        "data: " + json.dumps(json.loads(line[6:]), ensure_ascii=False) if line.startswith("data: {") else line
        for line in lines
    ]
    return "\n".join(raw).encode()


def translated(source: Dialect, target: Dialect, pieces: list[bytes]) -> bytes:
    translator = StreamTranslator(source, target, FACTS)
    out = b"".join(translator.feed(piece) for piece in pieces)
    return out + translator.end()


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_cut_at_any_byte_changes_nothing(source: Dialect, target: Dialect) -> None:
    whole = upstream(source, SHORT)
    expected = translated(source, target, [whole])
    for cut in range(len(whole)):
        assert translated(source, target, [whole[:cut], b"", whole[cut:]]) == expected, cut


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_line_ends_and_comments_change_nothing(source: Dialect, target: Dialect, ends: bytes) -> None:
    whole = upstream(source)
    expected = translated(source, target, [whole])
    other = (b": hello\n\n" + whole.replace(b"\n\n", b"\n: ping\nid: 1\nretry: 5\n\n")).replace(b"\n", ends)

    assert check(target, expected) == "whole"
    assert translated(source, target, [other]) == expected
    assert translated(source, target, [bytes([byte]) for byte in other]) == expected


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_data_may_come_on_several_lines(source: Dialect, target: Dialect) -> None:
    whole = upstream(source)
    lines = whole.replace(b'", "', b'",\ndata: "')

    assert lines != whole
    assert translated(source, target, [lines]) == translated(source, target, [whole])


@pytest.mark.parametrize(("source", "target"), WAYS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_cuts_anywhere_change_nothing(source: Dialect, target: Dialect, data: st.DataObject) -> None:
    whole = upstream(source)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in itertools.pairwise([0, *cuts, len(whole)])]

    assert translated(source, target, pieces) == translated(source, target, [whole])


def test_an_event_that_is_too_large_hides_none_before_it_wherever_the_cut_falls() -> None:
    good = upstream("openai-chat", SHORT).split(b"\n\n")[1] + b"\n\n"
    whole = good + b"data: " + b"x" * 600 + b"\n\n"

    def out(pieces: list[bytes]) -> bytes:
        translator = StreamTranslator("openai-chat", "anthropic-messages", FACTS, max_event_bytes=500)
        return b"".join(map(translator.feed, pieces)) + translator.end()

    expected = out([whole])
    assert "é".encode() in expected
    assert check("anthropic-messages", expected) == "error"
    for cut in range(0, len(whole), 5):
        assert out([whole[:cut], whole[cut:]]) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**30) | st.floats() | st.sampled_from(["", "x", "\ud83d", "message"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "index", "text"]), inner),
    max_leaves=4,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, part in inner for path in paths(part, (*here, key)))]


def changed(value: Any, data: st.DataObject) -> Any:
    """The value with something else at one place, or without it."""
    *above, key = data.draw(st.sampled_from([path for path in paths(value) if path]))
    holder = value
    for step in above:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[key] = data.draw(JSON)
    else:
        del holder[key]
    return value


@pytest.mark.parametrize(("source", "target"), WAYS)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_a_stream_that_is_wrong_somewhere_gives_a_legal_stream(
    source: Dialect, target: Dialect, data: st.DataObject
) -> None:
    events = answer_wire.stream(source, RICH).split(b"\n\n")[:-1]
    match data.draw(st.sampled_from(["change", "drop", "twice", "swap"])):
        case "drop":
            del events[data.draw(st.integers(0, len(events) - 1))]
        case "twice":
            at = data.draw(st.integers(0, len(events) - 1))
            events.insert(at, events[at])
        case "swap":
            at = data.draw(st.integers(1, len(events) - 1))
            events[at - 1], events[at] = events[at], events[at - 1]
        case _:
            at = data.draw(st.integers(0, len(events) - 1))
            value = json.loads(events[at].partition(b"data: ")[2].replace(b"[DONE]", b'{"x": 1}'))
            events[at] = b"data: " + json.dumps(changed(value, data)).encode()
    translator = StreamTranslator(source, target, FACTS)

    out = translator.feed(b"\n\n".join(events) + b"\n\n") + translator.end()

    assert check(target, out) == ("error" if translator.failed else "whole")
    assert translator.ended == (translator.failed is None)


@pytest.mark.parametrize(("source", "target"), WAYS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_whole_answer_that_is_wrong_somewhere_is_an_answer_or_an_error(
    source: Dialect, target: Dialect, data: st.DataObject
) -> None:
    body = changed(answer_wire.whole(source, RICH), data)
    with contextlib.suppress(AnswerError):
        assert translate_reply(body, source, target, FACTS)["model"] == "asked-model"
