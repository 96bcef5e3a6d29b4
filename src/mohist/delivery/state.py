"""What a delivery is: the values that our own tables hold. They are the truth; the engine only runs segments.

    Delivery ── Spec (versions, criteria) ── Plan (tasks) ── Attempt ── Evidence
             ── Gate (who must decide what, bound to a digest)
             ── Release (per environment)
             ── Note (what happened, for people)

Nothing here does I/O; every value is frozen and says what it is in plain JSON types, so that a row is a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

StageName = Literal["clarify", "specify", "plan", "implement", "verify", "review", "merge", "deploy", "report"]
STAGES: tuple[StageName, ...] = (
    *("clarify", "specify", "plan", "implement", "verify", "review", "merge", "deploy", "report"),
)

SegmentName = Literal["spec", "build", "ship"]
SEGMENTS: dict[SegmentName, tuple[StageName, ...]] = {
    "spec": ("clarify", "specify", "plan"),
    "build": ("implement", "verify", "review"),
    "ship": ("merge", "deploy", "report"),
}
"""Between two segments nothing runs: a delivery that waits for people is rows, no process."""

Status = Literal["working", "waiting", "paused", "done", "failed", "cancelled"]
StageStatus = Literal["pending", "working", "waiting", "done", "skipped", "failed"]

GateKind = Literal["questions", "spec", "plan", "conflict", "review", "merge", "deploy", "irreversible", "budget"]
GateStatus = Literal["open", "approved", "rejected", "expired", "withdrawn"]
Risk = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a delivery may use; None: no bound. It stops cleanly at any of them, its work is kept."""

    cost_microusd: int | None = None
    tokens: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One requirement on its way."""

    delivery_id: str
    repository: str
    """Path of the repository that it was asked for in; absolute."""
    requirement: str
    source: str
    """Where the requirement came from: `text`, a file's name, or an issue's address."""
    requested_by: str
    base_commit: str
    base_branch: str
    branch: str
    """Where the change is collected."""
    status: Status
    stage: StageName
    attempt: int
    """From 1; each step back begins another. Part of every effect's key."""
    created_at_ms: int
    updated_at_ms: int
    bound: Bound = field(default_factory=Bound)
    spent_microusd: int = 0
    spent_tokens: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    """What was asked for beside the requirement: `yes`, `candidates`, `environments`, `short`."""
    detail: str = ""
    """Why it waits, failed or was cancelled."""
    revision: int = 0
    """Counts every change of the row; a writer names the one it read."""
    segment: SegmentName | Literal[""] = ""
    """What the engine runs, or is to run, under the key `delivery_id/turn`; empty: nothing runs."""
    turn: int = 0
    """Counts the segments that were started."""
    commit: str = ""
    """Head of the change once it is built; approvals of review, merge and deploy bind to it. Empty: not built yet."""
    merged: str = ""
    """The commit of the base branch that holds the change; what is deployed. Empty: not merged yet."""
    taken_by: str = ""
    """The person who works in its worktree; nothing runs until they hand it back."""
    unpriced: int = 0
    """Runs whose price nobody knows; `spent_microusd` is what the others cost."""
    held_microusd: int = 0
    """What those are charged for against the bound: what they were allowed to spend."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One acceptance criterion in EARS form, bound to an executable check."""

    criterion_id: str
    """Stable over versions of the spec: `AC-1`."""
    text: str
    check: str
    """A command; exit code 0 means it holds. Empty: a person must look, and the report says so."""
    kind: Literal["behaviour", "quality", "manual"] = "behaviour"


@dataclass(frozen=True, slots=True)
class Spec:
    """One version of what is to be built."""

    version: int
    digest: str
    """SHA-256 of the file's bytes; approvals bind to it."""
    text: str
    """The Markdown as it stands in the file."""
    criteria: tuple[Criterion, ...]
    irreversible: tuple[str, ...] = ()
    """What can't be taken back: schema, data, published packages. Each needs its own approval."""


