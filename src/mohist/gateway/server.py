"""Runs the door on uvicorn until it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio
import uvicorn

from mohist.base import Clock, IdSource
from mohist.gateway.asgi import App
from mohist.gateway.attempt import Attempts
from mohist.gateway.call import Gatekeeper
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.door import Door
from mohist.gateway.errors import AddressError
from mohist.gateway.guard import Guard
from mohist.gateway.limit import ConnectionLimits, DoorSettings
from mohist.gateway.peer import PeerConnection, Peers
from mohist.gateway.registrar import Registrar
from mohist.gateway.route import Router
from mohist.gateway.tally import Observer, Prices
from mohist.gateway.warden import Warden
from mohist.gateway.wire import Pool

if TYPE_CHECKING:
    from mohist.gateway.exposition import Exposition

BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the gateway listens, and its limits."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    door: DoorSettings = field(default_factory=DoorSettings)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    drain_s: int = 30
    """Calls under way get so long to end when the server stops."""


async def serve(
    settings: ServerSettings,
    gatekeeper: Gatekeeper,
    router: Router,
    prices: Prices,
    clock: Clock,
    ids: IdSource,
    ready: Callable[[str], None],
    tls: ssl.SSLContext | None = None,
    warden: Warden | None = None,
    observers: Sequence[Observer] = (),
    exposition: Exposition | None = None,
    pool: Pool | None = None,
    guard: Guard | None = None,
    beside: Callable[[App], App] | None = None,
    chronicle: Chronicle | None = None,
    registrar: Registrar | None = None,
) -> None:
    """Serves until cancelled, then lets the calls under way end.

    Args:
        settings: address and limits.
        gatekeeper: identifies, reserves, settles.
        router: routes; assign `router.table` to change them while it runs.
        prices: what usage is billed by.
        clock: time.
        ids: of calls.
        ready: told the base URL once connections are taken.
        tls: for the upstreams; None: the system's certificate authorities.
        warden: the rules; `take` others while it runs. None: none, and none can come.
        observers: told of every call.
        guard: looks at what calls carry; None: nobody does.
        exposition: serves `/metrics`; None: nothing is there.
        beside: makes an application that has paths of its own and passes everything else on; None: there are none.
        chronicle: enters calls in the ledger; None: nothing is entered.
        registrar: the software register; `take` others while it runs. None: every tool may call.
        pool: the way to the upstreams, closed at the end; None: plain connections.

    Raises:
        AddressError: the address is taken or not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"The gateway can't listen on {settings.host!r} port {settings.port}: {error.strerror}."
        raise AddressError(what, "Choose another address or stop what uses it.") from error
    pool = pool or Pool(tls)
    attempts = Attempts(pool, router, settings.door.ping_after_s, settings.door.on_account_change)
    door = Door(
        settings.door,
        gatekeeper,
        router,
        attempts,
        prices,
        clock,
        ids,
        warden,
        observers,
        guard,
        chronicle,
        registrar,
    )
    app: App = door if exposition is None else exposition.beside(door)
    config = uvicorn.Config(
        app if beside is None else beside(app),
        http=cast("type[asyncio.Protocol]", partial(PeerConnection, settings.connections, Peers())),
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # what is worth saying of a call is in its record; a broken-off answer is no error of ours
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=settings.connections.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_s,
        backlog=BACKLOG,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server = _Server(config, lambda: ready(f"http://{host}:{listener.getsockname()[1]}"))
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    patrol = asyncio.ensure_future(door.patrol.run())
    try:
        await asyncio.shield(running)
    finally:
        patrol.cancel()
        server.stop()
        with anyio.CancelScope(shield=True):
            await running
        pool.close()
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn's server, without its hands on the process's signals."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Takes no more calls; those under way may end."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        """Until stopped. uvicorn looks ten times a second, for things that are switched off here."""
        await self._stopped.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
