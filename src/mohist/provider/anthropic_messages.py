"""Anthropic Messages, streaming, and the servers that offer the same door.

Sources: https://docs.claude.com/en/api/messages, https://docs.claude.com/en/docs/build-with-claude/streaming,
https://docs.claude.com/en/docs/build-with-claude/prompt-caching,
https://docs.claude.com/en/docs/build-with-claude/extended-thinking
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mohist.base import Clock
from mohist.provider import quirk
from mohist.provider.dialogue import CallIds, argument_object, sent_text, settled, whole_json, wire_id
from mohist.provider.exchange import Price, TellError, count, encoded, exchange, object_of
from mohist.provider.message import (
    AssistantMessage,
    CallArguments,
    CallReady,
    CallStarted,
    Caps,
    Delta,
    Done,
    Failed,
    Message,
    Part,
    Request,
    StopReason,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from mohist.provider.secret import Secret
from mohist.provider.sse import SseEvent
from mohist.provider.transport import Outgoing, Timeouts, Transport

if TYPE_CHECKING:
    import httpx2

_VERSION = "2023-06-01"
"""https://docs.claude.com/en/api/versioning"""

_MARK = {"type": "ephemeral"}

_STOPS: Mapping[str, StopReason] = {
    "end_turn": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
}


class AnthropicMessages:
    """A model behind `POST {base_url}/v1/messages`.

    Args:
        name: how people name it.
        base_url: with or without the version at its end; `/v1` is added where none stands.
        api_key: sent as `x-api-key`, or as a bearer token with the quirk `bearer`.
        caps: what the model can do; its quirks change the body.
        price: cost of a call's usage.
        headers: sent with each call, names in any case (`anthropic-beta`, for one).
        timeouts: limits of one call.
        clock: for a retry-after that is a date.
        client: an HTTP client to share; its owner closes it.
        governed: a gateway of ours answers.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: Secret | None,
        caps: Caps,
        price: Price,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
        client: httpx2.AsyncClient | None = None,
        governed: bool = False,
    ) -> None:
        self._name = name
        self._url = messages_url(base_url)
        self._caps = caps
        self._price = price
        self._headers = {"anthropic-version": _VERSION} | {key.lower(): value for key, value in (headers or {}).items()}
        self._headers |= {
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",
        }
        bearer = quirk.BEARER in caps.quirks
        self._transport = Transport(
            name,
            api_key,
            key_header="authorization" if bearer else "x-api-key",
            key_prefix="Bearer " if bearer else "",
            timeouts=timeouts,
            clock=clock,
            client=client,
            governed=governed,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def caps(self) -> Caps:
        return self._caps

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See Provider."""
        messages = settled(request.messages)
        body = encoded(messages_body(request, messages, self._caps))
        outgoing = Outgoing(self._url, self._headers, body, sent_text(request.system, messages), request.session_id)
        return exchange(self._name, self._transport, outgoing, MessagesDecoder(self._name, messages))

    def cost_microusd(self, usage: Usage) -> int | None:
        return self._price(usage)

    async def aclose(self) -> None:
        await self._transport.aclose()


def messages_url(base_url: str) -> str:
    """Where to post: providers write their base URL with and without the version."""
    base = base_url.rstrip("/")
    versioned = re.search(r"/v\d+$", base)
    return base + ("/messages" if versioned else "/v1/messages")


def messages_body(request: Request, messages: Sequence[Message], caps: Caps) -> dict[str, Any]:
    """The request's body; `messages` come last, so that the bytes of one turn are a prefix of the next turn's.

    With marks: one on the last tool, one on the system prompt, and one on the last block of each of the
    last two user messages. The last but one finds what the turn before wrote; four are allowed.
    """
    quirks = caps.quirks
    marks = caps.cache == "marks"
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": min(request.max_output_tokens, caps.output_tokens),
        "stream": True,
    }
    for name, kind in (
        (quirk.THINKING_DISABLED, "disabled"),
        (quirk.THINKING_ADAPTIVE, "adaptive"),
    ):
        if name in quirks:
            body["thinking"] = {"type": kind}
    if request.tools and caps.native_tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        if not caps.parallel_calls:
            body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
        if marks:
            body["tools"][-1]["cache_control"] = _MARK
    if request.system:
        block: dict[str, Any] = {"type": "text", "text": request.system}
        body["system"] = [block | {"cache_control": _MARK}] if marks else [block]
    wire = _wire_messages(messages, caps)
    if marks:
        for message in [item for item in wire if item["role"] == "user"][-2:]:
            message["content"][-1]["cache_control"] = _MARK
    body["messages"] = wire
    return body


def _wire_messages(messages: Iterable[Message], caps: Caps) -> list[dict[str, Any]]:
    """Alternating roles; tool results come first in their user message because settled() put them there."""
    out: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        blocks = _blocks(message, caps)
        if not blocks:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["content"] += blocks
        else:
            out.append({"role": role, "content": blocks})
    if out and out[0]["role"] == "assistant":
        out.insert(0, {"role": "user", "content": [{"type": "text", "text": "(the beginning is left out)"}]})
    return out


def _blocks(message: Message, caps: Caps) -> list[dict[str, Any]]:
    match message:
        case UserMessage(text):
            return [{"type": "text", "text": text}] if text.strip() else []
        case ToolMessage(call_id, text, is_error):
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": wire_id(call_id)}
            if text:
                result["content"] = text
            if is_error:
                result["is_error"] = True
            return [result]
        case AssistantMessage(parts):
            return [block for part in parts if (block := _part_block(part, caps))]


