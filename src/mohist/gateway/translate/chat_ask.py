"""OpenAI Chat Completions requests, read.

Fields: https://platform.openai.com/docs/api-reference/chat/create, and those that Qwen, DeepSeek, vLLM and OpenRouter
add and coding clients send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mohist.gateway.translate.field import Box, Table, as_box, hosted, mark, refused, shown
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
from mohist.gateway.translate.media import split_data_url
from mohist.gateway.translate.reasoning import EFFORTS

_ONE_ANSWER = "Ask for one answer at a time."
_NO_AUDIO = "Send and ask for text."

REQUEST = Table(
    frozenset(
        {
            *(
                "model",
                "messages",
                "tools",
                "tool_choice",
                "parallel_tool_calls",
                "max_tokens",
                "max_completion_tokens",
            ),
            *("temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "stream"),
            *(
                "stream_options",
                "response_format",
                "user",
                "reasoning_effort",
                "enable_thinking",
                "thinking_budget",
                "thinking",
            ),
        }
    ),
    frozenset(
        {
            "metadata",  # the vendor's log
            "service_tier",  # price and speed
            "prompt_cache_key",  # the gateway sends its own
            "prompt_cache_retention",  # price and speed
            "safety_identifier",  # the vendor's abuse control
            "prediction",  # speed: https://platform.openai.com/docs/guides/predicted-outputs
            "verbosity",  # a wish for longer or shorter text
            "store",  # false: not kept; true is refused
            "usage",  # OpenRouter: usage is always told
        }
    ),
    {
        "n": _ONE_ANSWER,
        "best_of": _ONE_ANSWER,
        "logprobs": "Leave it out.",
        "top_logprobs": "Leave it out.",
        "logit_bias": "Leave it out.",
        "audio": _NO_AUDIO,
        "modalities": _NO_AUDIO,
        "functions": "Send `tools`.",
        "function_call": "Send `tool_choice`.",
        "web_search_options": "The upstream has no search of its own; leave it out.",
        "repetition_penalty": "Leave it out.",
        "min_p": "Leave it out.",
        "chat_template_kwargs": "Say `reasoning_effort` or `enable_thinking`.",
    },
    {
        "n": (1,),
        "best_of": (1,),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "logit_bias": ({},),
        "modalities": (["text"],),
        "functions": ([],),
        "store": (False,),
        "metadata": ({},),
        "repetition_penalty": (1, 1.0),
        "min_p": (0, 0.0),
        "chat_template_kwargs": ({},),
    },
)

MESSAGE = Table(
    frozenset(
        {"role", "content", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "refusal", "cache_control"}
    ),
    frozenset(
        {
            "name",  # of a participant or a tool; the role and the call say the same
            "annotations",  # of an answer: where its text comes from
            "reasoning_details",  # OpenRouter's second form of `reasoning`
            "id",
        }
    ),
    {
        "audio": _NO_AUDIO,
        "function_call": "Send `tool_calls`.",
        "prefix": "End with a message of the user.",
        "partial": "End with a message of the user.",
    },
    {"prefix": (False,), "partial": (False,), "annotations": ([],), "reasoning_details": ([],)},
)

_PART_KINDS = {
    "text": Table(frozenset({"type", "text", "cache_control"}), frozenset({"annotations"})),
    "refusal": Table(frozenset({"type", "refusal"})),
    "image_url": Table(frozenset({"type", "image_url", "cache_control"})),
    "file": Table(frozenset({"type", "file", "cache_control"})),
}
_IMAGE_URL = Table(frozenset({"url", "detail"}), frozenset({"format"}))
_FILE = Table(
    frozenset({"file_data", "filename"}), frozenset({"format"}), {"file_id": "Send its content as `file_data`."}
)

_TOOL_CALL = Table(
    frozenset({"id", "type", "function", "custom", "cache_control"}),
    frozenset({"index", "extra_content"}),  # leftovers of a stream; another vendor's signature
    neutral={"index": tuple(range(256))},
)
_CALLED = Table(frozenset({"name", "arguments"}))
_CUSTOM_CALLED = Table(frozenset({"name", "input"}))

_TOOL = Table(frozenset({"type", "function", "custom", "cache_control"}))
_FUNCTION = Table(frozenset({"name", "description", "parameters", "strict"}))
_CUSTOM = Table(frozenset({"name", "description", "format"}))

_STREAM_OPTIONS = Table(frozenset({"include_usage"}), frozenset({"include_obfuscation", "continuous_usage_stats"}))
_SHAPE = Table(frozenset({"type", "json_schema"}))
_JSON_SCHEMA = Table(frozenset({"name", "schema", "strict"}), frozenset({"description"}))
_THINKING = Table(frozenset({"type", "budget_tokens"}), frozenset({"clear_thinking", "keep"}))


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
    if box.get("store") is True:
        raise refused("store", "can't be true: answers are not kept. Send false.")
    box.close(REQUEST)
    if (options := box.box("stream_options")) is not None:
        options.close(_STREAM_OPTIONS, "stream_options")
        options.flag("include_usage")  # the answer's writer does what it asks
    system, turns = _messages(box)
    return Ask(
        model=box.name("model"),
        system=system,
        turns=turns,
        tools=tuple(tool for each in box.boxes("tools") if (tool := _tool(each, leave_out)) is not None),
        choice=_choice(box),
        parallel=box.flag("parallel_tool_calls"),
        max_output_tokens=_limit(box),
        temperature=box.number("temperature"),
        top_p=box.number("top_p"),
        top_k=box.whole("top_k"),
        stop=box.strings("stop"),
        seed=box.whole("seed", -(2**63)),
        presence_penalty=box.number("presence_penalty"),
        frequency_penalty=box.number("frequency_penalty"),
        stream=bool(box.flag("stream")),
        reasoning=_reasoning(box),
        shape=_shape(box),
        user=box.text("user", ""),
        omitted=tuple(omitted),
    )


def _limit(box: Box) -> int | None:
    older, newer = box.whole("max_tokens", 1), box.whole("max_completion_tokens", 1)
    if older is not None and newer is not None and older != newer:
        raise refused("max_tokens", "differs from `max_completion_tokens`. Send one of them.")
    return newer if older is None else older


def _reasoning(box: Box) -> Reasoning:
    effort = box.choice("reasoning_effort", EFFORTS)
    budget = box.whole("thinking_budget")
    enabled = box.flag("enable_thinking")
    thinking = box.box("thinking")
    if thinking is not None:
        thinking.close(_THINKING, "thinking")
        enabled = thinking.choice("type", ("enabled", "disabled", "adaptive", "auto")) != "disabled"
        budget = thinking.whole("budget_tokens") or budget
    if enabled is False:
        return Reasoning(effort="none")
    return Reasoning(effort, budget or None, adaptive=enabled is True and effort is None and not budget)  # type: ignore[arg-type]


def _shape(box: Box) -> Shape | None:
    inner = box.box("response_format")
    if inner is None:
        return None
    inner.close(_SHAPE, "response_format")
    kind = inner.choice("type", ("text", "json_object", "json_schema"))
    if kind is None:
        raise refused(inner.at("type"), "must be given.")
    if kind == "text":
        return None
    if kind == "json_object":
        return Shape(None)
    schema = inner.must_box("json_schema")
    schema.close(_JSON_SCHEMA, "response_format.json_schema")
    return Shape(schema.schema("schema") or {}, schema.name(), schema.flag("strict") or None)


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
    inner.close(_TOOL, "tool_choice")
    kind = inner.choice("type", ("function", "custom")) or "function"
    return Choice("tool", inner.must_box(kind).name())


def _tool(box: Box, leave_out: frozenset[str]) -> Tool | None:
    kind = box.text("type", "function")
    if kind == "function":
        box.close(_TOOL)
        inner = box.must_box("function")
        inner.close(_FUNCTION)
        return Tool(
            inner.name(),
            inner.text("description", ""),
            inner.schema("parameters") or {},
            strict=inner.flag("strict") or None,
            mark=mark(box),
        )
    if kind == "custom":
        box.close(_TOOL)
        inner = box.must_box("custom")
        inner.close(_CUSTOM)
        grammar = inner.schema("format")
        return Tool(inner.name(), inner.text("description", ""), {}, freeform=True, grammar=grammar, mark=mark(box))
    hosted(box, kind, leave_out)
    return None


def _messages(box: Box) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    system: list[Text] = []
    turns: list[Turn] = []
    freeform: set[str] = set()
    for message in box.boxes("messages"):
        message.close(MESSAGE, "messages[]")
        match message.choice("role", ("system", "developer", "user", "assistant", "tool")):
            case "system" | "developer":
                texts = _texts(message)
                if turns:
                    turns.append(Turn("system", texts))
                else:
                    system += texts
            case "user":
                turns.append(Turn("user", _content(message)))
            case "assistant":
                parts = _said(message)
                freeform |= {part.id for part in parts if isinstance(part, Call) and part.freeform}
                turns.append(Turn("assistant", parts))
            case "tool":
                turns.append(Turn("user", (_result(message, freeform),)))
            case _:
                raise refused(message.at("role"), "must be given.")
    return tuple(system), tuple(turns)


def _result(message: Box, freeform: set[str]) -> Result:
    call_id = message.name("tool_call_id")
    parts: list[Text | Image | Document] = []
    for part in _content(message):
        if not isinstance(part, Text | Image | Document):
            raise refused(message.at("content"), "must be text, images and files.")
        parts.append(part)
    return Result(call_id, tuple(parts), freeform=call_id in freeform)


def _said(message: Box) -> tuple[Part, ...]:
    parts: list[Part] = []
    thought = message.text("reasoning_content", "") or message.text("reasoning", "")
    if thought:
        parts.append(Thinking(thought))
    parts += _content(message)
    if refusal := message.text("refusal", ""):
        parts.append(Text(refusal, refusal=True))
    for call in message.boxes("tool_calls"):
        call.close(_TOOL_CALL, "messages[].tool_calls[]")
        if (call.choice("type", ("function", "custom")) or "function") == "custom":
            inner = call.must_box("custom")
            inner.close(_CUSTOM_CALLED)
            parts.append(Call(call.name("id"), inner.name(), inner.text("input"), freeform=True, mark=mark(call)))
        else:
            inner = call.must_box("function")
            inner.close(_CALLED)
            parts.append(Call(call.name("id"), inner.name(), inner.text("arguments", ""), mark=mark(call)))
    return tuple(parts)


def _texts(message: Box) -> tuple[Text, ...]:
    texts: list[Text] = []
    for part in _content(message):
        if not isinstance(part, Text):
            raise refused(message.at("content"), "of a system message must be text.")
        texts.append(part)
    return tuple(texts)


def _content(message: Box) -> tuple[Part, ...]:
    own = mark(message)
    content = message.get("content")
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content, own),) if content else ()
    parts = [_part(part) for part in message.boxes("content")]
    if own is not None and parts and isinstance(last := parts[-1], Text):
        parts[-1] = Text(last.text, own)
    return tuple(parts)


def _part(box: Box) -> Part:
    kind = box.text("type")
    table = _PART_KINDS.get(kind)
    if table is None:
        raise refused(box.at("type"), f"is {shown(kind)}, which can't be translated. Send text, image_url or file.")
    box.close(table, "messages[].content[]")
    match kind:
        case "text":
            return Text(box.text("text"), mark(box))
        case "refusal":
            return Text(box.text("refusal"), refusal=True)
        case "image_url":
            return _image(box)
        case _:
            return _file(box)


def _image(box: Box) -> Image:
    value = box.get("image_url")
    inner = as_box({"url": value}, box.path, {}) if isinstance(value, str) else box.must_box("image_url")
    inner.close(_IMAGE_URL, "messages[].content[].image_url")
    url, detail = inner.name("url"), inner.choice("detail", ("auto", "low", "high", "original"))
    found = split_data_url(url, inner.at("url"))
    own: Any = detail if detail is not None else ""
    if found is None:
        return Image(url=url, detail=own, mark=mark(box))
    return Image(media_type=found[0], data=found[1], detail=own, mark=mark(box))


def _file(box: Box) -> Document:
    inner = box.must_box("file")
    inner.close(_FILE, "messages[].content[].file")
    path = inner.at("file_data")
    name, content = inner.text("filename", ""), inner.name("file_data")
    found = split_data_url(content, path)
    if found is not None:
        return Document(media_type=found[0], data=found[1], name=name, mark=mark(box))
    if content.startswith(("https://", "http://")):
        return Document(url=content, name=name, mark=mark(box))
    raise refused(path, "must be a data URL of the form `data:TYPE;base64,…`.")
