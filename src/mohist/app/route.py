"""Which upstreams serve which model, from `routes.toml` or from the keys that are set."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mohist.app.errors import ConfigError
from mohist.gateway.route import Route, RouteTable, Upstream
from mohist.provider.catalogue import Catalogue, ProviderEntry
from mohist.provider.message import Usage
from mohist.provider.price import PriceRow, cost_microusd

Spoken = Literal["openai-chat", "openai-responses", "anthropic-messages"]

# Chat Completions and Responses are doors of the same host; who serves the latter is a fact about each provider.
# Source: https://platform.openai.com/docs/api-reference/responses
RESPONSES = frozenset({"openai"})


class UpstreamTable(BaseModel):
    """`[[routes.upstreams]]`: an endpoint; what is left out comes from the catalogue's `provider`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1)
    provider: str = ""
    dialect: Spoken | None = None
    url: str = ""
    key_env: str = ""
    model: str = ""
    account: str = ""
    weight: int = Field(1, ge=1)


class RouteEntry(BaseModel):
    """`[[routes]]`: a model name or glob, and who serves it, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(min_length=1)
    spread: bool = False
    upstreams: tuple[UpstreamTable, ...] = Field(min_length=1)


class RouteFile(BaseModel):
    """`routes.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    routes: tuple[RouteEntry, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Served:
    """Routes and what they cost."""

    table: RouteTable
    prices: Mapping[tuple[str, str], PriceRow]
    """By name of the upstream and of the model it knows."""

    def price(self, upstream: Upstream, model: str) -> PriceRow | None:
        """The row a call is billed by; None when none is known."""
        return self.prices.get((upstream.name, model))

    def dearest(self, model: str, usage: Usage) -> int | None:
        """The most that `usage` can cost by any upstream of the route, for reserving; None: some price is unknown."""
        route = self.table.find(model)
        if route is None:
            return 0
        costs = [cost_microusd(usage, self.price(end, end.model or model)) for end in route.upstreams]
        return None if None in costs else max((cost for cost in costs if cost is not None), default=0)


def from_file(path: Path, env: Mapping[str, str], known: Catalogue) -> Served:
    """The routes of a file; raises ConfigError that names what is wrong."""
    try:
        table = RouteFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The routes {str(path)!r} can't be read: {error}.", "See docs/gateway.md.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where!r}: {first['msg']}.", "See docs/gateway.md.") from None
    prices: dict[tuple[str, str], PriceRow] = {}
    routes = [
        Route(entry.model, tuple(_upstream(end, env, known, prices) for end in entry.upstreams), entry.spread)
        for entry in table.routes
    ]
    return Served(RouteTable(routes), prices)


def _upstream(
    end: UpstreamTable, env: Mapping[str, str], known: Catalogue, prices: dict[tuple[str, str], PriceRow]
) -> Upstream:
    provider = known.provider(end.provider) if end.provider else None
    if end.provider and provider is None:
        raise ConfigError(
            f"Upstream {end.name!r}: no provider {end.provider!r}.", f"Known: {', '.join(known.provider_names)}."
        )
    dialect: Spoken | None = end.dialect or (_spoken(provider) if provider else None)
    url = end.url or (_url(provider, dialect) if provider and dialect else "")
    if dialect is None or not url:
        raise ConfigError(f"Upstream {end.name!r} needs `provider`, or `dialect` and `url`.", "See docs/gateway.md.")
    if provider is not None and end.model:
        entry = known.model(f"{provider.name}/{end.model}")
        if entry is not None and entry.price is not None:
            prices[(end.name, entry.wire)] = entry.price
    names = (end.key_env,) if end.key_env else provider.key_env if provider else ()
    return Upstream(end.name, dialect, url, _key(names, env), end.model, end.account, end.weight)


def from_keys(env: Mapping[str, str], known: Catalogue) -> Served:
    """Routes to every catalogued model of the providers whose keys are set, by short name and by `provider/name`."""
    prices: dict[tuple[str, str], PriceRow] = {}
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
                )
                if entry.price is not None:
                    prices[(end.name, entry.wire)] = entry.price
                found.setdefault(entry.name, []).append(end)
                found.setdefault(entry.short, []).append(end)
    return Served(RouteTable(Route(model, tuple(ends)) for model, ends in found.items()), prices)


def _spoken(provider: ProviderEntry) -> Spoken | None:
    dialect = provider.dialect
    return None if dialect == "replay" else dialect


def _url(provider: ProviderEntry, dialect: Spoken) -> str:
    return provider.urls.get("openai-chat" if dialect == "openai-responses" else dialect, "")


def _key(names: tuple[str, ...], env: Mapping[str, str]) -> Callable[[], str]:
    """Read at each call, so that a key that was replaced is used at once."""
    return lambda: next((value for name in names if (value := env.get(name, "").strip())), "")
