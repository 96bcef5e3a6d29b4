"""What `mohist.toml` may say: the one model of its keys, for reading, for errors and for the reference page.

The file is data from outside: it is validated here and becomes plain values by dotted key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mohist.app.errors import ConfigError
from mohist.app.guard_table import GuardRuleTable, GuardTable
from mohist.app.host import host_rule
from mohist.app.key import LIMITS, SERVER_KEY_ENV, SandboxName, defaults
from mohist.app.ledger_table import LedgerTable
from mohist.base import MohistError
from mohist.policy import Mode
from mohist.provider.quirk import QUIRKS
from mohist.provider.resolution import nearest
from mohist.sandbox import Rules, Way

_DEFAULTS = defaults()

_KEY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2: token


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://HOST… or https://HOST…")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or #")
    return value


def _database(value: str) -> str:
    start, _, rest = value.partition("://")
    if start not in ("sqlite", "postgresql", "postgres", "postgresql+psycopg") or not rest:
        raise ValueError("must be postgresql://USER@HOST/DATABASE or sqlite:////PATH")
    # A password may hold any sign but @, so this says no rather than guess.
    if ":" in rest.rpartition("@")[0] or "password=" in rest.lower():
        raise ValueError("must hold no password; name a file with database_password_file, or use PGPASSFILE")
    return value


def _variable(value: str) -> str:
    if not _KEY_NAME.fullmatch(value):
        raise ValueError("is the name of an environment variable, never a key itself")
    return value


def _folder(value: str) -> str:
    if not value.startswith(("/", "~/")) or ".." in value.split("/"):
        raise ValueError("must be absolute or start with ~/, without ..")
    return value


def _host(value: str) -> str:
    try:
        Rules([host_rule(value, private=False)])
    except MohistError as error:
        raise ValueError(f"{error.what} {error.mend}") from error
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or any(ord(char) < 32 or ord(char) == 127 for char in text):
            raise ValueError("must be names and values of HTTP headers")
    return value


def _quirks(value: list[str]) -> list[str]:
    if strange := set(value) - QUIRKS:
        raise ValueError(f"knows {', '.join(sorted(QUIRKS))}; not {', '.join(sorted(strange))}")
    return value


Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
HostName = Annotated[str, AfterValidator(_host)]
Command = Annotated[str, Field(min_length=1, max_length=4096)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PriceTable(_Table):
    """`[endpoints.NAME.price]`: US dollars per million tokens. A class that is left out is unknown, not free."""

    input: Usd | None = Field(None, description="Tokens read at the full price.")
    cache_read: Usd | None = Field(None, description="Tokens read from a cache.")
    cache_write: Usd | None = Field(None, description="Tokens written to a cache.")
    output: Usd | None = Field(None, description="Tokens of the answer, reasoning included.")


class EndpointTable(_Table):
    """`[endpoints.NAME]`: an endpoint of your own, or, named like a provider, another way to it."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="Base URL with its version: `http://HOST:8000/v1`.")
    dialect: Literal["openai-chat", "anthropic-messages"] | None = Field(
        None, description="Wire format. Left out: the provider's own, or guessed from the URL, and said."
    )
    key_env: Annotated[str, AfterValidator(_variable)] | None = Field(
        None, description="Environment variable that holds the key. A key itself has no place in a file."
    )
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(
        default_factory=dict, description="Sent with each call; values are never shown."
    )
    model: str | None = Field(None, description="The model that NAME alone means. Left out: the endpoint is asked.")
    context_tokens: Positive | None = Field(None, description="Size of the context window.")
    output_tokens: Positive | None = Field(None, description="Longest answer.")
    native_tools: bool | None = Field(None, description="`false`: tools are told in the prompt and read from the text.")
    parallel_calls: bool | None = Field(None, description="Several tool calls in one answer.")
    keep_thinking: bool | None = Field(None, description="Reasoning is handed back across tool turns.")
    cache: Literal["none", "automatic", "marks"] | None = Field(None, description="How prompts are cached.")
    quirks: Annotated[list[str], AfterValidator(_quirks)] | None = Field(
        None, description="Ways in which the endpoint differs inside its dialect."
    )
    price: PriceTable | None = Field(None, description="Prices, where the catalogue has none or yours differ.")


