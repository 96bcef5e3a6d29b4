"""Triggers as data, in the company's and the user's `deliver.toml`, never in a repository's.

[trigger.nightly]
kind = "cron"                       # cron, webhook, drop
schedule = "30 2 * * 1-5"
zone = "Europe/Berlin"              # left out: UTC
repository = "/home/ann/shop"
requester = "nightly"               # who asked; under four eyes their approval counts nowhere
requirement = "Bring the dependencies up to date."

[trigger.issues]
kind = "webhook"
scheme = "github"                   # github (also Gitea, Forgejo), gitlab, standard
secret_file = "/etc/mohist/hook"    # or secret_env; a secret a line, so that one can follow another
repository = "/home/ann/shop"
requester = "issues"
requirement = "{/issue/html_url}"   # fields of the JSON by JSON pointer
[trigger.issues.when]
"/action" = "labeled"
"/label/name" = "mohist"

[trigger.inbox]
kind = "drop"
folder = "/srv/inbox"
repository = "/home/ann/shop"
requester = "inbox"

[webhooks]                          # without it nothing listens
listen = "127.0.0.1:8486"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mohist.base import sha256_hex
from mohist.delivery.errors import RuleError
from mohist.delivery.state import Bound
from mohist.delivery.trigger.schedule import Schedule
from mohist.delivery.trigger.signature import Scheme, key_of
from mohist.delivery.trigger.template import Template

TABLES: Final = ("trigger", "webhooks")
"""What of the file is read here."""
LEAST_SECRET_BYTES: Final = 16
"""Shorter ones could be guessed from one captured request; GitHub's own advice is a random text of high entropy."""
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

Kind = Literal["cron", "webhook", "drop"]
Missed = Literal["newest", "skip"]


@dataclass(frozen=True, slots=True)
class Cron:
    """Fires at due times."""

    schedule: Schedule
    missed: Missed = "newest"
    """What becomes of due times that passed while nothing looked: the newest once, or none."""
    missed_within_s: float = 86_400.0
    """An older one is let go."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Fires on a signed request."""

    scheme: Scheme
    secret_env: str = ""
    secret_file: str = ""
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """Pointers, each with the values that are wanted there; all must hold."""
    window_s: float = 300.0
    """How far a request's time may be from now, where its signature covers a time (`standard`)."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Fires on a file in a folder."""

    folder: Path
    settle_s: float = 3.0
    """A file is taken once its size and times have stood still for so long."""
    max_bytes: int = 1_000_000
    owners: tuple[str, ...] = ()
    """Accounts whose files are taken beside the worker's own."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger, as its file says it."""

    name: str
    how: Cron | Webhook | Drop
    repository: Path
    requester: str
    origin: str
    """The file that says it."""
    requirement: Template | None = None
    """None: a dropped file's own words."""
    base: str = ""
    bound: Bound = field(default_factory=Bound)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of its deliveries."""
    most_open: int = 1
    """Deliveries of it that may be under way at once."""

    @property
    def kind(self) -> Kind:
        return {Cron: "cron", Webhook: "webhook", Drop: "drop"}[type(self.how)]  # type: ignore[return-value]

    @property
    def ident(self) -> str:
        """What the tables know it by: two machines may each have a trigger of this name for a repository of their own."""
        return f"{self.name}@{sha256_hex(str(self.repository).encode())[:8]}"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where webhooks are taken, and their limits."""

    host: str
    port: int
    """0 takes a free one."""
    max_bytes: int = 1_048_576
    """Of a request's body."""
    body_timeout_s: float = 10.0
    """A whole body must come within this."""
    max_connections: int = 64


@dataclass(frozen=True, slots=True)
class TriggerFile:
    """What one file says."""

    triggers: tuple[Trigger, ...] = ()
    listening: Listening | None = None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError("must be absolute, without ..")
    return value


_Text = Annotated[str, Field(min_length=1, max_length=100_000)]
_Word = Annotated[str, Field(min_length=1, max_length=200)]
_Seconds = Annotated[float, Field(ge=0, le=365 * 86_400, strict=False)]


