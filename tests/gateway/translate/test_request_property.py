"""What holds of every translated request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohist.gateway.call import Dialect
from mohist.gateway.request import RefusedError
from mohist.gateway.translate import (
    Names,
    Options,
    chat_ask,
    chat_body,
    messages_ask,
    messages_body,
    responses_ask,
    responses_body,
    translate_request,
)
from mohist.gateway.translate.form import (
    Ask,
    Call,
    Choice,
    Document,
    Image,
    Part,
    Reasoning,
    Result,
    Shape,
    Text,
    Thinking,
    Tool,
    Turn,
)
from mohist.gateway.translate.name import pack_input, unpack_input
from mohist.gateway.translate.reasoning import EFFORTS, unwrap, wrap

DIALECTS: tuple[Dialect, ...] = ("openai-chat", "openai-responses", "anthropic-messages")
WRITERS: dict[Dialect, Callable[..., dict[str, Any]]] = {
    "openai-chat": chat_body.write,
    "openai-responses": responses_body.write,
    "anthropic-messages": messages_body.write,
}
READERS: dict[Dialect, Callable[[dict[str, Any]], Ask]] = {
    "openai-chat": chat_ask.read,
    "openai-responses": responses_ask.read,
    "anthropic-messages": messages_ask.read,
}
OPTIONS: dict[Dialect, Options] = {
    "openai-chat": Options(
        thinking="effort", efforts=EFFORTS, reasoning_field="reasoning_content", top_k=True, late_system="system"
    ),
    "openai-responses": Options(efforts=EFFORTS),
    "anthropic-messages": Options(thinking="adaptive", efforts=EFFORTS, late_system="system"),
}
REQUESTS = sorted((Path(__file__).parent / "requests").glob("*.json"))

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
texts = st.builds(Text, words)
images = st.builds(Image, data=st.just("aGk="), media_type=st.sampled_from(["image/png", "image/jpeg"]))
objects = st.dictionaries(words, st.integers() | words | st.booleans(), max_size=3)


@st.composite
def turns(draw: st.DrawFn, dialect: Dialect, thinks: bool) -> tuple[Turn, ...]:
    done = [Turn("user", (draw(texts),))]
    made = 0
    for _ in range(draw(st.integers(0, 4))):
        said: list[Part] = []
        if thinks and draw(st.booleans()):
            said.append(_thinking(draw, dialect))
        if draw(st.booleans()):
            said.append(draw(texts))
        count = draw(st.integers(0, 3))
        for _ in range(count):
            made += 1
            freeform = dialect == "openai-responses" and draw(st.booleans())
            arguments = (
                draw(words) if freeform else json.dumps(draw(objects), ensure_ascii=False, separators=(",", ":"))
            )
            said.append(Call(f"call_{made}", draw(names), arguments, freeform=freeform))
        if not any(isinstance(part, Text | Call) for part in said):
            said.append(draw(texts))
        done.append(Turn("assistant", tuple(said)))
        calls = [part for part in said if isinstance(part, Call)]
        if calls:
            done.append(Turn("user", tuple(Result(call.id, (draw(texts),), freeform=call.freeform) for call in calls)))
        if not calls or draw(st.booleans()):
            done.append(Turn("user", (draw(texts), draw(images)) if draw(st.booleans()) else (draw(texts),)))
        if draw(st.booleans()):
            done.append(Turn("system", (draw(texts),)))
    return tuple(done)


def _thinking(draw: st.DrawFn, dialect: Dialect) -> Thinking:
    match dialect:
        case "openai-chat":
            return Thinking(draw(words))
        case "anthropic-messages":
            return Thinking(draw(words), "c2lnbmVk", dialect)
        case _:
            return Thinking(draw(words), "c2VhbGVk", dialect, item_id="rs_1")


@st.composite
def asks(draw: st.DrawFn, dialect: Dialect) -> Ask:
    anthropic, chat = dialect == "anthropic-messages", dialect == "openai-chat"
    thinks = draw(st.booleans())
    reasoning = Reasoning()
    if thinks:
        reasoning = {
            "openai-chat": Reasoning("high"),
            "openai-responses": Reasoning("high", shown=True),
            "anthropic-messages": Reasoning("high", adaptive=True),
        }[dialect]
    tools = tuple(
        Tool(
            name,
            draw(words),
            {"type": "object", "properties": {}, "x": draw(words)},
            strict=draw(st.just(None) | st.just(True)),
        )
        for name in draw(st.lists(names, max_size=3, unique=True))
    )
    if dialect == "openai-responses" and draw(st.booleans()):
        tools += (
            Tool("PATCH", "d", {}, freeform=True, grammar={"type": "text"}),
            Tool("spawn", "d", {"type": "object"}, namespace="agents", namespace_description="n"),
        )
    choice = draw(st.sampled_from([None, Choice("auto"), Choice("required")])) if tools else None
    steered = not (anthropic and thinks)
    limit = st.integers(1, 10_000)
    return Ask(
        model="m",
        system=tuple(draw(st.lists(texts, max_size=1 if chat else 3))),
        turns=draw(turns(dialect, thinks)),
        tools=tools,
        choice=choice if steered else None,
        parallel=draw(st.sampled_from([True, False])) if tools and (choice and steered) else None,
        max_output_tokens=draw(limit if anthropic else st.none() | limit),
        temperature=draw(st.none() | st.floats(0, 1)) if steered else None,
        top_p=draw(st.none() | st.floats(0, 1)) if steered else None,
        stop=() if dialect == "openai-responses" else tuple(draw(st.lists(words, max_size=2))),
        seed=draw(st.none() | st.integers(0, 99)) if chat else None,
        presence_penalty=draw(st.none() | st.floats(-2, 2)) if chat else None,
        stream=draw(st.booleans()),
        reasoning=reasoning,
        shape=draw(st.none() | st.builds(Shape, objects, st.just("answer"), st.just(True))),
        user=draw(st.sampled_from(["", "someone"])),
    )


def _said(ask: Ask) -> list[tuple[str, Part]]:
    """What is said in order; marks and the cut between messages of one role don't matter."""
    return [(turn.role, _bare(part)) for turn in ask.turns for part in turn.parts]


