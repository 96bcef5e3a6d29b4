"""Which upstreams serve which model, from `routes.toml` or from the keys that are set."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mohist.app.ability import Ability, options
from mohist.app.errors import ConfigError
from mohist.app.limit import LimitTable
from mohist.app.recording import replay_url
from mohist.gateway.route import Route, RouteTable, Upstream, is_glob
from mohist.provider.catalogue import Catalogue, ProviderEntry
from mohist.provider.message import Usage
from mohist.provider.tariff import Contract, Tariff, tariff

Spoken = Literal["openai-chat", "openai-responses", "anthropic-messages"]

# Chat Completions and Responses are doors of the same host; who serves the latter is a fact about each provider.
# Source: https://platform.openai.com/docs/api-reference/responses
RESPONSES = frozenset({"openai"})
_MAX_TARIFFS = 10_000


class UpstreamTable(BaseModel):
    """`[[routes.upstreams]]`: an endpoint; what is left out comes from the catalogue's `provider`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1)
    provider: str = ""
    dialect: Spoken | None = None
    url: str = ""
    replay: str = ""
    key_env: str = ""
    key_file: str = ""
    model: str = ""
    account: str = ""
    region: str = ""
    data_class: str = ""
    self_hosted: bool = False
    weight: int = Field(1, ge=1)
    can: Ability = Ability()


