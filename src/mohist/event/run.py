"""Events of one run, in the order they can come.

RunStarted, then per turn: ModelWaiting, TextSpoken*, ModelRetry*, ModelAnswered, and per tool call
(ApprovalAsked, ApprovalGiven)? ToolStarted, ToolProgress*, ToolFinished; Compacted and Note anywhere;
CheckFinished* when the run says it is done; last RunEnded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunStarted:
    run_id: str
    task: str
    model: str
    mode: str
    workspace: str
    sandbox: str
    """One line: which confinement is in force."""
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class ModelWaiting:
    turn: int
    prompt_tokens_estimate: int


@dataclass(frozen=True, slots=True)
class TextSpoken:
    """A piece of the model's words (thinking is marked)."""

    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class ModelRetry:
    kind: str
    detail: str
    attempt: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class ModelAnswered:
    """End of a turn's answer; the sums are over the run so far."""

    turn: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_microusd: int | None
    total_prompt_tokens: int
    total_output_tokens: int
    total_cost_microusd: int | None
    cache_share_percent: int
    """Of this turn's prompt tokens, those read from a cache."""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    call_id: str
    tool: str
    scope: str
    reason: str
    covers: str


@dataclass(frozen=True, slots=True)
class ApprovalGiven:
    call_id: str
    granted: bool
    by: str
    """`person`, `rule` or `nobody to ask`."""


@dataclass(frozen=True, slots=True)
class ToolStarted:
    call_id: str
    tool: str
    title: str
    """One line, e.g. `edit src/app.py`."""


@dataclass(frozen=True, slots=True)
class ToolProgress:
    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    call_id: str
    tool: str
    ok: bool
    summary: str
    """One line for a person."""
    duration_ms: int
    diff: str = ""
    """Unified diff of what an edit changed."""


@dataclass(frozen=True, slots=True)
class Compacted:
    tier: int
    before_tokens: int
    after_tokens: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know: a limit came near, a reminder was sent, a rule refused."""

    text: str


@dataclass(frozen=True, slots=True)
class CheckFinished:
    command: str
    exit_code: int
    duration_ms: int
    output_sha256: str
    where: str
    """`clean copy` or `workspace`."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    run_id: str
    status: str
    """done, failed, refused, budget, no_model, waiting, cancelled."""
    summary: str
    turns: int
    cost_microusd: int | None


Event = (
    RunStarted
    | ModelWaiting
    | TextSpoken
    | ModelRetry
    | ModelAnswered
    | ApprovalAsked
    | ApprovalGiven
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | Compacted
    | Note
    | CheckFinished
    | RunEnded
)

EventSink = Callable[[Event], None]
"""Must return at once; what it can't take it drops."""


def as_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object whose `type` is its name in snake case; the format of `--output stream-json`."""
    return {"type": re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()} | asdict(event)
