"""A model call in no dialect's words: what the three of them can say, and nothing else.

    request:  client's JSON -> Ask -> upstream's JSON
    answer:   upstream's JSON -> Reply -> client's JSON
    stream:   upstream's events -> Piece… -> client's events

A reader makes these values from JSON and refuses what they can't hold; a writer makes JSON from them and refuses what
its dialect can't say. Nothing is left out unsaid: what a reader or writer leaves out without changing the meaning of the
call (a hint such as a cache key) it names in `Ask.omitted`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mohist.provider.message import StopReason, Usage

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

Stop = StopReason | Literal["pause", "window"]
"""`pause`: Anthropic's `pause_turn`; `window`: the answer met the end of the context window."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A cache mark: everything up to here may be kept."""

    ttl: Literal["5m", "1h"] = "5m"


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    mark: Mark | None = None
    refusal: bool = False
    """OpenAI's `refusal`: the model's own words for not answering."""


@dataclass(frozen=True, slots=True)
class Image:
    """A picture, by address or by content; exactly one of `url` and `data` is set."""

    url: str = ""
    data: str = ""
    """Base64."""
    media_type: str = ""
    """Of `data`."""
    detail: Literal["", "auto", "low", "high", "original"] = ""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file such as a PDF; exactly one of `url` and `data` is set."""

    url: str = ""
    data: str = ""
    """Base64."""
    media_type: str = ""
    name: str = ""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """Reasoning that came from a model and is handed back."""

    text: str
    opaque: str = ""
    """Signature or encrypted form in its maker's words; never shown to another maker."""
    maker: str = ""
    """Dialect that made `opaque`; empty when there is none."""
    redacted: bool = False
    """Only `opaque` counts."""
    item_id: str = ""
    """Of a Responses item."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that the model wants run."""

    id: str
    name: str
    arguments: str
    """JSON text as it came; of a freeform tool, its input as it is."""
    freeform: bool = False
    namespace: str = ""
    """Of a Responses tool that is declared within a namespace."""
    item_id: str = ""
    """Of a Responses item; its call id is `id`."""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answered."""

    call_id: str
    parts: tuple[Text | Image | Document, ...]
    is_error: bool = False
    freeform: bool = False
    mark: Mark | None = None


Part = Text | Image | Document | Thinking | Call | Result


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. Results stand in turns of the user, as Anthropic has it."""

    role: Literal["system", "user", "assistant"]
    """`system` within the conversation: OpenAI's system and developer messages after the first, Claude Code's own."""
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the client runs."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON Schema; empty for a freeform tool."""
    strict: bool | None = None
    freeform: bool = False
    """Takes any text instead of JSON (Responses `custom`)."""
    grammar: Mapping[str, Any] | None = None
    """Of a freeform tool, as the client gave it (`format`)."""
    namespace: str = ""
    namespace_description: str = ""
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tool must be called."""

    kind: Literal["auto", "none", "required", "tool"]
    name: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """The answer must be JSON; of this schema unless None."""

    schema: Mapping[str, Any] | None
    name: str = "answer"
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much a model is to think; all None or empty: as it likes."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    adaptive: bool = False
    shown: bool | None = None
    """Whether the client wants to see it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One call."""

    model: str
    system: tuple[Text, ...]
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel: bool | None = None
    """False: at most one call a turn."""
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stream: bool = False
    reasoning: Reasoning = field(default_factory=Reasoning)
    shape: Shape | None = None
    user: str = ""
    """Opaque name of the end user, for the vendor's abuse control."""
    omitted: tuple[str, ...] = ()
    """Fields that were left out because their absence changes no answer's meaning; told in a response header."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer."""

    id: str
    model: str
    parts: tuple[Text | Thinking | Call, ...]
    stop: Stop
    stop_sequence: str = ""
    usage: Usage | None = None
    reasoning_tokens: int = 0
    """Part of the output tokens; 0 where nothing is told."""


@dataclass(frozen=True, slots=True)
class Begun:
    """First piece of a stream."""

    id: str
    model: str
    usage: Usage | None = None
    """What is known of the prompt; None: nothing yet."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A part begins; parts are numbered from 0 in the order in which they begin."""

    index: int
    part: Text | Thinking | Call
    """Its text or arguments are empty, or what came with the beginning."""


@dataclass(frozen=True, slots=True)
class Grown:
    """More of an open part: text, reasoning, or a fragment of arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A part is whole."""

    index: int
    opaque: str = ""
    """Of a Thinking part, when it came at its end."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Last piece of a stream that is whole."""

    stop: Stop
    stop_sequence: str = ""
    usage: Usage | None = None
    reasoning_tokens: int = 0


BrokenKind = Literal[
    "overload", "rate", "overflow", "content", "bad_request", "not_found", "auth", "unavailable", "too_large"
]


@dataclass(frozen=True, slots=True)
class Broken:
    """Last piece of a stream that failed."""

    kind: BrokenKind
    message: str
    """The upstream's words, without our key."""


Piece = Begun | Opened | Grown | Closed | Ended | Broken
