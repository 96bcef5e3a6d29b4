"""One entry of the register: what it is about, what holds of it, from when until when, and what people do instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, cast, get_args

from mohist.policy.errors import RegisterError
from mohist.policy.register.span import Scheme, Span
from mohist.policy.register.tool import canonical, scheme_of

Disposition = Literal["allowed", "restricted", "banned"]
DISPOSITIONS: Final[tuple[Disposition, ...]] = get_args(Disposition)

MAX_TEXT_CHARS: Final = 500
MAX_LIST: Final = 100
ID_FORM: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_TOOL_FORM: Final = re.compile(r"(?:[a-z][a-z0-9]{1,15}:)?[!-~]{1,200}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold where a restricted tool is used. Empty: nothing is asked."""

    governed: bool = False
    """Only started by `mohist govern`, or with a key that was made for this tool."""
    models: tuple[str, ...] = ()
    """Globs; only these."""
    not_repositories: tuple[str, ...] = ()
    """Globs of `host/owner/name` or of folders; not on these."""

    def __bool__(self) -> bool:
        return self.governed or bool(self.models) or bool(self.not_repositories)

    def told(self) -> tuple[str, ...]:
        """In words."""
        said = ["only under mohist govern"] if self.governed else []
        said += [f"only with the models {', '.join(self.models)}"] if self.models else []
        said += [f"not on the repositories {', '.join(self.not_repositories)}"] if self.not_repositories else []
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a disposition rests on, such as the report of `mohist vet`."""

    place: str
    """A path or an address."""
    digest: str = ""
    """`sha256:` and 64 hex digits; empty: not known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What holds of a tool, in a range of its versions."""

    entry_id: str
    tool: str
    """`claude-code` (every form of it), `npm:@scope/name`, `pypi:name`, `vscode:publisher.name`, `jetbrains:id`, `mcp:name`,
    `program:name`, `agent:name` (as a client names itself); with `*`: all that match."""
    disposition: Disposition
    versions: str = "*"
    scheme: Scheme | None = None
    """None: by the tool."""
    reason: str = ""
    conditions: Conditions = field(default_factory=Conditions)
    evidence: tuple[Evidence, ...] = ()
    effective: date | None = None
    """The first day (UTC) on which it binds; None: at once."""
    expires: date | None = None
    """The first day on which it holds no more; None: none."""
    owner: str = ""
    alternative: str = ""
    first_step: str = ""

    @property
    def span(self) -> Span:
        """The range, parsed; that it can be was checked."""
        return Span(self.versions, self.scheme or scheme_of(self.tool))

    def names(self, name: str) -> bool:
        """Whether it speaks of a tool of this name."""
        return fnmatchcase(name, self.tool) if "*" in self.tool or "?" in self.tool else name == self.tool

    @property
    def specificity(self) -> tuple[int, int, int]:
        """The greater, the more it goes before others: an exact name, the letters of a pattern, then how narrow the range is."""
        exact = "*" not in self.tool and "?" not in self.tool
        span = self.span
        width = 0 if span.is_any else 2 if span.is_exact else 1
        return int(exact), 0 if exact else len(re.sub(r"[*?]", "", self.tool)), width


def check_id(text: str) -> str:
    """An entry's id as it may be.

    Raises:
        RegisterError: it may not be so.
    """
    if not ID_FORM.fullmatch(text):
        raise RegisterError(f"{text!r} is no id of an entry.", "Small letters, digits, '.' and '-', 64 at most.")
    return text


_KEYS: Final = (
    *("id", "tool", "versions", "scheme", "disposition", "reason", "conditions", "evidence"),
    *("effective", "expires", "owner", "alternative", "first_step"),
)
_CONDITION_KEYS: Final = ("governed", "models", "not_repositories")


def entry_of(table: Mapping[str, Any], where: str = "") -> Entry:
    """An entry from what a file, a row or a command says.

    Args:
        table: the keys as a register's file has them; see `as_mapping`.
        where: what it is, for errors; empty: by its id.

    Raises:
        RegisterError: a key is unknown or missing, or says what it may not.
    """
    entry_id = table.get("id")
    reader = _Reader(table, where or (f"entry {entry_id!r}" if isinstance(entry_id, str) else "an entry"))
    reader.known(table, _KEYS)
    disposition = reader.choice("disposition", DISPOSITIONS)
    conditions = reader.conditions()
    scheme = reader.choice("scheme", get_args(Scheme)) if table.get("scheme") is not None else None
    entry = Entry(
        entry_id=check_id(reader.text("id", required=True)),
        tool=reader.tool(),
        disposition=cast("Disposition", disposition),
        versions=reader.text("versions") or "*",
        scheme=cast("Scheme | None", scheme),
        reason=reader.text("reason", required=disposition != "allowed"),
        conditions=conditions,
        evidence=reader.evidence(),
        effective=reader.day("effective"),
        expires=reader.day("expires"),
        owner=reader.text("owner"),
        alternative=reader.text("alternative", required=disposition == "banned"),
        first_step=reader.text("first_step", required=disposition != "allowed"),
    )
    try:
        entry.span  # noqa: B018 - a range that can't be read is refused here
    except RegisterError as error:
        raise reader.wrong(f"has a range that can't be read: {error.what}", error.mend) from None
    if disposition == "restricted" and not conditions:
        raise reader.wrong("is restricted without a condition", "Say one of: " + ", ".join(_CONDITION_KEYS) + ".")
    if disposition != "restricted" and conditions:
        raise reader.wrong(f"is {disposition} and has conditions", "Conditions belong to restricted tools.")
    if entry.effective is not None and entry.expires is not None and entry.expires <= entry.effective:
        raise reader.wrong("expires before it takes effect", "Correct one of the two dates.")
    return entry


def as_mapping(entry: Entry) -> dict[str, Any]:
    """An entry as JSON and TOML have it; what says nothing is left out. `entry_of` reads it back."""
    conditions: dict[str, Any] = {}
    if entry.conditions.governed:
        conditions["governed"] = True
    if entry.conditions.models:
        conditions["models"] = list(entry.conditions.models)
    if entry.conditions.not_repositories:
        conditions["not_repositories"] = list(entry.conditions.not_repositories)
    said: dict[str, Any] = {
        "id": entry.entry_id,
        "tool": entry.tool,
        "versions": entry.versions,
        "scheme": entry.scheme,
        "disposition": entry.disposition,
        "reason": entry.reason,
        "conditions": conditions,
        "evidence": [{"place": one.place, **({"digest": one.digest} if one.digest else {})} for one in entry.evidence],
        "effective": entry.effective.isoformat() if entry.effective else None,
        "expires": entry.expires.isoformat() if entry.expires else None,
        "owner": entry.owner,
        "alternative": entry.alternative,
        "first_step": entry.first_step,
    }
    return {key: value for key, value in said.items() if value}


class _Reader:
    """One table, on its way to an entry."""

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self.table, self.where = table, where

    def wrong(self, what: str, mend: str = "") -> RegisterError:
        return RegisterError(f"{self.where} {what}.", mend)

    def known(self, table: Mapping[str, Any], keys: Iterable[str]) -> None:
        for key in table:
            if key not in keys:
                near = difflib.get_close_matches(str(key), sorted(keys), n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(keys)}."
                raise self.wrong(f"has the unknown key {key!r}", hint)

    def text(self, key: str, *, required: bool = False) -> str:
        value = self.table.get(key)
        if value is None:
            value = ""
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS or not value.isprintable():
            raise self.wrong(f"has a `{key}` that is no text of one line", f"{MAX_TEXT_CHARS} characters at most.")
        if required and not value.strip():
            need = {
                "reason": "Say why.",
                "alternative": "Say what people use instead.",
                "first_step": "Say how they begin.",
            }
            raise self.wrong(f"has no `{key}`", need.get(key, ""))
        return value.strip()

    def tool(self) -> str:
        tool = self.text("tool", required=True)
        if not _TOOL_FORM.fullmatch(tool):
            raise self.wrong(
                "has a `tool` that is no name", "Such as claude-code, npm:@scope/name or vscode:publisher.name."
            )
        return canonical(tool)

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        value = self.table.get(key)
        if value not in known:
            raise self.wrong(f"has the {key} {value!r}", f"Choose one of: {', '.join(known)}.")
        return cast(str, value)

    def day(self, key: str) -> date | None:
        value = self.table.get(key)
        if value is None or value == "":
            return None
        if type(value) is date:  # TOML's own; a moment is none
            return value
        try:
            if not isinstance(value, str) or len(value) != 10:
                raise ValueError
            return date.fromisoformat(value)
        except ValueError:
            raise self.wrong(f"has an `{key}` that is no day", "Write it like 2026-12-01.") from None

    def texts(self, table: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = table.get(key, ())
        fits = isinstance(value, list | tuple) and len(value) <= MAX_LIST
        if not fits or not all(
            isinstance(one, str) and 0 < len(one) <= MAX_TEXT_CHARS and one.isprintable() for one in value
        ):
            raise self.wrong(f"has `{key}` that is no list of texts", f'Write {key} = ["…"], {MAX_LIST} at most.')
        return tuple(value)

    def conditions(self) -> Conditions:
        table = self.table.get("conditions", {})
        if not isinstance(table, Mapping):
            raise self.wrong("has `conditions` that are no table", "Such as { governed = true }.")
        self.known(table, _CONDITION_KEYS)
        governed = table.get("governed", False)
        if not isinstance(governed, bool):
            raise self.wrong(f"has governed = {governed!r}", "Write true or false.")
        return Conditions(governed, self.texts(table, "models"), self.texts(table, "not_repositories"))

    def evidence(self) -> tuple[Evidence, ...]:
        listed = self.table.get("evidence", ())
        if not isinstance(listed, list | tuple) or len(listed) > MAX_LIST:
            raise self.wrong(
                "has `evidence` that is no list", 'Write evidence = [{ place = "…", digest = "sha256:…" }].'
            )
        found = []
        for one in listed:
            if not isinstance(one, Mapping):
                raise self.wrong(
                    "has evidence that is no table", 'Such as { place = "report.html", digest = "sha256:…" }.'
                )
            self.known(one, ("place", "digest"))
            inner = _Reader(one, f"evidence of {self.where}")
            place, digest = inner.text("place", required=True), inner.text("digest")
            if digest and not _DIGEST.fullmatch(digest):
                raise self.wrong("has evidence with a `digest` that is none", "sha256: and 64 hex digits.")
            found.append(Evidence(place, digest))
        return tuple(found)
