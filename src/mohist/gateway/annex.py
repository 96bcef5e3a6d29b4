"""A second listener, for metrics alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import anyio
import uvicorn

from mohist.gateway.errors import AddressError
from mohist.gateway.exposition import Exposition

_BACKLOG = 16


async def serve_metrics(exposition: Exposition, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves until cancelled.

    Args:
        exposition: what is served, and to whom.
        host: address to listen on.
        port: 0 takes a free one.
        ready: told the base URL.

    Raises:
        AddressError: the address is taken or not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        what = f"The metrics can't be served on {host!r} port {port}: {error.strerror}."
        raise AddressError(what, "Choose another --metrics-port or stop what uses it.") from error
    config = uvicorn.Config(
        exposition.serve,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_BACKLOG,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{listener.getsockname()[1]}")
    try:
        await asyncio.shield(running)
    finally:
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await running
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn's server, without its hands on the process's signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
