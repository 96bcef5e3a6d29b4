"""Writes the scripted model's answers as each vendor does, whole or streamed; nothing in them changes from run to run."""

from __future__ import annotations

import json
from typing import Any

from mohist.vet.behaviour.script import Answer, Dialect

_CREATED_S = 1_767_225_600
"""2026-01-01; a vendor's clock would be something that varies by itself."""
_INPUT_TOKENS, _OUTPUT_TOKENS = 1200, 50


def encode(dialect: Dialect, answer: Answer) -> bytes:
    """The body: JSON, or server-sent events where the request asked for a stream."""
    if dialect == "openai-chat":
        return _chat_stream(answer) if answer.stream else _dump(_chat(answer))
    if dialect == "openai-responses":
        return _response_stream(answer) if answer.stream else _dump(_response(answer, "completed"))
    return _message_stream(answer) if answer.stream else _dump(_message(answer))


def listing(model: str) -> bytes:
    """A list of models that clients of either vendor can read."""
    entry = {"id": model, "object": "model", "created": _CREATED_S, "owned_by": "vet", "type": "model"}
    entry |= {"display_name": model, "created_at": "2026-01-01T00:00:00Z"}
    return _dump({"object": "list", "data": [entry], "has_more": False, "first_id": model, "last_id": model})


def counted() -> bytes:
    """What counting tokens gives."""
    return _dump({"input_tokens": _INPUT_TOKENS})


def _dump(value: object) -> bytes:
    return json.dumps(value).encode("utf-8")


def _chat(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.call:
        function = {"name": answer.call.name, "arguments": answer.call.arguments}
        message["tool_calls"] = [{"id": answer.call.call_id, "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": _chat_end(answer), "logprobs": None}
    return _chat_head(answer, "chat.completion") | {"choices": [choice], "usage": _chat_usage()}


def _chat_head(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer.number}", "object": kind, "created": _CREATED_S, "model": answer.model}


def _chat_end(answer: Answer) -> str:
    return "tool_calls" if answer.call else "stop"


def _chat_usage() -> dict[str, Any]:
    return {
        "prompt_tokens": _INPUT_TOKENS,
        "completion_tokens": _OUTPUT_TOKENS,
        "total_tokens": _INPUT_TOKENS + _OUTPUT_TOKENS,
    }


def _chat_stream(answer: Answer) -> bytes:
    head = _chat_head(answer, "chat.completion.chunk")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"content": answer.text}]
    if answer.call:
        function = {"name": answer.call.name, "arguments": answer.call.arguments}
        call = {"index": 0, "id": answer.call.call_id, "type": "function", "function": function}
        deltas.append({"tool_calls": [call]})
    chunks: list[dict[str, Any]] = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": _chat_end(answer)}]})
    chunks.append(head | {"choices": [], "usage": _chat_usage()})
    return b"".join(b"data: " + _dump(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _message(answer: Answer) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
    if answer.call:
        tool_input = json.loads(answer.call.arguments)
        blocks.append({"type": "tool_use", "id": answer.call.call_id, "name": answer.call.name, "input": tool_input})
    return {
        "id": f"msg_{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": blocks,
        "stop_reason": "tool_use" if answer.call else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": _INPUT_TOKENS,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": _OUTPUT_TOKENS,
        },
    }


def _message_stream(answer: Answer) -> bytes:
    whole = _message(answer)
    start = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    out = [_event("message_start", {"message": start}), _event("ping", {})]
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            opening = block | {"text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            opening = block | {"input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        out.append(_event("content_block_start", {"index": index, "content_block": opening}))
        out.append(_event("content_block_delta", {"index": index, "delta": delta}))
        out.append(_event("content_block_stop", {"index": index}))
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    out.append(_event("message_delta", {"delta": end, "usage": {"output_tokens": _OUTPUT_TOKENS}}))
    out.append(_event("message_stop", {}))
    return b"".join(out)


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | data)}\n\n".encode()


def _response(answer: Answer, status: str) -> dict[str, Any]:
    done = status == "completed"
    return {
        "id": f"resp_{answer.number}",
        "object": "response",
        "created_at": _CREATED_S,
        "status": status,
        "model": answer.model,
        "output": _output(answer) if done else [],
        "parallel_tool_calls": True,
        "error": None,
        "incomplete_details": None,
        "usage": _response_usage() if done else None,
    }


def _response_usage() -> dict[str, Any]:
    return {
        "input_tokens": _INPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": _OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": _INPUT_TOKENS + _OUTPUT_TOKENS,
    }


def _output(answer: Answer) -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": answer.text, "annotations": []}
    items: list[dict[str, Any]] = [
        {
            "type": "message",
            "id": f"msg_{answer.number}",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
    ]
    if answer.call:
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{answer.number}",
                "status": "completed",
                "call_id": answer.call.call_id,
                "name": answer.call.name,
                "arguments": answer.call.arguments,
            }
        )
    return items


def _response_stream(answer: Answer) -> bytes:
    out: list[bytes] = []

    def event(kind: str, **data: Any) -> None:
        out.append(_event(kind, {"sequence_number": len(out)} | data))

    event("response.created", response=_response(answer, "in_progress"))
    event("response.in_progress", response=_response(answer, "in_progress"))
    for index, item in enumerate(_output(answer)):
        place: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        started = item | {"status": "in_progress"}
        if item["type"] == "message":
            part = item["content"][0]
            event("response.output_item.added", output_index=index, item=started | {"content": []})
            event("response.content_part.added", **place, content_index=0, part=part | {"text": ""})
            event("response.output_text.delta", **place, content_index=0, delta=part["text"], logprobs=[])
            event("response.output_text.done", **place, content_index=0, text=part["text"], logprobs=[])
            event("response.content_part.done", **place, content_index=0, part=part)
        else:
            event("response.output_item.added", output_index=index, item=started | {"arguments": ""})
            event("response.function_call_arguments.delta", **place, delta=item["arguments"])
            event("response.function_call_arguments.done", **place, arguments=item["arguments"])
        event("response.output_item.done", output_index=index, item=item)
    event("response.completed", response=_response(answer, "completed"))
    return b"".join(out)