def _bare(part: Part) -> Part:
    if isinstance(part, Result):
        inner: tuple[Text | Image | Document, ...] = tuple(replace(one, mark=None) for one in part.parts)
        return replace(part, mark=None, parts=inner)
    return part if isinstance(part, Thinking) else replace(part, mark=None)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(data=st.data())
def test_what_is_written_reads_as_the_same_ask(dialect: Dialect, data: st.DataObject) -> None:
    ask = data.draw(asks(dialect))
    options = OPTIONS[dialect]
    tool_names = Names.same(ask.tools) if dialect == "openai-responses" else Names.of(ask.tools)
    omitted: dict[str, None] = {}
    body = WRITERS[dialect](ask, "m", options, tool_names, omitted)
    again = READERS[dialect](json.loads(json.dumps(body)))
    assert omitted == {}
    assert _said(again) == _said(ask)
    assert [text.text for text in again.system] == [text.text for text in ask.system]
    assert [replace(tool, mark=None) for tool in again.tools] == list(ask.tools)
    same = {"turns": (), "system": (), "tools": (), "omitted": ()}
    assert replace(again, **same) == replace(ask, **same)


def _blocks(body: dict[str, Any]) -> list[Any]:
    """What a prompt cache sees of the conversation."""
    if "input" in body:
        return [json.dumps(item) for item in body["input"]]
    blocks: list[Any] = []
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, list) and "tool_calls" not in message:
            blocks += [(message["role"], json.dumps(_unmarked(block))) for block in content]
        else:
            blocks.append(json.dumps(message))
    return blocks


