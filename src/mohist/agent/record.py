"""The durable facts of a run, one line of its log each.

Record = Header | Kept | User | Assistant | Intent | Outcome | Found | Fragment | Pruned | Summary | Grant | Check
       | Reached | Undone | Ended

A record is never changed. What the model sees is a pure function of them (`view`); what a person
can undo is found in the `written` of the outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from mohist.agent.errors import LogError
from mohist.provider.message import Part, TextPart, ThinkingPart, ToolCall, Usage

LOG_VERSION = 1

OutcomeStatus = Literal["done", "failed", "denied", "invalid", "cancelled", "unknown", "not_started"]
EndStatus = Literal["done", "failed", "refused", "budget", "no_model", "waiting", "cancelled"]


@dataclass(frozen=True, slots=True)
class Header:
    """First record: all that must stay the same for the prefix to stay the same."""

    run_id: str
    task: str
    model: str
    mode: str
    workspace: str
    cwd: str
    base_commit: str
    system: str
    tools: tuple[Mapping[str, Any], ...]
    sandbox: str
    network: str
    checks: tuple[str, ...] = ()
    branch: str = ""
    """Set when the run works in a worktree of its own."""
    parent_run: str = ""
    """Set on the log of a sub-agent."""
    allow_hosts: tuple[str, ...] = ()
    """What commands may reach where `network` is `fenced`, as it was said."""
    allow_private_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    text: str


@dataclass(frozen=True, slots=True)
class Assistant:
    """One answer, whole (`failure` empty) or cut off (`failure` says how; the view leaves it out)."""

    turn: int
    parts: tuple[Part, ...]
    stop: str
    usage: Usage | None
    cost_microusd: int | None
    model: str = ""
    failure: str = ""
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class PreImage:
    """A file before an effect; `blob` is the sha256 of its stored content, None when it did not exist."""

    path: str
    blob: str | None
    mode: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """An effect is about to happen; durable before it starts."""

    call_id: str
    tool: str
    scope: str
    effect: str
    command: str | None = None
    pre_images: tuple[PreImage, ...] = ()


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file changed by a call; shas are of whole contents, None: absent."""

    path: str
    before: str | None
    after: str | None
    mode: int = 0
    """Permission bits before the change; 0: it did not exist."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call. `text` is for the model, the rest for people and undo."""

    call_id: str
    tool: str
    status: OutcomeStatus
    text: str
    summary: str = ""
    diff: str = ""
    written: tuple[FileChange, ...] = ()
    spilled: tuple[str, ...] = ()
    duration_ms: int = 0
    rule_id: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What differed from the base when the run began: the user's uncommitted work."""

    files: tuple[PreImage, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """After a resume: changes since an interrupted call began that no outcome tells of."""

    files: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class Fragment:
    """Text that Mohist adds for the model: environment, instructions, reminders."""

    topic: str
    text: str
    lasting: bool = False
    """Said again after a summary (instructions, environment); the newest of a topic counts."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """From here on the results of these calls are shown as one-line stubs."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """From here on everything before record `keep_from` is shown as `text` and the user's own words."""

    text: str
    keep_from: int
    before_tokens: int
    live_state: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A person allowed this for the rest of the run."""

    tool: str
    covers: str


@dataclass(frozen=True, slots=True)
class Check:
    """Evidence: a command ran, with what result, where."""

    command: str
    exit_code: int
    output_sha256: str
    output_tail: str
    duration_ms: int
    where: str
    change_sha256: str
    """Digest of the diff that was checked."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A host that commands asked for: without a count when it is first let through or refused, and once more, counted, at the end."""

    host: str
    port: int
    """0: its name was asked for."""
    outcome: str
    """`asked`: let through, and not over yet; `through`, `refused`, `failed`."""
    code: str = ""
    """Why it was refused, or failed."""
    attempts: int = 0
    sent_bytes: int = 0
    """Outwards."""
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Undone:
    """A person took the run's changes back; `kept` are files that had been changed since, left alone."""

    restored: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    status: EndStatus
    summary: str
    detail: str = ""


Record = (
    Header
    | Kept
    | User
    | Assistant
    | Intent
    | Outcome
    | Found
    | Fragment
    | Pruned
    | Summary
    | Grant
    | Check
    | Reached
    | Undone
    | Ended
)

_KINDS: dict[str, type[Any]] = {cls.__name__.lower(): cls for cls in get_args(Record)}
_PARTS: dict[str, type[Part]] = {"text": TextPart, "thinking": ThinkingPart, "call": ToolCall}
_PART_NAMES = {cls: name for name, cls in _PARTS.items()}


def to_json(record: Record) -> dict[str, Any]:
    """The record as a JSON object with its `kind`; floats never occur."""
    data = asdict(record)
    if isinstance(record, Assistant):
        data["parts"] = [{"part": _PART_NAMES[type(part)], **asdict(part)} for part in record.parts]
        if record.usage is not None and not record.usage.cache_write_1h_tokens:
            del data["usage"]["cache_write_1h_tokens"]  # few providers have it; a log without it reads as before
    return {"kind": type(record).__name__.lower(), **data}


def from_json(data: Mapping[str, Any]) -> Record:
    """The record of a JSON object; LogError names what is wrong. Keys of newer versions are ignored."""
    try:
        cls = _KINDS[data["kind"]]
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        if cls is Assistant:
            values["parts"] = tuple(_part(part) for part in values["parts"])
            values["usage"] = _known(Usage, values["usage"]) if values["usage"] is not None else None
        elif cls is Intent:
            values["pre_images"] = tuple(_known(PreImage, item) for item in values["pre_images"])
        elif cls is Outcome:
            values["written"] = tuple(_known(FileChange, item) for item in values["written"])
        elif cls is Kept or cls is Found:
            item_cls = PreImage if cls is Kept else FileChange
            values["files"] = tuple(_known(item_cls, item) for item in values["files"])
        for key, value in values.items():
            if isinstance(value, list):
                values[key] = tuple(value)
        record: Record = cls(**values)
    except (KeyError, TypeError, AttributeError) as error:
        kind = data.get("kind") if isinstance(data, Mapping) else None
        raise LogError(f"A record of kind {kind!r} is not readable: {error!r}.") from error
    return record


def _part(data: Mapping[str, Any]) -> Part:
    part: Part = _known(_PARTS[data["part"]], data)
    return part


def _known(cls: type[Any], data: Mapping[str, Any]) -> Any:
    names = {field.name for field in fields(cls)}
    return cls(**{key: value for key, value in data.items() if key in names})
