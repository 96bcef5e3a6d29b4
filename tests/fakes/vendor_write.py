"""Writes answers of the three dialects, streamed and whole, as the vendors do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from fakes.vendor_read import Call, Seen


class Counted(NamedTuple):
    """Tokens of one answer, the same in every dialect."""

    prompt: int
    """Beside the cached ones."""
    cached: int
    output: int


COUNTED = Counted(1_000, 200, 50)
"""What every answer says it used."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer in no dialect."""

    number: int
    text: str
    calls: tuple[Call, ...]
    kind: str


def encode(dialect: str, spoken: Spoken, seen: Seen) -> bytes:
    """The body of the answer."""
    if dialect == "openai-chat":
        return _chat_stream(spoken, seen) if seen.stream else json.dumps(_chat_whole(spoken, seen)).encode()
    if dialect == "openai-responses":
        return _responses_stream(spoken, seen) if seen.stream else json.dumps(_response(spoken, seen)).encode()
    return _messages_stream(spoken, seen) if seen.stream else json.dumps(_message(spoken, seen)).encode()


def error_body(dialect: str, message: str) -> bytes:
    """A 400 of that vendor."""
    error = {"type": "invalid_request_error", "message": f"scripted vendor: {message}"}
    if dialect == "anthropic-messages":
        return json.dumps({"type": "error", "error": error}).encode()
    return json.dumps({"error": error | {"param": None, "code": None}}).encode()


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    """A body in pieces whose borders fall anywhere."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _split(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _chat_usage() -> dict[str, Any]:
    whole = COUNTED.prompt + COUNTED.cached
    return {
        "prompt_tokens": whole,
        "completion_tokens": COUNTED.output,
        "total_tokens": whole + COUNTED.output,
        "prompt_tokens_details": {"cached_tokens": COUNTED.cached},
    }


def _chat_whole(spoken: Spoken, seen: Seen) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": spoken.text, "refusal": None}
    if spoken.calls:
        message["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in spoken.calls
        ]
    finish = "tool_calls" if spoken.calls else "stop"
    return {
        "id": f"chatcmpl-{spoken.number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": seen.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": _chat_usage(),
    }


def _chat_stream(spoken: Spoken, seen: Seen) -> bytes:
    head = {
        "id": f"chatcmpl-{spoken.number}",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": seen.model,
    }

    def event(more: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(head | more).encode() + b"\n\n"

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    out = [chunk({"role": "assistant", "content": ""})]
    out += [chunk({"content": piece}) for piece in _split(spoken.text)]
    for index, call in enumerate(spoken.calls):
        function = {"name": call.name, "arguments": ""}
        out.append(
            chunk({"tool_calls": [{"index": index, "id": call.call_id, "type": "function", "function": function}]})
        )
        for piece in _split(call.arguments):
            out.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    out.append(chunk({}, "tool_calls" if spoken.calls else "stop"))
    if seen.wants_usage:
        out.append(event({"choices": [], "usage": _chat_usage()}))
    out.append(b"data: [DONE]\n\n")
    return b"".join(out)


def _message(spoken: Spoken, seen: Seen) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": spoken.text}]
    blocks += [
        {"type": "tool_use", "id": call.call_id, "name": call.name, "input": json.loads(call.arguments)}
        for call in spoken.calls
    ]
    return {
        "id": f"msg_{spoken.number}",
        "type": "message",
        "role": "assistant",
        "model": seen.model,
        "content": blocks,
        "stop_reason": "tool_use" if spoken.calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": COUNTED.prompt,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": COUNTED.cached,
            "output_tokens": COUNTED.output,
        },
    }


def _messages_stream(spoken: Spoken, seen: Seen) -> bytes:
    whole = _message(spoken, seen)

    def event(kind: str, **data: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind} | data)}\n\n".encode()

    start = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    out = [event("message_start", message=start), event("ping")]
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            opening = block | {"text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in _split(block["text"])]
        else:
            opening = block | {"input": {}}
            arguments = spoken.calls[index - 1].arguments
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_split(arguments)]]
        out.append(event("content_block_start", index=index, content_block=opening))
        out += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        out.append(event("content_block_stop", index=index))
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    out.append(event("message_delta", delta=delta, usage={"output_tokens": COUNTED.output}))
    out.append(event("message_stop"))
    return b"".join(out)


def _response(spoken: Spoken, seen: Seen) -> dict[str, Any]:
    whole = COUNTED.prompt + COUNTED.cached
    part = {"type": "output_text", "text": spoken.text, "annotations": []}
    output: list[dict[str, Any]] = [
        {
            "type": "message",
            "id": f"msg_{spoken.number}",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
    ]
    output += [
        {
            "type": "function_call",
            "id": f"fc_{call.call_id}",
            "status": "completed",
            "call_id": call.call_id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in spoken.calls
    ]
    return {
        "id": f"resp_{spoken.number}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": seen.model,
        "output": output,
        "parallel_tool_calls": True,
        "error": None,
        "incomplete_details": None,
        "usage": {
            "input_tokens": whole,
            "input_tokens_details": {"cached_tokens": COUNTED.cached},
            "output_tokens": COUNTED.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": whole + COUNTED.output,
        },
    }


def _responses_stream(spoken: Spoken, seen: Seen) -> bytes:
    whole = _response(spoken, seen)
    out: list[bytes] = []

    def event(kind: str, **data: Any) -> None:
        body = {"type": kind, "sequence_number": len(out)} | data
        out.append(f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode())

    early = whole | {"status": "in_progress", "output": [], "usage": None}
    event("response.created", response=early)
    event("response.in_progress", response=early)
    for index, item in enumerate(whole["output"]):
        at: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        started = item | {"status": "in_progress"}
        if item["type"] == "message":
            part = item["content"][0]
            event("response.output_item.added", output_index=index, item=started | {"content": []})
            event("response.content_part.added", **at, content_index=0, part=part | {"text": ""})
            for piece in _split(part["text"]):
                event("response.output_text.delta", **at, content_index=0, delta=piece, logprobs=[])
            event("response.output_text.done", **at, content_index=0, text=part["text"], logprobs=[])
            event("response.content_part.done", **at, content_index=0, part=part)
        else:
            event("response.output_item.added", output_index=index, item=started | {"arguments": ""})
            for piece in _split(item["arguments"]):
                event("response.function_call_arguments.delta", **at, delta=piece)
            event("response.function_call_arguments.done", **at, arguments=item["arguments"])
        event("response.output_item.done", output_index=index, item=item)
    event("response.completed", response=whole)
    return b"".join(out)
