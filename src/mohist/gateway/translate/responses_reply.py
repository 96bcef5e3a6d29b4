"""A whole answer in OpenAI Responses.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.form import Call, Reply, Stop, Text, Thinking
from mohist.gateway.translate.reasoning import wrap
from mohist.provider.message import Usage

# What a Responses object repeats of its request, and what stands there when the request said nothing.
_ECHOED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_CUT: Mapping[Stop, str] = {
    "length": "max_output_tokens",
    "window": "max_output_tokens",
    "pause": "max_output_tokens",  # not whole; the dialect has no word for "ask me to go on"
    "refusal": "content_filter",
}


def write_reply(reply: Reply, facts: AskFacts) -> dict[str, Any]:
    """The `response` object."""
    output = [item_of(part, index, facts) for index, part in enumerate(reply.parts)]
    refused = any(isinstance(part, Text) and part.refusal for part in reply.parts)
    return ended(facts, output, reply.stop, refused, reply.usage, reply.reasoning_tokens)


def ended(
    facts: AskFacts,
    output: Sequence[Mapping[str, Any]],
    stop: Stop,
    refused: bool,
    usage: Usage | None,
    reasoning_tokens: int,
) -> dict[str, Any]:
    """The object of an answer that has come to its end.

    Args:
        facts: of the call.
        output: the items.
        stop: why the model stopped.
        refused: it refused in words of its own, and so has stopped by itself.
        usage: None when the upstream told nothing.
        reasoning_tokens: part of the output.
    """
    reason = None if refused and stop == "refusal" else _CUT.get(stop)
    value = response(facts, "incomplete" if reason else "completed", output)
    if reason:
        value["incomplete_details"] = {"reason": reason}
    else:
        value["completed_at"] = facts.created_at_s
    value["usage"] = None if usage is None else usage_of(usage, reasoning_tokens)
    return value


def response(facts: AskFacts, status: str, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The object at any time."""
    asked = {name: facts.body.get(name, default) for name, default in _ECHOED.items()}
    return {
        "id": f"resp_{facts.call_id}",
        "object": "response",
        "created_at": facts.created_at_s,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": facts.model,
        "output": list(output),
        "usage": None,
    } | {name: _ECHOED[name] if value is None else value for name, value in asked.items()}


def item_of(part: Text | Thinking | Call, index: int, facts: AskFacts) -> dict[str, Any]:
    """One whole item of the output."""
    item: dict[str, Any] = {"id": item_id(part, index, facts)}
    match part:
        case Text():
            content = [content_of(part)]
            return item | {"type": "message", "status": "completed", "role": "assistant", "content": content}
        case Thinking():
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            return item | {"type": "reasoning", "summary": summary, "encrypted_content": wrap(part)}
        case Call():
            name = {"name": part.name} | ({"namespace": part.namespace} if part.namespace else {})
            head = item | {"status": "completed", "call_id": part.id} | name
            if part.freeform:
                return head | {"type": "custom_tool_call", "input": part.arguments}
            return head | {"type": "function_call", "arguments": part.arguments}


def content_of(text: Text) -> dict[str, Any]:
    """The one content part of a message."""
    if text.refusal:
        return {"type": "refusal", "refusal": text.text}
    return {"type": "output_text", "text": text.text, "annotations": [], "logprobs": []}


def item_id(part: Text | Thinking | Call, index: int, facts: AskFacts) -> str:
    """An item's own id, the same each time it is asked for."""
    match part:
        case Text():
            kind = "msg"
        case Thinking():
            kind = "rs"
        case Call():
            kind = "ctc" if part.freeform else "fc"
    return f"{kind}_{facts.call_id}_{index}"


def usage_of(usage: Usage, reasoning_tokens: int) -> dict[str, Any]:
    """Counts that contain one another, as OpenAI tells them."""
    details: dict[str, Any] = {"cached_tokens": usage.cache_read_tokens}
    if usage.cache_write_tokens:
        details["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }
