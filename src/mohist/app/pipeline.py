"""The gateway in the agent's own process: every call of a run identified, decided, metered and recorded as a client's.

The door is the one that `mohist serve` runs, mounted behind the agent's HTTP client instead of a socket. Its one route is
the model of the run, with one upstream and the user's own key, so nothing is tried twice here: what a failed call is
followed by is the run's to decide.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from mohist.app.rulebook import PolicyFile, policy_path
from mohist.app.screening import Screening
from mohist.app.user import user_name
from mohist.base import Clock, IdSource, MohistError, StatePaths
from mohist.gateway.asgi import Receive, Scope, Send, refuse
from mohist.gateway.attempt import Attempts
from mohist.gateway.call import Dialect, Principal, Refusal
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.door import Door
from mohist.gateway.entry import enter_findings
from mohist.gateway.limit import DoorSettings
from mohist.gateway.resident import KEY_ID, Resident
from mohist.gateway.route import Route, Router, RouteTable, Upstream
from mohist.gateway.warden import Warden
from mohist.gateway.wire import Pool
from mohist.provider import quirk
from mohist.provider.message import Usage
from mohist.provider.resolution import LOOPBACK, ResolvedModel
from mohist.provider.tariff import Contract, tariff
from mohist.provider.transport import Timeouts

if TYPE_CHECKING:
    import httpx2

    from mohist.app.config import Gateway
    from mohist.app.evidence import Evidence
    from mohist.app.guard import GatewayGuard
    from mohist.gateway.screen.archive import Archive

_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy"})
MANAGED_PRICES: Final = Path("/etc/mohist/prices.toml")
BASE_URL: Final = "http://in-process/v1"
"""Where the adapters post to; no name is looked up."""


class Pipeline:
    """Serves the calls of one run.

    Order of use: construct, `start`, `client`…, `close`.

    Args:
        model: what is called.
        env: for the key, read at each call.
        database: where budgets and usage are.
        home: the state folder, whose budgets bind and where usage goes.
        project: of the run.
        clock: time.
        ids: of calls.
        guarding: what is asked of the guard; None: nothing, as is "off".
        evidence: the ledger; None: nothing is entered.
    """

    def __init__(
        self,
        model: ResolvedModel,
        env: Mapping[str, str],
        database: Gateway,
        home: Path,
        project: str,
        clock: Clock,
        ids: IdSource,
        guarding: Screening | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        limits = Timeouts()
        key = model.key(env)
        assert model.dialect != "replay"
        upstream = Upstream(
            name=model.provider,
            provider=model.provider,
            self_hosted=urlsplit(model.base_url).hostname in LOOPBACK,
            dialect=model.dialect,
            base_url=model.base_url,
            key=key.reveal if key is not None else lambda: "",
            bearer=True if quirk.BEARER in model.caps.quirks else None,
            headers=tuple((name.lower(), value) for name, value in model.headers.items()),
            own=True,
            ask_usage=False,
            connect_timeout_s=limits.connect_s,
            first_byte_timeout_s=limits.idle_s,
            idle_timeout_s=limits.idle_s,
        )
        self._dialect: Dialect = model.dialect
        self._home = home
        self._clock = clock
        self._tariff = tariff(model.price, _contracts(home), provider=model.provider, model=model.wire)
        self._warden = Warden()
        who = Principal(KEY_ID, user_name(), project)
        self._keeper = Resident(home, database.variables, who, self._dearest, clock, on_loss=database.on_loss)
        # Nobody stands between this door and its client who could take silence for an end.
        guarding = guarding or Screening(mode="off")
        settings = DoorSettings(
            ping_after_s=limits.idle_s,
            on_guard_failure=guarding.on_failure,
            guard_inline_bytes=guarding.inline_bytes(DoorSettings().guard_inline_bytes),
        )
        self._guard = _guard(guarding, home, env, database, clock, evidence)
        self._evidence = evidence
        self._pool = _pool(model.base_url)
        self._chronicle = Chronicle(evidence, evidence.name) if evidence is not None else None
        router = Router(RouteTable([Route(model.wire, (upstream,))]), clock)
        attempts = Attempts(self._pool, router, settings.ping_after_s)
        self._door = Door(
            settings,
            self._keeper,
            router,
            attempts,
            lambda _end, _model: self._tariff,
            clock,
            ids,
            self._warden,
            guard=self._guard,
            chronicle=self._chronicle,
        )
        self._client: httpx2.AsyncClient
        self._reading: asyncio.Future[None]

    def start(self) -> httpx2.AsyncClient:
        """The client whose calls come here. Budgets and rules are read meanwhile; a call waits for them."""
        import httpx2

        from mohist.provider.mount import Mount

        self._reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        self._client = httpx2.AsyncClient(transport=Mount(self._serve), trust_env=False)
        return self._client

    async def close(self) -> int:
        """Ends the calls under way and writes usage down; how many calls could not be written."""
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._reading])
            await self._client.aclose()
            self._pool.close()
            if self._chronicle is not None:
                await anyio.to_thread.run_sync(self._chronicle.close)
            if self._guard is not None:
                await anyio.to_thread.run_sync(self._guard.stop)
            await anyio.to_thread.run_sync(self._keeper.stop)
        return self._keeper.unwritten

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.shield(self._reading)
        except MohistError as error:
            # No wait makes this right, so the run ends and says it.
            await refuse(send, self._dialect, Refusal("bad_request", 500, str(error)))
            return
        await self._door(scope, receive, send)

    def cost_microusd(self, usage: Usage) -> int | None:
        """What the gateway bills for a call that is made now."""
        return self._tariff.bill(usage, at_ms=self._clock.now_ms()).cost_microusd

    def _dearest(self, usage: Usage) -> int | None:
        return self._tariff.dearest_microusd(usage, at_ms=self._clock.now_ms())

    def _read(self) -> None:
        self._keeper.start()
        enter = self._evidence.append if self._evidence is not None else None
        rules = PolicyFile(policy_path(self._home, None), self._warden, lambda _line: None, enter, "run")
        rules.begin(must_exist=False)
        if self._warden.rulebook is not None:
            rules.enter()
        if self._guard is not None:
            self._guard.start()


def _guard(
    settings: Screening,
    home: Path,
    env: Mapping[str, str],
    database: Gateway,
    clock: Clock,
    evidence: Evidence | None,
) -> GatewayGuard | None:
    """None where it is switched off, so that nothing of it is loaded."""
    if settings.mode == "off":
        return None
    from mohist.app.guard import GatewayGuard, Guarding

    def open_archive() -> Archive:
        from mohist.gateway.address import home_address
        from mohist.gateway.screen.archive import Archive

        return Archive(home_address(home, database.variables))

    file = None if database.variables.get("MOHIST_DATABASE_URL") else home / "gateway.db"
    enter = partial(enter_findings, evidence, evidence.name) if evidence is not None else None
    needs = Guarding(settings, StatePaths(home), env, clock, open_archive, file, waits=False, enter=enter)
    return GatewayGuard(needs)


def _pool(url: str) -> Pool:
    """Connections as the environment wants them: a run must get out of the networks that its user gets out of."""
    if not _PROXIES & {name.lower() for name in os.environ} or urlsplit(url).hostname in LOOPBACK:
        return Pool()
    from mohist.gateway.proxied import ProxiedPool, proxy_of

    proxy = proxy_of(url)
    return ProxiedPool(proxy) if proxy else Pool()


def _contracts(home: Path) -> tuple[Contract, ...]:
    """Agreed prices; what reads them is loaded where there are any."""
    if not (MANAGED_PRICES.exists() or (home / "prices.toml").exists()):
        return ()
    from mohist.app.price import contracts

    return contracts(home)
