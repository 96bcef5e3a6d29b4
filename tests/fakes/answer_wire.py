"""Answers as the three kinds of upstream send them, written apart from the translator's own writers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mohist.gateway.call import Dialect
from mohist.gateway.translate.form import Call, Stop, Text, Thinking
from mohist.provider.message import Usage

Part = Text | Thinking | Call

_FINISHES = {"end": "stop", "tool_calls": "tool_calls", "length": "length", "refusal": "content_filter"}
_REASONS = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "refusal": "refusal",
    "pause": "pause_turn",
    "window": "model_context_window_exceeded",
    "stop_sequence": "stop_sequence",
}


USAGE = Usage(70, 20, 10, 50)


@dataclass(frozen=True)
class Said:
    """What an upstream's model said, with the upstream's names."""

    parts: tuple[Part, ...]
    stop: Stop = "end"
    usage: Usage | None = USAGE
    reasoning_tokens: int = 0
    interleaved: bool = False
    """The fragments of calls come in turns."""


def sse(value: object, name: str = "") -> bytes:
    """One event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def stream(dialect: Dialect, said: Said) -> bytes:
    """The answer as events."""
    writers = {
        "openai-chat": chat_stream,
        "openai-responses": responses_stream,
        "anthropic-messages": messages_stream,
    }
    return writers[dialect](said)


def whole(dialect: Dialect, said: Said) -> dict[str, Any]:
    """The answer as one body."""
    writers = {"openai-chat": chat_whole, "openai-responses": responses_whole, "anthropic-messages": messages_whole}
    return writers[dialect](said)


def begun(dialect: Dialect) -> bytes:
    """A stream that stops in the middle of a text."""
    return {
        "openai-chat": chunk({"role": "assistant", "content": "Hel"}),
        "anthropic-messages": sse({"type": "message_start", "message": _message()}, "message_start")
        + sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        + sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}),
        "openai-responses": sse({"type": "response.created", "response": _response("in_progress")})
        + sse({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}})
        + sse({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"}),
    }[dialect]


def error(dialect: Dialect) -> bytes:
    """An event that says that the upstream is overloaded."""
    return {
        "openai-chat": sse({"error": {"type": "server_error", "code": "overloaded", "message": "We are overloaded"}}),
        "anthropic-messages": sse(
            {"type": "error", "error": {"type": "overloaded_error", "message": "We are overloaded"}}, "error"
        ),
        "openai-responses": sse(
            {
                "type": "response.failed",
                "response": {"status": "failed", "error": {"code": "server_error", "message": "We are overloaded"}},
            }
        ),
    }[dialect]


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "chatcmpl-up", "object": "chat.completion.chunk", "model": "served", "choices": [choice]} | more)


def chat_stream(said: Said) -> bytes:
    out = [chunk({"role": "assistant", "content": ""})]
    turns: list[list[bytes]] = []
    calls = 0
    for part in said.parts:
        if isinstance(part, Call):
            out_of_call = [chunk({"tool_calls": [{"index": calls} | _chat_call(part, "")]})]
            body, field = ("custom", "input") if part.freeform else ("function", "arguments")
            out_of_call += [
                chunk({"tool_calls": [{"index": calls, body: {field: half}}]}) for half in halves(part.arguments)
            ]
            turns.append(out_of_call)
            calls += 1
        else:
            turns.append([chunk({_chat_field(part): half}) for half in halves(part.text)])
    out += _in_turns(turns) if said.interleaved else [event for turn in turns for event in turn]
    refused = any(isinstance(part, Text) and part.refusal for part in said.parts)
    out.append(chunk({}, "stop" if refused else _FINISHES[said.stop]))
    if said.usage is not None:
        out.append(sse({"id": "chatcmpl-up", "model": "served", "choices": [], "usage": _chat_usage(said)}))
    return b"".join(out) + b"data: [DONE]\n\n"


def chat_whole(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for part in said.parts:
        if isinstance(part, Call):
            message.setdefault("tool_calls", []).append(_chat_call(part, part.arguments))
        else:
            message[_chat_field(part)] = part.text
    refused = any(isinstance(part, Text) and part.refusal for part in said.parts)
    choice = {"index": 0, "message": message, "finish_reason": "stop" if refused else _FINISHES[said.stop]}
    return {"id": "chatcmpl-up", "object": "chat.completion", "model": "served", "choices": [choice]} | (
        {"usage": _chat_usage(said)} if said.usage else {}
    )


def _chat_field(part: Text | Thinking) -> str:
    if isinstance(part, Thinking):
        return "reasoning_content"
    return "refusal" if part.refusal else "content"


def _chat_call(call: Call, arguments: str) -> dict[str, Any]:
    if call.freeform:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _chat_usage(said: Said) -> dict[str, Any]:
    usage = said.usage
    assert usage is not None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
    }


def _message() -> dict[str, Any]:
    return {"id": "msg_up", "type": "message", "role": "assistant", "model": "served", "content": []}


def _messages_usage(told: Usage, output: bool) -> dict[str, int]:
    return {
        "input_tokens": told.input_tokens,
        "cache_read_input_tokens": told.cache_read_tokens,
        "cache_creation_input_tokens": told.cache_write_tokens,
        "output_tokens": told.output_tokens if output else 1,
    }


