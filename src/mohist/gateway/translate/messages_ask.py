"""Anthropic Messages requests, read.

Fields: https://docs.claude.com/en/api/messages, and those that Claude Code sends with its beta headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mohist.gateway.translate.field import Box, Table, hosted, mark, refused, shown
from mohist.gateway.translate.form import (
    Ask,
    Call,
    Choice,
    Document,
    Effort,
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
from mohist.gateway.translate.media import encoded
from mohist.gateway.translate.reasoning import EFFORTS, unwrap

BILLING = "x-anthropic-billing-header:"
"""Begins a system block of Claude Code that Anthropic takes out before the model sees it
(https://code.claude.com/docs/en/llm-gateway-protocol)."""

_CITATIONS = "Send `enabled: false`; this upstream cites nothing."

REQUEST = Table(
    frozenset(
        {
            *("model", "messages", "system", "max_tokens", "metadata", "stop_sequences", "stream", "temperature"),
            *("top_p", "top_k", "tools", "tool_choice", "thinking", "output_config", "output_format"),
            *("cache_control", "context_management"),
        }
    ),
    frozenset(
        {
            "service_tier",  # price and speed
            "speed",  # price and speed
            "mcp_servers",  # an empty list; others are refused
            "diagnostics",  # what the vendor tells of its cache
        }
    ),
    {
        "container": "Leave it out; code does not run at this upstream.",
        "inference_geo": "Choose a route whose region fits.",
        "fallbacks": "The route says what answers instead; leave it out.",
    },
    {"mcp_servers": ([],)},
)

_MESSAGE = Table(frozenset({"role", "content"}), frozenset({"id"}))
_METADATA = Table(frozenset({"user_id"}))
_CONTEXT = Table(frozenset({"edits"}))
_OUTPUT = Table(frozenset({"effort", "format"}), frozenset({"task_budget"}))  # task_budget: a wish for how long to work
_FORMAT = Table(frozenset({"type", "schema"}), frozenset({"name"}))
_THINKING = Table(frozenset({"type", "budget_tokens", "display"}))
_CHOICE = Table(frozenset({"type", "name", "disable_parallel_tool_use"}))

_TOOL = Table(
    frozenset({"type", "name", "description", "input_schema", "strict", "cache_control", "allowed_callers"}),
    frozenset(
        {
            "eager_input_streaming",  # how arguments are cut into events
            "defer_loading",  # the tool is told at once instead of after a search
            "input_examples",  # help for the model beside the description
        }
    ),
    neutral={"defer_loading": (False,), "input_examples": ([],)},
)

_TEXT = Table(frozenset({"type", "text", "cache_control"}), frozenset({"citations"}), neutral={"citations": ([],)})
_IMAGE = Table(frozenset({"type", "source", "cache_control"}))
_DOCUMENT = Table(
    frozenset({"type", "source", "title", "context", "cache_control"}),
    refused={"citations": _CITATIONS},
    neutral={"citations": ({"enabled": False},)},
)
_CALLED = Table(frozenset({"type", "id", "name", "input", "cache_control", "caller"}))
_RESULT = Table(frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}))
_THOUGHT = Table(frozenset({"type", "thinking", "signature", "cache_control"}))
_REDACTED = Table(frozenset({"type", "data", "cache_control"}))
_REFERENCE = Table(frozenset({"type", "tool_name", "cache_control"}))
_SOURCES = {
    "base64": Table(frozenset({"type", "media_type", "data"})),
    "url": Table(frozenset({"type", "url"})),
    "text": Table(frozenset({"type", "media_type", "data"})),
}

_CLEARING = ("clear_thinking_", "clear_tool_uses_")


def read(body: Mapping[str, Any], leave_out: frozenset[str] = frozenset()) -> Ask:
    """A request as a client sent it.

    Args:
        body: its JSON.
        leave_out: types of hosted tools that are left out.

    Raises:
        RefusedError: names the field that can't be translated, or that is wrong.
    """
    omitted: dict[str, None] = {}
    box = Box(body, "", omitted)
    if box.get("mcp_servers") not in (None, []):
        raise refused("mcp_servers", "can't be translated: this upstream calls no servers. Leave it out.")
    box.close(REQUEST)
    _context(box)
    if box.has("cache_control"):
        mark(box)
        box.omit("cache_control")
    reasoning, shape = _output(box)
    choice, parallel = _choice(box)
    return Ask(
        model=box.name("model"),
        system=_system(box),
        turns=tuple(_turn(message) for message in box.boxes("messages")),
        tools=tuple(tool for each in box.boxes("tools") if (tool := _tool(each, leave_out)) is not None),
        choice=choice,
        parallel=parallel,
        max_output_tokens=box.whole("max_tokens", 1),
        temperature=box.number("temperature"),
        top_p=box.number("top_p"),
        top_k=box.whole("top_k"),
        stop=box.strings("stop_sequences"),
        stream=bool(box.flag("stream")),
        reasoning=reasoning,
        shape=shape,
        user=_user_name(box),
        omitted=tuple(omitted),
    )