def _part_block(part: Part, caps: Caps) -> dict[str, Any] | None:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text} if text.strip() else None
        case ThinkingPart(opaque=str() as data, redacted=True):
            return {"type": "redacted_thinking", "data": data}
        case ThinkingPart(text, opaque=str() as signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
        case ThinkingPart(text):
            if quirk.UNSIGNED_THINKING in caps.quirks and caps.keep_thinking and text:
                return {"type": "thinking", "thinking": text, "signature": ""}
            return None
        case ToolCall(call_id, name, arguments):
            return {"type": "tool_use", "id": wire_id(call_id), "name": name, "input": argument_object(arguments)}


@dataclass(slots=True)
class _Block:
    """A content block whose deltas are still coming."""

    kind: str
    id: str = ""
    name: str = ""
    given: str = ""
    """Arguments that came whole with the block's start."""
    fragments: list[str] = field(default_factory=list)
    signature: str = ""

    @property
    def arguments(self) -> str:
        return "".join(self.fragments) or self.given or "{}"


class MessagesDecoder:
    """Events of one answer into deltas.

    Legal order: message_start, then per block content_block_start, content_block_delta*, content_block_stop,
    then message_delta, message_stop; ping anywhere. The answer is whole with message_stop and not before.

    Args:
        name: of the provider, starts every detail.
        messages: what was sent; ids already used there are not given again.
    """

    def __init__(self, name: str, messages: Iterable[Message]) -> None:
        self._name = name
        self._ids = CallIds(messages)
        self._blocks: dict[int, _Block] = {}
        self._torsos: list[_Block] = []
        self._called = False
        self._stop: str | None = None
        self._counts: dict[str, int] = {}
        self._told_usage = False
        self._model = ""

    def feed(self, event: SseEvent) -> list[Delta]:
        value = object_of(event.data)
        match value.get("type") or event.name:
            case "message_start":
                message = value["message"]
                self._model = message.get("model") or ""
                self._read_usage(message.get("usage"))
            case "content_block_start":
                return self._start(value["index"], value["content_block"])
            case "content_block_delta":
                return self._delta(self._blocks[value["index"]], value["delta"])
            case "content_block_stop":
                return self._end(self._blocks.pop(value["index"], None))
            case "message_delta":
                self._stop = value.get("delta", {}).get("stop_reason") or self._stop
                self._read_usage(value.get("usage"))
            case "message_stop":
                return self._finish()
            case "error":
                raise TellError(value)
        return []

    def cut(self) -> list[Delta]:
        return []

    def usage(self) -> Usage | None:
        """Input tokens come at the start, output tokens grow: the last count of each field holds."""
        if not self._told_usage:
            return None
        get = self._counts.get
        return Usage(
            input_tokens=get("input_tokens", 0),
            cache_read_tokens=get("cache_read_input_tokens", 0),
            cache_write_tokens=get("cache_creation_input_tokens", 0),
            output_tokens=get("output_tokens", 0),
            cache_write_1h_tokens=min(get("ephemeral_1h_input_tokens", 0), get("cache_creation_input_tokens", 0)),
        )

    def _start(self, index: int, content: Mapping[str, Any]) -> list[Delta]:
        block = self._blocks[index] = _Block(content["type"])
        match block.kind:
            case "text":
                return [TextDelta(text)] if (text := content.get("text")) else []
            case "thinking":
                block.signature = content.get("signature") or ""
                return [ThinkingDelta(text)] if (text := content.get("thinking")) else []
            case "redacted_thinking":
                return [ThinkingDelta("", content["data"], redacted=True)]
            case "tool_use":
                block.id, block.name = self._ids.take(content.get("id") or ""), content["name"]
                if content.get("input"):
                    block.given = json.dumps(content["input"], ensure_ascii=False)
                return [CallStarted(block.id, block.name)]
        return []

    def _delta(self, block: _Block, delta: Mapping[str, Any]) -> list[Delta]:
        match delta["type"]:
            case "text_delta" if delta["text"]:
                return [TextDelta(delta["text"])]
            case "thinking_delta" if delta["thinking"]:
                return [ThinkingDelta(delta["thinking"])]
            case "signature_delta":
                block.signature += delta["signature"]
            case "input_json_delta" if delta["partial_json"] and block.kind == "tool_use":
                block.fragments.append(delta["partial_json"])
                return [CallArguments(block.id, delta["partial_json"])]
        return []

    def _end(self, block: _Block | None) -> list[Delta]:
        if block is None:
            return []
        if block.kind == "thinking" and block.signature:
            return [ThinkingDelta("", block.signature)]
        if block.kind != "tool_use":
            return []
        if not whole_json(block.arguments):
            # Whether it was cut off for length is known only at the end.
            self._torsos.append(block)
            return []
        self._called = True
        return [CallReady(ToolCall(block.id, block.name, block.arguments))]

    def _finish(self) -> list[Delta]:
        usage = self.usage()
        if self._stop == "refusal":
            return [Failed("content", f"{self._name}: the model's safety system refused to answer", usage=usage)]
        if self._stop == "model_context_window_exceeded":
            return [Failed("overflow", f"{self._name}: the answer met the end of the context window", usage=usage)]
        if self._stop is None:
            return [Failed("protocol", f"{self._name}: the answer ended without a stop reason", usage=usage)]
        stop = _STOPS.get(self._stop, "end")
        out: list[Delta] = []
        if stop != "length":
            out += [CallReady(ToolCall(block.id, block.name, block.arguments)) for block in self._torsos]
            if self._called or out:
                stop = "tool_calls"
            elif stop == "tool_calls":
                stop = "end"
        out.append(Done(stop, usage, self._model))
        return out

    def _read_usage(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            self._told_usage = True
            lives = usage.get("cache_creation")
            for key, value in (*usage.items(), *(lives.items() if isinstance(lives, Mapping) else ())):
                # Some servers fill the fields they told before with zeros.
                if key.endswith("_tokens") and count(value):
                    self._counts[key] = count(value)
