"""Answers in OpenAI Responses, event by event, as an upstream gives them.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mohist.gateway.translate.fault import broken_by
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
from mohist.gateway.translate.wire import object_of, text_of, word_of
from mohist.provider.exchange import count
from mohist.provider.message import Usage
from mohist.provider.openai_chat import chat_usage
from mohist.provider.sse import SseEvent

_MAKER = "openai-responses"
_BETWEEN_SUMMARIES = "\n\n"
_CUT: Mapping[str, Stop] = {"max_output_tokens": "length", "content_filter": "refusal"}

_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_text.delta": "thought",
}
_DONES = {
    "response.output_text.done": ("text", "text"),
    "response.refusal.done": ("refusal", "refusal"),
    "response.function_call_arguments.done": ("arguments", "arguments"),
    "response.custom_tool_call_input.done": ("input", "input"),
    "response.reasoning_summary_text.done": ("summary", "text"),
    "response.reasoning_text.done": ("thought", "text"),
}


@dataclass(slots=True)
class _Section:
    """A part of an item: a message's content part, all of a reasoning item, or a call."""

    index: int
    kind: str
    """`text`, `refusal`, `call` or `thinking`."""
    last: tuple[str, int] = ("", -1)
    """Which summary or content of a reasoning item is being told."""
    chars: int = 0
    """Told of `last`."""
    closed: bool = False


