"""OpenAI Chat Completions requests, written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mohist.gateway.request import bad_request
from mohist.gateway.translate.field import UnsayableError
from mohist.gateway.translate.form import Ask, Call, Document, Image, Part, Result, Text, Thinking, Tool, Turn
from mohist.gateway.translate.media import data_url, plain_text
from mohist.gateway.translate.name import Names, pack_input
from mohist.gateway.translate.option import Options
from mohist.gateway.translate.reasoning import BUDGETS
from mohist.gateway.translate.sequence import arranged
from mohist.gateway.translate.wish import (
    BETWEEN,
    Omitted,
    check_media,
    chosen,
    description,
    effort,
    joined,
    output_limit,
    sampling,
    schema,
    system_tagged,
    tell_marks,
)

_NO_RESULT = "(no output)"


def write(ask: Ask, model: str, options: Options, names: Names, omitted: Omitted) -> dict[str, Any]:
    """The upstream's request.

    Args:
        ask: the call.
        model: what the upstream calls the model.
        options: what it can do.
        names: of the ask's tools.
        omitted: gets the names of what is left out.

    Raises:
        RefusedError: names what the dialect or the upstream can't say.
    """
    body: dict[str, Any] = {"model": model, "messages": _messages(ask, options, names, omitted)}
    if ask.tools:
        body["tools"] = [_tool(tool, names) for tool in ask.tools]
    if (choice := chosen(ask)) is not None:
        function = {"name": names.outward(choice.namespace, choice.name)}
        body["tool_choice"] = {"type": "function", "function": function} if choice.kind == "tool" else choice.kind
    if ask.parallel is not None and ask.tools:
        body["parallel_tool_calls"] = ask.parallel
    limit = output_limit(ask, options, omitted)
    if limit is not None:
        if options.limit_field:
            body[options.limit_field] = limit
        else:
            omitted["max_tokens"] = None
    body.update(sampling(ask, options, omitted))
    if "top_k" in body and not options.top_k:
        raise UnsayableError("top_k", "this upstream's Chat Completions", "Leave it out.")
    if ask.stop:
        body["stop"] = list(ask.stop)
    for name in ("seed", "presence_penalty", "frequency_penalty"):
        if (value := getattr(ask, name)) is not None:
            body[name] = value
    if ask.shape is not None:
        body["response_format"] = _shape(ask)
    if ask.user:
        body["user"] = ask.user
    if options.cache_key:
        body["prompt_cache_key"] = options.cache_key
    _think(ask, options, body, omitted)
    if ask.stream:
        body["stream"] = True
        if options.stream_options:
            body["stream_options"] = {"include_usage": True}
    tell_marks(ask, omitted)
    return body


def _think(ask: Ask, options: Options, body: dict[str, Any], omitted: Omitted) -> None:
    reasoning = ask.reasoning
    asked = reasoning.effort is not None or reasoning.budget_tokens is not None or reasoning.adaptive
    off = reasoning.effort == "none"
    match options.thinking if asked else "none":
        case "effort":
            if (wanted := effort(reasoning, options, omitted)) is not None:
                body["reasoning_effort"] = wanted
        case "enable_thinking":
            body["enable_thinking"] = not off
            budget = reasoning.budget_tokens
            if budget is None and reasoning.effort in ("minimal", "low", "medium"):
                budget = BUDGETS[reasoning.effort]  # from `high` on it thinks as long as it likes
            if budget and not off:
                body["thinking_budget"] = budget
        case "thinking_type":
            body["thinking"] = {"type": "disabled" if off else "enabled"}
        case _:
            if asked:
                omitted["reasoning"] = None


def _shape(ask: Ask) -> dict[str, Any]:
    assert ask.shape is not None
    if ask.shape.schema is None:
        return {"type": "json_object"}
    inner: dict[str, Any] = {"name": ask.shape.name, "schema": ask.shape.schema}
    if ask.shape.strict is not None:
        inner["strict"] = ask.shape.strict
    return {"type": "json_schema", "json_schema": inner}


def _tool(tool: Tool, names: Names) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.outward(tool.namespace, tool.name)}
    if words := description(tool):
        function["description"] = words
    function["parameters"] = schema(tool)
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _messages(ask: Ask, options: Options, names: Names, omitted: Omitted) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if system := joined(ask.system):
        messages.append({"role": "system", "content": system})
    called: dict[str, str] = {}
    for turn in arranged(ask.turns):
        if turn.role == "assistant":
            called = {
                part.id: names.outward(part.namespace, part.name) for part in turn.parts if isinstance(part, Call)
            }
            if (said := _said(turn, options, names, omitted)) is not None:
                messages.append(said)
        elif turn.role == "system":
            late = options.late_system == "user"
            texts = [system_tagged(turn.parts)] if late else [part for part in turn.parts if isinstance(part, Text)]
            messages.append({"role": "user" if late else "system", "content": joined(texts)})
        else:
            messages += _user(turn, options, called)
    return messages


def _said(turn: Turn, options: Options, names: Names, omitted: Omitted) -> dict[str, Any] | None:
    texts = [part for part in turn.parts if isinstance(part, Text)]
    calls = [part for part in turn.parts if isinstance(part, Call)]
    thoughts = [part.text for part in turn.parts if isinstance(part, Thinking) and part.text]
    if any(isinstance(part, Thinking) and part.opaque for part in turn.parts) or (
        thoughts and not options.reasoning_field
    ):
        omitted["reasoning of earlier answers"] = None
    if not texts and not calls:
        return None
    message: dict[str, Any] = {"role": "assistant", "content": joined(texts) or None}
    if message["content"] is None and options.empty_content:
        message["content"] = ""
    if options.reasoning_field and (thoughts or (options.reasoning_required and calls)):
        message[options.reasoning_field] = BETWEEN.join(thoughts)
    if calls:
        message["tool_calls"] = [_call(call, names) for call in calls]
    return message


def _call(call: Call, names: Names) -> dict[str, Any]:
    arguments = pack_input(call.arguments) if call.freeform else call.arguments or "{}"
    function = {"name": names.outward(call.namespace, call.name), "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _user(turn: Turn, options: Options, called: dict[str, str]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    seen: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, Result):
            seen.append(part)
            continue
        texts: list[Text] = []
        media: list[Part] = []
        for inner in part.parts:
            if isinstance(inner, Text):
                texts.append(inner)
            elif isinstance(inner, Document) and (text := plain_text(inner)) is not None:
                texts.append(Text(text))
            else:
                media.append(inner)
        content = "\n".join(text.text for text in texts)
        if media:
            # A tool's message holds text alone; what it showed follows the results of the turn.
            label = f"what the call {part.call_id} of {called.get(part.call_id, 'a tool')} returned"
            content = f"{content}\n(The next message shows {label}.)".lstrip("\n")
            seen += [Text(f"This is {label}:"), *media]
        if part.is_error:
            content = f"Error: {content}"
        messages.append({"role": "tool", "tool_call_id": part.call_id, "content": content or _NO_RESULT})
    if seen:
        messages.append({"role": "user", "content": _content(seen, options)})
    return messages


def _content(parts: Iterable[Part], options: Options) -> str | list[dict[str, Any]]:
    """Text alone goes as a string, since not every server takes lists (DeepSeek: "invalid type: sequence")."""
    blocks: list[Text | dict[str, Any]] = []
    for part in parts:
        match part:
            case Text():
                blocks.append(part)
            case Image():
                check_media(part, options)
                inner = {"url": part.url or data_url(part.media_type, part.data)}
                if part.detail:
                    inner["detail"] = part.detail
                blocks.append({"type": "image_url", "image_url": inner})
            case Document():
                blocks.append(_file(part, options))
            case _:
                pass  # results are told above; a user neither thinks nor calls
    if all(isinstance(block, Text) for block in blocks):
        return joined(block for block in blocks if isinstance(block, Text))
    return [{"type": "text", "text": block.text} if isinstance(block, Text) else block for block in blocks]


def _file(part: Document, options: Options) -> Text | dict[str, Any]:
    if (text := plain_text(part)) is not None:
        return Text(text)
    check_media(part, options)
    if part.url:
        raise bad_request("The upstream takes files by their content, not by address. Send the content.")
    inner = {"filename": part.name or "file", "file_data": data_url(part.media_type, part.data)}
    return {"type": "file", "file": inner}
