"""Answers in OpenAI Responses, as events for a client.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mohist.gateway.translate import responses_reply
from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.fault import response_error
from mohist.gateway.translate.form import (
    Begun,
    Broken,
    Call,
    Closed,
    Ended,
    Grown,
    Opened,
    Piece,
    Text,
    Thinking,
)
from mohist.gateway.translate.wire import event


class ResponsesWriter:
    """Pieces into events; each part is an item of the output.

    Args:
        facts: of the call.
    """

    def __init__(self, facts: AskFacts) -> None:
        self._facts = facts
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self._part: Text | Thinking | Call = Text("")
        self._texts: list[str] = []
        self._refused = False
        self._begun = False

    def write(self, piece: Piece) -> bytes:
        match piece:
            case Begun():
                return self._begin()
            case Opened(index, part):
                self._part, self._texts = part, []
                return self._opened(index, part)
            case Grown(index, text):
                begin = self._summary(index) if isinstance(self._part, Thinking) and not self._texts else b""
                self._texts.append(text)
                return begin + self._grown(index, text)
            case Closed(index, opaque):
                return self._closed(index, opaque)
            case Ended(stop, _, usage, reasoning_tokens):
                value = responses_reply.ended(self._facts, self._output, stop, self._refused, usage, reasoning_tokens)
                return self._event(f"response.{value['status']}", {"response": value})
            case Broken():
                begin = b"" if self._begun else self._begin()
                value = responses_reply.response(self._facts, "failed", self._output)
                value["error"] = response_error(piece)
                return begin + self._event("response.failed", {"response": value})

    def _begin(self) -> bytes:
        self._begun = True
        value = responses_reply.response(self._facts, "in_progress", ())
        started = self._event("response.created", {"response": value})
        return started + self._event("response.in_progress", {"response": value})

    def _opened(self, index: int, part: Text | Thinking | Call) -> bytes:
        item = responses_reply.item_of(part, index, self._facts)
        if isinstance(part, Text):
            self._refused = self._refused or part.refusal
            item["content"] = []
        if isinstance(part, Thinking):
            del item["encrypted_content"]
        else:
            item["status"] = "in_progress"
        out = self._event("response.output_item.added", {"output_index": index, "item": item})
        if isinstance(part, Text):
            out += self._of_item("response.content_part.added", index, self._content(part))
        return out

    def _summary(self, index: int) -> bytes:
        part = {"summary_index": 0, "part": {"type": "summary_text", "text": ""}}
        return self._of_item("response.reasoning_summary_part.added", index, part)

    def _grown(self, index: int, text: str) -> bytes:
        match self._part:
            case Text(refusal=True):
                return self._of_item("response.refusal.delta", index, {"content_index": 0, "delta": text})
            case Text():
                delta = {"content_index": 0, "delta": text, "logprobs": []}
                return self._of_item("response.output_text.delta", index, delta)
            case Thinking():
                delta = {"summary_index": 0, "delta": text}
                return self._of_item("response.reasoning_summary_text.delta", index, delta)
            case Call(freeform=freeform):
                kind = "custom_tool_call_input" if freeform else "function_call_arguments"
                return self._of_item(f"response.{kind}.delta", index, {"delta": text})

    def _closed(self, index: int, opaque: str) -> bytes:
        text = "".join(self._texts)
        whole: Text | Thinking | Call
        match self._part:
            case Text() as part:
                whole = replace(part, text=text)
                out = self._text_done(index, whole)
            case Thinking() as part:
                whole = replace(part, text=text, opaque=opaque)
                out = self._summary_done(index, text) if text else b""
            case Call() as part:
                whole = replace(part, arguments=text)
                kind, field = (
                    ("custom_tool_call_input", "input") if part.freeform else ("function_call_arguments", "arguments")
                )
                named = {} if part.freeform else {"name": part.name}
                out = self._of_item(f"response.{kind}.done", index, named | {field: text})
        item = responses_reply.item_of(whole, index, self._facts)
        self._output.append(item)
        return out + self._event("response.output_item.done", {"output_index": index, "item": item})

    def _text_done(self, index: int, text: Text) -> bytes:
        if text.refusal:
            out = self._of_item("response.refusal.done", index, {"content_index": 0, "refusal": text.text})
        else:
            done = {"content_index": 0, "text": text.text, "logprobs": []}
            out = self._of_item("response.output_text.done", index, done)
        return out + self._of_item("response.content_part.done", index, self._content(text))

    def _summary_done(self, index: int, text: str) -> bytes:
        out = self._of_item("response.reasoning_summary_text.done", index, {"summary_index": 0, "text": text})
        part = {"summary_index": 0, "part": {"type": "summary_text", "text": text}}
        return out + self._of_item("response.reasoning_summary_part.done", index, part)

    @staticmethod
    def _content(text: Text) -> dict[str, Any]:
        return {"content_index": 0, "part": responses_reply.content_of(text)}

    def _of_item(self, kind: str, index: int, rest: Mapping[str, Any]) -> bytes:
        item_id = responses_reply.item_id(self._part, index, self._facts)
        return self._event(kind, {"item_id": item_id, "output_index": index, **rest})

    def _event(self, kind: str, rest: Mapping[str, Any]) -> bytes:
        value = {"type": kind, "sequence_number": self._sequence, **rest}
        self._sequence += 1
        return event(value, kind)