@dataclass(frozen=True, slots=True)
class PlanTask:
    """One piece of work for one run."""

    task_id: str
    title: str
    text: str
    needs: tuple[str, ...] = ()
    """Tasks that must be merged before it begins."""
    may_touch: tuple[str, ...] = ("**",)
    """Globs of the files it may change."""
    criteria: tuple[str, ...] = ()
    cost_microusd: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    version: int
    digest: str
    tasks: tuple[PlanTask, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One command that ran, and what it proves."""

    evidence_id: str
    attempt: int
    stage: StageName
    subject: str
    """Criterion id, or the name of a check: `build`, `tests`, `lint`, `licence`, `weakened-tests`."""
    phase: Literal["before", "after"]
    """Before or after the change: a criterion's check must fail (or be absent) before."""
    command: str
    exit_code: int | None
    """None: it could not be run."""
    output_sha256: str
    output_tail: str
    duration_ms: int
    commit: str
    tree: str
    runs: int = 1
    passes: int = 1
    """Of `runs`; neither 0 nor all: flaky."""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reviewer says."""

    finding_id: str
    severity: Literal["blocker", "major", "minor", "note"]
    text: str
    path: str = ""
    line: int = 0
    criterion: str = ""
    by: str = ""
    status: Literal["open", "fixed", "waived"] = "open"


@dataclass(frozen=True, slots=True)
class Gate:
    """A decision that a person must take, bound to what they decide about."""

    gate_id: str
    """Empty until it is in the book, which numbers it: `<delivery_id>.3`."""
    kind: GateKind
    stage: StageName
    subject: str
    """What it is about in words: `spec v2`, `deploy to production`."""
    digest: str
    """Of the thing decided about; a decision about another digest is refused as outdated."""
    needs: tuple[tuple[str, ...], ...]
    """Every group must be met by one of its people (`user`, `@team`, or `*` for anybody); the same group twice: by two
    of them. Empty: anybody. Where `four_eyes` holds, the requester's approval counts nowhere."""
    four_eyes: bool
    status: GateStatus = "open"
    decisions: tuple[Decision, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    """What people need to decide: questions with recommended answers, a summary, the risk and why."""
    opened_at_ms: int = 0
    closed: bool = False
    """What follows from it is under way, it is only record now; the same question may be asked again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person said at a gate."""

    by: str
    verdict: Literal["approve", "reject", "answer"]
    because: str
    digest: str
    at_ms: int
    answers: dict[str, str] = field(default_factory=dict)
    teams: tuple[str, ...] = ()
    """The person's teams (`@core`) as they were known then."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release in one environment."""

    release_id: str
    environment: str
    commit: str
    status: Literal["prepared", "activating", "baking", "committed", "rolling-back", "rolled-back", "failed"]
    previous: str
    """The release that was active before; recorded before activation. Empty: there was none."""
    detail: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class StageRow:
    """How far a stage of an attempt is."""

    stage: StageName
    attempt: int
    status: StageStatus
    detail: str = ""
    cost_microusd: int = 0
    tokens: int = 0
    model: str = ""
    began_at_ms: int = 0
    ended_at_ms: int = 0
    unpriced: int = 0
    """Runs of it whose price nobody knows."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened, for people and webhooks; numbered without gaps within a delivery."""

    number: int
    kind: str
    text: str
    at_ms: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides what comes next, read at one instant."""

    delivery: Delivery
    stages: tuple[StageRow, ...] = ()
    gates: tuple[Gate, ...] = ()
    spec: Spec | None = None
    plan: Plan | None = None
    releases: tuple[Release, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """What a transition writes, all of it or nothing."""

    delivery: Delivery
    stages: tuple[StageRow, ...] = ()
    opens: tuple[Gate, ...] = ()
    """Gates that are not in the book yet."""
    closes: tuple[str, ...] = ()
    """Ids of gates that were decided, and from which this follows."""
    withdraws: tuple[str, ...] = ()
    """Ids of gates about something that is not any more."""
    notes: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    """Kind, text and facts of each."""
    revises: tuple[Gate, ...] = ()
    """Gates whom others may decide at now, or whose facts are others; what was decided at them stays."""
