"""Anthropic Messages requests, written.

Where the client gives no cache marks, they are put at the end of the tools, at the end of the system text and on the
last two turns of the user: the four that Anthropic takes. They move as the conversation grows, and what is cached does
not depend on where they stand, only on what stands before them
(https://docs.claude.com/en/docs/build-with-claude/prompt-caching).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mohist.gateway.request import bad_request
from mohist.gateway.translate.field import UnsayableError
from mohist.gateway.translate.form import (
    Ask,
    Call,
    Document,
    Image,
    Mark,
    Part,
    Reasoning,
    Result,
    Text,
    Thinking,
    Tool,
    Turn,
)
from mohist.gateway.translate.media import plain_text
from mohist.gateway.translate.name import Names, pack_input
from mohist.gateway.translate.option import Options
from mohist.gateway.translate.reasoning import MIN_BUDGET_TOKENS, budget_of
from mohist.gateway.translate.sequence import arranged
from mohist.gateway.translate.wish import (
    Omitted,
    check_media,
    chosen,
    description,
    effort,
    output_limit,
    refuse_penalties,
    sampling,
    schema,
    system_tagged,
)
from mohist.provider.dialogue import argument_object

DEFAULT_MAX_TOKENS = 8192
"""The required limit, when neither the client nor the route names one: what all models since Claude 3.5 can write."""

MAX_MARKS = 4
MIN_TOP_P_THINKING = 0.95
"""https://docs.claude.com/en/docs/build-with-claude/extended-thinking#feature-compatibility"""

_TARGET = "Anthropic Messages"
_MAKER = "anthropic-messages"
_PDF = "application/pdf"
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


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
    refuse_penalties(ask, _TARGET)
    if ask.seed is not None:
        omitted["seed"] = None  # best effort with those who know it
    limit = output_limit(ask, options, omitted) or options.max_output_tokens or DEFAULT_MAX_TOKENS
    body: dict[str, Any] = {"model": model, "max_tokens": limit}
    turns = arranged(ask.turns)
    thinks = _think(ask, turns, limit, options, body, omitted)
    if ask.shape is not None:
        if ask.shape.schema is None:
            raise UnsayableError("response_format.type", _TARGET, "Give a schema (`json_schema`).")
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": ask.shape.schema}
    if ask.tools:
        body["tools"] = [_tool(tool, names) for tool in ask.tools]
    if (choice := _choice(ask, names)) is not None:
        body["tool_choice"] = choice
    if system := [_text(text) for text in ask.system if text.text.strip()]:
        body["system"] = system
    body["messages"] = _messages(turns, options, names, thinks, omitted)
    if not 1 <= _mark_count(body) <= MAX_MARKS:
        _clear_marks(body)
        _set_marks(body)
    wishes = sampling(ask, options, omitted)
    if wishes.get("temperature", 0) > 1:
        raise UnsayableError("temperature", _TARGET, "It takes 0 to 1.")
    if not thinks:
        body.update(wishes)
    if ask.stop:
        if any(not stop.strip() for stop in ask.stop):
            raise UnsayableError("stop", _TARGET, "A stop sequence can't be spaces alone.")
        body["stop_sequences"] = list(ask.stop)
    if ask.user:
        body["metadata"] = {"user_id": ask.user}
    if ask.stream:
        body["stream"] = True
    return body


def _think(
    ask: Ask, turns: tuple[Turn, ...], limit: int, options: Options, body: dict[str, Any], omitted: Omitted
) -> bool:
    """Switches thinking on where it is asked for and can be; True when it is on.

    With a budget Anthropic demands that the running round of tools began with thinking of its own; and always that
    nothing steers sampling and no tool is forced. Thinking is a wish, so it yields to those.
    """
    reasoning = ask.reasoning
    asked = reasoning.budget_tokens is not None or reasoning.adaptive or reasoning.effort not in (None, "none")
    style = options.thinking
    if reasoning.effort == "none" and style in ("budget", "adaptive"):
        body["thinking"] = {"type": "disabled"}
        return False
    if not asked:
        return False
    yields = (
        style not in ("budget", "adaptive")
        or (options.sampling and ask.temperature not in (None, 1.0))
        or (options.sampling and ask.top_k is not None)
        or (options.sampling and ask.top_p is not None and ask.top_p < MIN_TOP_P_THINKING)
        or (ask.choice is not None and ask.choice.kind in ("required", "tool"))
    )
    budget = 0
    if style == "budget" and not yields:
        budget = min(budget_of(reasoning) or budget_of(Reasoning("medium")) or 0, limit - MIN_BUDGET_TOKENS)
        yields = budget < MIN_BUDGET_TOKENS or not _may_resume(turns)
    if yields:
        omitted["reasoning"] = None
        return False
    thinking: dict[str, Any] = {"type": "adaptive"}
    if style == "budget":
        thinking = {"type": "enabled", "budget_tokens": budget}
    elif (wanted := effort(reasoning, options, omitted)) is not None:
        body["output_config"] = {"effort": wanted}
    if reasoning.shown is not None:
        thinking["display"] = "summarized" if reasoning.shown else "omitted"
    body["thinking"] = thinking
    return True


