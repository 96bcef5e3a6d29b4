"""Asks endpoints what they serve, finds model servers on this machine, and chooses a model when none is named.

Probes go to loopback addresses only, all at once, with one short deadline, past any proxy and without a key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from mohist.provider.catalogue import Catalogue, catalogue
from mohist.provider.errors import NoModelError
from mohist.provider.message import Caps
from mohist.provider.resolution import LOOPBACK, Endpoint, ResolvedModel, resolve

_MAX_LIST_BYTES = 1024 * 1024
_FIRST_ORDINARY_UID = 1000
"""Below it live services; Debian, Fedora and their like (UID_MIN in /etc/login.defs)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Where a local server usually listens."""

    kind: str
    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


LOCAL_PROBES = (Probe("ollama", 11434), Probe("vllm", 8000), Probe("llamacpp", 8080), Probe("lmstudio", 1234))


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as its endpoint lists it."""

    wire: str
    context_tokens: int | None
    """None when the endpoint does not say."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A model server that answered on this machine."""

    kind: str
    base_url: str
    models: tuple[ListedModel, ...]


async def find_local(probes: Sequence[Probe] = LOCAL_PROBES, *, deadline_s: float = 0.7) -> tuple[LocalServer, ...]:
    """Servers that list at least one model within `deadline_s`, in the order of `probes`.

    A port that another ordinary user of this machine listens on is left alone: it could be a trap for source code.
    """
    found: dict[Probe, LocalServer] = {}

    async def ask(probe: Probe) -> None:
        if _belongs_to_a_stranger(probe.port):
            return
        models = await list_models(probe.base_url, deadline_s=deadline_s)
        if models:
            found[probe] = LocalServer(probe.kind, probe.base_url, models)

    async with anyio.create_task_group() as tasks:
        for probe in probes:
            tasks.start_soon(ask, probe)
    return tuple(found[probe] for probe in probes if probe in found)


async def list_models(
    base_url: str, *, headers: Mapping[str, str] | None = None, deadline_s: float = 5.0
) -> tuple[ListedModel, ...] | None:
    """What `GET {base_url}/models` lists; None when it can't be asked or answers something else.

    No redirect is followed. Loopback addresses are asked past any proxy of the environment.
    """
    import httpx2

    local = httpx2.URL(base_url).host in LOOPBACK
    with anyio.move_on_after(deadline_s):
        try:
            async with (
                httpx2.AsyncClient(trust_env=not local, timeout=deadline_s, follow_redirects=False) as client,
                client.stream("GET", base_url.rstrip("/") + "/models", headers=dict(headers or {})) as answer,
            ):
                if answer.status_code != 200:
                    return None
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > _MAX_LIST_BYTES:
                        return None
            return _listed(json.loads(bytes(body)))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
            return None
    return None


async def settle(model: ResolvedModel, env: Mapping[str, str]) -> ResolvedModel:
    """`model` with a name on the wire: an endpoint given without one is asked what it serves.

    Raises:
        NoModelError: it does not answer or serves nothing.
    """
    if model.wire:
        return model
    headers = dict(model.headers)
    key = model.key(env)
    if key is not None and model.dialect == "anthropic-messages":
        headers |= {"x-api-key": key.reveal(), "anthropic-version": "2023-06-01"}
    elif key is not None:
        headers |= {"authorization": f"Bearer {key.reveal()}"}
    listed = await list_models(model.base_url, headers=headers)
    if not listed:
        raise NoModelError(
            f"{model.base_url} does not say which models it serves.", f"Name one: {model.base_url}#MODEL."
        )
    chosen = preferred(listed)
    joint = "#" if "://" in model.name else "/"
    return replace(
        model,
        name=f"{model.name}{joint}{chosen.wire}",
        wire=chosen.wire,
        caps=_sized(model.caps, chosen),
        notes=(*model.notes, f"serves {len(listed)} model(s), {chosen.wire} is used"),
    )


async def choose(
    name: str | None,
    env: Mapping[str, str],
    endpoints: Mapping[str, Endpoint] | None = None,
    *,
    table: Catalogue | None = None,
    probes: Sequence[Probe] = LOCAL_PROBES,
) -> ResolvedModel:
    """The model to use: the one named; else the first provider whose key is set, endpoint of the configuration, or
    server on this machine.

    Args:
        name: what flags, `MOHIST_MODEL` or the configuration say; None or empty: nothing was said.
        env: the environment, for keys.
        endpoints: of the configuration.
        table: the catalogue; None: the one that came with this version.
        probes: where to look on this machine.

    Raises:
        ModelNameError: the name means nothing.
        NoModelError: there is none; its text says how to connect one.
    """
    if name:
        return await settle(resolve(name, env, endpoints, table=table), env)
    known = table if table is not None else catalogue()
    ends = endpoints or {}
    for provider in known.providers():
        end = ends.get(provider.name)
        # Only a provider's first variable speaks for it here: a second one may be meant for another region.
        variable = end.key_env if end is not None and end.key_env else provider.key_env[0]
        entry = known.default_model(provider.name) if env.get(variable, "").strip() else None
        if entry is not None:
            model = resolve(entry.name, env, ends, table=table)
            return replace(model, notes=(*model.notes, f"chosen because {variable} is set"))
    for end in ends.values():
        if known.provider(end.name) is None and (end.key_env is None or env.get(end.key_env, "").strip()):
            model = await settle(resolve(end.name, env, ends, table=table), env)
            return replace(model, notes=(*model.notes, "chosen because the configuration has this endpoint"))
    for server in await find_local(probes):
        chosen = preferred(server.models)
        return ResolvedModel(
            name=f"{server.base_url}#{chosen.wire}",
            provider=server.kind,
            dialect="openai-chat",
            base_url=server.base_url,
            wire=chosen.wire,
            caps=_sized(Caps(), chosen),
            notes=(
                f"found on this machine ({server.kind}); limits are assumed where it names none, no price is known",
            ),
        )
    raise no_model(known, probes)


def no_model(known: Catalogue, probes: Sequence[Probe] = LOCAL_PROBES) -> NoModelError:
    """Says how to connect a model, the three shortest ways."""
    own = [entry for entry in known.providers() if not (entry.like or entry.plan or entry.open)]
    keys = ", ".join(entry.key_env[0] for entry in own[1:])
    ports = ", ".join(f"{probe.kind} {probe.port}" for probe in probes)
    return NoModelError(
        "No model is connected.",
        "Three ways to connect one:\n"
        f"  1. export {own[0].key_env[0]}=…   (or {keys})\n"
        f"  2. start a model server on this machine; it is found by itself ({ports})\n"
        "  3. add --model http://HOST:PORT/v1#MODEL for any other endpoint",
    )


def preferred(models: Sequence[ListedModel]) -> ListedModel:
    """The one to use of several: made for code before others, none that only embeds, the endpoint's order otherwise."""

    def rank(model: ListedModel) -> int:
        name = model.wire.lower()
        if any(word in name for word in ("embed", "rerank", "whisper", "bge-")):
            return 2
        return 0 if "code" in name or "devstral" in name else 1

    return min(models, key=rank)


def _sized(caps: Caps, model: ListedModel) -> Caps:
    if model.context_tokens is None:
        return caps
    return replace(
        caps, context_tokens=model.context_tokens, output_tokens=min(caps.output_tokens, model.context_tokens // 4)
    )


def _listed(answer: Any) -> tuple[ListedModel, ...] | None:
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return None
    return tuple(
        ListedModel(row["id"], _context(row))
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"]
    )


def _context(row: Mapping[str, Any]) -> int | None:
    """vLLM `max_model_len`; llama.cpp `meta.n_ctx`, else `meta.n_ctx_train`; others `context_length`."""
    meta = row.get("meta")
    inner = meta if isinstance(meta, dict) else {}
    for value in (row.get("max_model_len"), inner.get("n_ctx"), inner.get("n_ctx_train"), row.get("context_length")):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _belongs_to_a_stranger(port: int, proc: Path = Path("/proc")) -> bool:
    """True when another ordinary user listens on `port`; False where that can't be told."""
    uid = listener_uid(port, proc)
    return uid is not None and uid >= _FIRST_ORDINARY_UID and uid != os.getuid() and os.getuid() != 0


def listener_uid(port: int, proc: Path = Path("/proc")) -> int | None:
    """Who listens on TCP `port` of this machine (`/proc/net/tcp`, see proc_net_tcp in the kernel's documentation)."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text(encoding="ascii").splitlines()[1:]
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 7 and fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return int(fields[7])
    return None
