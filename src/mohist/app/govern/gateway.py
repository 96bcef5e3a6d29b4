"""The gateway of one governed run, in this process: the door that `mohist serve` runs, with one key that ends with the run.

Its routes are those of the state folder's `routes.toml`; where there is none, the one model that the user has answers to
every name, since clients ask for smaller models by names of their own.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from mohist.app.ability import Ability, options
from mohist.app.errors import ConfigError
from mohist.app.govern.account import Account
from mohist.app.price import contracts
from mohist.app.recording import way
from mohist.app.register import registers, repositories
from mohist.app.route import from_file
from mohist.app.rulebook import PolicyFile, policy_path
from mohist.app.server import find_model
from mohist.app.user import user_name
from mohist.base import Clock, IdSource, StatePaths
from mohist.gateway.address import Address, home_address
from mohist.gateway.attempt import Attempts
from mohist.gateway.call import Principal, Refusal
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.door import Door
from mohist.gateway.entry import enter_findings
from mohist.gateway.keeper import Keeper, OnLoss, PriceOf
from mohist.gateway.key import secret_hash
from mohist.gateway.limit import DoorSettings
from mohist.gateway.proxied import ProxiedPool, proxy_of
from mohist.gateway.registrar import Registrar
from mohist.gateway.route import Route, Router, RouteTable, Upstream
from mohist.gateway.tally import Prices
from mohist.gateway.warden import Warden
from mohist.gateway.wire import Pool
from mohist.provider import quirk
from mohist.provider.catalogue import catalogue
from mohist.provider.message import Usage
from mohist.provider.resolution import LOOPBACK, ResolvedModel
from mohist.provider.tariff import tariff
from mohist.provider.transport import Timeouts

if TYPE_CHECKING:
    from mohist.app.config import Config
    from mohist.app.evidence import Evidence
    from mohist.app.guard import GatewayGuard
    from mohist.gateway.screen.archive import Archive

ROUTES: Final = "routes.toml"
# Codex declares OpenAI's own search to every model; what has none would refuse the call.
_FOREIGN: Final = Ability(leave_out=frozenset({"web_search"}))

UNKNOWN_KEY: Final = Refusal(
    "auth", 401, "This key is not the one of this run. The client must use the one that Mohist set for it."
)


@dataclass(frozen=True, slots=True)
class Supply:
    """Which models there are, and the one that the client is told of."""

    table: RouteTable
    prices: Prices
    model: str
    line: str
    """For people: whose model it is."""


async def supply(name: str | None, config: Config, env: Mapping[str, str], home: Path) -> Supply:
    """What a client in this run is given.

    Args:
        name: as a flag says it; None: not said.
        config: the model, and endpoints.
        env: for keys, read anew at each call.
        home: the state folder.

    Raises:
        NoModelError, ModelNameError: there is none, or its name means nothing.
        ConfigError: `routes.toml` is refused, or a recording was named.
    """
    known, agreed = catalogue(), contracts(home)
    wanted = name or config.model
    if (home / ROUTES).exists():
        served = from_file(home / ROUTES, env, known, agreed)
        names = list(dict.fromkeys(served.table.names(anthropic=False) + served.table.names(anthropic=True)))
        chosen = wanted or next(iter(names), "")
        if chosen and served.table.find(chosen) is not None:
            return Supply(served.table, served.price, chosen, f"{chosen} by {ROUTES}")
    resolved = await find_model(wanted, config, env)
    if resolved.dialect == "replay":
        raise ConfigError("A recording can't answer a client.", "Name a model; `replay` in routes.toml works, too.")
    return _single(resolved, env, home)


def _single(model: ResolvedModel, env: Mapping[str, str], home: Path) -> Supply:
    assert model.dialect != "replay"
    limits, known = Timeouts(), catalogue()
    key = model.key(env)
    entry = known.model(model.name)
    upstream = Upstream(
        name=model.provider,
        provider=model.provider,
        self_hosted=_is_here(model.base_url),
        dialect=model.dialect,
        base_url=model.base_url,
        key=key.reveal if key is not None else lambda: "",
        model=model.wire,
        bearer=True if quirk.BEARER in model.caps.quirks else None,
        headers=tuple((one.lower(), value) for one, value in model.headers.items()),
        own=True,
        connect_timeout_s=limits.connect_s,
        first_byte_timeout_s=limits.idle_s,
        idle_timeout_s=limits.idle_s,
        options=options(model.dialect, known.provider(model.provider), entry, _FOREIGN),
    )
    rows = tariff(model.price, contracts(home), provider=model.provider, model=model.wire)
    table = RouteTable([Route("*", (upstream,), names=(model.wire,))])
    return Supply(table, lambda _end, _model: rows, model.wire, model.name)


class RunGateway:
    """Serves the calls of one governed run.

    Order of use: construct, `start`, `app` for each connection, `close`.

    Args:
        given: the models.
        key: the only key that it takes; worth nothing after `close`.
        key_id: how usage and the ledger call that key.
        config: guard, budgets' database.
        env: names the guard's cache.
        paths: the state folder.
        project: what usage says of it.
        account: is told of every call.
        evidence: the ledger; None: nothing is entered.
        tool: the client as its installer's records name it, with its version; what the register says of models is asked of each call.
        root: of the project.
    """

    def __init__(
        self,
        given: Supply,
        key: str,
        key_id: str,
        config: Config,
        env: Mapping[str, str],
        paths: StatePaths,
        project: str,
        clock: Clock,
        ids: IdSource,
        account: Account,
        evidence: Evidence | None,
        tool: str,
        root: Path,
    ) -> None:
        self._paths = paths
        self._env, self._root = env, root
        self._evidence = evidence
        self._warden = Warden()
        self._registrar = Registrar()
        who = Principal(key_id, user_name(), project, tool=tool, repository="\n".join(repositories(root)))
        address = home_address(paths.home, config.gateway.variables)
        self._keeper = _Keyed(key, who, address, partial(_dearest, given, clock), clock, config.gateway.on_loss)
        self._guard = _guard(config, paths, env, clock, given, evidence)
        self._chronicle = Chronicle(evidence, evidence.name) if evidence is not None else None
        router = Router(given.table, clock)
        self._pool = _pool(given.table)
        settings = DoorSettings(
            on_guard_failure=config.guard.on_failure,
            guard_inline_bytes=config.guard.inline_bytes(DoorSettings().guard_inline_bytes),
        )
        attempts = Attempts(self._pool, router, settings.ping_after_s)
        self.app = Door(
            settings,
            self._keeper,
            router,
            attempts,
            given.prices,
            clock,
            ids,
            self._warden,
            observers=(account,),
            guard=self._guard,
            chronicle=self._chronicle,
            registrar=self._registrar,
        )

    def start(self) -> None:
        """Reads budgets, rules, registers and the guard's patterns; blocks on the disk.

        Raises:
            MohistError: one can't be read or entered, so no call may be made.
        """
        self._keeper.start()
        enter = self._evidence.append if self._evidence is not None else None
        rules = PolicyFile(policy_path(self._paths.home, None), self._warden, lambda _line: None, enter, "govern")
        rules.begin(must_exist=False)
        if self._warden.rulebook is not None:
            rules.enter()
        self._registrar.take(registers(self._env, self._root))
        if self._guard is not None:
            self._guard.start()

    async def close(self) -> int:
        """Writes usage down; how many calls could not be written."""
        with anyio.CancelScope(shield=True):
            self._pool.close()
            if self._chronicle is not None:
                await anyio.to_thread.run_sync(self._chronicle.close)
            if self._guard is not None:
                await anyio.to_thread.run_sync(self._guard.stop)
            lost = await anyio.to_thread.run_sync(self._keeper.stop)
        return lost  # noqa: RET504 - a return inside the scope reads as one that may not happen


class _Keyed(Keeper):
    """Its one principal shows the run's key."""

    def __init__(
        self, key: str, who: Principal, address: Address, price: PriceOf, clock: Clock, on_loss: OnLoss
    ) -> None:
        super().__init__(address, price, clock, on_loss=on_loss, local=who)
        self._who = who
        self._hash = secret_hash(key)

    def identify(self, secret: str) -> Principal | Refusal:
        """The run's principal, for the run's key."""
        return self._who if hmac.compare_digest(secret_hash(secret), self._hash) else UNKNOWN_KEY


