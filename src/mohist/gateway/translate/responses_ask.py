"""OpenAI Responses requests, read.

Fields: https://platform.openai.com/docs/api-reference/responses/create, and those that Codex sends.
"""

from __future__ import annotations

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
from mohist.gateway.translate.media import split_data_url
from mohist.gateway.translate.reasoning import EFFORTS, unwrap
from mohist.gateway.translate.wish import BETWEEN

_NOT_KEPT = "Answers are not kept; send the whole conversation in `input`."

REQUEST = Table(
    frozenset(
        {
            *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens"),
            *("temperature", "top_p", "stream", "stream_options", "reasoning", "text", "user", "include"),
        }
    ),
    frozenset(
        {
            "metadata",  # the vendor's log
            "client_metadata",  # Codex: ids of installation and session, for its vendor
            "service_tier",  # price and speed
            "prompt_cache_key",  # the gateway sends its own
            "prompt_cache_retention",  # price and speed
            "prompt_cache_options",  # price and speed
            "safety_identifier",  # the vendor's abuse control
            "store",  # false: not kept; true is refused
            "max_tool_calls",  # bounds hosted tools, of which there are none
        }
    ),
    {
        "previous_response_id": _NOT_KEPT,
        "conversation": _NOT_KEPT,
        "background": "Answers are not kept; wait for the answer.",
        "prompt": "Send its text as `instructions` and `input`.",
        "truncation": "Shorten the conversation instead.",
        "context_management": "Shorten the conversation instead.",
        "top_logprobs": "Leave it out.",
        "moderation": "Leave it out.",
    },
    {
        "background": (False,),
        "truncation": ("disabled",),
        "context_management": ([],),
        "top_logprobs": (0,),
        "metadata": ({},),
    },
)

_STREAM_OPTIONS = Table(frozenset(), frozenset({"include_obfuscation"}))
_REASONING = Table(frozenset({"effort", "summary", "generate_summary"}), frozenset({"context", "mode"}))
_TEXT_OPTIONS = Table(frozenset({"format"}), frozenset({"verbosity"}))  # verbosity: longer or shorter text
_FORMAT = Table(frozenset({"type", "name", "schema", "strict"}), frozenset({"description"}))
_CHOICE = Table(frozenset({"type", "name", "namespace"}))

_FUNCTION = Table(
    frozenset({"type", "name", "description", "parameters", "strict", "cache_control"}),
    frozenset(
        {
            "defer_loading",  # the tool is told at once instead of after a search
            "output_schema",  # what the tool returns; the model sees it when it does
        }
    ),
    neutral={"defer_loading": (False,)},
)
_CUSTOM = Table(
    frozenset({"type", "name", "description", "format"}),
    frozenset({"defer_loading"}),
    neutral={"defer_loading": (False,)},
)
_NAMESPACE = Table(frozenset({"type", "name", "description", "tools"}))

_SEEN_BY_VENDOR = frozenset({"id", "status", "internal_chat_message_metadata_passthrough"})
# id, status: of an item that the vendor keeps; the last is what Codex tells its own vendor.
_ITEMS = {
    "message": Table(frozenset({"type", "role", "content"}), _SEEN_BY_VENDOR | {"phase"}),
    "function_call": Table(
        frozenset({"type", "id", "call_id", "name", "namespace", "arguments"}), _SEEN_BY_VENDOR - {"id"}
    ),
    "custom_tool_call": Table(
        frozenset({"type", "id", "call_id", "name", "namespace", "input"}), _SEEN_BY_VENDOR - {"id"}
    ),
    "function_call_output": Table(frozenset({"type", "call_id", "output"}), _SEEN_BY_VENDOR),
    "custom_tool_call_output": Table(frozenset({"type", "call_id", "output"}), _SEEN_BY_VENDOR | {"name"}),
    "reasoning": Table(frozenset({"type", "id", "summary", "content", "encrypted_content"}), _SEEN_BY_VENDOR - {"id"}),
    "additional_tools": Table(frozenset({"type", "role", "tools"}), _SEEN_BY_VENDOR),
}
# phase: whether a text was a comment or the answer.

_PARTS = {
    "input_text": Table(frozenset({"type", "text", "cache_control"})),
    "output_text": Table(
        frozenset({"type", "text"}),
        frozenset({"annotations", "logprobs"}),
        neutral={"annotations": ([],), "logprobs": ([],)},
    ),
    "text": Table(frozenset({"type", "text"})),
    "refusal": Table(frozenset({"type", "refusal"})),
    "input_image": Table(
        frozenset({"type", "image_url", "detail"}), refused={"file_id": "Send its content as `image_url`."}
    ),
    "input_file": Table(
        frozenset({"type", "file_data", "file_url", "filename"}),
        frozenset({"detail"}),
        {"file_id": "Send its content as `file_data`."},
    ),
}
_THOUGHT = Table(frozenset({"type", "text"}))

