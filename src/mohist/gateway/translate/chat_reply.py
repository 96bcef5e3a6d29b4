"""A whole answer in OpenAI Chat Completions.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.form import Call, Reply, Stop, Text, Thinking
from mohist.provider.message import Usage

_FINISHES: Mapping[Stop, str] = {
    "end": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "window": "length",
    "pause": "length",  # not whole; the dialect has no word for "ask me to go on"
    "refusal": "content_filter",
    "stop_sequence": "stop",
}


def write_reply(reply: Reply, facts: AskFacts) -> dict[str, Any]:
    """The `chat.completion` object."""
    texts = [part for part in reply.parts if isinstance(part, Text)]
    said = "".join(part.text for part in texts if not part.refusal)
    refused = "".join(part.text for part in texts if part.refusal)
    thought = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    calls = [call_of(part) for part in reply.parts if isinstance(part, Call)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said if said or not (calls or refused) else None,
        "refusal": refused or None,
    }
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    finish = finish_of(reply.stop, bool(refused))
    value = head_of(facts, "chat.completion")
    value["choices"] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
    if reply.usage is not None:
        value["usage"] = usage_of(reply.usage, reply.reasoning_tokens)
    return value


def head_of(facts: AskFacts, kind: str) -> dict[str, Any]:
    """What a completion and its chunks share."""
    return {
        "id": f"chatcmpl-{facts.call_id}",
        "object": kind,
        "created": facts.created_at_s,
        "model": facts.model,
    }


def call_of(call: Call) -> dict[str, Any]:
    """One entry of `tool_calls`."""
    if call.freeform:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def finish_of(stop: Stop, refused: bool) -> str:
    """The finish reason; a model that refuses in words of its own has stopped by itself."""
    return "stop" if refused and stop == "refusal" else _FINISHES[stop]


def usage_of(usage: Usage, reasoning_tokens: int) -> dict[str, Any]:
    """Counts that contain one another, as OpenAI tells them."""
    details: dict[str, Any] = {"cached_tokens": usage.cache_read_tokens}
    if usage.cache_write_tokens:
        details["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }
