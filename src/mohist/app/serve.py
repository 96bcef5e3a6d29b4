"""The gateway from the configuration: routes, prices and keys, served until it is stopped."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from mohist import __version__
from mohist.admin.attendance import Attendance
from mohist.admin.desk import Desk
from mohist.admin.entrance import Entrance
from mohist.app.config import Config
from mohist.app.database import owner_config
from mohist.app.ending import known_error
from mohist.app.errors import ConfigError
from mohist.app.evidence import Evidence, change_entry, open_evidence
from mohist.app.guard import CLIENTS_FILE, GatewayGuard, Guarding, own_models
from mohist.app.guard import describe as describe_guard
from mohist.app.ledger_setting import describe_ledger
from mohist.app.observation import Observation, Watch
from mohist.app.price import check_providers, contracts
from mohist.app.recording import way
from mohist.app.roll import Roll
from mohist.app.route import Served, from_file, from_keys
from mohist.app.rulebook import PolicyFile, describe, policy_path
from mohist.app.screening import Screening
from mohist.base import RandomIds, StatePaths, SystemClock
from mohist.gateway.address import Address, home_address
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.entry import enter_findings
from mohist.gateway.keeper import Keeper
from mohist.gateway.registrar import Registrar
from mohist.gateway.route import Router
from mohist.gateway.screen.archive import Archive
from mohist.gateway.server import ServerSettings, serve
from mohist.gateway.warden import Warden
from mohist.ledger import Draft, Value
from mohist.provider.catalogue import catalogue

# Python looks for rings of dead objects whenever 700 new ones are alive, which some calls at once always are: 3 % of a
# small call.
_GC_OBJECTS: Final = 10_000


async def run_gateway(
    env: Mapping[str, str],
    host: str,
    port: int,
    routes: Path | None,
    ready: Callable[[str, Served], None],
    policy: Path | None = None,
    tell: Callable[[str], None] = lambda _line: None,
    observation: Observation | None = None,
    record: Path | None = None,
) -> None:
    """Serves until TERM or Ctrl-C; calls under way may end.

    Args:
        env: the environment.
        host: address to listen on.
        port: 0 takes a free one.
        routes: the route file; None: that of the state folder.
        ready: told the base URL and what is served once calls are taken.
        policy: the rule file, which must be there; None: the machine's, else that of the state folder, where there is one.
        tell: told which rules are in force, at the start and at every change, in one line.
        observation: metrics and traces; None: metrics that nobody may read.
        record: folder that a recording of the calls goes to.

    Raises:
        RuleError: the rule file is refused.
        TapeError: a recording can't be read or written.
        ConfigError: no route, other rules than the machine's, or a file that says what it may not.
        MohistError: the address is taken, or another process serves from this home.
    """
    paths, clock = StatePaths.from_env(env), SystemClock()
    known = catalogue()
    own = paths.home / "routes.toml"
    chosen = routes or (own if own.exists() else None)
    agreed = contracts(paths.home)
    served = from_file(chosen, env, known, agreed) if chosen else from_keys(env, known, agreed)
    if not served.table.routes:
        raise ConfigError(
            "There is no route: no provider's key is set and there is no routes.toml.",
            f"Set a key (export ANTHROPIC_API_KEY=…), or write {own}; see docs/gateway.md.",
        )
    ends = {end.name for route in served.table.routes for end in route.upstreams}
    check_providers(agreed, {*known.provider_names, *ends})
    paths.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    pool = way(served.table.routes, record, tell)
    warden = Warden()
    config = owner_config(env)
    settings = config.gateway
    evidence = open_evidence(paths.home, config.ledger, env, tell)
    rules = PolicyFile(policy_path(paths.home, policy), warden, tell, evidence.append if evidence is not None else None)
    await anyio.to_thread.run_sync(partial(rules.begin, must_exist=policy is not None))
    address = home_address(paths.home, settings.variables)
    keeper = Keeper(
        address,
        lambda model, usage: served.dearest(model, usage, clock.now_ms()),
        clock,
        on_loss=settings.on_loss,
    )
    registrar = Registrar()
    roll = Roll(registrar, address, tell, evidence.append if evidence is not None else None)
    guard = _guard(config.guard, paths, env, address, served, evidence)
    chronicle = Chronicle(evidence, evidence.name, tell) if evidence is not None else None
    await anyio.to_thread.run_sync(keeper.start)
    gc.set_threshold(_GC_OBJECTS)
    try:
        if guard is not None:
            await anyio.to_thread.run_sync(guard.start)
        if evidence is not None:
            await anyio.to_thread.run_sync(evidence.begin, _beginning(config, host))
            await anyio.to_thread.run_sync(rules.enter)
        await roll.begin()
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_on_signal, group.cancel_scope)
            group.start_soon(rules.watch)
            group.start_soon(roll.watch)
            door = served.limits.door()
            inline_bytes = config.guard.inline_bytes(door.guard_inline_bytes)
            door = replace(door, on_guard_failure=config.guard.on_failure, guard_inline_bytes=inline_bytes)
            serving = ServerSettings(host, port, door, served.limits.connections())
            router = Router(served.table, clock)
            watch = Watch(observation or Observation(), env, router, keeper, tell, guard.book if guard else None)
            watch.begin(group)
            ids = RandomIds(clock)
            desk = Desk(address, keeper, router, served.price, warden, clock, ids, change_entry(evidence))
            attendance = Attendance(evidence, evidence.name, clock) if evidence is not None else None

            def listening(url: str) -> None:
                ready(url, served)
                tell(describe(warden.rulebook))
                tell(describe_guard(config.guard))
                tell(describe_ledger(config.ledger))

            try:
                await serve(
                    serving,
                    keeper,
                    router,
                    served.price,
                    clock,
                    ids,
                    listening,
                    warden=warden,
                    observers=watch.observers,
                    exposition=watch.exposition,
                    pool=pool,
                    guard=guard,
                    beside=Entrance(desk, attendance=attendance).beside,
                    chronicle=chronicle,
                    registrar=registrar,
                )
            finally:
                with anyio.CancelScope(shield=True):
                    await watch.end()
                    if attendance is not None:
                        await attendance.close()
    except BaseExceptionGroup as errors:
        raise known_error(errors) from None
    finally:
        with anyio.CancelScope(shield=True):
            await roll.close()
            if guard is not None:
                await anyio.to_thread.run_sync(guard.stop)
            await anyio.to_thread.run_sync(keeper.stop)
            if chronicle is not None and evidence is not None:
                await anyio.to_thread.run_sync(chronicle.close)
                await anyio.to_thread.run_sync(evidence.close)


def _beginning(config: Config, host: str) -> Draft:
    """What is entered when the gateway begins to serve."""
    data: dict[str, Value] = {
        "version": __version__,
        "guard": config.guard.mode,
        "witnesses": len(config.ledger.witnesses),
        "host": host,
    }
    return Draft("configuration", "gateway", "system:gateway", data=data)


def _guard(
    settings: Screening,
    paths: StatePaths,
    env: Mapping[str, str],
    address: Address,
    served: Served,
    evidence: Evidence | None,
) -> GatewayGuard | None:
    """None where it is switched off."""
    if settings.mode == "off":
        return None
    own = own_models(served.table.routes)
    enter = partial(enter_findings, evidence, evidence.name) if evidence is not None else None
    needs = Guarding(
        settings,
        paths,
        env,
        SystemClock(),
        partial(Archive, address),
        own_models=own,
        enter=enter,
        clients=paths.home / CLIENTS_FILE,
    )
    return GatewayGuard(needs)


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return