class ResponsesReader:
    """Events into pieces.

    Deltas count; what only the `done` events and whole items hold is taken from there, for servers that leave the
    deltas out.
    """

    def __init__(self) -> None:
        self._begun = False
        self._parts = 0
        self._items: dict[int, dict[int, _Section]] = {}
        """Output index -> content index (0 but for messages) -> section."""
        self._done: set[int] = set()
        self._called = False
        self._refused = False

    def feed(self, event: SseEvent) -> list[Piece]:
        if event.data.strip() == "[DONE]":  # some servers end every stream so
            return self.end()
        value = object_of(event.data)
        kind = value.get("type") or event.name
        if kind == "error":
            return [broken_by(value)]
        if not isinstance(kind, str):
            raise ValueError("an event of no kind")
        if kind in _DELTAS:
            return self._delta(_DELTAS[kind], value, text_of(value["delta"]))
        if kind in _DONES:
            said, field = _DONES[kind]
            return self._said(said, value, text_of(value.get(field)))
        match kind:
            case "response.created" | "response.in_progress" | "response.queued":
                return self._begin(value["response"])
            case "response.output_item.added":
                return self._item(value["output_index"], value["item"], whole=False)
            case "response.output_item.done":
                return self._item(value["output_index"], value["item"], whole=True)
            case "response.content_part.done":
                return self._end_content(value)
            case "response.completed" | "response.incomplete":
                return self._finish(value["response"])
            case "response.failed" | "response.cancelled":
                return [broken_by(value)]
        return []

    def whole(self, body: Mapping[str, Any]) -> list[Piece]:
        if body.get("error") or body.get("status") in ("failed", "cancelled"):
            return [broken_by(body)]
        if not isinstance(body["output"], list):
            raise ValueError("no output")
        return self._finish(body)

    def end(self) -> list[Piece]:
        return [Broken("unavailable", "The upstream broke off its answer.")]

    def _begin(self, response: Mapping[str, Any]) -> list[Piece]:
        if self._begun:
            return []
        self._begun = True
        return [Begun(word_of(response.get("id")), word_of(response.get("model")))]

    def _item(self, index: int, item: Mapping[str, Any], *, whole: bool) -> list[Piece]:
        if index in self._done or (not whole and index in self._items):
            raise ValueError("an item twice")
        sections = self._items.setdefault(index, {})
        out: list[Piece] = []
        opaque = ""
        match item["type"]:
            case "message":
                for position, content in enumerate(item.get("content") or ()):
                    kind = "refusal" if content["type"] == "refusal" else "text"
                    if whole:
                        out += self._rest(self._find(index, position, kind, out), content.get(kind))
            case "reasoning":
                found = self._find(index, 0, "thinking", out, Thinking("", "", _MAKER, item_id=text_of(item.get("id"))))
                if whole:
                    out += self._reasoned(found, item)
                opaque = text_of(item.get("encrypted_content"))
            case "function_call" | "custom_tool_call":
                freeform = item["type"] == "custom_tool_call"
                call_id, namespace = text_of(item.get("call_id") or item.get("id")), text_of(item.get("namespace"))
                self._called = True
                call = Call(call_id, text_of(item["name"]), "", freeform, namespace, text_of(item.get("id")))
                found = self._find(index, 0, "call", out, call)
                if whole:
                    out += self._rest(found, item.get("input" if freeform else "arguments"))
            case _:
                # Tools that the vendor runs; a call that asks for one is not translated.
                raise ValueError("an item that no other dialect knows")
        if whole:
            self._done.add(index)
            for section in sections.values():
                out += self._close(section, opaque)
        return out

    def _find(
        self, index: int, position: int, kind: str, out: list[Piece], part: Text | Thinking | Call | None = None
    ) -> _Section:
        """The section, begun when it is new."""
        section = self._items[index].get(position)
        if section is None:
            section = self._items[index][position] = _Section(self._parts, kind)
            self._parts += 1
            self._refused = self._refused or kind == "refusal"
            out.append(Opened(section.index, part or Text("", refusal=kind == "refusal")))
        if section.kind != kind:
            raise ValueError("an item of another kind")
        return section

    def _end_content(self, value: Mapping[str, Any]) -> list[Piece]:
        section = self._items[value["output_index"]].get(value.get("content_index") or 0)
        # Reasoning may have several contents, and ends with its item; a message's content may have said nothing.
        return self._close(section) if section is not None and section.kind != "thinking" else []

    def _told(self, said: str, value: Mapping[str, Any], out: list[Piece]) -> _Section:
        """The section that an event is about, turned to the text that it tells."""
        index, key = value["output_index"], ("", -1)
        if said in ("text", "refusal"):
            section = self._find(index, value.get("content_index") or 0, said, out)
        else:
            section = self._items[index][0]
            if (section.kind == "thinking") != (said in ("summary", "thought")) or section.kind in ("text", "refusal"):
                raise ValueError("an item of another kind")
        if section.kind == "thinking":
            key = (said, value.get(f"{'summary' if said == 'summary' else 'content'}_index") or 0)
        self._turn(section, key, out)
        return section

    @staticmethod
    def _turn(section: _Section, key: tuple[str, int], out: list[Piece]) -> None:
        if key != section.last:
            if section.last != ("", -1) and section.chars:
                out.append(Grown(section.index, _BETWEEN_SUMMARIES))
            section.last, section.chars = key, 0

    def _delta(self, said: str, value: Mapping[str, Any], text: str) -> list[Piece]:
        out: list[Piece] = []
        section = self._told(said, value, out)
        section.chars += len(text)
        return [*out, Grown(section.index, text)]

    def _said(self, said: str, value: Mapping[str, Any], text: str) -> list[Piece]:
        out: list[Piece] = []
        section = self._told(said, value, out)
        return out + self._rest(section, text)

    @staticmethod
    def _rest(section: _Section, whole: Any) -> list[Piece]:
        """What no delta has told of a text that is whole now."""
        text = text_of(whole)[section.chars :]
        section.chars += len(text)
        return [Grown(section.index, text)] if text else []

    def _reasoned(self, section: _Section, item: Mapping[str, Any]) -> list[Piece]:
        """What no delta has told of a reasoning item."""
        out: list[Piece] = []
        texts = [(("summary", n), part) for n, part in enumerate(item.get("summary") or ())]
        texts += [(("thought", n), part) for n, part in enumerate(item.get("content") or ())]
        keys = [key for key, _ in texts]
        begin = keys.index(section.last) if section.last in keys else 0
        for key, part in texts[begin:]:
            self._turn(section, key, out)
            out += self._rest(section, part.get("text"))
        return out

    @staticmethod
    def _close(section: _Section, opaque: str = "") -> list[Piece]:
        if section.closed:
            return []
        section.closed = True
        return [Closed(section.index, opaque)]

    def _finish(self, response: Mapping[str, Any]) -> list[Piece]:
        if response.get("status") not in (None, "completed", "incomplete"):
            raise ValueError("an answer without an end")
        out = self._begin(response)
        if not self._items:
            for index, item in enumerate(response.get("output") or ()):
                out += self._item(index, item, whole=True)
        reason = word_of((response.get("incomplete_details") or {}).get("reason"))
        stop: Stop = _CUT.get(reason, "length") if response.get("status") == "incomplete" else "end"
        if stop == "end" and (self._called or self._refused):
            stop = "tool_calls" if self._called else "refusal"
        usage = response.get("usage") or {}
        reasoning_tokens = count((usage.get("output_tokens_details") or {}).get("reasoning_tokens"))
        return [*out, Ended(stop, usage=_usage(usage), reasoning_tokens=reasoning_tokens)]


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    if not usage:
        return None
    total = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
    return chat_usage({**usage, **total})
