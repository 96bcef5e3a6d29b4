"""What is said to a model and what it says back, in no vendor's words.

Message   = UserMessage | AssistantMessage | ToolMessage
Part      = TextPart | ThinkingPart | ToolCall        (of an assistant message, in order)
Delta     = TextDelta | ThinkingDelta | CallStarted | CallArguments | CallReady | Done | Failed
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mohist.base import light_dataclass

StopReason = Literal["end", "tool_calls", "length", "refusal", "stop_sequence"]
FailureKind = Literal[
    "rate",
    "overload",
    "network",
    "overflow",
    "auth",
    "bad_request",
    "content",
    "cancelled",
    "protocol",
    "unknown",
    "budget",
    "policy",
]
"""The last two are a gateway's of ours: it refused the call, no endpoint was asked."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingPart:
    """Reasoning a provider handed out; `opaque` is its signature or encrypted form, given back unchanged."""

    text: str
    opaque: str | None = None
    redacted: bool = False
    """Anthropic `redacted_thinking`: only `opaque` counts."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model wants run. `arguments` is the JSON text as received, never repaired here."""

    id: str
    name: str
    arguments: str


Part = TextPart | ThinkingPart | ToolCall


@dataclass(frozen=True, slots=True)
class UserMessage:
    """A person's words, or text that Mohist adds (reminders, summaries)."""

    text: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """What the model answered, its parts in order."""

    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """The result of one call; every call has exactly one."""

    call_id: str
    text: str
    is_error: bool = False


Message = UserMessage | AssistantMessage | ToolMessage


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as told to the model; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One model call."""

    model: str
    """The name the endpoint knows it by."""
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    """Sorted by name by the caller, so that the prefix stays the same."""
    max_output_tokens: int = 8192
    session_id: str = ""
    """Groups the calls of one run; sent where a provider routes its cache by it."""


@light_dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call in four classes that do not overlap; their sum is everything billed."""

    input_tokens: int = 0
    """Read at the full price: neither from a cache nor written to one."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Written to a cache, however long it is kept."""
    output_tokens: int = 0
    """Includes reasoning tokens."""
    cache_write_1h_tokens: int = 0
    """Those of `cache_write_tokens` that are kept for an hour, where that has a price of its own."""

    @property
    def prompt_tokens(self) -> int:
        """All that was sent."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
        )


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """Reasoning; `opaque` arrives once, at the end of its block."""

    text: str
    opaque: str | None = None
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class CallStarted:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    id: str
    fragment: str


@dataclass(frozen=True, slots=True)
class CallReady:
    """The arguments of one call are complete (they may still be malformed JSON)."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class Done:
    """Last delta of an answer that is whole."""

    stop: StopReason
    usage: Usage | None
    """None when the endpoint said nothing of usage."""
    model: str = ""
    """The model that says it served the call."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Last delta of an answer that is not whole."""

    kind: FailureKind
    detail: str
    """For a person; no secret, no payload."""
    retry_after_s: float | None = None
    status: int | None = None
    """HTTP status, where there was one."""
    usage: Usage | None = None


Delta = TextDelta | ThinkingDelta | CallStarted | CallArguments | CallReady | Done | Failed


@dataclass(frozen=True, slots=True)
class Caps:
    """What a model and its endpoint can do."""

    context_tokens: int = 128_000
    output_tokens: int = 8_192
    parallel_calls: bool = True
    native_tools: bool = True
    """False: tools are told in the prompt and read from the text."""
    cache: Literal["none", "automatic", "marks"] = "none"
    keep_thinking: bool = False
    """Reasoning must be handed back across tool turns."""
    quirks: frozenset[str] = field(default_factory=frozenset)


class Provider(Protocol):
    """A model behind an endpoint."""

    @property
    def name(self) -> str:
        """How people name it, e.g. `anthropic/claude-sonnet-5`."""
        ...

    @property
    def caps(self) -> Caps: ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The answer as it comes. Never raises but for cancellation; the last delta is Done or Failed."""
        ...

    def cost_microusd(self, usage: Usage) -> int | None:
        """Millionths of a US dollar for `usage` of one call; None when no price is known."""
        ...

    async def aclose(self) -> None: ...