class LimitsTable(_Table):
    """`[limits]`: bounds on tools."""

    output_tokens: Positive = Field(
        LIMITS["output_tokens"], description="Most that one tool result may cost the model."
    )
    read_lines: Positive = Field(LIMITS["read_lines"], description="Most lines that one read returns.")
    read_bytes: Positive = Field(LIMITS["read_bytes"], description="Most bytes that one read returns.")
    line_chars: Positive = Field(LIMITS["line_chars"], description="A longer line is clipped, and says so.")
    max_file_bytes: Positive = Field(
        LIMITS["max_file_bytes"], description="Larger files are read by range, not edited."
    )
    search_matches: Positive = Field(LIMITS["search_matches"], description="Most matches that one search returns.")
    glob_paths: Positive = Field(LIMITS["glob_paths"], description="Most paths that one glob returns.")
    parallel_calls: Positive = Field(LIMITS["parallel_calls"], description="Tool calls that run at the same time.")
    shell_soft_timeout_s: PositiveFloat = Field(
        LIMITS["shell_soft_timeout_s"], description="A command that runs longer goes on as a job that is polled."
    )
    shell_hard_timeout_s: PositiveFloat = Field(
        LIMITS["shell_hard_timeout_s"], description="A command that runs longer is ended."
    )
    check_timeout_s: PositiveFloat = Field(
        LIMITS["check_timeout_s"], description="A check that runs longer has failed."
    )


class ServerTable(_Table):
    """`[server]`: a gateway that all calls go to."""

    url: Annotated[str, AfterValidator(_url)] | None = Field(
        None,
        description="Address of a `mohist serve`: `https://models.example.com`. All calls of runs go there, and models are "
        "those that it serves. Left out: the gateway's pipeline runs in the process of the run.",
    )
    key_env: Annotated[str, AfterValidator(_variable)] = Field(
        SERVER_KEY_ENV, description="Environment variable that holds the virtual key."
    )


class GatewayTable(_Table):
    """`[gateway]`: where keys, budgets and usage are, for `mohist serve`, `keys`, `usage` and every run."""

    database_url: Annotated[str, AfterValidator(_database)] | None = Field(
        None,
        description="`postgresql://USER@HOST/DATABASE` or `sqlite:////PATH`, without a password. Left out: `gateway.db` in "
        "the state folder. Variable: `MOHIST_DATABASE_URL`.",
    )
    database_password_file: Annotated[str, AfterValidator(_folder)] | None = Field(
        None,
        description="A file that holds the database's password and nothing else. Left out: libpq's own ways (`PGPASSFILE`, "
        "`~/.pgpass`). Variable: `MOHIST_DATABASE_PASSWORD_FILE`.",
    )
    on_database_loss: Literal["closed", "open"] = Field(
        _DEFAULTS["gateway.on_database_loss"],
        description="What budgets do while the database is away: `closed`, calls pass as far as the process has room for "
        "them; `open`, all pass and are counted later. Variable: `MOHIST_ON_DATABASE_LOSS`.",
    )


class SettingFile(_Table):
    """`mohist.toml`."""

    model: str | None = Field(
        _DEFAULTS["model"],
        description="Model to use: `anthropic/claude-sonnet-5`, an endpoint's name, `URL#MODEL`, `replay:PATH`. "
        "Left out: the first provider whose key is set, else a server found on this machine.",
    )
    mode: Mode = Field(
        _DEFAULTS["mode"],
        description="What the agent may do unasked, from strict to free: plan, ask, edit, auto, full.",
    )
    network: Way = Field(
        _DEFAULTS["network"],
        description="Network of the commands that the agent runs. `fenced`: through Mohist, to the hosts of `allow_hosts` and "
        "`allow_private_hosts` alone; each host that is asked for is on the record. `full`: this machine's own.",
    )
    allow_hosts: list[HostName] = Field(
        default_factory=list,
        description="What commands may reach where the network is `fenced`: `HOST`, `*.HOST` (what lies below it), either with `:PORT`; "
        "without one 80 and 443.",
    )
    allow_private_hosts: list[HostName] = Field(
        default_factory=list,
        description="The same for hosts that may lie at private addresses, such as a company's mirror.",
    )
    sandbox: SandboxName = Field(
        _DEFAULTS["sandbox"],
        description="What confines the commands that the agent runs. `landlock` is weak: for machines that deny user "
        "namespaces, repositories that you trust, and no secrets; see docs/threats/sandbox.md.",
    )
    max_turns: Positive = Field(
        _DEFAULTS["max_turns"],
        description="A run ends after this many answers of the model.",
    )
    max_cost_usd: PositiveFloat | None = Field(
        _DEFAULTS["max_cost_usd"],
        description="A run ends before it costs more, in US dollars. Left out: no bound.",
    )
    timeout_s: PositiveFloat = Field(
        _DEFAULTS["timeout_s"],
        description="A run ends after this many seconds.",
    )
    checks: list[Command] = Field(
        default_factory=list,
        description="Shell commands that must pass, in a clean copy of the change, before a run is done.",
    )
    readable: list[Annotated[str, AfterValidator(_folder)]] = Field(
        default_factory=list,
        description="Folders outside the system's that commands may read, absolute or from `~/`: toolchains, data.",
    )
    limits: LimitsTable = Field(default_factory=lambda: LimitsTable.model_validate({}), description="")
    endpoints: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], EndpointTable] = Field(
        default_factory=dict, description=""
    )
    server: ServerTable = Field(default_factory=lambda: ServerTable.model_validate({}), description="")
    gateway: GatewayTable = Field(default_factory=lambda: GatewayTable.model_validate({}), description="")
    guard: GuardTable = Field(default_factory=lambda: GuardTable.model_validate({}), description="")
    ledger: LedgerTable = Field(default_factory=lambda: LedgerTable.model_validate({}), description="")


def parse(data: bytes, source: str) -> dict[str, Any]:
    """What a file says, by dotted key (`limits.output_tokens`, `endpoints.NAME`).

    Raises:
        ConfigError: it is no TOML, has an unknown key (the nearest is named) or a value that is not allowed.
    """
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source} is not UTF-8 text.", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}.", "Mend that line.") from error
    return checked(table, source, strict=True)


def checked(table: Mapping[str, Any], source: str, *, strict: bool) -> dict[str, Any]:
    """Like `parse`, of values already read; not strict: text becomes a number where one is wanted."""
    try:
        model = SettingFile.model_validate(dict(table), strict=strict)
    except ValidationError as error:
        raise _as_config_error(error, source) from None
    return _flat(model.model_dump(exclude_unset=True))


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if key in ("limits", "endpoints", "server", "gateway", "guard", "ledger"):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat


def _as_config_error(error: ValidationError, source: str) -> ConfigError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        siblings = _siblings(path[:-1])
        near = nearest(path[-1], siblings, 1) or _containing(path[-1], siblings)
        mend = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(siblings))}."
        return ConfigError(f"{source} has an unknown key {key!r}.", mend)
    return ConfigError(f"{source}: {key!r} is not allowed: {first['msg']}.", "See `mohist config explain`.")


def _siblings(path: Iterable[str]) -> list[str]:
    match list(path):
        case ["server"]:
            return list(ServerTable.model_fields)
        case ["gateway"]:
            return list(GatewayTable.model_fields)
        case ["ledger"]:
            return list(LedgerTable.model_fields)
        case ["guard"]:
            return list(GuardTable.model_fields)
        case ["guard", "rules", *_]:
            return list(GuardRuleTable.model_fields)
        case ["limits"]:
            return list(LimitsTable.model_fields)
        case ["endpoints", _]:
            return list(EndpointTable.model_fields)
        case ["endpoints", _, "price"]:
            return list(PriceTable.model_fields)
        case _:
            return list(SettingFile.model_fields)


def _containing(word: str, names: Iterable[str]) -> list[str]:
    parts = set(word.lower().split("_"))
    return [name for name in names if parts & set(name.split("_"))][:1]
