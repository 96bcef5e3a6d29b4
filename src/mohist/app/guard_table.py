"""`[guard]` of `mohist.toml` as data from outside: what may stand there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mohist.app.screening import DEFAULTS

# The guard's own words, said again: with them comes the whole guard, which most commands that read the file don't need.
Action = Literal["allow", "note", "mask", "ask", "block"]
Direction = Literal["out", "in"]
Mode = Literal["off", "observe", "enforce"]
Preset = Literal["observe", "default", "strict"]
NamesFailure = Literal["closed", "noted"]
Source = Literal[
    "system",
    "user",
    "assistant",
    "tool_call",
    "tool_result",
    "tool_schema",
    "metadata",
    "file",
    "web",
    "mcp",
    "unknown",
]


def _file(value: str) -> str:
    if not value.startswith(("/", "~/")) or ".." in value.split("/"):
        raise ValueError("must be absolute or start with ~/, without ..")
    return value


# As in `mohist.guard.Limits`.
Limit = Literal[
    "max_depth",
    "max_leaves",
    "max_layers",
    "max_view_bytes",
    "max_view_times",
    "max_matches",
    "max_findings",
    "max_call_ms",
    "max_names_chars",
    "max_names_ms",
    "cache_entries",
    "cache_bytes",
    "window_chars",
    "overlap_chars",
    "max_file_bytes",
    "max_object_bytes",
    "max_archive_bytes",
    "max_archive_members",
    "max_archive_layers",
]


def _limits(value: dict[Limit, int]) -> dict[Limit, int]:
    window, overlap = value.get("window_chars", WINDOW_CHARS), value.get("overlap_chars", OVERLAP_CHARS)
    if overlap * 2 > window:
        raise ValueError(f"window_chars ({window}) must be twice overlap_chars ({overlap}) or more")
    return value


def _names_model(value: str) -> str:
    if "/" in value:
        return _file(value)
    if not value.isidentifier():
        raise ValueError(
            "must be a folder (absolute, or beginning with ~/) or the name that an installed package is imported by"
        )
    return value


File = Annotated[str, AfterValidator(_file)]
NamesModel = Annotated[str, AfterValidator(_names_model)]
Marking = Annotated[str, Field(min_length=1, max_length=100)]
DataClass = Annotated[str, Field(pattern=r"^[a-z][a-z.-]*$")]
Words = list[Annotated[str, Field(min_length=1, max_length=256)]]


WINDOW_CHARS, OVERLAP_CHARS = 4 * 1024 * 1024, 64 * 1024
"""The defaults of these two."""
MAX_LIMIT = 2**40


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class GuardRuleTable(_Table):
    """`[[guard.rules]]`: what happens to which findings; the first that fits decides. What is left out fits everything."""

    name: str = Field(min_length=1, max_length=64, description="What the rule is called in messages and reports.")
    action: Action = Field(
        description="`allow`: nothing happens, nothing is recorded. `note`: recorded. `mask`: a placeholder goes in its place. "
        "`ask`: stopped until somebody releases it. `block`: stopped."
    )
    direction: Direction | None = Field(None, description="`out`: to a model. `in`: in its answer.")
    classes: Words = Field(
        default_factory=list,
        description='Data classes, with all below them: "secret", "personal.email", "source", "document", "covert", '
        '"injection", "exfiltration".',
    )
    detectors: Words = Field(default_factory=list, description="Detectors; globs.")
    rules: Words = Field(default_factory=list, description='Rules of detectors; globs ("betterleaks.github-*").')
    sources: list[Source] = Field(default_factory=list, description="Who wrote the text that it stands in.")
    tools: Words = Field(default_factory=list, description="Tools that are called or that answered; globs.")
    min_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="How sure the detector must be, 0 to 1."
    )
    self_hosted: bool | None = Field(None, description="Whether the upstream is one of your own machines.")
    upstreams: Words = Field(default_factory=list, description="Upstreams of routes; globs.")
    vendors: Words = Field(default_factory=list, description="Providers of upstreams; globs.")
    regions: Words = Field(default_factory=list, description="Regions of upstreams; globs.")
    clients: Words = Field(default_factory=list, description='Clients as they name themselves; globs ("claude-cli/*").')
    keys: Words = Field(default_factory=list, description="Ids of virtual keys; globs.")
    users: Words = Field(default_factory=list, description="Users of keys; globs.")
    projects: Words = Field(default_factory=list, description="Projects of keys; globs.")
    teams: Words = Field(default_factory=list, description="Teams of keys; globs.")
    alarm: bool = Field(False, description="Also logged at once, and counted apart.")
    because: str = Field("", max_length=500, description="Told to the person whose call is stopped.")


class GuardTable(_Table):
    """`[guard]`: what is looked for in calls, and what happens to it."""

    mode: Mode = Field(
        DEFAULTS["guard.mode"],
        description="`enforce`: what the rules say is done. `observe`: nothing is stopped or changed; what would have been is "
        "recorded. `off`: nothing is looked at.",
    )
    preset: Preset = Field(
        DEFAULTS["guard.preset"],
        description="The rules behind your own: `observe` notes everything, `default` keeps secrets from other people's "
        "machines, `strict` masks personal data and hidden characters, too. See docs/guard.md.",
    )
    on_failure: Literal["closed", "open"] = Field(
        DEFAULTS["guard.on_failure"],
        description="What happens to a call that can't be looked at: not made, or made unseen.",
    )
    answers: bool = Field(DEFAULTS["guard.answers"], description="Answers are looked at, too.")
    hint: bool = Field(DEFAULTS["guard.hint"], description="A model that gets placeholders is told what they are.")
    without: Words = Field(
        default_factory=list,
        description='Detectors that are left out ("personal"); `mohist doctor` names those there are.',
    )
    without_rules: Words = Field(default_factory=list, description="Rules of the secret detector that are left out.")
    company_rules: list[File] = Field(default_factory=list, description="Files of your own rules of detection.")
    listed_secrets: File | None = Field(
        None, description="The list that `mohist guard secrets` keeps. Left out: that in the state folder."
    )
    allow_list: File | None = Field(None, description="A file that says what is no finding.")
    restricted_paths: Words = Field(
        default_factory=list,
        description='Files whose content must not leave, as globs ("pricing/**"): `source.restricted`.',
    )
    markings: dict[Marking, DataClass] = Field(
        default_factory=dict,
        description='Your own markings and the data class of each: `"ACME BLUE" = "document.confidential"`.',
    )
    names_model: NamesModel | None = Field(
        None,
        description="A model of names and addresses: the folder of a spaCy pipeline, or the name of an installed package that is "
        "one. Needs the extra `names`; nothing is downloaded. Left out: names and addresses in Chinese alone.",
    )
    names_failure: NamesFailure = Field(
        DEFAULTS["guard.names_failure"],
        description="What happens to a text that the model of names can't be asked about: `closed`, it counts as not looked at; "
        "`noted`, a finding `unread.names` says so.",
    )
    key_file: File | None = Field(
        None,
        description="32 random bytes or more that hashes and placeholders are made with; the same on all machines of one "
        "database. Left out: `guard.key` in the state folder, made when it is first needed.",
    )
    keep_days: Annotated[int, Field(gt=0)] = Field(
        DEFAULTS["guard.keep_days"], description="Findings are kept so long."
    )
    limits: Annotated[dict[Limit, Annotated[int, Field(gt=0, le=MAX_LIMIT)]], AfterValidator(_limits)] = Field(
        default_factory=dict,
        description="What reading may cost: `max_depth` of JSON, `max_leaves` (texts in a call), `max_layers` (encodings in one another), "
        "`max_view_bytes` and `max_view_times` (what is decoded from a text), `max_matches`, `max_findings` and `max_call_ms` (in one call), "
        "`max_names_chars` and `max_names_ms` (of prose in a text, for `names_model`), `cache_entries`, `cache_bytes`; for files `window_chars`, "
        "`overlap_chars`, `max_file_bytes`, `max_object_bytes`, `max_archive_bytes`, `max_archive_members`, `max_archive_layers`. What is over "
        "one is an error or told as not looked at. docs/guard.md has the defaults.",
    )
    rules: list[GuardRuleTable] = Field(default_factory=list, description="")
