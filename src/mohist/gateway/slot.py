"""Where the texts stand in the answers of the three dialects, whole and in events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from mohist.gateway.call import Dialect
from mohist.gateway.guard import Part


class Slot(NamedTuple):
    """One text in a JSON value; may be written to."""

    part: Part
    holder: dict[str, Any]
    key: str
    whole: bool
    """The part's whole text, not a piece of it."""


# Kinds of Responses events that hold a piece of a part.
# https://platform.openai.com/docs/api-reference/responses-streaming
_DELTAS: Mapping[str, str] = {
    "response.output_text": "text",
    "response.refusal": "text",
    "response.reasoning_text": "thinking",
    "response.reasoning_summary_text": "thinking",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "arguments",
    "response.mcp_call_arguments": "arguments",
}
_ANTHROPIC_DELTAS = {
    "text_delta": ("text", "text"),
    "input_json_delta": ("arguments", "partial_json"),
    "thinking_delta": ("thinking", "thinking"),
}
_CHAT_FIELDS = {"content": "text", "refusal": "text", "reasoning_content": "thinking", "reasoning": "thinking"}


def slots(dialect: Dialect, value: dict[str, Any]) -> Iterator[Slot]:
    """The texts of one event, or of a whole answer."""
    if dialect == "anthropic-messages":
        yield from _of_messages(value)
    elif dialect == "openai-responses":
        yield from _of_responses(value)
    else:
        for choice in _dicts(value.get("choices")):
            index = _index(choice, "index")
            for name, whole in (("delta", False), ("message", True)):
                if isinstance(said := choice.get(name), dict):
                    yield from _of_chat(said, index, whole)


def ended(dialect: Dialect, value: dict[str, Any], open_parts: Iterator[Part]) -> list[Part]:
    """Which of the parts are over with this event."""
    kind = value.get("type")
    if dialect == "anthropic-messages":
        index = _index(value, "index") if kind == "content_block_stop" else None
        return [part for part in open_parts if part.index == index or kind == "message_stop"]
    if dialect == "openai-responses":
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return list(open_parts)
        if isinstance(kind, str) and kind.endswith(".done"):
            index = _index(value, "output_index")
            what = _DELTAS.get(kind.removesuffix(".done"))
            ours = [part for part in open_parts if part.index == index]
            if what is None:
                return ours if kind == "response.output_item.done" else []
            sub_index = _sub_index(value)
            return [part for part in ours if part.kind == what and part.sub_index == sub_index]
        return []
    over = {_index(choice, "index") for choice in _dicts(value.get("choices")) if choice.get("finish_reason")}
    return [part for part in open_parts if part.index in over]


def tools(dialect: Dialect, value: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    """The tools that the client is to call, as far as one event or a whole answer names them: index, sub-index, name.

    Those that the vendor calls, or another party's server, are not among them.
    """
    if dialect == "anthropic-messages":
        blocks = [(_index(value, "index"), block) for block in _dicts([value.get("content_block")])]
        for index, block in (*blocks, *enumerate(_dicts(value.get("content")))):
            if block.get("type") == "tool_use" and isinstance(name := block.get("name"), str):
                yield index, 0, name
    elif dialect == "openai-responses":
        response = value.get("response")
        output = response.get("output") if isinstance(response, dict) else value.get("output")
        items = [(_index(value, "output_index"), item) for item in _dicts([value.get("item")])]
        for index, item in (*items, *enumerate(_dicts(output))):
            if item.get("type") in ("function_call", "custom_tool_call") and isinstance(name := item.get("name"), str):
                yield index, 0, name
    else:
        for choice in _dicts(value.get("choices")):
            for key, whole in (("delta", False), ("message", True)):
                said = choice.get(key)
                for number, call in enumerate(_dicts(said.get("tool_calls")) if isinstance(said, dict) else ()):
                    for form in ("function", "custom"):
                        if isinstance(inner := call.get(form), dict) and isinstance(name := inner.get("name"), str):
                            yield _index(choice, "index"), number if whole else _index(call, "index"), name


def delta(dialect: Dialect, part: Part, text: str, near: Mapping[str, Any]) -> bytes:
    """An event with a piece of a part; `near` is an event of the same stream."""
    if dialect == "anthropic-messages":
        kind, key = next((kind, key) for kind, (what, key) in _ANTHROPIC_DELTAS.items() if what == part.kind)
        event = {"type": "content_block_delta", "index": part.index, "delta": {"type": kind, key: text}}
        return b"event: content_block_delta\ndata: " + orjson.dumps(event) + b"\n\n"
    if dialect == "openai-responses":
        stem = str(near.get("type")).rpartition(".")[0]
        stem = (
            stem
            if _DELTAS.get(stem) == part.kind
            else next(kind for kind, what in _DELTAS.items() if what == part.kind)
        )
        kind = stem + ".delta"
        kept = {name: near[name] for name in ("item_id", "sequence_number") if name in near}
        place = {"output_index": part.index, "content_index": part.sub_index}
        return (
            f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **kept, **place, "delta": text}) + b"\n\n"
        )
    said: dict[str, Any] = {"content": text}
    if part.kind == "arguments":
        said = {"tool_calls": [{"index": part.sub_index, "function": {"arguments": text}}]}
    elif part.kind == "thinking":
        said = {"reasoning_content": text}
    kept = {name: near[name] for name in ("id", "object", "created", "model", "system_fingerprint") if name in near}
    choice = {"index": part.index, "delta": said, "finish_reason": None}
    return b"data: " + orjson.dumps({**kept, "choices": [choice]}) + b"\n\n"