class _Trigger(_Part):
    kind: Kind
    repository: _Word
    requester: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")]
    requirement: _Text | None = None
    base: str = ""
    environments: Annotated[tuple[_Word, ...], Field(strict=False)] = ()
    no_deploy: bool = False
    yes: bool = False
    short: bool | None = None
    candidates: Annotated[int, Field(ge=1, le=8)] = 1
    model: str | None = None
    reviewer_model: str | None = None
    max_cost_usd: Annotated[float, Field(gt=0, strict=False, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    max_minutes: Annotated[float, Field(gt=0, strict=False, allow_inf_nan=False)] | None = None
    most_open: Annotated[int, Field(ge=1)] | None = None
    schedule: _Word | None = None
    zone: _Word | None = None
    missed: Missed | None = None
    missed_within_s: _Seconds | None = None
    scheme: Scheme | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    when: dict[str, Any] | None = None
    window_s: _Seconds | None = None
    folder: _Word | None = None
    settle_s: _Seconds | None = None
    max_bytes: Annotated[int, Field(gt=0)] | None = None
    owners: Annotated[tuple[_Word, ...], Field(strict=False)] | None = None

    @field_validator("repository", "folder", "secret_file")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        return None if value is None else _absolute(value)

    @model_validator(mode="after")
    def _of_its_kind(self) -> _Trigger:
        for kind, names in _OF_KIND.items():
            said = [name for name in names if getattr(self, name) is not None]
            if kind != self.kind and said:
                raise ValueError(f"{said[0]} belongs to kind {kind!r}, not to {self.kind!r}")
        for name in _NEEDED[self.kind]:
            if getattr(self, name) is None:
                raise ValueError(f"kind {self.kind!r} needs {name}")
        if self.kind == "webhook" and bool(self.secret_env) == bool(self.secret_file):
            raise ValueError("name either secret_env or secret_file")
        if self.kind == "webhook" and self.yes:
            # What strangers wrote would be approved in the requester's name.
            raise ValueError("yes is not for webhooks: a person must look at what others asked for")
        return self


class _Webhooks(_Part):
    listen: _Word
    behind_tls: bool = False
    max_bytes: Annotated[int, Field(gt=0)] = Listening("", 0).max_bytes
    body_timeout_s: Annotated[float, Field(gt=0, strict=False)] = Listening("", 0).body_timeout_s
    max_connections: Annotated[int, Field(gt=0)] = Listening("", 0).max_connections


class _File(_Part):
    trigger: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")], _Trigger] = Field(default_factory=dict)
    webhooks: _Webhooks | None = None


_OF_KIND: Final[Mapping[Kind, tuple[str, ...]]] = {
    "cron": ("schedule", "zone", "missed", "missed_within_s"),
    "webhook": ("scheme", "secret_env", "secret_file", "when", "window_s"),
    "drop": ("folder", "settle_s", "max_bytes", "owners"),
}
_NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = {
    "cron": ("schedule", "requirement"),
    "webhook": ("scheme", "requirement"),
    "drop": ("folder",),
}
_MOST_OPEN: Final[Mapping[Kind, int]] = {"cron": 1, "webhook": 20, "drop": 20}


def load_triggers(text: str, origin: str) -> TriggerFile:
    """The triggers of a file; empty text has none. Secrets are not read here.

    Raises:
        RuleError: naming the place, and the nearest key where one is not known. Never says a value.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"{origin}: not valid TOML: {error}.", "Correct the file.") from None
    for key in whole.keys() - set(TABLES):
        if near := difflib.get_close_matches(key, TABLES, n=1, cutoff=0.75):
            raise RuleError(f"{origin}: {key!r} is not known.", f"Did you mean {near[0]!r}?")
    try:
        read = _File.model_validate({name: whole[name] for name in TABLES if name in whole})
    except ValidationError as error:
        raise RuleError(f"{origin}: {_told(error)}.", "Correct the file.") from None
    made = []
    for name, said in read.trigger.items():
        try:
            made.append(_trigger(name, said, origin))
        except ValueError as error:
            raise RuleError(f"{origin}: trigger.{name}: {error}.", "Correct the file.") from None
    return TriggerFile(tuple(made), _listening(read.webhooks, origin) if read.webhooks else None)


def secrets_of(trigger: Trigger, env: Mapping[str, str]) -> tuple[str, ...]:
    """A webhook's secrets, any of which proves a request.

    Raises:
        RuleError: they are not where they should be, too short, or not of the scheme's form. Never says one.
    """
    assert isinstance(trigger.how, Webhook)
    how, place = trigger.how, f"{trigger.origin}: trigger {trigger.name!r}"
    if how.secret_env:
        text, where = env.get(how.secret_env, ""), f"the variable {how.secret_env!r}"
    else:
        where = f"the file {how.secret_file!r}"
        try:
            text = Path(how.secret_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = ""
    secrets = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not secrets:
        raise RuleError(f"{place} needs {where}, which is not there or empty.", "Set it.")
    if any(len(secret.encode()) < LEAST_SECRET_BYTES for secret in secrets):
        raise RuleError(f"{place}: {where} is shorter than {LEAST_SECRET_BYTES} bytes.", "openssl rand -hex 32")
    if how.scheme == "standard" and any(key_of(secret) is None for secret in secrets):
        raise RuleError(f"{place}: {where} is not base64 after whsec_.", "As the sender shows it.")
    return secrets


def _trigger(name: str, said: _Trigger, origin: str) -> Trigger:
    given = {field: getattr(said, field) for field in _OF_KIND[said.kind] if getattr(said, field) is not None}
    how: Cron | Webhook | Drop
    if said.kind == "cron":
        how = Cron(Schedule(given.pop("schedule"), given.pop("zone", "UTC")), **given)
    elif said.kind == "webhook":
        wanted = {at: value if isinstance(value, list) else [value] for at, value in given.pop("when", {}).items()}
        if bad := next((at for at in wanted if at and not at.startswith("/")), None):
            raise ValueError(f"when: {bad!r} is no JSON pointer; it begins with /")
        how = Webhook(when=tuple((at, tuple(values)) for at, values in wanted.items()), **given)
    else:
        how = Drop(Path(given.pop("folder")), **given)
    template = None if said.requirement is None else Template(said.requirement)
    if template is not None and said.kind == "cron" and template.pointers:
        raise ValueError("a schedule brings no JSON for the requirement to name a field of")
    options: dict[str, Any] = {"trigger": name}
    for option in ("yes", "no_deploy", "model", "reviewer_model", "short"):
        if getattr(said, option) not in (None, False) or (option == "short" and said.short is False):
            options[option] = getattr(said, option)
    if said.environments:
        options["environments"] = list(said.environments)
    options["candidates"] = said.candidates
    bound = Bound(
        None if said.max_cost_usd is None else round(said.max_cost_usd * 1e6),
        said.max_tokens,
        None if said.max_minutes is None else round(said.max_minutes * 60),
    )
    most = said.most_open or _MOST_OPEN[said.kind]
    return Trigger(name, how, Path(said.repository), said.requester, origin, template, said.base, bound, options, most)


def _listening(said: _Webhooks, origin: str) -> Listening:
    host, _, port = said.listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise RuleError(f"{origin}: webhooks.listen: not HOST:PORT.", 'As in "127.0.0.1:8486".')
    if host not in _LOOPBACK and not said.behind_tls:
        raise RuleError(
            f"{origin}: webhooks.listen: requests would travel to {host!r} unencrypted.",
            "Put a proxy with TLS in front and say behind_tls = true, or listen on 127.0.0.1.",
        )
    return Listening(host, int(port), said.max_bytes, said.body_timeout_s, said.max_connections)


def _told(error: ValidationError) -> str:
    told = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False)[:5]:
        place = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        if problem["type"] == "extra_forbidden":
            known = [name for model in (_Trigger, _Webhooks) for name in model.model_fields]
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            told.append(f"{place} is not known{f'; did you mean {near[0]!r}?' if near else ''}")
        else:
            told.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(told)
