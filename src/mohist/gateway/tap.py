"""Reads a copy of an answer for its usage, its model and its errors; never touches what goes to the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import orjson

from mohist.gateway.call import Dialect
from mohist.provider.message import Usage
from mohist.provider.openai_chat import chat_usage
from mohist.provider.price import Terms
from mohist.provider.sse import OversizedEventError, SseDecoder

Sight = Literal["preamble", "content", "error"]
"""What an event is to failover: said before the first content, content, or an error in its place."""

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n")
_NAME_CHARS = 64
_MAX_DEPTH = 8
"""Of a delta; those of today have three levels."""
_BYTES_PER_TOKEN = 4
"""Rule of thumb for an answer that was cut before it told its usage."""
_CLASSES = {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"}
"""A usage that names none of Anthropic's classes tells nothing, which is not the same as zero."""


class Tap:
    """Follows one answer.

    Args:
        dialect: of the answer.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._decoder: SseDecoder | None = SseDecoder()
        self._tail = b""
        self._counts: dict[str, int] = {}
        self._usage: Usage | None = None
        self._text_chars = 0
        self._service = ""
        self._region = ""
        self._web_searches = 0
        self.model = ""
        """The model that says it served the call; empty until it does."""
        self.sight: Sight = "preamble"
        """The first thing beyond the preamble."""
        self.failed = False
        """An error has come, at any time."""
        self.ended = False
        """The event that ends a whole answer has come."""

    @property
    def between_events(self) -> bool:
        """No event is half sent."""
        return not self._tail or self._tail.endswith(_EVENT_ENDS)

    def feed(self, chunk: bytes) -> None:
        """A piece of a stream."""
        self._tail = chunk[-4:] if len(chunk) >= 4 else (self._tail + chunk)[-4:]
        if self._decoder is None:
            return
        try:
            events = self._decoder.feed(chunk)
        except OversizedEventError:
            self._decoder = None  # the client still gets every byte; only usage stays unknown
            self.sight = "content"
            return
        for event in events:
            if event.data == "[DONE]":
                self.ended = True
                continue
            try:
                value = orjson.loads(event.data)
            except orjson.JSONDecodeError:
                value = None
            sight = self._see(value) if isinstance(value, dict) else "content"
            self.failed = self.failed or sight == "error"
            if self.sight == "preamble":
                self.sight = sight

    def read(self, body: bytes) -> None:
        """A whole answer that is not a stream."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if not isinstance(value, dict):
            return
        self.ended = True
        wrong = isinstance(value.get("error"), dict) and not (value.keys() & {"choices", "output", "content"})
        self.sight = "error" if wrong else "content"
        self._take(value)

    def usage(self) -> Usage | None:
        """The four classes as far as told; None when nothing was."""
        if self.dialect != "anthropic-messages":
            return self._usage
        if not self._counts.keys() & _CLASSES:
            return None
        get = self._counts.get
        return Usage(
            get("input_tokens", 0),
            get("cache_read_input_tokens", 0),
            get("cache_creation_input_tokens", 0),
            get("output_tokens", 0),
            min(get("ephemeral_1h_input_tokens", 0), get("cache_creation_input_tokens", 0)),
        )

    def terms(self) -> Terms:
        """How the call was served, as far as told."""
        return Terms(self._service, self._region, self._web_searches)

    def streamed(self, prompt_tokens: int) -> Usage:
        """What a cut answer cost: what was told, and by rule of thumb what was not."""
        told = self.usage() or Usage(input_tokens=prompt_tokens)
        output = max(told.output_tokens, -(-self._text_chars // _BYTES_PER_TOKEN))
        return replace(told, output_tokens=output)

    def _see(self, value: dict[str, Any]) -> Sight:
        match self.dialect:
            case "anthropic-messages":
                return self._see_message(value)
            case "openai-responses":
                return self._see_response(value)
            case _:
                return self._see_chunk(value)

    def _see_message(self, value: dict[str, Any]) -> Sight:
        kind = value.get("type")
        if kind == "content_block_delta":
            self._text_chars += _chars(value.get("delta"))
        elif kind == "message_start":
            if isinstance(message := value.get("message"), dict):
                self._take(message)
            return "preamble"
        elif kind == "message_delta":
            self._take(value)
        elif kind == "message_stop":
            self.ended = True
        elif kind == "ping":
            return "preamble"
        elif kind == "error":
            return "error"
        return "content"

    def _see_response(self, value: dict[str, Any]) -> Sight:
        kind = value.get("type")
        if isinstance(kind, str) and kind.endswith(".delta"):
            self._text_chars += len(delta) if isinstance(delta := value.get("delta"), str) else 0
        if isinstance(response := value.get("response"), dict):
            self._take(response)
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.ended = True
        if kind in ("response.created", "response.in_progress", "response.queued"):
            return "preamble"
        return "error" if kind in ("error", "response.failed") else "content"

    def _see_chunk(self, value: dict[str, Any]) -> Sight:
        if value.get("error"):
            return "error"
        self._take(value)
        said = False
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta")
            self._text_chars += _chars(delta)
            said = said or bool(choice.get("finish_reason"))
            if isinstance(delta, dict):
                said = said or any(field for name, field in delta.items() if name != "role")
        return "content" if said or self._usage is not None else "preamble"

    def _take(self, value: Mapping[str, Any]) -> None:
        if isinstance(model := value.get("model"), str) and model:
            self.model = model
        if isinstance(service := value.get("service_tier"), str):
            self._service = service[:_NAME_CHARS]
        if isinstance(items := value.get("output"), list):
            self._web_searches = sum(map(_is_search, items))
        usage = value.get("usage")
        if not isinstance(usage, dict) or not usage:
            return
        if self.dialect == "anthropic-messages":
            self._take_counts(usage)
        elif self.dialect == "openai-responses":
            names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
            self._usage = _chat_usage(usage | {chat: usage.get(own) for chat, own in names.items()}) or self._usage
        else:
            self._usage = _chat_usage(usage) or self._usage

    def _take_counts(self, usage: Mapping[str, Any]) -> None:
        """Anthropic's usage, of which the last word of each field holds."""
        self._counts.update({name: n for name, n in usage.items() if type(n) is int and n >= 0})
        if isinstance(lives := usage.get("cache_creation"), dict):
            self._counts.update({name: n for name, n in lives.items() if type(n) is int and n >= 0})
        if isinstance(tools := usage.get("server_tool_use"), dict):
            n = tools.get("web_search_requests")
            self._web_searches = n if type(n) is int and n >= 0 else self._web_searches
        if isinstance(service := usage.get("service_tier"), str):
            self._service = service[:_NAME_CHARS]
        if isinstance(speed := usage.get("speed"), str) and speed != "standard":
            self._service = speed[:_NAME_CHARS]  # "fast" is sold at its own price whatever the tier
        if isinstance(region := usage.get("inference_geo"), str):
            self._region = region[:_NAME_CHARS]


def _is_search(item: Any) -> bool:
    """Opening and scanning a page that was found is not billed
    (https://developers.openai.com/api/docs/guides/tools-web-search)."""
    if not isinstance(item, dict) or item.get("type") != "web_search_call":
        return False
    action = item.get("action")
    return not isinstance(action, dict) or action.get("type", "search") == "search"


def _chat_usage(usage: Mapping[str, Any]) -> Usage | None:
    if usage.get("prompt_tokens") is None and usage.get("completion_tokens") is None:
        return None
    try:
        return chat_usage(usage)
    except (TypeError, ValueError, AttributeError):
        return None


def _chars(delta: Any, depth: int = _MAX_DEPTH) -> int:
    """Characters that a delta says, tool arguments included."""
    if isinstance(delta, str):
        return len(delta)
    if not depth:
        return 0
    if isinstance(delta, dict):
        said = (field for name, field in delta.items() if name not in ("role", "type", "id", "name"))
        return sum(_chars(field, depth - 1) for field in said)
    if isinstance(delta, list):
        return sum(_chars(item, depth - 1) for item in delta)
    return 0