def _context(box: Box) -> None:
    """Clearing old thinking or results saves tokens, and no answer needs it; compaction makes an answer of its own."""
    inner = box.box("context_management")
    if inner is None:
        return
    inner.close(_CONTEXT, "context_management")
    for edit in inner.boxes("edits"):
        kind = edit.text("type")
        if not kind.startswith(_CLEARING):
            raise refused(edit.at("type"), f"is {shown(kind)}, which this upstream can't do. Leave it out.")
    box.omit("context_management")


def _user_name(box: Box) -> str:
    """The end user's opaque name. Claude Code's holds ids of device and account, which concern its vendor alone."""
    inner = box.box("metadata")
    if inner is None:
        return ""
    inner.close(_METADATA, "metadata")
    user = inner.text("user_id", "")
    if user.startswith(("{", "user_")):
        box.omit("metadata.user_id")
        return ""
    return user


def _output(box: Box) -> tuple[Reasoning, Shape | None]:
    effort = None
    shape = _shape(box.box("output_format"), "output_format")
    config = box.box("output_config")
    if config is not None:
        config.close(_OUTPUT, "output_config")
        effort = config.choice("effort", EFFORTS)
        shape = _shape(config.box("format"), "output_config.format") or shape
    thinking = box.box("thinking")
    if thinking is None:
        return Reasoning(cast("Effort | None", effort)), shape
    thinking.close(_THINKING, "thinking")
    kind = thinking.choice("type", ("enabled", "disabled", "adaptive"))
    display = thinking.choice("display", ("summarized", "omitted", "full"))
    if kind == "disabled":
        if effort not in (None, "none"):
            box.omit("output_config.effort")
        return Reasoning("none"), shape
    budget = thinking.whole("budget_tokens", 1) if kind == "enabled" else None
    shown_ = None if display is None else display != "omitted"
    return Reasoning(cast("Effort | None", effort), budget, kind == "adaptive", shown_), shape


def _shape(box: Box | None, kind: str) -> Shape | None:
    if box is None:
        return None
    box.close(_FORMAT, kind)
    if box.choice("type", ("json_schema",)) is None:
        raise refused(box.at("type"), "must be given.")
    return Shape(box.schema("schema") or {}, strict=True)


def _choice(box: Box) -> tuple[Choice | None, bool | None]:
    inner = box.box("tool_choice")
    if inner is None:
        return None, None
    inner.close(_CHOICE, "tool_choice")
    single = inner.flag("disable_parallel_tool_use")
    parallel = None if single is None else not single
    match inner.choice("type", ("auto", "any", "none", "tool")):
        case "auto":
            return Choice("auto"), parallel
        case "any":
            return Choice("required"), parallel
        case "none":
            return Choice("none"), parallel
        case "tool":
            return Choice("tool", inner.name()), parallel
        case _:
            raise refused(inner.at("type"), "must be given.")


def _tool(box: Box, leave_out: frozenset[str]) -> Tool | None:
    kind = box.text("type", "custom")
    if kind != "custom":
        hosted(box, kind, leave_out)
        return None
    box.close(_TOOL, "tools[]")
    if box.strings("allowed_callers") not in ((), ("direct",)):
        raise refused(box.at("allowed_callers"), "must be `direct`: code does not run at this upstream.")
    return Tool(
        box.name(),
        box.text("description", ""),
        box.schema("input_schema") or {},
        strict=box.flag("strict") or None,
        mark=mark(box),
    )


def _system(box: Box) -> tuple[Text, ...]:
    if isinstance(box.get("system"), str):
        return (Text(box.text("system")),) if box.get("system") else ()
    texts = []
    for block in box.boxes("system"):
        block.close(_TEXT, "system[]")
        block.choice("type", ("text",))
        if block.text("text").startswith(BILLING):
            box.omit("system[] (x-anthropic-billing-header)")
            continue
        texts.append(Text(block.text("text"), mark(block)))
    return tuple(texts)


