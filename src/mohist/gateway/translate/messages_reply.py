"""A whole answer in Anthropic Messages.

Source: https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.form import Call, Reply, Stop, Text, Thinking
from mohist.gateway.translate.reasoning import wrap
from mohist.provider.dialogue import argument_object, whole_json
from mohist.provider.message import Usage

_REASONS: Mapping[Stop, str] = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "window": "model_context_window_exceeded",
    "pause": "pause_turn",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
}


def write_reply(reply: Reply, facts: AskFacts) -> dict[str, Any]:
    """The `message` object."""
    blocks = []
    for part in reply.parts:
        if isinstance(part, Call) and reply.stop in ("length", "window") and not whole_json(part.arguments):
            continue  # cut off in the middle of its arguments; nobody may run it
        blocks.append(block_of(part))
    return {
        "id": f"msg_{facts.call_id}",
        "type": "message",
        "role": "assistant",
        "model": facts.model,
        "content": blocks,
        "stop_reason": reason_of(reply.stop, any(isinstance(part, Text) and part.refusal for part in reply.parts)),
        "stop_sequence": reply.stop_sequence or None,
        "usage": usage_of(reply.usage),
    }


def block_of(part: Text | Thinking | Call) -> dict[str, Any]:
    """One content block."""
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(redacted=True):
            return {"type": "redacted_thinking", "data": wrap(part)}
        case Thinking(text):
            return {"type": "thinking", "thinking": text, "signature": wrap(part)}
        case Call():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": argument_object(part.arguments)}


def reason_of(stop: Stop, refused: bool) -> str:
    """The stop reason.

    `refusal` is what Anthropic's safety system says in the model's place, and Claude Code tells its user of a breach of
    policy; a model that refuses in words of its own has ended its turn.
    """
    return _REASONS["end" if refused and stop == "refusal" else stop]


def usage_of(usage: Usage | None) -> dict[str, int]:
    """The four classes, zeros where nothing is told: the dialect has no word for unknown."""
    told = usage or Usage()
    return {
        "input_tokens": told.input_tokens,
        "cache_creation_input_tokens": told.cache_write_tokens,
        "cache_read_input_tokens": told.cache_read_tokens,
        "output_tokens": told.output_tokens,
    }