_HOSTED_ITEMS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
}
"""What hosted tools leave in a conversation -> the tool's type."""


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
    if box.get("store") not in (None, False):
        raise refused("store", f"can't be true. {_NOT_KEPT} Send false.")
    box.close(REQUEST)
    for each in box.strings("include"):
        if each != "reasoning.encrypted_content":
            raise refused("include", f"holds {shown(each)}, which this upstream doesn't tell. Leave it out.")
        box.omit("include")
    if (options := box.box("stream_options")) is not None:
        options.close(_STREAM_OPTIONS, "stream_options")
    system, turns = _input(box, leave_out)
    if instructions := box.text("instructions", ""):
        system = (Text(instructions), *system)
    return Ask(
        model=box.name("model"),
        system=system,
        turns=turns,
        tools=_declared(box, leave_out),
        choice=_choice(box),
        parallel=box.flag("parallel_tool_calls"),
        max_output_tokens=box.whole("max_output_tokens", 1),
        temperature=box.number("temperature"),
        top_p=box.number("top_p"),
        stream=bool(box.flag("stream")),
        reasoning=_reasoning(box),
        shape=_shape(box),
        user=box.text("user", ""),
        omitted=tuple(omitted),
    )


def _reasoning(box: Box) -> Reasoning:
    inner = box.box("reasoning")
    if inner is None:
        return Reasoning()
    inner.close(_REASONING, "reasoning")
    effort = inner.choice("effort", EFFORTS)
    summary = inner.text("summary", "") or inner.text("generate_summary", "")
    return Reasoning(cast("Effort | None", effort), shown=summary != "none" if summary else None)


def _shape(box: Box) -> Shape | None:
    inner = box.box("text")
    if inner is None:
        return None
    inner.close(_TEXT_OPTIONS, "text")
    shape = inner.box("format")
    if shape is None:
        return None
    shape.close(_FORMAT, "text.format")
    match shape.choice("type", ("text", "json_object", "json_schema")):
        case "text":
            return None
        case "json_object":
            return Shape(None)
        case "json_schema":
            return Shape(shape.schema("schema") or {}, shape.name(), shape.flag("strict") or None)
        case _:
            raise refused(shape.at("type"), "must be given.")


def _choice(box: Box) -> Choice | None:
    value = box.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        match box.choice("tool_choice", ("auto", "none", "required")):
            case "none":
                return Choice("none")
            case "required":
                return Choice("required")
            case _:
                return Choice("auto")
    inner = box.must_box("tool_choice")
    kind = inner.text("type")
    if kind not in ("function", "custom"):
        raise refused(inner.at("type"), f"is {shown(kind)}, which can't be translated. Name a function, or say auto.")
    inner.close(_CHOICE, "tool_choice")
    return Choice("tool", inner.name(), inner.text("namespace", ""))


def _declared(box: Box, leave_out: frozenset[str]) -> tuple[Tool, ...]:
    """All tools, those that Codex declares within the conversation included; the last declaration of a name holds."""
    declaring = [box]
    if not isinstance(box.get("input"), str):
        declaring += [item for item in box.boxes("input") if item.get("type") == "additional_tools"]
    tools = (tool for each in declaring for inner in each.boxes("tools") for tool in _tools(inner, leave_out))
    return tuple({(tool.namespace, tool.name): tool for tool in tools}.values())


def _tools(box: Box, leave_out: frozenset[str], namespace: Box | None = None) -> Iterator[Tool]:
    kind = box.text("type")
    space = "" if namespace is None else namespace.name()
    words = "" if namespace is None else namespace.text("description", "")
    match kind:
        case "function":
            box.close(_FUNCTION, "tools[]")
            yield Tool(
                box.name(),
                box.text("description", ""),
                box.schema("parameters") or {},
                strict=box.flag("strict") or None,
                namespace=space,
                namespace_description=words,
                mark=mark(box),
            )
        case "custom":
            box.close(_CUSTOM, "tools[]")
            yield Tool(
                box.name(),
                box.text("description", ""),
                {},
                freeform=True,
                grammar=box.schema("format"),
                namespace=space,
                namespace_description=words,
            )
        case "namespace" if namespace is None:
            box.close(_NAMESPACE)
            for inner in box.boxes("tools"):
                yield from _tools(inner, leave_out, box)
        case _:
            hosted(box, kind, leave_out)


def _input(box: Box, leave_out: frozenset[str]) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    value = box.get("input")
    if isinstance(value, str):
        return (), (Turn("user", (Text(value),)),) if value else ()
    system: list[Text] = []
    turns: list[Turn] = []
    freeform: set[str] = set()
    for item in box.boxes("input"):
        turn = _item(item, freeform, leave_out)
        if turn is None:
            continue
        if turn.role == "system" and not turns:
            system += [part for part in turn.parts if isinstance(part, Text)]
        elif turns and turn.role == turns[-1].role == "assistant":
            turns[-1] = Turn("assistant", turns[-1].parts + turn.parts)
        else:
            turns.append(turn)
    return tuple(system), tuple(turns)


def _item(item: Box, freeform: set[str], leave_out: frozenset[str]) -> Turn | None:
    kind = item.text("type", "message")
    table = _ITEMS.get(kind)
    if table is None:
        if _HOSTED_ITEMS.get(kind) in leave_out:
            item.omit(f"input[].{kind}")
            return None
        raise refused(
            item.at("type"),
            f"is {shown(kind)}, which can't be translated. Send messages, calls, their outputs and reasoning.",
        )
    item.close(table, "input[]")
    match kind:
        case "message":
            return _message(item)
        case "additional_tools":
            return None
        case "reasoning":
            return Turn("assistant", _thought(item))
        case "function_call" | "custom_tool_call":
            custom = kind == "custom_tool_call"
            call_id = item.name("call_id")
            if custom:
                freeform.add(call_id)
            call = Call(
                call_id,
                item.name(),
                item.text("input" if custom else "arguments"),
                freeform=custom,
                namespace=item.text("namespace", ""),
                item_id=item.text("id", ""),
            )
            return Turn("assistant", (call,))
        case _:
            parts = tuple(part for part in _content(item, "output") if isinstance(part, Text | Image | Document))
            call_id = item.name("call_id")
            return Turn("user", (Result(call_id, parts, freeform=kind == "custom_tool_call_output"),))


def _message(item: Box) -> Turn:
    role = item.choice("role", ("user", "assistant", "system", "developer"))
    parts = _content(item, "content")
    match role:
        case "system" | "developer":
            if not all(isinstance(part, Text) for part in parts):
                raise refused(item.at("content"), "of a system message must be text.")
            return Turn("system", parts)
        case "user" | "assistant":
            if role == "assistant" and not all(isinstance(part, Text) for part in parts):
                raise refused(item.at("content"), "of an assistant's message must be text.")
            return Turn(role, parts)
        case _:
            raise refused(item.at("role"), "must be given.")


def _thought(item: Box) -> tuple[Part, ...]:
    texts = []
    for name in ("summary", "content"):
        for part in item.boxes(name):
            part.close(_THOUGHT)
            part.choice("type", ("summary_text", "reasoning_text", "text"))
            texts.append(part.text("text"))
        if texts:
            break  # the content is the long form of the summary
    text, opaque, item_id = BETWEEN.join(texts), item.text("encrypted_content", ""), item.text("id", "")
    made = unwrap(opaque, text)
    if made is None:
        made = Thinking(text, opaque, "openai-responses" if opaque else "", item_id=item_id if opaque else "")
    return (made,) if made.text or made.opaque else ()


def _content(item: Box, name: str) -> tuple[Part, ...]:
    value = item.get(name)
    if isinstance(value, str):
        return (Text(value),) if value else ()
    if value is None and name == "output":
        raise refused(item.at(name), "must be given.")
    return tuple(part for box in item.boxes(name) for part in _part(box))


def _part(box: Box) -> Iterator[Part]:
    kind = box.text("type")
    table = _PARTS.get(kind)
    if table is None:
        raise refused(box.at("type"), f"is {shown(kind)}, which can't be translated. Send text, images or files.")
    box.close(table, "input[].content[]")
    match kind:
        case "input_image":
            detail: Any = box.choice("detail", ("auto", "low", "high", "original")) or ""
            url = box.name("image_url")
            found = split_data_url(url, box.at("image_url"))
            if found is None:
                yield Image(url=url, detail=detail)
            else:
                yield Image(media_type=found[0], data=found[1], detail=detail)
        case "input_file":
            yield _file(box)
        case "refusal":
            yield Text(box.text("refusal"), refusal=True)
        case _:
            if text := box.text("text"):
                yield Text(text, mark(box))


def _file(box: Box) -> Document:
    name = box.text("filename", "")
    if box.has("file_url"):
        return Document(url=box.name("file_url"), name=name)
    found = split_data_url(box.name("file_data"), box.at("file_data"))
    if found is None:
        raise refused(box.at("file_data"), "must be a data URL of the form `data:TYPE;base64,…`.")
    return Document(media_type=found[0], data=found[1], name=name)
