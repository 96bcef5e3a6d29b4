"""Answers in OpenAI Chat Completions, chunk by chunk: what many servers call so, and what clients expect.

Sources: https://platform.openai.com/docs/api-reference/chat-streaming; for what servers do differently the pages named
in `mohist.provider.openai_chat` and at the places where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mohist.gateway.translate import chat_reply
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
from mohist.gateway.translate.wire import encoded, event, object_of, text_of, word_of
from mohist.provider.dialogue import whole_json
from mohist.provider.exchange import count
from mohist.provider.message import Usage
from mohist.provider.openai_chat import chat_usage
from mohist.provider.sse import SseEvent

_STOPS: Mapping[str, Stop] = {
    "stop": "end",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "refusal",
    "sensitive": "refusal",  # GLM
    "model_context_window_exceeded": "window",  # GLM
}
_FAILING_STOPS = frozenset({"insufficient_system_resource", "network_error", "error", "abort"})
"""DeepSeek, GLM, OpenRouter, vLLM: the server broke off the answer."""

_Speech = Literal["text", "thinking", "refusal"]


@dataclass(slots=True)
class _Call:
    """A call whose fragments are still coming."""

    wire_id: str
    freeform: bool
    index: int = -1
    """Of its part; -1 until its name is known."""
    name: str = ""
    fragments: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


class ChatReader:
    """Chunks into pieces.

    The answer is whole once a finish reason has come: usage follows in a chunk of its own, and several servers never
    send `[DONE]`. So its end is told with `[DONE]` or the end of the stream.
    """

    def __init__(self) -> None:
        self._begun = False
        self._parts = 0
        self._speech: _Speech | None = None
        self._open: dict[int, _Call] = {}
        self._calls: list[_Call] = []
        self._finish: str | None = None
        self._refused = False
        self._usage: Usage | None = None
        self._reasoning_tokens = 0

    def feed(self, event: SseEvent) -> list[Piece]:
        if event.data.strip() == "[DONE]":
            return self.end()
        chunk = object_of(event.data)
        if chunk.get("error") or event.name == "error":
            return [broken_by(chunk)]
        return self._chunk(chunk)

    def whole(self, body: Mapping[str, Any]) -> list[Piece]:
        if body.get("error"):
            return [broken_by(body)]
        if not body.get("choices"):
            raise ValueError("no choice")
        return [*self._chunk(body), *self.end()]

    def end(self) -> list[Piece]:
        if self._finish is None or self._finish in _FAILING_STOPS:
            return [Broken("unavailable", "The upstream broke off its answer.")]
        out: list[Piece] = []
        self._hush(out)
        for call in self._calls:
            if call.index < 0:
                raise ValueError("a call without a name")
            if not call.closed:
                out.append(Closed(call.index))
        stop = _STOPS.get(self._finish, "end")
        if self._refused and stop == "end":
            stop = "refusal"
        out.append(Ended(stop, usage=self._usage, reasoning_tokens=self._reasoning_tokens))
        return out

    def _chunk(self, chunk: Mapping[str, Any]) -> list[Piece]:
        out: list[Piece] = []
        if not self._begun:
            self._begun = True
            out.append(Begun(word_of(chunk.get("id")), word_of(chunk.get("model"))))
        self._read_usage(chunk.get("usage"))
        for choice in chunk.get("choices") or ():
            if choice.get("index") not in (0, None):
                continue
            self._read_usage(choice.get("usage"))  # Kimi: https://platform.moonshot.ai/docs/api/chat
            self._delta(choice.get("delta") or choice.get("message") or {}, out)
            self._finish = choice.get("finish_reason") or self._finish
        return out

    def _delta(self, delta: Mapping[str, Any], out: list[Piece]) -> None:
        if delta.get("audio") or delta.get("images"):
            raise ValueError("content that no other dialect knows")
        self._say("thinking", text_of(delta.get("reasoning_content") or delta.get("reasoning")), out)
        content = delta.get("content")
        if isinstance(content, list):
            # Mistral: https://docs.mistral.ai/capabilities/reasoning/
            for part in content:
                thought = part.get("type") == "thinking"
                said = part.get("thinking" if thought else "text")
                if isinstance(said, list):
                    said = "".join(text_of(piece.get("text")) for piece in said)
                self._say("thinking" if thought else "text", text_of(said), out)
        else:
            self._say("text", text_of(content), out)
        self._say("refusal", text_of(delta.get("refusal")), out)
        for position, fragment in enumerate(delta.get("tool_calls") or ()):
            self._fragment(fragment, position, out)
        if function := delta.get("function_call"):
            # The form before `tool_calls`, of servers that keep it.
            self._fragment({"index": 0, "function": function}, 0, out)

    def _say(self, kind: _Speech, text: str, out: list[Piece]) -> None:
        if not text:
            return
        if self._speech != kind:
            self._hush(out)
            self._close_whole_calls(out)
            self._speech = kind
            self._refused = self._refused or kind == "refusal"
            part = Thinking("", maker="openai-chat") if kind == "thinking" else Text("", refusal=kind == "refusal")
            out.append(Opened(self._parts, part))
            self._parts += 1
        out.append(Grown(self._parts - 1, text))

    def _hush(self, out: list[Piece]) -> None:
        if self._speech is not None:
            self._speech = None
            out.append(Closed(self._parts - 1))

    def _close_whole_calls(self, out: list[Piece]) -> None:
        """Calls whose arguments are whole need not wait for the end: nothing can follow a whole object."""
        for call in self._calls:
            if not call.closed and not call.freeform and call.index >= 0 and whole_json(call.arguments):
                call.closed = True
                out.append(Closed(call.index))

    def _fragment(self, fragment: Mapping[str, Any], position: int, out: list[Piece]) -> None:
        freeform = fragment.get("type") == "custom" or bool(fragment.get("custom"))
        body = fragment.get("custom" if freeform else "function") or {}
        given_id, name = text_of(fragment.get("id")), text_of(body.get("name"))
        call = self._call_of(fragment.get("index"), position, given_id, name, freeform)
        call.wire_id = call.wire_id or given_id
        if name and not call.name:
            self._hush(out)
            self._close_whole_calls(out)
            call.name = name
            call.index = self._parts
            self._parts += 1
            made = Call(call.wire_id, name, call.arguments, call.freeform, text_of(body.get("namespace")))
            out.append(Opened(call.index, made))
        arguments = body.get("input" if call.freeform else "arguments")
        if isinstance(arguments, Mapping):  # Ollama and others send the object itself
            arguments = encoded(arguments).decode()
        text = text_of(arguments)
        if not text or (call.closed and not text.strip()):
            return
        call.fragments.append(text)
        if call.index >= 0:
            out.append(Grown(call.index, text))

    def _call_of(self, index: int | None, position: int, given_id: str, name: str, freeform: bool) -> _Call:
        if index is None:
            # Without an index a fragment with an id or a name opens a call, any other continues the last.
            index = len(self._calls) + position if given_id or name else max(self._open, default=0)
            known = next((i for i, call in self._open.items() if given_id and call.wire_id == given_id), None)
            index = index if known is None else known
        call = self._open.get(index)
        if call is None or _another(call, given_id, name):
            call = self._open[index] = _Call(given_id, freeform)
            self._calls.append(call)
        return call

    def _read_usage(self, usage: Any) -> None:
        if isinstance(usage, Mapping) and usage:
            self._usage = chat_usage(usage)
            self._reasoning_tokens = count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens"))


def _another(call: _Call, given_id: str, name: str) -> bool:
    """True when a fragment with the index of `call` opens a new one: servers exist that number all calls 0."""
    if given_id and call.wire_id:
        return given_id != call.wire_id
    return bool(name and call.name and not given_id and whole_json(call.arguments))


class ChatWriter:
    """Pieces into chunks.

    Args:
        facts: of the call.
    """

    def __init__(self, facts: AskFacts) -> None:
        self._facts = facts
        self._part: Text | Thinking | Call | None = None
        self._calls = 0
        self._refused = False

    def write(self, piece: Piece) -> bytes:
        match piece:
            case Begun():
                return self._chunk({"role": "assistant", "content": ""})
            case Opened(_, part):
                self._part = part
                if isinstance(part, Call):
                    self._calls += 1
                    head = chat_reply.call_of(part)
                    return self._chunk({"tool_calls": [{"index": self._calls - 1} | head]})
                self._refused = self._refused or (isinstance(part, Text) and part.refusal)
                return b""
            case Grown(_, text):
                return self._chunk(self._grown(text))
            case Closed():
                return b""
            case Ended(stop, _, usage, reasoning_tokens):
                out = self._chunk({}, chat_reply.finish_of(stop, self._refused))
                if self._facts.usage_asked and usage is not None:
                    told = chat_reply.usage_of(usage, reasoning_tokens)
                    out += event(self._head() | {"choices": [], "usage": told})
                return out + b"data: [DONE]\n\n"
            case Broken():
                return event(error_value("openai-chat", piece))

    def _grown(self, text: str) -> dict[str, Any]:
        match self._part:
            case Call(freeform=True):
                return {"tool_calls": [{"index": self._calls - 1, "custom": {"input": text}}]}
            case Call():
                return {"tool_calls": [{"index": self._calls - 1, "function": {"arguments": text}}]}
            case Thinking():
                return {"reasoning_content": text}
            case Text(refusal=True):
                return {"refusal": text}
            case _:
                return {"content": text}

    def _head(self) -> dict[str, Any]:
        return chat_reply.head_of(self._facts, "chat.completion.chunk")

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        value = self._head() | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        if self._facts.usage_asked:
            value["usage"] = None
        return event(value)