class RouteEntry(BaseModel):
    """`[[routes]]`: a model name or glob, and who serves it, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(min_length=1)
    spread: bool = False
    names: tuple[str, ...] = ()
    upstreams: tuple[UpstreamTable, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_of_the_glob(self) -> Self:
        if self.names and not is_glob(self.model):
            raise ValueError(f"{self.model!r} is one name and no glob, so it has no 'names'")
        for name in self.names:
            if is_glob(name) or not fnmatchcase(name, self.model):
                raise ValueError(f"{name!r} of 'names' is no name that {self.model!r} matches")
        return self


class RouteFile(BaseModel):
    """`routes.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    routes: tuple[RouteEntry, ...] = Field(min_length=1)
    limits: LimitTable = LimitTable()


class Served:
    """Routes and what they cost.

    Args:
        table: the routes.
        known: list prices, of upstreams that name their provider.
        contracts: prices that were agreed, which win.
        limits: of the data plane.
    """

    def __init__(
        self,
        table: RouteTable,
        known: Catalogue,
        contracts: Sequence[Contract] = (),
        limits: LimitTable = LimitTable(),  # noqa: B008 - frozen
    ) -> None:
        self.table = table
        self.limits = limits
        self._known = known
        self._contracts = contracts
        self._tariffs: dict[tuple[str, str], Tariff] = {}

    def price(self, upstream: Upstream, model: str) -> Tariff:
        """The rows a call may be billed by."""
        place = (upstream.name, model)
        if (found := self._tariffs.get(place)) is not None:
            return found
        listed = next((entry.price for entry in self._known.named(model) if entry.provider == upstream.provider), None)
        provider = upstream.provider or upstream.name
        rows = tariff(listed, self._contracts, provider=provider, model=model, region=upstream.region)
        if len(self._tariffs) < _MAX_TARIFFS:  # behind a glob, clients choose the names
            self._tariffs[place] = rows
        return rows

    def dearest(self, model: str, usage: Usage, at_ms: int) -> int | None:
        """The most that `usage` can cost by any upstream of the route, for reserving; None: some price is unknown."""
        route = self.table.find(model)
        if route is None:
            return 0
        costs = [self.price(end, end.model or model).dearest_microusd(usage, at_ms=at_ms) for end in route.upstreams]
        return None if None in costs else max((cost for cost in costs if cost is not None), default=0)


def from_file(path: Path, env: Mapping[str, str], known: Catalogue, contracts: Sequence[Contract] = ()) -> Served:
    """The routes of a file; raises ConfigError that names what is wrong."""
    try:
        table = RouteFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The routes {str(path)!r} can't be read: {error}.", "See docs/gateway.md.") from error
    except ValidationError as error:
        raise _refused(path, error) from None
    _check_upstreams(path, table)
    routes = [
        Route(
            entry.model,
            tuple(_upstream(end, env, known, path.parent) for end in entry.upstreams),
            entry.spread,
            entry.names,
        )
        for entry in table.routes
    ]
    return Served(RouteTable(routes), known, contracts, table.limits)


def _refused(path: Path, error: ValidationError) -> ConfigError:
    """What is wrong first; an unknown key before all else, since a missing one is often the same word misspelt."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return ConfigError(f"{path}: {where!r}: {fault['msg']}.", "See docs/gateway.md.")
    tables = (RouteFile, RouteEntry, UpstreamTable, LimitTable, Ability)
    known = sorted({name for each in tables for name in each.model_fields})
    near = get_close_matches(str(fault["loc"][-1]), known, n=1)
    mend = f"Nearest: {near[0]}." if near else "See docs/gateway.md."
    return ConfigError(f"{path}: there is no key {where!r}.", mend)


def _check_upstreams(path: Path, table: RouteFile) -> None:
    """Raises ConfigError for what would otherwise be noticed by the first call, or never."""
    models: set[str] = set()
    for entry in table.routes:
        if entry.model in models:
            raise ConfigError(f"{path}: two routes are for {entry.model!r}.", "Put all upstreams into one.")
        models.add(entry.model)
        names: set[str] = set()
        for end in entry.upstreams:
            if end.name in names:
                raise ConfigError(
                    f"{path}: the route {entry.model!r} has two upstreams {end.name!r}.", "Give each its own name."
                )
            names.add(end.name)
            if end.url and not _is_address(end.url):
                raise ConfigError(
                    f"{path}: the 'url' of upstream {end.name!r} is no address.",
                    "Such as https://models.example.com/v1.",
                )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port != 0  # reading it raises ValueError where it is no port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return port_is_right and plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def _upstream(end: UpstreamTable, env: Mapping[str, str], known: Catalogue, beside: Path) -> Upstream:
    provider = known.provider(end.provider) if end.provider else None
    if end.provider and provider is None:
        raise ConfigError(
            f"Upstream {end.name!r}: no provider {end.provider!r}.", f"Known: {', '.join(known.provider_names)}."
        )
    dialect: Spoken | None = end.dialect or (_spoken(provider) if provider else None)
    if end.replay and end.url:
        raise ConfigError(f"Upstream {end.name!r} has a recording and an address.", "Keep one of the two.")
    url = replay_url(end.name) if end.replay else end.url or (_url(provider, dialect) if provider and dialect else "")
    if dialect is None or not url:
        raise ConfigError(f"Upstream {end.name!r} needs `provider`, or `dialect` and `url`.", "See docs/gateway.md.")
    if end.key_env and end.key_file:
        raise ConfigError(f"Upstream {end.name!r} names a variable and a file for its key.", "Keep one of the two.")
    names = (end.key_env,) if end.key_env else provider.key_env if provider else ()
    entry = known.model(f"{provider.name}/{end.model}") if provider is not None and end.model else None
    return Upstream(
        end.name,
        dialect,
        url,
        KeyFile(Path(end.key_file)) if end.key_file else _key(names, env),
        end.model,
        end.account or _account(url, end.key_file or names),
        region=end.region,
        data_class=end.data_class,
        self_hosted=end.self_hosted,
        provider=provider.name if provider is not None else "",
        weight=end.weight,
        replay=str(beside / end.replay) if end.replay else "",
        options=options(dialect, provider, entry, end.can),
    )


def from_keys(env: Mapping[str, str], known: Catalogue, contracts: Sequence[Contract] = ()) -> Served:
    """Routes to every catalogued model of the providers whose keys are set, by short name and by `provider/name`."""
    found: dict[str, list[Upstream]] = {}
    for provider in known.providers():
        if not any(env.get(name, "").strip() for name in provider.key_env):
            continue
        for name in known.model_names:
            entry = known.model(name)
            if entry is None or entry.provider != provider.name:
                continue
            spoken: list[Spoken] = [
                dialect for dialect in ("openai-chat", "anthropic-messages") if dialect in provider.urls
            ]
            if provider.name in RESPONSES:
                spoken.append("openai-responses")
            for dialect in spoken:
                end = Upstream(
                    f"{provider.name}:{dialect}",
                    dialect,
                    _url(provider, dialect),
                    _key(provider.key_env, env),
                    entry.wire,
                    account=provider.name,
                    provider=provider.name,
                    options=options(dialect, provider, entry, Ability()),
                )
                found.setdefault(entry.name, []).append(end)
                found.setdefault(entry.short, []).append(end)
    return Served(RouteTable(Route(model, tuple(ends)) for model, ends in found.items()), known, contracts)


def _spoken(provider: ProviderEntry) -> Spoken | None:
    dialect = provider.dialect
    return None if dialect == "replay" else dialect


def _url(provider: ProviderEntry, dialect: Spoken) -> str:
    return provider.urls.get("openai-chat" if dialect == "openai-responses" else dialect, "")


def _account(url: str, key: str | tuple[str, ...]) -> str:
    """Who pays where nobody says it: one key at one host is one account, in whatever dialect it is used."""
    return f"{urlsplit(url).netloc} {key if isinstance(key, str) else ' '.join(key)}"


class KeyFile:
    """A key in a file, as container platforms hand them out; read anew when the file changes.

    Args:
        path: holds the key and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._key = ""

    def __call__(self) -> str:
        """The key; raises ConfigError when the file can't be read."""
        try:
            now = self._path.stat()
            seen = (now.st_mtime_ns, now.st_size, now.st_ino)
            if seen != self._seen:
                self._key, self._seen = self._path.read_text(encoding="utf-8").strip(), seen
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The key file {str(self._path)!r} can't be read.", "Let the gateway's user read it."
            ) from error
        return self._key


def _key(names: tuple[str, ...], env: Mapping[str, str]) -> Callable[[], str]:
    """Read at each call, so that a key that was replaced is used at once."""
    return lambda: next((value for name in names if (value := env.get(name, "").strip())), "")