def messages_stream(said: Said) -> bytes:
    start = _message() | ({"usage": _messages_usage(said.usage, output=False)} if said.usage else {})
    out = [sse({"type": "message_start", "message": start}, "message_start"), sse({"type": "ping"}, "ping")]
    for index, part in enumerate(said.parts):
        deltas: list[dict[str, str]]
        match part:
            case Text():
                block: dict[str, Any] = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": half} for half in halves(part.text)]
            case Thinking(redacted=True):
                block, deltas = {"type": "redacted_thinking", "data": part.opaque}, []
            case Thinking():
                block = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": half} for half in halves(part.text)]
                deltas += [{"type": "signature_delta", "signature": half} for half in halves(part.opaque)]
            case Call():
                block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                pieces = ["", *halves(part.arguments)]
                deltas = [{"type": "input_json_delta", "partial_json": half} for half in pieces]
        out.append(sse({"type": "content_block_start", "index": index, "content_block": block}))
        out += [sse({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
        out.append(sse({"type": "content_block_stop", "index": index}))
    delta = {"stop_reason": _REASONS[said.stop], "stop_sequence": None}
    usage = {"usage": {"output_tokens": said.usage.output_tokens}} if said.usage else {}
    out.append(sse({"type": "message_delta", "delta": delta} | usage))
    return b"".join([*out, sse({"type": "message_stop"}, "message_stop")])


def messages_whole(said: Said) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for part in said.parts:
        match part:
            case Text():
                blocks.append({"type": "text", "text": part.text})
            case Thinking(redacted=True):
                blocks.append({"type": "redacted_thinking", "data": part.opaque})
            case Thinking():
                blocks.append({"type": "thinking", "thinking": part.text, "signature": part.opaque})
            case Call():
                blocks.append(
                    {"type": "tool_use", "id": part.id, "name": part.name, "input": json.loads(part.arguments)}
                )
    end = {"stop_reason": _REASONS[said.stop], "stop_sequence": None}
    usage = {"usage": _messages_usage(said.usage, output=True)} if said.usage else {}
    return _message() | {"content": blocks} | usage | end


def _response(status: str) -> dict[str, Any]:
    return {"id": "resp_up", "object": "response", "status": status, "model": "served", "output": []}


def responses_stream(said: Said) -> bytes:
    created = sse({"type": "response.created", "response": _response("in_progress")}, "response.created")
    items = [_item(index, part) for index, part in enumerate(said.parts)]
    turns = [_item_events(index, part) for index, part in enumerate(said.parts)]
    events = _in_turns(turns) if said.interleaved else [event for turn in turns for event in turn]
    end = responses_whole(said) | {"output": items}
    return b"".join([created, *events, sse({"type": f"response.{end['status']}", "response": end})])


def _item_events(index: int, part: Part) -> list[bytes]:
    def event(kind: str, **more: Any) -> bytes:
        return sse({"type": f"response.{kind}", "output_index": index, "item_id": f"item_{index}"} | more)

    item = _item(index, part)
    match part:
        case Text():
            kind, empty = ("refusal", {"refusal": ""}) if part.refusal else ("output_text", {"text": ""})
            content = {"content_index": 0}
            inner = [event("content_part.added", part={"type": kind} | empty, **content)]
            inner += [event(f"{kind}.delta", delta=half, **content) for half in halves(part.text)]
            inner.append(event(f"{kind}.done", **{next(iter(empty)): part.text}, **content))
            inner.append(event("content_part.done", part=item["content"][0], **content))
            start = item | {"content": [], "status": "in_progress"}
        case Thinking():
            content = {"summary_index": 0}
            inner = []
            if part.text:
                inner.append(
                    event("reasoning_summary_part.added", part={"type": "summary_text", "text": ""}, **content)
                )
                inner += [event("reasoning_summary_text.delta", delta=half, **content) for half in halves(part.text)]
                inner.append(event("reasoning_summary_text.done", text=part.text, **content))
            start = item | {"summary": [], "encrypted_content": ""}
        case Call():
            kind, field = (
                ("custom_tool_call_input", "input") if part.freeform else ("function_call_arguments", "arguments")
            )
            inner = [event(f"{kind}.delta", delta=half) for half in halves(part.arguments)]
            inner.append(event(f"{kind}.done", **{field: part.arguments}))
            start = item | {field: "", "status": "in_progress"}
    return [event("output_item.added", item=start), *inner, event("output_item.done", item=item)]


def _item(index: int, part: Part) -> dict[str, Any]:
    item: dict[str, Any] = {"id": f"item_{index}"}
    match part:
        case Text(refusal=True):
            content: list[dict[str, Any]] = [{"type": "refusal", "refusal": part.text}]
            return item | {"type": "message", "role": "assistant", "status": "completed", "content": content}
        case Text():
            content = [{"type": "output_text", "text": part.text, "annotations": []}]
            return item | {"type": "message", "role": "assistant", "status": "completed", "content": content}
        case Thinking():
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            return item | {"type": "reasoning", "summary": summary, "encrypted_content": part.opaque}
        case Call():
            head = item | {"call_id": part.id, "name": part.name, "status": "completed"}
            if part.freeform:
                return head | {"type": "custom_tool_call", "input": part.arguments}
            return head | {"type": "function_call", "arguments": part.arguments}


def responses_whole(said: Said) -> dict[str, Any]:
    refused = any(isinstance(part, Text) and part.refusal for part in said.parts)
    reason = {"length": "max_output_tokens", "refusal": "content_filter"}.get(said.stop) if not refused else None
    value = _response("incomplete" if reason else "completed")
    value["output"] = [_item(index, part) for index, part in enumerate(said.parts)]
    value["incomplete_details"] = {"reason": reason} if reason else None
    if usage := said.usage:
        value["usage"] = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cache_read_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
            "total_tokens": usage.prompt_tokens + usage.output_tokens,
        }
    return value


def _in_turns(turns: Iterable[list[bytes]]) -> list[bytes]:
    return [event for group in zip_longest(*turns) for event in group if event is not None]