def _unmarked(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "cache_control"}


@pytest.mark.parametrize("target", DIALECTS)
@given(data=st.data())
def test_asks_that_begin_alike_are_written_alike(target: Dialect, data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(DIALECTS))
    ask = data.draw(asks(source))
    ask = replace(ask, stop=(), presence_penalty=None, tools=())
    ends = [
        at
        for at in range(1, len(ask.turns) + 1)
        if ask.turns[at - 1].role != "assistant" and (at == len(ask.turns) or ask.turns[at].role == "assistant")
    ]
    end = data.draw(st.sampled_from(ends))
    whole = WRITERS[target](ask, "m", Options(), Names(), {})
    part = WRITERS[target](replace(ask, turns=ask.turns[:end]), "m", Options(), Names(), {})
    assert _blocks(whole)[: len(_blocks(part))] == _blocks(part)
    assert whole.get("system") == part.get("system")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(value: object) -> list[tuple[dict[str, Any] | list[Any], Any]]:
    found: list[tuple[dict[str, Any] | list[Any], Any]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(value, key), *_places(inner)]
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            found += [(value, at), *_places(inner)]
    return found


def _small(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    body["tools"] = [tool for tool in body["tools"] if tool.get("type") not in (None, "function")] + body["tools"][:1]
    return body


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
@given(data=st.data())
@settings(max_examples=150)
def test_a_damaged_request_is_refused_or_translated(path: Path, data: st.DataObject) -> None:
    body = _small(path)
    options = Options(leave_out=frozenset({"web_search", "tool_search"}))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(_places(body)))
        holder[key] = data.draw(json_values)
    for source in DIALECTS:
        for target in DIALECTS:
            _refused_or_translated(body, source, target, options)


def _refused_or_translated(body: dict[str, Any], source: Dialect, target: Dialect, options: Options) -> None:
    try:
        done = translate_request(body, source, target, "m", options)
    except RefusedError as error:
        status = error.refusal.status
    else:
        status = 400
        json.dumps(done.body)
        assert all(name.isascii() and name.isprintable() for name in done.omitted)
    assert status == 400


@given(st.dictionaries(st.sampled_from(["model", "messages", "input", "tools", "system", "odd"]), json_values))
def test_any_object_is_refused_or_translated(body: dict[str, Any]) -> None:
    for source in DIALECTS:
        _refused_or_translated(body, source, "openai-chat", Options())


def test_a_request_nested_without_end_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    grammar = {"type": "custom", "name": "f", "format": {"g": deep}}
    with pytest.raises(RefusedError, match="nested too deep"):
        translate_request(
            {"model": "m", "input": "x", "tools": [grammar]}, "openai-responses", "openai-chat", "m", Options()
        )


@given(st.text())
def test_freeform_input_survives_its_packing(text: str) -> None:
    assert unpack_input(pack_input(text)) == text


@given(words, st.sampled_from(DIALECTS), st.text(), st.booleans(), st.text())
def test_reasoning_survives_its_way_through_a_client(
    opaque: str, maker: Dialect, text: str, redacted: bool, item_id: str
) -> None:
    thinking = Thinking(text, opaque, maker, redacted, item_id)
    assert unwrap(wrap(thinking), text) == thinking
    assert unwrap(wrap(thinking, with_text=True)) == thinking


@given(st.text())
def test_damaged_reasoning_keeps_its_text_alone(damage: str) -> None:
    made = unwrap("mohist1." + damage, "thought")
    assert made is not None
    assert made.text == "thought" or made.maker


@given(words, words)
def test_names_fit_and_are_found_again(namespace: str, name: str) -> None:
    tools = Names.of([Tool(name, "", {}, namespace=namespace)])
    outward = tools.outward(namespace, name)
    assert len(outward) <= 64
    assert set(outward) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert tools.inward(outward) == (namespace, name, False)
