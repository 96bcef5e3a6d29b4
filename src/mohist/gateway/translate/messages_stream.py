"""Answers in Anthropic Messages, event by event.

Source: https://docs.claude.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mohist.gateway.translate import messages_reply
from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.fault import broken_by, error_value
from mohist.gateway.translate.form import (
    Begun,
    Broken,
    Call,
    Closed,
    Ended,
    Grown,
    Opened,
    Piece,
    Stop,
    Text,
    Thinking,
)
from mohist.gateway.translate.reasoning import wrap
from mohist.gateway.translate.wire import encoded, event, object_of, text_of, word_of
from mohist.provider.exchange import count
from mohist.provider.message import Usage
from mohist.provider.sse import SseEvent

_MAKER = "anthropic-messages"
_STOPS: Mapping[str, Stop] = {
    "end_turn": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "window",
}


@dataclass(slots=True)
class _Block:
    """A block whose end is still to come."""

    part: Text | Thinking | Call
    signature: str = ""
    given: str = ""
    """Arguments that came whole with the block's beginning; they count unless fragments follow."""
    grown: bool = False


class MessagesReader:
    """Events into pieces. The answer is whole with `message_stop` and not before."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._stop: str | None = None
        self._stop_sequence = ""
        self._counts: dict[str, int] = {}
        self._told_usage = False

    def feed(self, event: SseEvent) -> list[Piece]:
        value = object_of(event.data)
        # Kinds of events that are not known here are to be passed over: https://docs.claude.com/en/api/versioning
        match value.get("type") or event.name:
            case "message_start":
                return [self._begin(value["message"])]
            case "content_block_start":
                return self._start(value["index"], value["content_block"])
            case "content_block_delta":
                return self._delta(value["index"], value["delta"])
            case "content_block_stop":
                return self._end(value["index"])
            case "message_delta":
                self._read_end(value.get("delta") or {})
                self._read_usage(value.get("usage"))
            case "message_stop":
                return self._finish()
            case "error":
                return [broken_by(value)]
        return []

    def whole(self, body: Mapping[str, Any]) -> list[Piece]:
        if body.get("type") == "error" or body.get("error"):
            return [broken_by(body)]
        out: list[Piece] = [self._begin(body)]
        for index, content in enumerate(body["content"]):
            out += self._start(index, content)
            out += self._end(index)
        self._read_end(body)
        return out + self._finish()

    def end(self) -> list[Piece]:
        return [Broken("unavailable", "The upstream broke off its answer.")]

    def _begin(self, message: Mapping[str, Any]) -> Begun:
        self._read_usage(message.get("usage"))
        return Begun(word_of(message.get("id")), word_of(message.get("model")), self._usage())

    def _start(self, index: int, content: Mapping[str, Any]) -> list[Piece]:
        block = _block_of(content)
        if index in self._blocks:
            raise ValueError("a block begins twice")
        self._blocks[index] = block
        return [Opened(index, block.part)]

    def _delta(self, index: int, delta: Mapping[str, Any]) -> list[Piece]:
        block = self._blocks[index]
        match delta["type"], block.part:
            case "text_delta", Text():
                return [Grown(index, text_of(delta["text"]))]
            case "thinking_delta", Thinking():
                return [Grown(index, text_of(delta["thinking"]))]
            case "signature_delta", Thinking():
                block.signature += text_of(delta["signature"])
            case "input_json_delta", Call():
                if fragment := text_of(delta["partial_json"]):
                    block.grown = True
                    return [Grown(index, fragment)]
            case (("text_delta" | "thinking_delta" | "signature_delta" | "input_json_delta"), _):
                raise ValueError("a delta of another kind than its block")
        return []  # citations, and what is not known here: the text stands without it

    def _end(self, index: int) -> list[Piece]:
        block = self._blocks.pop(index)
        out: list[Piece] = [Grown(index, block.given)] if block.given and not block.grown else []
        return [*out, Closed(index, block.signature)]

    def _finish(self) -> list[Piece]:
        if self._stop is None:
            raise ValueError("no stop reason")
        return [Ended(_STOPS.get(self._stop, "end"), self._stop_sequence, self._usage())]

    def _read_end(self, delta: Mapping[str, Any]) -> None:
        self._stop = text_of(delta.get("stop_reason")) or self._stop
        self._stop_sequence = text_of(delta.get("stop_sequence")) or self._stop_sequence

    def _read_usage(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            self._told_usage = True
            for key, value in usage.items():
                # Input comes at the start, output grows; some servers fill what they told before with zeros.
                if key.endswith("_tokens") and count(value):
                    self._counts[key] = count(value)

    def _usage(self) -> Usage | None:
        if not self._told_usage:
            return None
        get = self._counts.get
        return Usage(
            get("input_tokens", 0),
            get("cache_read_input_tokens", 0),
            get("cache_creation_input_tokens", 0),
            get("output_tokens", 0),
        )


def _block_of(content: Mapping[str, Any]) -> _Block:
    match content["type"]:
        case "text":
            return _Block(Text(text_of(content.get("text"))))
        case "thinking":
            return _Block(Thinking(text_of(content.get("thinking")), maker=_MAKER), text_of(content.get("signature")))
        case "redacted_thinking":
            data = text_of(content["data"])
            return _Block(Thinking("", data, _MAKER, redacted=True), data)
        case "tool_use":
            given = encoded(content["input"]).decode() if content.get("input") else ""
            return _Block(Call(text_of(content.get("id")), text_of(content["name"]), ""), given=given)
        case _:
            # Tools that the vendor runs; a call that asks for one is not translated.
            raise ValueError("a block that no other dialect knows")


class MessagesWriter:
    """Pieces into events.

    Args:
        facts: of the call.
    """

    def __init__(self, facts: AskFacts) -> None:
        self._facts = facts
        self._part: Text | Thinking | Call = Text("")
        self._refused = False

    def write(self, piece: Piece) -> bytes:
        match piece:
            case Begun(usage=usage):
                return _named("message_start", {"message": self._message(usage)})
            case Opened(index, part):
                self._part = part
                self._refused = self._refused or (isinstance(part, Text) and part.refusal)
                return _named("content_block_start", {"index": index, "content_block": _empty(part)})
            case Grown(index, text):
                return _named("content_block_delta", {"index": index, "delta": self._delta(text)})
            case Closed(index, opaque):
                return self._closed(index, opaque)
            case Ended(stop, sequence, usage):
                delta = {
                    "stop_reason": messages_reply.reason_of(stop, self._refused),
                    "stop_sequence": sequence or None,
                }
                told = {"delta": delta, "usage": messages_reply.usage_of(usage)}
                return _named("message_delta", told) + _named("message_stop", {})
            case Broken():
                return event(error_value("anthropic-messages", piece), "error")

    def _message(self, usage: Usage | None) -> dict[str, Any]:
        return {
            "id": f"msg_{self._facts.call_id}",
            "type": "message",
            "role": "assistant",
            "model": self._facts.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_reply.usage_of(usage),
        }

    def _delta(self, text: str) -> dict[str, str]:
        match self._part:
            case Text():
                return {"type": "text_delta", "text": text}
            case Thinking():
                return {"type": "thinking_delta", "thinking": text}
            case Call():
                return {"type": "input_json_delta", "partial_json": text}

    def _closed(self, index: int, opaque: str) -> bytes:
        stop = _named("content_block_stop", {"index": index})
        match self._part:
            case Thinking(redacted=False) as part:
                # The text stands beside the signature; the client hands both back.
                signature = wrap(Thinking("", opaque, part.maker, item_id=part.item_id))
                delta = {"type": "signature_delta", "signature": signature}
                return _named("content_block_delta", {"index": index, "delta": delta}) + stop
        return stop


def _empty(part: Text | Thinking | Call) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": ""}
        case Thinking(redacted=True):
            return messages_reply.block_of(part)
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case Call(id=call_id, name=name):
            return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def _named(kind: str, rest: Mapping[str, Any]) -> bytes:
    return event({"type": kind, **rest}, kind)