def _dearest(given: Supply, clock: Clock, model: str, usage: Usage) -> int | None:
    """The most that a call can cost by any upstream of its route; None: some price is unknown."""
    route = given.table.find(model)
    if route is None:
        return 0
    costs = [
        given.prices(end, end.model or model).dearest_microusd(usage, at_ms=clock.now_ms()) for end in route.upstreams
    ]
    return None if None in costs else max((cost for cost in costs if cost is not None), default=0)


def _guard(
    config: Config, paths: StatePaths, env: Mapping[str, str], clock: Clock, given: Supply, evidence: Evidence | None
) -> GatewayGuard | None:
    """None where it is switched off, so that nothing of it is loaded."""
    if config.guard.mode == "off":
        return None
    from mohist.app.guard import CLIENTS_FILE, GatewayGuard, Guarding, own_models

    address = home_address(paths.home, config.gateway.variables)
    enter = partial(enter_findings, evidence, evidence.name) if evidence is not None else None
    needs = Guarding(
        config.guard,
        paths,
        env,
        clock,
        partial(_archive, address),
        own_models=own_models(given.table.routes),
        enter=enter,
        clients=paths.home / CLIENTS_FILE,
    )
    return GatewayGuard(needs)


def _archive(address: Address) -> Archive:
    from mohist.gateway.screen.archive import Archive

    return Archive(address)


def _pool(table: RouteTable) -> Pool:
    """Connections as the environment wants them; a proxy is asked for where one upstream is all there is."""
    ends = [end for route in table.routes for end in route.upstreams]
    if (
        len(ends) == 1
        and not ends[0].replay
        and not _is_here(ends[0].base_url)
        and (proxy := proxy_of(ends[0].base_url))
    ):
        return ProxiedPool(proxy)
    return way(table.routes, None, lambda _line: None)


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK
