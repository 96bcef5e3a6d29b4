"""The clients that are known: how each is led to the gateway, kept quiet, and what it would obey of a repository."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from mohist.app.errors import ConfigError

TABLE: Final = Path(__file__).with_name("clients.toml")
Spoken = Literal["openai-chat", "openai-responses", "anthropic-messages", "gemini"]
COMMON: Final = (".mcp.json",)
"""Where many clients look for servers to start, some without asking; taken for a setting of every one."""
SERVED: Final = ("openai-chat", "openai-responses", "anthropic-messages")
"""The dialects that the gateway takes."""


@dataclass(frozen=True, slots=True)
class Dress:
    """Settings with `@URL@`, `@KEY@`, `@MODEL@` and `@HOME@` in them."""

    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path below HOME -> what the file says."""


@dataclass(frozen=True, slots=True)
class Residual:
    """A host that a client looks for whatever it is told."""

    host: str
    """A name, or `*.name`."""
    why: str


@dataclass(frozen=True, slots=True)
class Client:
    """A coding client of somebody else's. No field depends on its version."""

    name: str
    """As the register and reports call it."""
    title: str
    programs: tuple[str, ...]
    packages: tuple[str, ...]
    """`npm:NAME` or `pypi:NAME`."""
    dialect: Spoken
    agent: str = ""
    """How its `user-agent` header begins, as a glob."""
    unsupported: str = ""
    """Why it can't be led to the gateway; empty: it can."""
    args: tuple[str, ...] = ()
    reach: Dress = Dress()
    quiet: Dress = Dress()
    fresh: Dress = Dress()
    fenced: Dress = Dress()
    residual: tuple[Residual, ...] = ()
    obeys: tuple[str, ...] = ()
    """Paths in a repository that it takes settings from."""


@cache
def clients() -> Mapping[str, Client]:
    """All that are known, by name, in the order of the table."""
    return MappingProxyType(read(TABLE.read_text(encoding="utf-8"), str(TABLE)))


def read(text: str, origin: str) -> dict[str, Client]:
    """The clients of a table.

    Raises:
        ConfigError: it says what no table says.
    """
    try:
        return {name: _client(name, row) for name, row in tomllib.loads(text).items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{origin}: this is no table of clients: {error}.", "See docs/govern.md.") from error


def find(program: str, package: str = "") -> Client | None:
    """The client whose program or own name this is.

    Args:
        program: a name without a folder.
        package: what it was installed from, as `npm:NAME`; decides where two clients have a program of one name.
    """
    known = clients()
    named = [client for client in known.values() if program == client.name or program in client.programs]
    by_package = [client for client in known.values() if package and package in client.packages]
    both = [client for client in named if client in by_package]
    return next(iter(both or by_package or named), None)


def named(name: str) -> Client:
    """The client of that name or program.

    Raises:
        ConfigError: there is none; the nearest is named.
    """
    if (found := find(name)) is not None:
        return found
    words = sorted({*clients(), *(program for client in clients().values() for program in client.programs)})
    near = get_close_matches(name, words, 3, 0.5)
    mend = f"Nearest: {', '.join(near)}." if near else f"Known: {', '.join(clients())}."
    raise ConfigError(f"No client {name!r} is known.", f"{mend} Any other program: --dialect DIALECT.")


def unknown(program: str, dialect: str) -> Client:
    """A program that the table does not know, with what libraries of its dialect listen to.

    Raises:
        ConfigError: the gateway does not take that dialect.
    """
    if dialect not in SERVED:
        raise ConfigError(f"The gateway takes no dialect {dialect!r}.", f"It takes: {', '.join(SERVED)}.")
    if dialect == "anthropic-messages":
        env = {"ANTHROPIC_BASE_URL": "@URL@", "ANTHROPIC_AUTH_TOKEN": "@KEY@", "ANTHROPIC_MODEL": "@MODEL@"}
    else:
        env = {"OPENAI_BASE_URL": "@URL@/v1", "OPENAI_API_BASE": "@URL@/v1", "OPENAI_API_KEY": "@KEY@"}
        env["OPENAI_MODEL"] = "@MODEL@"
    quiet = Dress({"DO_NOT_TRACK": "1"})
    spoken = next(one for one in get_args(Spoken) if one == dialect)
    return Client(program, program, (program,), (), spoken, reach=Dress(env), quiet=quiet, obeys=COMMON)


def _client(name: str, row: Mapping[str, Any]) -> Client:
    fields = dict(row)
    for part in ("reach", "quiet", "fresh", "fenced"):
        fields[part] = Dress(**fields.get(part, {}))
    for part in ("programs", "packages", "args", "obeys"):
        fields[part] = _texts(fields.get(part, ()))
    fields["obeys"] = tuple(dict.fromkeys((*fields["obeys"], *COMMON)))
    fields["residual"] = tuple(Residual(**one) for one in fields.get("residual", ()))
    client = Client(name=name, **fields)
    if client.dialect not in get_args(Spoken) or not client.programs:
        raise ValueError(f"{name!r} has no program, or speaks nothing that is known")
    return client


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r} is no list of texts")
    return tuple(str(value) for value in values)
