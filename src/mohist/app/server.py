"""The models of the gateway that `server.url` names: an agent that has one calls nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mohist.app.config import Config, Server
from mohist.app.errors import ConfigError
from mohist.provider.catalogue import Catalogue, Dialect, ModelEntry, catalogue
from mohist.provider.discovery import ListedModel, choose, list_models, preferred
from mohist.provider.errors import NoModelError
from mohist.provider.message import Caps
from mohist.provider.resolution import ResolvedModel

_VERSION = "2023-06-01"
"""https://docs.claude.com/en/api/versioning"""


async def find_model(name: str | None, config: Config, env: Mapping[str, str]) -> ResolvedModel:
    """The model that `name`, else the configuration, means: a route of the server where there is one.

    Raises:
        NoModelError, ModelNameError: there is none, or its name means nothing.
        ConfigError: the name goes past the server.
    """
    wanted = name or config.model
    if config.server is None or (wanted or "").startswith("replay:"):
        return await choose(wanted, env, config.endpoints)
    return await _served(wanted or "", config.server, env)


async def _served(name: str, server: Server, env: Mapping[str, str]) -> ResolvedModel:
    if "://" in name:
        raise ConfigError(
            f"Models come from the server {server.url}; {name.partition('#')[0]!r} would go past it.",
            "Name one that the server serves, or take server.url out of the settings.",
        )
    key = env.get(server.key_env, "").strip()
    if not key:
        raise NoModelError(
            f"The server {server.url} needs a key, and {server.key_env} is not set.",
            f"Ask whoever runs it for one (mohist keys create), then: export {server.key_env}=…",
        )
    base_url = server.url.rstrip("/").removesuffix("/v1") + "/v1"
    chat = await list_models(base_url, headers={"authorization": f"Bearer {key}"})
    messages = await list_models(base_url, headers={"x-api-key": key, "anthropic-version": _VERSION})
    if chat is None and messages is None:
        raise NoModelError(
            f"The server {server.url} does not answer, or refuses the key in {server.key_env}.",
            'Try: curl -i -H "authorization: Bearer $' + server.key_env + f'" {base_url}/models',
        )
    listed: dict[Dialect, tuple[ListedModel, ...]] = {
        "openai-chat": chat or (),
        "anthropic-messages": messages or (),
    }
    if not name:
        all_listed = [*listed["openai-chat"], *listed["anthropic-messages"]]
        if not all_listed:
            raise NoModelError(f"The server {server.url} lists no model.", "Name one: --model MODEL.")
        name = preferred(all_listed).wire
    return _resolved(name, base_url, server, listed)


def _resolved(
    name: str, base_url: str, server: Server, listed: Mapping[Dialect, tuple[ListedModel, ...]]
) -> ResolvedModel:
    known = catalogue()
    entry = _entry(name, known)
    own = _dialect_of(entry, known)
    spoken = [dialect for dialect, models in listed.items() if name in {model.wire for model in models}]
    dialect = own if own in spoken or not spoken else spoken[0]
    caps = entry.caps if entry is not None else Caps()
    if entry is None or dialect != own:
        caps = replace(caps, quirks=frozenset())  # they are of the vendor's own door
    notes = [f"served by {server.url}"]
    if not spoken:
        notes.append("the server does not list it")
    if entry is None:
        notes.append("not in the catalogue: limits are assumed, no price is known")
    return ResolvedModel(
        name=name,
        provider="server",
        dialect=dialect,
        base_url=base_url,
        wire=name,
        caps=caps,
        price=entry.price if entry is not None else None,
        key_env=server.key_env,
        notes=tuple(notes),
    )


def _entry(name: str, known: Catalogue) -> ModelEntry | None:
    """What the catalogue knows of it; several providers' entries of one model are alike but for the price."""
    named = known.named(name)
    return known.model(name) or (named[0] if named else None)


def _dialect_of(entry: ModelEntry | None, known: Catalogue) -> Dialect:
    provider = known.provider(entry.provider) if entry is not None else None
    return provider.dialect if provider is not None else "openai-chat"
