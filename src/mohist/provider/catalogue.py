"""The models that Mohist knows: data read once from `data/catalogue.json`, which scripts/update_catalogue.py writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from mohist.provider.message import Caps
from mohist.provider.price import PriceRow, price_row
from mohist.provider.quirk import QUIRKS

Dialect = Literal["openai-chat", "anthropic-messages", "replay"]
Thinking = Literal["none", "optional", "always"]


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider, or a region or plan of one."""

    name: str
    title: str
    key_env: tuple[str, ...]
    """Variables that may hold its key; the first that is set counts."""
    urls: Mapping[Dialect, str]
    """Base URL per dialect, version included; the first dialect is the default."""
    cache: Literal["none", "automatic", "marks"]
    keep_thinking: bool
    quirks: frozenset[str]
    plan: bool
    """Billed by a quota: no price per token."""
    like: str
    """The provider whose region or plan this is; empty for one of its own."""
    open: bool
    """Any model name is passed on."""
    page: str

    @property
    def dialect(self) -> Dialect:
        return next(iter(self.urls))


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model at a provider."""

    name: str
    """How people name it: `anthropic/claude-sonnet-5`."""
    provider: str
    wire: str
    """How the endpoint names it."""
    caps: Caps
    thinking: Thinking
    price: PriceRow | None
    assumed: tuple[str, ...]
    """Fields that no source states."""

    @property
    def short(self) -> str:
        return self.name.partition("/")[2]


class Catalogue:
    """Providers in the order in which a key found in the environment is preferred, and their models.

    Args:
        data: the parsed table. Rows become objects when they are asked for.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._providers: Mapping[str, Mapping[str, Any]] = data["providers"]
        self._models: Mapping[str, Mapping[str, Any]] = data["models"]
        self.generated: str = data["generated"]
        self.sources: Mapping[str, str] = data["sources"]

    @property
    def provider_names(self) -> tuple[str, ...]:
        return tuple(self._providers)

    @property
    def model_names(self) -> tuple[str, ...]:
        return tuple(self._models)

    def provider(self, name: str) -> ProviderEntry | None:
        """The provider of that name, in any case of letters."""
        key = _same(name, self._providers)
        if key is None:
            return None
        row = self._providers[key]
        return ProviderEntry(
            name=key,
            title=row["title"],
            key_env=tuple(row["key_env"]),
            urls=row["urls"],
            cache=row["cache"],
            keep_thinking=row.get("keep_thinking", False),
            quirks=_known(row.get("quirks", ()), key),
            plan=row.get("billing") == "plan",
            like=row.get("like", ""),
            open=row.get("open", False),
            page=row.get("page", ""),
        )

    def providers(self) -> tuple[ProviderEntry, ...]:
        return tuple(entry for name in self._providers if (entry := self.provider(name)))

    def model(self, name: str) -> ModelEntry | None:
        """The model named `provider/model`, in any case of letters."""
        key = _same(name, self._models)
        if key is None:
            return None
        row = self._models[key]
        provider_name, _, short = key.partition("/")
        provider = self.provider(provider_name)
        assert provider is not None, f"the catalogue has a model of no provider: {key!r}"
        return ModelEntry(
            name=key,
            provider=provider_name,
            wire=row.get("wire", short),
            caps=Caps(
                context_tokens=row["context"],
                output_tokens=row["output"],
                cache=provider.cache,
                keep_thinking=row["thinking"] != "none" and (provider.keep_thinking or row.get("keep_thinking", False)),
                quirks=_known(row["quirks"], key) if "quirks" in row else provider.quirks,
            ),
            thinking=row["thinking"],
            price=price_row(row["price"]) if "price" in row else None,
            assumed=tuple(row.get("assumed", ())),
        )

    def default_model(self, provider: str) -> ModelEntry | None:
        """The first model of a provider; None for one that lists none."""
        return next((self.model(name) for name in self._models if name.startswith(f"{provider}/")), None)

    def named(self, short: str) -> tuple[ModelEntry, ...]:
        """All models whose name without the provider, or name on the wire, is `short`."""
        wanted = short.lower()
        found = [
            name
            for name, row in self._models.items()
            if wanted in (name.partition("/")[2].lower(), str(row.get("wire", "")).lower())
        ]
        return tuple(entry for name in found if (entry := self.model(name)))


@cache
def catalogue() -> Catalogue:
    """The table that came with this version; read at the first call."""
    text = files("mohist.provider").joinpath("data", "catalogue.json").read_text(encoding="utf-8")
    return Catalogue(json.loads(text))


def _same(name: str, names: Iterable[str]) -> str | None:
    wanted = name.lower()
    return next((known for known in names if known.lower() == wanted), None)


def _known(quirks: Iterable[str], owner: str) -> frozenset[str]:
    strange = set(quirks) - QUIRKS
    if strange:
        raise ValueError(f"the catalogue gives {owner!r} quirks that no adapter knows: {sorted(strange)}")
    return frozenset(quirks)