def _may_resume(turns: tuple[Turn, ...]) -> bool:
    """Whether the assistant's last turn, if it called tools, began with thinking that Anthropic made."""
    last = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
    if last is None or not any(isinstance(part, Call) for part in last.parts):
        return True
    first = next(part for part in last.parts if not isinstance(part, Thinking) or _thought(part))
    return isinstance(first, Thinking)


def _choice(ask: Ask, names: Names) -> dict[str, Any] | None:
    choice = chosen(ask)
    single = ask.parallel is False and bool(ask.tools)
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if single else None
    out: dict[str, Any]
    match choice.kind:
        case "tool":
            out = {"type": "tool", "name": names.outward(choice.namespace, choice.name)}
        case "required":
            out = {"type": "any"}
        case "none":
            return {"type": "none"}
        case _:
            out = {"type": "auto"}
    if ask.parallel is not None and ask.tools:
        out["disable_parallel_tool_use"] = not ask.parallel
    return out


def _tool(tool: Tool, names: Names) -> dict[str, Any]:
    out: dict[str, Any] = {"name": names.outward(tool.namespace, tool.name)}
    if words := description(tool):
        out["description"] = words
    out["input_schema"] = schema(tool)
    if tool.strict:
        out["strict"] = True
    return _marked(out, tool.mark)


def _messages(
    turns: Iterable[Turn], options: Options, names: Names, thinks: bool, omitted: Omitted
) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        role: str = turn.role
        blocks: list[dict[str, Any]]
        if role == "system" and options.late_system != "system":
            role, blocks = "user", [_text(system_tagged(turn.parts))]
        else:
            blocks = [block for part in turn.parts if (block := _block(part, options, names, thinks, omitted))]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def _block(part: Part, options: Options, names: Names, thinks: bool, omitted: Omitted) -> dict[str, Any] | None:
    match part:
        case Text():
            return _text(part)
        case Image():
            return _image(part, options, omitted)
        case Document():
            return _document(part, options)
        case Thinking():
            block = _thought(part) if thinks or options.thinking in ("", "none") else None
            if block is None:
                omitted["reasoning of earlier answers"] = None
            return block
        case Call():
            value = argument_object(pack_input(part.arguments) if part.freeform else part.arguments)
            name = names.outward(part.namespace, part.name)
            return _marked({"type": "tool_use", "id": part.id, "name": name, "input": value}, part.mark)
        case Result():
            inner = [block for one in part.parts if (block := _block(one, options, names, thinks, omitted))]
            out: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.call_id}
            if inner:
                out["content"] = inner
            if part.is_error:
                out["is_error"] = True
            return _marked(out, part.mark)


def _thought(part: Thinking) -> dict[str, Any] | None:
    """Thinking of Anthropic's own making; other makers' has no signature that it takes."""
    if part.maker != _MAKER or not part.opaque:
        return None
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.opaque}
    return {"type": "thinking", "thinking": part.text, "signature": part.opaque}


def _text(text: Text) -> dict[str, Any]:
    return _marked({"type": "text", "text": text.text}, text.mark)


def _image(part: Image, options: Options, omitted: Omitted) -> dict[str, Any]:
    check_media(part, options)
    if part.detail not in ("", "auto"):
        omitted["image detail"] = None
    if part.url:
        return _marked({"type": "image", "source": {"type": "url", "url": part.url}}, part.mark)
    if part.media_type not in _IMAGES:
        raise bad_request("The upstream takes images as JPEG, PNG, GIF and WebP alone. Convert the others.")
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    return _marked({"type": "image", "source": source}, part.mark)


def _document(part: Document, options: Options) -> dict[str, Any]:
    if (text := plain_text(part)) is not None:
        return _marked({"type": "text", "text": text}, part.mark)
    check_media(part, options)
    source = {"type": "url", "url": part.url}
    if part.data:
        if part.media_type != _PDF:
            raise bad_request("The upstream takes files as PDF and plain text alone. Convert the others.")
        source = {"type": "base64", "media_type": _PDF, "data": part.data}
    out: dict[str, Any] = {"type": "document", "source": source}
    if part.name:
        out["title"] = part.name
    return _marked(out, part.mark)


def _marked(block: dict[str, Any], mark: Mark | None) -> dict[str, Any]:
    if mark is not None:
        block["cache_control"] = {"type": "ephemeral"} if mark.ttl == "5m" else {"type": "ephemeral", "ttl": mark.ttl}
    return block


def _blocks(body: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield from body.get("tools", ())
    yield from body.get("system", ())
    for message in body["messages"]:
        for block in message["content"]:
            yield block
            inner = block.get("content")
            yield from inner if isinstance(inner, list) else ()


def _mark_count(body: dict[str, Any]) -> int:
    return sum("cache_control" in block for block in _blocks(body))


def _clear_marks(body: dict[str, Any]) -> None:
    for block in _blocks(body):
        block.pop("cache_control", None)


def _set_marks(body: dict[str, Any]) -> None:
    ends = [body["tools"][-1]] if "tools" in body else []
    if "system" in body:
        ends.append(body["system"][-1])
    ends += [message["content"][-1] for message in body["messages"] if message["role"] == "user"][-2:]
    for block in ends:
        _marked(block, Mark())