def _of_messages(value: dict[str, Any]) -> Iterator[Slot]:
    index = _index(value, "index")
    said = value.get("delta")
    if isinstance(said, dict) and isinstance(kind := said.get("type"), str) and kind in _ANTHROPIC_DELTAS:
        what, key = _ANTHROPIC_DELTAS[kind]
        if isinstance(said.get(key), str):
            yield Slot(Part(what, index, sealed=what == "thinking"), said, key, False)  # type: ignore[arg-type]
    if isinstance(block := value.get("content_block"), dict):
        yield from _of_block(block, index, False)
    for number, block in enumerate(_dicts(value.get("content"))):
        yield from _of_block(block, number, True)


def _of_block(block: dict[str, Any], index: int, whole: bool) -> Iterator[Slot]:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        yield Slot(Part("text", index), block, "text", whole)
    elif kind == "thinking" and isinstance(block.get("thinking"), str):
        yield Slot(Part("thinking", index, sealed=True), block, "thinking", whole)
    elif kind in ("tool_use", "server_tool_use") and whole and isinstance(block.get("input"), dict):
        yield Slot(Part("arguments", index), block, "input", True)


def _of_chat(said: dict[str, Any], index: int, whole: bool) -> Iterator[Slot]:
    for key, what in _CHAT_FIELDS.items():
        if isinstance(said.get(key), str):
            yield Slot(Part(what, index), said, key, whole)  # type: ignore[arg-type]
    for number, call in enumerate(_dicts(said.get("tool_calls"))):
        place = number if whole else _index(call, "index")
        for form, key in (("function", "arguments"), ("custom", "input")):
            if isinstance(inner := call.get(form), dict) and isinstance(inner.get(key), str):
                yield Slot(Part("arguments", index, place), inner, key, whole)


def _of_responses(value: dict[str, Any]) -> Iterator[Slot]:
    kind = value.get("type")
    index = _index(value, "output_index")
    if isinstance(kind, str):
        stem, _, end = kind.rpartition(".")
        if (what := _DELTAS.get(stem)) is not None:
            part = Part(what, index, _sub_index(value))  # type: ignore[arg-type]
            for key in ("delta",) if end == "delta" else ("text", "refusal", "arguments", "input"):
                if isinstance(value.get(key), str):
                    yield Slot(part, value, key, end != "delta")
    for key in ("item", "part"):
        if isinstance(item := value.get(key), dict):
            yield from _of_item(item, index)
    response = value.get("response")
    output = response.get("output") if isinstance(response, dict) else value.get("output")
    for number, item in enumerate(_dicts(output)):
        yield from _of_item(item, number)


def _of_item(item: dict[str, Any], index: int) -> Iterator[Slot]:
    """An output item, or one content part of it; empty texts are those that are still to come."""
    for key, what in (("text", "text"), ("refusal", "text"), ("arguments", "arguments"), ("input", "arguments")):
        if isinstance(item.get(key), str) and item[key]:
            yield Slot(Part(what, index), item, key, True)  # type: ignore[arg-type]
    for key, what in (("content", "text"), ("summary", "thinking")):
        for number, inner in enumerate(_dicts(item.get(key))):
            for name in ("text", "refusal"):
                if isinstance(inner.get(name), str) and inner[name]:
                    yield Slot(Part(what, index, number), inner, name, True)  # type: ignore[arg-type]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _index(value: Mapping[str, Any], key: str) -> int:
    index = value.get(key, 0)
    return index if type(index) is int else 0


def _sub_index(value: Mapping[str, Any]) -> int:
    return _index(value, "content_index") or _index(value, "summary_index")
