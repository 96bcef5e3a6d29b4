"""From what a person calls a model to everything an adapter needs. Pure: reads no environment and no network.

Names: `provider/model` · a model's name alone, when one provider has it · a provider's name alone (its default
model) · an endpoint of the configuration, alone or with `/model` · `URL` or `URL#model` · `replay:PATH`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from mohist.provider.catalogue import Catalogue, Dialect, ModelEntry, ProviderEntry, catalogue
from mohist.provider.errors import ModelNameError, NoModelError
from mohist.provider.message import Caps
from mohist.provider.price import PriceRow
from mohist.provider.secret import Secret

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

URL_KEY_ENV = "MOHIST_API_KEY"
"""Holds the key for an endpoint that is given by its URL alone."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of the configuration. One named like a provider replaces that provider's address and key."""

    name: str
    url: str
    dialect: Dialect | None = None
    """None: guessed from the URL, or the provider's own."""
    key_env: str | None = None
    """None: the provider's own; no key for an endpoint that is no provider."""
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    """The model that the endpoint's name alone means."""
    context_tokens: int | None = None
    output_tokens: int | None = None
    native_tools: bool | None = None
    parallel_calls: bool | None = None
    keep_thinking: bool | None = None
    cache: Literal["none", "automatic", "marks"] | None = None
    quirks: frozenset[str] | None = None
    price: PriceRow | None = None


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model, ready to be called."""

    name: str
    """As shown to people: `anthropic/claude-sonnet-5`."""
    provider: str
    """Name of the provider or endpoint; the host for a bare URL; `replay`."""
    dialect: Dialect
    base_url: str
    """Version included; for a replay, the path of the recording."""
    wire: str
    """The name on the wire; empty when the endpoint must be asked what it serves."""
    caps: Caps
    price: PriceRow | None = None
    key_env: str | None = None
    """The variable the key is read from; None: no key is sent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What was guessed or should be known, one sentence each."""

    def key(self, env: Mapping[str, str]) -> Secret | None:
        """The key, read anew at each call; None when none is sent."""
        if self.key_env is None or not env.get(self.key_env, "").strip():
            return None
        name = self.key_env
        return Secret(lambda: env.get(name, ""))


def resolve(
    name: str,
    env: Mapping[str, str],
    endpoints: Mapping[str, Endpoint] | None = None,
    *,
    table: Catalogue | None = None,
) -> ResolvedModel:
    """What `name` means.

    Args:
        name: see the module.
        env: the environment; only asked which key variables are set.
        endpoints: of the configuration, by name.
        table: the catalogue; None: the one that came with this version.

    Raises:
        ModelNameError: no model goes by that name (the nearest are named), or several do.
        NoModelError: the model's key is not set.
    """
    known = table if table is not None else catalogue()
    ends = endpoints or {}
    name = name.strip()
    if name.startswith("replay:"):
        return _replay(name)
    if "://" in name:
        return _by_url(name, env, known)
    head, slash, rest = name.partition("/")
    if head in ends:
        return _by_endpoint(ends[head], rest, env, known)
    provider = known.provider(head)
    if provider is not None:
        entry = known.model(name) if slash else known.default_model(provider.name)
        if entry is not None:
            return _by_entry(entry, provider, env)
        if provider.open and rest:
            return _open(provider, rest, env)
        if not slash:
            raise ModelNameError(f"{name!r} names a provider without a default model.", f"Say {name}/MODEL.")
        raise _unknown(name, known, ends, provider)
    if not slash or known.named(name):
        return _by_short_name(name, env, known, ends)
    raise _unknown(name, known, ends, None)


def _replay(name: str) -> ResolvedModel:
    path = name.removeprefix("replay:")
    if not path:
        raise ModelNameError("'replay:' names no recording.", "Say replay:PATH.")
    return ResolvedModel(name, "replay", "replay", path, "replay", Caps(), notes=("answers come from a recorded run",))


def _by_entry(entry: ModelEntry, provider: ProviderEntry, env: Mapping[str, str]) -> ResolvedModel:
    notes = []
    if provider.plan:
        notes.append("billed by a plan: no price per token is known")
    elif entry.price is None:
        notes.append("no price is known")
    elif entry.price.basis == "reseller":
        notes.append(f"the price is a reseller's ({entry.price.date}), the provider's own was not found")
    return ResolvedModel(
        name=entry.name,
        provider=provider.name,
        dialect=provider.dialect,
        base_url=provider.urls[provider.dialect],
        wire=entry.wire,
        caps=entry.caps,
        price=entry.price,
        key_env=_key_env(entry.name, provider.key_env, env),
        notes=tuple(notes),
    )


def _open(provider: ProviderEntry, wire: str, env: Mapping[str, str]) -> ResolvedModel:
    name = f"{provider.name}/{wire}"
    return ResolvedModel(
        name=name,
        provider=provider.name,
        dialect=provider.dialect,
        base_url=provider.urls[provider.dialect],
        wire=wire,
        caps=_provider_caps(provider),
        key_env=_key_env(name, provider.key_env, env),
        notes=("not in the catalogue: limits are assumed, no price is known",),
    )


def _provider_caps(provider: ProviderEntry) -> Caps:
    return Caps(cache=provider.cache, keep_thinking=provider.keep_thinking, quirks=provider.quirks)


def _by_short_name(name: str, env: Mapping[str, str], known: Catalogue, ends: Mapping[str, Endpoint]) -> ResolvedModel:
    found = known.named(name)
    with_key = [entry for entry in found if (p := known.provider(entry.provider)) and _set_key(p.key_env, env)]
    # One's own provider before its regions and plans, and only those that can be called, where any can.
    candidates = with_key or list(found)
    own = [entry for entry in candidates if (p := known.provider(entry.provider)) and not p.like]
    if len(own) == 1:
        candidates = own
    if len(candidates) > 1:
        raise ModelNameError(
            f"Several providers have a model {name!r}.", "Say " + " or ".join(entry.name for entry in candidates) + "."
        )
    if not candidates:
        raise _unknown(name, known, ends, None)
    provider = known.provider(candidates[0].provider)
    assert provider is not None
    return _by_entry(candidates[0], provider, env)


def _by_endpoint(end: Endpoint, rest: str, env: Mapping[str, str], known: Catalogue) -> ResolvedModel:
    provider = known.provider(end.name)
    wire = rest or end.model or ""
    entry = None
    if provider is not None:
        entry = known.model(f"{provider.name}/{wire}") if wire else known.default_model(provider.name)
        wire = entry.wire if entry else wire
    url, guessed, notes = _address(end.url)
    dialect = end.dialect or (provider.dialect if provider else guessed)
    caps = entry.caps if entry else (_provider_caps(provider) if provider else Caps())
    given = {
        key: value
        for key in (
            "context_tokens",
            "output_tokens",
            "native_tools",
            "parallel_calls",
            "keep_thinking",
            "cache",
            "quirks",
        )
        if (value := getattr(end, key)) is not None
    }
    name = entry.name if entry else (f"{end.name}/{wire}" if wire else end.name)
    if end.key_env is not None:
        key_env: str | None = _key_env(name, (end.key_env,), env)
    else:
        key_env = _key_env(name, provider.key_env, env) if provider else None
    if end.dialect is None and provider is None:
        notes = (*notes, f"dialect {dialect} guessed from the URL")
    return ResolvedModel(
        name=name,
        provider=end.name,
        dialect=dialect,
        base_url=url,
        wire=wire,
        caps=replace(caps, **given),
        price=end.price or (entry.price if entry else None),
        key_env=key_env,
        headers=end.headers,
        notes=notes,
    )


def _by_url(text: str, env: Mapping[str, str], known: Catalogue) -> ResolvedModel:
    address, _, wire = text.partition("#")
    url, dialect, notes = _address(address)
    host = urlsplit(url).netloc
    # A name must mean the same when it is said again, on a resume: what the URL does not tell is kept.
    stated = "" if _address(url)[1] == dialect else f"{dialect.partition('-')[0]}+"
    name = f"{stated}{url}#{wire}" if wire else f"{stated}{url}"
    for provider in known.providers():
        for theirs, base in provider.urls.items():
            if base in (url, url.removesuffix("/v1")):
                entry = next((e for e in known.named(wire) if e.provider == provider.name), None) if wire else None
                return ResolvedModel(
                    name=name,
                    provider=provider.name,
                    dialect=theirs if theirs == dialect or dialect not in provider.urls else dialect,
                    base_url=url,
                    wire=entry.wire if entry else wire,
                    caps=entry.caps if entry else _provider_caps(provider),
                    price=entry.price if entry else None,
                    key_env=_key_env(name, provider.key_env, env),
                    notes=(f"the address of {provider.title}",),
                )
    return ResolvedModel(
        name=name,
        provider=host,
        dialect=dialect,
        base_url=url,
        wire=wire,
        caps=Caps(),
        key_env=URL_KEY_ENV if env.get(URL_KEY_ENV) else None,
        notes=(f"dialect {dialect} guessed from the URL; limits are assumed, no price is known", *notes),
    )


def _address(text: str) -> tuple[str, Dialect, tuple[str, ...]]:
    """Base URL, dialect and notes; `anthropic+https://…` states the dialect, a pasted door is taken off."""
    scheme, _, _ = text.partition("://")
    stated, plus, bare_scheme = scheme.rpartition("+")
    if plus:
        text = bare_scheme + text[len(scheme) :]
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ModelNameError(f"The URL {_shown(text)!r} can't be read.", "Say http://HOST:PORT/v1.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ModelNameError(f"The URL {_shown(text)!r} is not of http or https.", "Say http://HOST:PORT/v1.")
    if parts.username is not None or parts.query:
        raise ModelNameError(
            f"The URL of {parts.hostname!r} holds a user, a password or a query.", "Give the key by a variable."
        )
    path = parts.path.rstrip("/")
    anthropic = stated == "anthropic" or path.endswith("/messages") or "/anthropic" in path
    for door in ("/chat/completions", "/messages", "/models"):
        path = path.removesuffix(door)
    if stated not in ("", "openai", "anthropic"):
        raise ModelNameError(f"{stated!r} is no dialect.", "Say openai+http://… or anthropic+http://….")
    notes: tuple[str, ...] = ()
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        notes = (f"the way to {parts.hostname} is not encrypted",)
    url = urlunsplit(SplitResult(parts.scheme, parts.netloc, path or "/v1", "", ""))
    return url, "anthropic-messages" if anthropic else "openai-chat", notes


def _shown(text: str) -> str:
    """The URL without what may be a password."""
    head, at, tail = text.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else text


def _set_key(names: Iterable[str], env: Mapping[str, str]) -> str | None:
    return next((name for name in names if env.get(name, "").strip()), None)


def _key_env(model: str, names: tuple[str, ...], env: Mapping[str, str]) -> str:
    found = _set_key(names, env)
    if found is None:
        raise NoModelError(
            f"The model {model!r} needs a key, and {' or '.join(names)} is not set.",
            f"Say export {names[0]}=… with your key, or choose another model with --model.",
        )
    return found


def _unknown(
    name: str, known: Catalogue, ends: Mapping[str, Endpoint], provider: ProviderEntry | None
) -> ModelNameError:
    near = nearest(name, [*known.model_names, *known.provider_names, *ends])
    mend = f"Nearest: {', '.join(near)}." if near else f"Providers: {', '.join(known.provider_names)}."
    if provider is not None:
        # A model newer than the catalogue is reached by its provider's address.
        mend += f" For a newer model say {provider.urls[provider.dialect]}#{name.partition('/')[2]}."
    return ModelNameError(f"No model goes by the name {name!r}.", mend)


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` of `names` that look like `name`, the nearest first; the part after `/` is compared too."""
    wanted = name.lower()
    scores: dict[str, float] = {}
    for known in names:
        low = known.lower()
        forms = (low, low.rpartition("/")[2])
        ratio = max(difflib.SequenceMatcher(None, wanted, form).ratio() for form in forms)
        ratio = max(ratio, difflib.SequenceMatcher(None, wanted.rpartition("/")[2], forms[1]).ratio())
        if ratio >= 0.6:
            scores[known] = ratio
    return sorted(scores, key=lambda known: (-scores[known], known))[:count]