def _turn(message: Box) -> Turn:
    message.close(_MESSAGE, "messages[]")
    role = message.choice("role", ("user", "assistant", "system"))
    content = message.get("content")
    parts: tuple[Part, ...]
    if isinstance(content, str):
        parts = (Text(content),) if content else ()
    elif content is None:
        raise refused(message.at("content"), "must be given.")
    else:
        parts = tuple(part for block in message.boxes("content") for part in _part(block, role or ""))
    match role:
        case "user" | "assistant" | "system":
            return Turn(role, parts)
        case _:
            raise refused(message.at("role"), "must be given.")


def _part(block: Box, role: str) -> Iterator[Part]:
    kind = block.text("type")
    match kind:
        case "text" | "image" | "document" if kind == "text" or role == "user":
            yield from _seen(block, kind)
        case "tool_use" if role == "assistant":
            block.close(_CALLED, "messages[].content[]")
            caller = block.box("caller")
            if caller is not None and caller.get("type") != "direct":
                raise refused(caller.at("type"), "must be `direct`: code does not run at this upstream.")
            arguments = json.dumps(block.schema("input") or {}, ensure_ascii=False, separators=(",", ":"))
            yield Call(block.name("id"), block.name(), arguments, mark=mark(block))
        case "tool_result" if role == "user":
            yield _result(block)
        case "thinking" if role == "assistant":
            block.close(_THOUGHT, "messages[].content[]")
            text, signature = block.text("thinking"), block.text("signature", "")
            made = unwrap(signature, text)
            yield made or Thinking(text, signature, "anthropic-messages" if signature else "")
        case "redacted_thinking" if role == "assistant":
            block.close(_REDACTED, "messages[].content[]")
            made = unwrap(block.text("data"))
            yield made or Thinking("", block.text("data"), "anthropic-messages", redacted=True)
        case _:
            raise refused(
                block.at("type"),
                f"is {shown(kind)}, which can't be translated in a message of the role {shown(role)}."
                " Send text, images, documents, tool_use and tool_result blocks.",
            )


def _result(block: Box) -> Result:
    block.close(_RESULT, "messages[].content[]")
    parts: list[Text | Image | Document] = []
    if isinstance(content := block.get("content"), str):
        parts += [Text(content)] if content else []
    else:
        for inner in block.boxes("content"):
            kind = inner.text("type")
            if kind == "tool_reference":
                # Claude Code's search for tools: the tool itself stands in `tools` already.
                inner.close(_REFERENCE, "messages[].content[].content[]")
                parts.append(Text(f"The tool {inner.name('tool_name')} can be called now.", mark(inner)))
            elif kind in ("text", "image", "document"):
                parts += _seen(inner, kind)
            else:
                raise refused(inner.at("type"), f"is {shown(kind)}, which can't be translated. Send text.")
    return Result(block.name("tool_use_id"), tuple(parts), bool(block.flag("is_error")), mark=mark(block))


def _seen(block: Box, kind: str) -> Iterator[Text | Image | Document]:
    if kind == "text":
        block.close(_TEXT, "messages[].content[]")
        if text := block.text("text"):
            yield Text(text, mark(block))
        return
    if kind == "image":
        block.close(_IMAGE)
        source, how = _source(block, ("base64", "url"))
        if how == "url":
            yield Image(url=source.name("url"), mark=mark(block))
        else:
            yield Image(data=source.name("data"), media_type=source.name("media_type"), mark=mark(block))
        return
    block.close(_DOCUMENT)
    if context := block.text("context", ""):
        yield Text(context)
    name = block.text("title", "")
    source, how = _source(block, ("base64", "url", "text"))
    if how == "url":
        yield Document(url=source.name("url"), name=name, mark=mark(block))
        return
    data, media_type = source.name("data"), source.name("media_type")
    yield Document(data=encoded(data) if how == "text" else data, media_type=media_type, name=name, mark=mark(block))


def _source(block: Box, kinds: tuple[str, ...]) -> tuple[Box, str]:
    source = block.must_box("source")
    kind = source.text("type")
    if kind not in kinds:
        raise refused(
            source.at("type"), f"is {shown(kind)}, which stays with its vendor. Send one of {', '.join(kinds)}."
        )
    source.close(_SOURCES[kind])
    return source, kind
