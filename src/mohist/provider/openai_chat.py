"""OpenAI Chat Completions, streaming, and the many servers that speak nearly it.

Sources: https://platform.openai.com/docs/api-reference/chat-streaming, and for what others do differently
the pages named at the places where it matters.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mohist.base import Clock
from mohist.provider import quirk
from mohist.provider.dialogue import CallIds, argument_object, given_thinking, sent_text, settled, whole_json, wire_id
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
    FailureKind,
    Message,
    Request,
    StopReason,
    TextDelta,
    ThinkingDelta,
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

_MARK = {"type": "ephemeral"}
"""Qwen: https://www.alibabacloud.com/help/en/model-studio/context-cache"""

_STOPS: Mapping[str, StopReason] = {
    "stop": "end",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
}
_FAILING_STOPS: Mapping[str, tuple[FailureKind, str]] = {
    "content_filter": ("content", "the endpoint's content filter stopped the answer"),
    "sensitive": ("content", "the endpoint's content filter stopped the answer"),  # GLM
    "model_context_window_exceeded": ("overflow", "the answer met the end of the context window"),  # GLM
    "insufficient_system_resource": ("overload", "the endpoint ran out of resources"),  # DeepSeek
    "network_error": ("network", "the endpoint broke off the answer"),  # GLM
    "error": ("overload", "the endpoint broke off the answer"),  # OpenRouter
}


