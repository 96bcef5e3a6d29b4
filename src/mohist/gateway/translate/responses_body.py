"""OpenAI Responses requests, written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mohist.gateway.translate.field import UnsayableError
from mohist.gateway.translate.form import Ask, Call, Document, Image, Part, Result, Text, Thinking, Tool, Turn
from mohist.gateway.translate.media import data_url, plain_text
from mohist.gateway.translate.name import Names
from mohist.gateway.translate.option import Options
from mohist.gateway.translate.sequence import arranged
from mohist.gateway.translate.wish import (
    Omitted,
    check_media,
    chosen,
    effort,
    output_limit,
    refuse_penalties,
    sampling,
    system_tagged,
    tell_marks,
)

_TARGET = "Responses"
_MAKER = "openai-responses"


def write(ask: Ask, model: str, options: Options, names: Names, omitted: Omitted) -> dict[str, Any]:
    """The upstream's request. It is asked to keep nothing.

    Args:
        ask: the call.
        model: what the upstream calls the model.
        options: what it can do.
        names: of the ask's tools.
        omitted: gets the names of what is left out.

    Raises:
        RefusedError: names what the dialect or the upstream can't say.
    """
    refuse_penalties(ask, _TARGET)
    if ask.stop:
        raise UnsayableError("stop", _TARGET, "Leave it out.")
    if ask.seed is not None:
        omitted["seed"] = None  # best effort with those who know it
    body: dict[str, Any] = {"model": model}
    texts = [text.text for text in ask.system if text.text.strip()]
    if texts:
        body["instructions"] = texts[0]
    rest = [{"type": "input_text", "text": text} for text in texts[1:]]
    items: list[dict[str, Any]] = [{"type": "message", "role": "developer", "content": rest}] if rest else []
    freeform: set[str] = set()
    for turn in arranged(ask.turns):
        items += _items(turn, options, names, freeform, omitted)
    body["input"] = items
    if ask.tools:
        body["tools"] = _tools(ask.tools, names)
    if (choice := chosen(ask)) is not None:
        body["tool_choice"] = choice.kind
        if choice.kind == "tool":
            custom = any(tool.name == choice.name and tool.freeform for tool in ask.tools)
            name = names.outward(choice.namespace, choice.name)
            body["tool_choice"] = {"type": "custom" if custom else "function", "name": name}
            if choice.namespace and not names.flat:
                body["tool_choice"]["namespace"] = choice.namespace
    if ask.parallel is not None and ask.tools:
        body["parallel_tool_calls"] = ask.parallel
    if (limit := output_limit(ask, options, omitted)) is not None:
        body["max_output_tokens"] = limit
    body.update(sampling(ask, options, omitted))
    if "top_k" in body:
        raise UnsayableError("top_k", _TARGET, "Leave it out.")
    _think(ask, options, body, omitted)
    if ask.shape is not None:
        body["text"] = {"format": _format(ask)}
    if ask.user:
        body["user"] = ask.user
    if options.cache_key:
        body["prompt_cache_key"] = options.cache_key
    body["store"] = False
    if ask.stream:
        body["stream"] = True
    tell_marks(ask, omitted)
    return body


def _think(ask: Ask, options: Options, body: dict[str, Any], omitted: Omitted) -> None:
    reasoning = ask.reasoning
    asked = reasoning.effort is not None or reasoning.budget_tokens is not None or reasoning.adaptive
    if options.thinking not in ("", "effort"):
        if asked:
            omitted["reasoning"] = None
        return
    inner: dict[str, Any] = {}
    if asked and (wanted := effort(reasoning, options, omitted)) is not None:
        inner["effort"] = wanted
    if reasoning.shown or (reasoning.shown is None and asked and reasoning.effort != "none"):
        inner["summary"] = "auto"
    if inner:
        body["reasoning"] = inner
    # Not kept by the upstream, so the client must hand it back.
    if asked or inner:
        body["include"] = ["reasoning.encrypted_content"]


def _format(ask: Ask) -> dict[str, Any]:
    assert ask.shape is not None
    if ask.shape.schema is None:
        return {"type": "json_object"}
    out: dict[str, Any] = {"type": "json_schema", "name": ask.shape.name, "schema": ask.shape.schema}
    if ask.shape.strict is not None:
        out["strict"] = ask.shape.strict
    return out


def _tools(tools: Iterable[Tool], names: Names) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for tool in tools:
        written = _tool(tool, names)
        if names.flat or not tool.namespace:
            out.append(written)
        elif out and out[-1]["type"] == "namespace" and out[-1]["name"] == tool.namespace:
            out[-1]["tools"].append(written)
        else:
            words = tool.namespace_description
            out.append({"type": "namespace", "name": tool.namespace, "description": words, "tools": [written]})
    return out


def _tool(tool: Tool, names: Names) -> dict[str, Any]:
    out: dict[str, Any] = {
        "type": "custom" if tool.freeform else "function",
        "name": names.outward(tool.namespace, tool.name),
        "description": tool.description,
    }
    if tool.freeform:
        if tool.grammar is not None:
            out["format"] = tool.grammar
        return out
    # Strict is what Responses assumes where nothing is said, and the other dialects don't.
    return {**out, "strict": bool(tool.strict), "parameters": tool.schema or {"type": "object", "properties": {}}}


def _items(turn: Turn, options: Options, names: Names, freeform: set[str], omitted: Omitted) -> list[dict[str, Any]]:
    if turn.role == "system":
        late = options.late_system == "user"
        texts = (system_tagged(turn.parts),) if late else turn.parts
        return [_message("user" if late else "developer", texts, options)]
    items: list[dict[str, Any]] = []
    said: list[Part] = []

    def tell() -> None:
        if said:
            items.append(_message(turn.role, said, options))
            said.clear()

    for part in turn.parts:
        match part:
            case Text() | Image() | Document():
                said.append(part)
            case Thinking():
                tell()
                if part.maker == _MAKER and part.opaque:
                    items.append(_thought(part))
                else:
                    omitted["reasoning of earlier answers"] = None
            case Call():
                tell()
                items.append(_call(part, names))
                if part.freeform:
                    freeform.add(part.id)
            case Result():
                tell()
                items.append(_result(part, options, part.call_id in freeform))
    tell()
    return items


def _message(role: str, parts: Iterable[Part], options: Options) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [_part(part, role, options) for part in parts]}


def _thought(part: Thinking) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "reasoning"}
    if part.item_id:
        out["id"] = part.item_id
    out["summary"] = [{"type": "summary_text", "text": part.text}] if part.text else []
    return {**out, "encrypted_content": part.opaque}


def _call(part: Call, names: Names) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "custom_tool_call" if part.freeform else "function_call"}
    if part.item_id:
        out["id"] = part.item_id
    out |= {"call_id": part.id, "name": names.outward(part.namespace, part.name)}
    if part.namespace and not names.flat:
        out["namespace"] = part.namespace
    return {**out, "input" if part.freeform else "arguments": part.arguments or ("" if part.freeform else "{}")}


def _result(part: Result, options: Options, freeform: bool) -> dict[str, Any]:
    kind = "custom_tool_call_output" if freeform or part.freeform else "function_call_output"
    parts: list[Part] = [Text("Error:"), *part.parts] if part.is_error else list(part.parts)
    output: str | list[dict[str, Any]]
    if all(isinstance(one, Text) for one in parts):
        output = "\n".join(one.text for one in parts if isinstance(one, Text))
    else:
        output = [_part(one, "user", options) for one in parts]
    return {"type": kind, "call_id": part.call_id, "output": output}


def _part(part: Part, role: str, options: Options) -> dict[str, Any]:
    match part:
        case Text() if role == "assistant":
            return (
                {"type": "refusal", "refusal": part.text}
                if part.refusal
                else {"type": "output_text", "text": part.text}
            )
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            check_media(part, options)
            out = {"type": "input_image", "image_url": part.url or data_url(part.media_type, part.data)}
            return {**out, "detail": part.detail} if part.detail else out
        case Document():
            if (text := plain_text(part)) is not None:
                return {"type": "input_text", "text": text}
            check_media(part, options)
            if part.url:
                return {"type": "input_file", "file_url": part.url}
            content = data_url(part.media_type, part.data)
            return {"type": "input_file", "filename": part.name or "file", "file_data": content}
        case _:
            raise AssertionError(f"{type(part).__name__} is an item of its own")
