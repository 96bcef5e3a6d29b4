"""What `mohist.toml` may say: the one model of its keys, for reading, for errors and for the reference page.

The file is data from outside: it is validated here and becomes plain values by dotted key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mohist.agent.setting import RunSettings
from mohist.agent.tool import ToolLimits
from mohist.app.errors import ConfigError
from mohist.policy import Mode
from mohist.provider.quirk import QUIRKS
from mohist.provider.resolution import nearest
from mohist.sandbox import Network

TIGHTEN = "tighten"
"""A project's file may only make it stricter, and does so before it is trusted."""

TRUST = "trust"
"""A project's file is heard only once the project is trusted."""

OWNER = "owner"
"""A project has no say."""

_RUN = RunSettings()
_TOOL = ToolLimits()

_KEY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2: token


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://HOST… or https://HOST…")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or #")
    return value


def _variable(value: str) -> str:
    if not _KEY_NAME.fullmatch(value):
        raise ValueError("is the name of an environment variable, never a key itself")
    return value


def _folder(value: str) -> str:
    if not value.startswith(("/", "~/")) or ".." in value.split("/"):
        raise ValueError("must be absolute or start with ~/, without ..")
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

    output_tokens: Positive = Field(_TOOL.output_tokens, description="Most that one tool result may cost the model.")
    read_lines: Positive = Field(_TOOL.read_lines, description="Most lines that one read returns.")
    read_bytes: Positive = Field(_TOOL.read_bytes, description="Most bytes that one read returns.")
    line_chars: Positive = Field(_TOOL.line_chars, description="A longer line is clipped, and says so.")
    max_file_bytes: Positive = Field(_TOOL.max_file_bytes, description="Larger files are read by range, not edited.")
    search_matches: Positive = Field(_TOOL.search_matches, description="Most matches that one search returns.")
    glob_paths: Positive = Field(_TOOL.glob_paths, description="Most paths that one glob returns.")
    parallel_calls: Positive = Field(_RUN.parallel_calls, description="Tool calls that run at the same time.")
    shell_soft_timeout_s: PositiveFloat = Field(
        _RUN.shell_soft_timeout_s, description="A command that runs longer goes on as a job that is polled."
    )
    shell_hard_timeout_s: PositiveFloat = Field(
        _RUN.shell_hard_timeout_s, description="A command that runs longer is ended."
    )
    check_timeout_s: PositiveFloat = Field(_RUN.check_timeout_s, description="A check that runs longer has failed.")


class SettingFile(_Table):
    """`mohist.toml`."""

    model: str | None = Field(
        None,
        description="Model to use: `anthropic/claude-sonnet-5`, an endpoint's name, `URL#MODEL`, `replay:PATH`. "
        "Left out: the first provider whose key is set, else a server found on this machine.",
        json_schema_extra={"guard": TRUST, "env": "MOHIST_MODEL"},
    )
    mode: Mode = Field(
        "auto",
        description="What the agent may do unasked, from strict to free: plan, ask, edit, auto, full.",
        json_schema_extra={"guard": TIGHTEN, "env": "MOHIST_MODE"},
    )
    network: Network = Field(
        "none",
        description="Network of the commands that the agent runs.",
        json_schema_extra={"guard": TIGHTEN, "env": "MOHIST_NETWORK"},
    )
    max_turns: Positive = Field(
        _RUN.max_turns,
        description="A run ends after this many answers of the model.",
        json_schema_extra={"guard": TIGHTEN, "env": "MOHIST_MAX_TURNS"},
    )
    max_cost_usd: PositiveFloat | None = Field(
        None,
        description="A run ends before it costs more, in US dollars. Left out: no bound.",
        json_schema_extra={"guard": TIGHTEN, "env": "MOHIST_MAX_COST_USD"},
    )
    timeout_s: PositiveFloat = Field(
        _RUN.timeout_s,
        description="A run ends after this many seconds.",
        json_schema_extra={"guard": TIGHTEN, "env": "MOHIST_TIMEOUT_S"},
    )
    checks: list[Command] = Field(
        default_factory=list,
        description="Shell commands that must pass, in a clean copy of the change, before a run is done.",
        json_schema_extra={"guard": TRUST},
    )
    readable: list[Annotated[str, AfterValidator(_folder)]] = Field(
        default_factory=list,
        description="Folders outside the system's that commands may read, absolute or from `~/`: toolchains, data.",
        json_schema_extra={"guard": OWNER},
    )
    limits: LimitsTable = Field(
        default_factory=lambda: LimitsTable.model_validate({}), description="", json_schema_extra={"guard": TRUST}
    )
    endpoints: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], EndpointTable] = Field(
        default_factory=dict, description="", json_schema_extra={"guard": TRUST}
    )


def mark(field: str, name: str) -> str:
    """A mark of a top-level field, `guard` or `env`; empty when it has none."""
    marks = SettingFile.model_fields[field].json_schema_extra
    return str(marks.get(name, "")) if isinstance(marks, dict) else ""


def guard(key: str) -> str:
    """TIGHTEN, TRUST or OWNER for a dotted key."""
    return mark(key.partition(".")[0], "guard")


def defaults() -> dict[str, Any]:
    """All keys with what holds when nobody says anything; no endpoints."""
    return _flat(SettingFile.model_validate({}).model_dump())


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
        if key in ("limits", "endpoints"):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat


def plain(value: Any) -> Any:
    """The value without floats, as canonical JSON wants it."""
    if isinstance(value, float):
        return str(Decimal(str(value)).normalize())
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


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
