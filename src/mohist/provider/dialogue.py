"""Makes a list of messages legal for every endpoint, the same way each time, at the door of each request.

An endpoint answers 400 for ever to a call without a result or a result without a call, and a crash,
a cancellation or a compaction leaves such lists behind. Everything here is pure and looks only back
within one turn, so the bytes already sent stay the same from request to request.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mohist.provider.message import AssistantMessage, Message, Part, TextPart, ThinkingPart, ToolCall, ToolMessage

MISSING_RESULT = "No result: the call was interrupted, and it is not known whether it ran."
"""Stands where a result is missing; never changed, so that caches stay valid."""

_WIRE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Anthropic allows these characters; OpenAI at most 40 of them."""


def settled(messages: Iterable[Message]) -> list[Message]:
    """`messages` with exactly one result right behind each call, in the calls' order.

    Missing results are added with a fixed text, results without a call and second results dropped, user
    messages that came between moved behind the results. Assistant messages that say and call nothing are dropped,
    and so is a second call with an id that its message already used.
    """
    turns: list[tuple[AssistantMessage | None, list[Message]]] = [(None, [])]
    for message in messages:
        if isinstance(message, AssistantMessage):
            turns.append((message, []))
        else:
            turns[-1][1].append(message)
    out: list[Message] = []
    for answer, following in turns:
        results = {m.call_id: m for m in reversed(following) if isinstance(m, ToolMessage)}
        if answer is not None:
            parts = _distinct(answer.parts)
            if any(isinstance(part, ToolCall) or (isinstance(part, TextPart) and part.text.strip()) for part in parts):
                out.append(AssistantMessage(parts))
            out += [
                results.get(part.id) or ToolMessage(part.id, MISSING_RESULT, is_error=True)
                for part in parts
                if isinstance(part, ToolCall)
            ]
        out += [m for m in following if not isinstance(m, ToolMessage)]
    return out


def _distinct(parts: Sequence[Part]) -> tuple[Part, ...]:
    seen: set[str] = set()
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall):
            if part.id in seen:
                continue
            seen.add(part.id)
        kept.append(part)
    return tuple(kept)


def wire_id(call_id: str) -> str:
    """`call_id` in characters and length that every dialect takes; the same id gives the same result."""
    if _WIRE_ID.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def argument_object(arguments: str) -> dict[str, Any]:
    """The arguments as an object to hand back; text that is none goes under the key `unparsed`.

    Servers parse the arguments of calls in the history and answer 400 when they can't.
    """
    try:
        value = json.loads(arguments or "{}")
        # Python reads NaN and 1e999, which no JSON can hold; nesting without end exhausts the stack.
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return {"unparsed": arguments}
    return value if isinstance(value, dict) else {"unparsed": arguments}


def whole_json(text: str) -> bool:
    """True when `text` is one complete JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class CallIds:
    """Gives calls of one answer ids that are unique in the whole conversation.

    Some servers send no id, or `call_0` in every turn; two calls with one id can't be told apart later.
    """

    def __init__(self, messages: Iterable[Message]) -> None:
        self._used = {call.id for m in messages if isinstance(m, AssistantMessage) for call in m.calls}
        self._count = len(self._used)

    def take(self, proposed: str) -> str:
        """`proposed` when it is free, else a new id; depends on nothing but the conversation."""
        call_id = proposed
        while not call_id or call_id in self._used:
            self._count += 1
            call_id = f"call_m{self._count}"
        self._used.add(call_id)
        return call_id


def sent_text(system: str, messages: Iterable[Message]) -> str:
    """The words of a request, to recognise them in an error text."""
    texts = [system]
    for message in messages:
        if isinstance(message, AssistantMessage):
            texts += [part.arguments if isinstance(part, ToolCall) else part.text for part in message.parts]
        else:
            texts.append(message.text)
    return "\n".join(texts)


def given_thinking(parts: Iterable[Part]) -> str:
    """The readable reasoning in `parts`."""
    return "".join(part.text for part in parts if isinstance(part, ThinkingPart) and not part.redacted)
