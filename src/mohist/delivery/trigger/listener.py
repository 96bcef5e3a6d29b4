"""Serves the door of webhooks on uvicorn until it is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, cast

import anyio
import uvicorn

from mohist.delivery.trigger.setting import Listening
from mohist.gateway.asgi import App
from mohist.gateway.limit import ConnectionLimits
from mohist.gateway.peer import PeerConnection, Peers

AGAIN_S: Final = 5.0
"""Where another process of this machine listens there already, this one takes its place once it is gone."""
DRAIN_S: Final = 10
_LOG: Final = logging.getLogger(__name__)


async def listen(app: App, settings: Listening, ready: Callable[[str], None]) -> None:
    """Serves until cancelled. While the address is taken, as by another worker of this machine, it waits for it.

    Args:
        app: the door.
        settings: where, and the limits.
        ready: told the address once requests are taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    said = False
    while True:
        try:
            listener = socket.create_server((settings.host, settings.port), family=family)
            break
        except OSError as error:
            if not said:
                _LOG.warning("Webhooks can't be taken at %s:%d: %s", settings.host, settings.port, error.strerror)
                said = True
        await anyio.sleep(AGAIN_S)
    limits = ConnectionLimits(max_connections=settings.max_connections)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(PeerConnection, limits, Peers())),
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server = _Server(config, lambda: ready(f"http://{host}:{listener.getsockname()[1]}"))
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(running)
    finally:
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await running
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn's server, without its hands on the process's signals."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
