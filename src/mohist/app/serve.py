"""The gateway from the configuration: routes, prices and keys, served until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio

from mohist.app.ending import known_error
from mohist.app.errors import ConfigError
from mohist.app.price import check_providers, contracts
from mohist.app.route import Served, from_file, from_keys
from mohist.base import RandomIds, StatePaths, SystemClock
from mohist.gateway.keeper import Keeper
from mohist.gateway.route import Router
from mohist.gateway.server import ServerSettings, serve
from mohist.provider.catalogue import catalogue


async def run_gateway(
    env: Mapping[str, str], host: str, port: int, routes: Path | None, ready: Callable[[str, Served], None]
) -> None:
    """Serves until TERM or Ctrl-C; calls under way may end.

    Raises:
        ConfigError: no route, or a file that says what it may not.
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
    keeper = Keeper(paths.home, lambda model, usage: served.dearest(model, usage, clock.now_ms()), clock)
    await anyio.to_thread.run_sync(keeper.start)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_on_signal, group.cancel_scope)
            settings = ServerSettings(host, port)
            router = Router(served.table, clock)
            await serve(settings, keeper, router, served.price, clock, RandomIds(clock), lambda url: ready(url, served))
    except BaseExceptionGroup as errors:
        raise known_error(errors) from None
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(keeper.stop)


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return