class OpenAIChat:
    """A model behind `POST {base_url}/chat/completions`.

    Args:
        name: how people name it.
        base_url: up to and with the version, e.g. `https://api.deepseek.com/v1`.
        api_key: None for servers that want none.
        caps: what the model can do; its quirks change the body.
        price: cost of a call's usage.
        headers: sent with each call, names in any case.
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
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._caps = caps
        self._price = price
        self._headers = {key.lower(): value for key, value in (headers or {}).items()} | {
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",
        }
        self._transport = Transport(
            name,
            api_key,
            key_header="authorization",
            key_prefix="Bearer ",
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
        body = encoded(chat_body(request, messages, self._caps))
        outgoing = Outgoing(self._url, self._headers, body, sent_text(request.system, messages), request.session_id)
        return exchange(self._name, self._transport, outgoing, ChatDecoder(self._name, messages))

    def cost_microusd(self, usage: Usage) -> int | None:
        return self._price(usage)

    async def aclose(self) -> None:
        await self._transport.aclose()


def chat_body(request: Request, messages: Sequence[Message], caps: Caps) -> dict[str, Any]:
    """The request's body; `messages` come last, so that the bytes of one turn are a prefix of the next turn's.

    Args:
        request: the call.
        messages: the settled messages of it.
        caps: decide on marks, reasoning and quirks.
    """
    quirks = caps.quirks
    body: dict[str, Any] = {"model": request.model, "stream": True}
    if quirk.NO_STREAM_OPTIONS not in quirks:
        body["stream_options"] = {"include_usage": True}
    if quirk.NO_MAX_TOKENS not in quirks:
        cap_key = "max_completion_tokens" if quirk.MAX_COMPLETION_TOKENS in quirks else "max_tokens"
        body[cap_key] = min(request.max_output_tokens, caps.output_tokens)
    if quirk.THINKING_DISABLED in quirks:
        body["thinking"] = {"type": "disabled"}
    elif quirk.THINKING_ENABLED in quirks:
        body["thinking"] = {"type": "enabled"}
    if quirk.ENABLE_THINKING in quirks or quirk.DISABLE_THINKING in quirks:
        body["enable_thinking"] = quirk.ENABLE_THINKING in quirks
    if quirk.PROMPT_CACHE_KEY in quirks and request.session_id:
        body["prompt_cache_key"] = request.session_id
    if request.tools and caps.native_tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
        if not caps.parallel_calls:
            body["parallel_tool_calls"] = False
    body["messages"] = _wire_messages(request.system, messages, caps)
    return body


def _wire_messages(system: str, messages: Iterable[Message], caps: Caps) -> list[dict[str, Any]]:
    marks = caps.cache == "marks"

    def content(text: str) -> Any:
        # With marks every content is a list of parts, marked or not: a content that changed its form when its
        # mark moves on would no longer be the prefix that was cached.
        return [{"type": "text", "text": text}] if marks else text

    out: list[dict[str, Any]] = [{"role": "system", "content": content(system)}] if system else []
    for message in messages:
        match message:
            case UserMessage(text):
                previous = out[-1] if out else None
                if quirk.ALTERNATE_ROLES in caps.quirks and previous and previous["role"] == "user" and not marks:
                    previous["content"] += "\n\n" + text
                else:
                    out.append({"role": "user", "content": content(text)})
            case ToolMessage(call_id, text):
                out.append({"role": "tool", "tool_call_id": wire_id(call_id), "content": content(text)})
            case AssistantMessage():
                out.append(_wire_answer(message, caps))
    if marks:
        user_side = [item for item in out if item["role"] in ("user", "tool")]
        for item in [*(out[:1] if system else []), *user_side[-2:]]:
            item["content"][-1]["cache_control"] = _MARK
    return out


def _wire_answer(message: AssistantMessage, caps: Caps) -> dict[str, Any]:
    empty = "" if quirk.EMPTY_CONTENT in caps.quirks or not message.calls else None
    out: dict[str, Any] = {"role": "assistant", "content": message.text or empty}
    thinking = given_thinking(message.parts)
    if caps.keep_thinking and thinking:
        # DeepSeek, Kimi, GLM and Qwen want it back within a tool turn:
        # https://api-docs.deepseek.com/guides/thinking_mode
        out["reasoning" if quirk.REASONING_FIELD in caps.quirks else "reasoning_content"] = thinking
    if message.calls:
        out["tool_calls"] = [
            {
                "id": wire_id(call.id),
                "type": "function",
                "function": {"name": call.name, "arguments": _wire_arguments(call.arguments)},
            }
            for call in message.calls
        ]
    return out


def _wire_arguments(arguments: str) -> str:
    value = argument_object(arguments)
    if value.keys() == {"unparsed"}:
        return json.dumps(value, ensure_ascii=False)
    return arguments or "{}"


@dataclass(slots=True)
class _OpenCall:
    """A call whose fragments are still coming."""

    wire_id: str = ""
    id: str = ""
    name: str = ""
    fragments: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


class ChatDecoder:
    """Chunks of one answer into deltas.

    The answer is whole once a finish reason has come: usage follows in a chunk of its own, and several
    servers never send `[DONE]`.

    Args:
        name: of the provider, starts every detail.
        messages: what was sent; ids already used there are not given again.
    """

    def __init__(self, name: str, messages: Iterable[Message]) -> None:
        self._name = name
        self._ids = CallIds(messages)
        self._open: dict[int, _OpenCall] = {}
        self._calls: list[_OpenCall] = []
        self._finish: str | None = None
        self._refused = False
        self._usage: Usage | None = None
        self._model = ""

    def feed(self, event: SseEvent) -> list[Delta]:
        if event.data.strip() == "[DONE]":
            return self.cut() or [
                Failed("network", f"{self._name}: the stream ended without a finish reason", usage=self._usage)
            ]
        chunk = object_of(event.data)
        if chunk.get("error") or event.name == "error":
            raise TellError(chunk)
        self._model = chunk.get("model") or self._model
        out: list[Delta] = []
        self._read_usage(chunk.get("usage"))
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            self._read_usage(choice.get("usage"))  # Kimi: https://platform.moonshot.ai/docs/api/chat
            self._read_delta(choice.get("delta") or choice.get("message") or {}, out)
            self._finish = choice.get("finish_reason") or self._finish
        return out

    def cut(self) -> list[Delta]:
        if self._finish is None:
            return []
        if self._finish in _FAILING_STOPS:
            kind, what = _FAILING_STOPS[self._finish]
            return [Failed(kind, f"{self._name}: {what}", usage=self._usage)]
        stop = _STOPS.get(self._finish, "end")
        out: list[Delta] = []
        for call in self._calls:
            arguments = call.arguments or "{}"
            # Cut off for length, the arguments of the last call are a torso; nobody may run it.
            if call.id and not (stop == "length" and not whole_json(arguments)):
                out.append(CallReady(ToolCall(call.id, call.name, arguments)))
        if stop != "length":
            # Several servers say "stop" beside tool calls, or "tool_calls" with none.
            stop = "tool_calls" if out else ("refusal" if self._refused else "end")
        out.append(Done(stop, self._usage, self._model))
        return out

    def usage(self) -> Usage | None:
        return self._usage

    def _read_delta(self, delta: Mapping[str, Any], out: list[Delta]) -> None:
        thinking = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thinking, str) and thinking:
            out.append(ThinkingDelta(thinking))
        refusal = delta.get("refusal")
        if refusal:
            self._refused = True
        for text in (delta.get("content"), refusal):
            if isinstance(text, list):  # Mistral: content as parts
                text = "".join(part.get("text", "") for part in text if part.get("type") == "text")
            if text:
                out.append(TextDelta(_text(text)))
        for position, fragment in enumerate(delta.get("tool_calls") or ()):
            self._read_fragment(fragment, position, out)

    def _read_fragment(self, fragment: Mapping[str, Any], position: int, out: list[Delta]) -> None:
        function = fragment.get("function") or {}
        given_id, name = fragment.get("id") or "", function.get("name") or ""
        index = fragment.get("index")
        if index is None:
            # Without an index a fragment with an id or a name opens a call, any other continues the last.
            index = len(self._calls) + position if given_id or name else max(self._open, default=0)
            known = next((i for i, call in self._open.items() if given_id and call.wire_id == given_id), None)
            index = index if known is None else known
        call = self._open.get(index)
        if call is None or self._another(call, given_id, name):
            call = self._open[index] = _OpenCall(given_id)
            self._calls.append(call)
        call.wire_id = call.wire_id or given_id
        if name and not call.name:
            call.name = name
            call.id = self._ids.take(call.wire_id)
            out.append(CallStarted(call.id, name))
            if call.fragments:
                out.append(CallArguments(call.id, call.arguments))
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):  # Ollama and others send the object itself
            arguments = json.dumps(arguments, ensure_ascii=False)
        if arguments:
            call.fragments.append(_text(arguments))
            if call.id:
                out.append(CallArguments(call.id, arguments))

    @staticmethod
    def _another(call: _OpenCall, given_id: str, name: str) -> bool:
        """True when a fragment with the index of `call` opens a new one: servers exist that number all calls 0."""
        if given_id and call.wire_id:
            return given_id != call.wire_id
        return bool(name and call.name and not given_id and whole_json(call.arguments))

    def _read_usage(self, usage: Any) -> None:
        if isinstance(usage, Mapping) and usage:
            self._usage = chat_usage(usage)


def chat_usage(usage: Mapping[str, Any]) -> Usage:
    """The four classes from a usage object in which cached tokens are counted inside `prompt_tokens`.

    Sources: OpenAI `prompt_tokens_details.cached_tokens`; DeepSeek `prompt_cache_hit_tokens`
    (https://api-docs.deepseek.com/guides/kv_cache); Kimi `cached_tokens`; Qwen's explicit cache
    `cache_creation_input_tokens` in the details.
    """
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    read = count(details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens"))
    write = count(details.get("cache_creation_input_tokens") or details.get("cache_write_tokens"))
    prompt, output = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    reasoning = count((usage.get("completion_tokens_details") or {}).get("reasoning_tokens"))
    if reasoning and count(usage.get("total_tokens")) == prompt + output + reasoning:
        output += reasoning  # xAI counts reasoning beside the completion: https://docs.x.ai/docs/guides/reasoning
    read = min(read, prompt)
    write = min(write, prompt - read)
    return Usage(prompt - read - write, read, write, output)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value
