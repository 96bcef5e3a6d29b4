"""An ASGI application served on streams that somebody else accepted: the gateway's own HTTP server without a port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import uvicorn
from anyio.abc import ByteStream
from uvicorn.server import ServerState

from mohist.gateway.asgi import App
from mohist.gateway.limit import ConnectionLimits
from mohist.gateway.peer import PeerConnection, Peers

_CHUNK_BYTES: Final = 65_536


class Inlet:
    """Serves streams; each is a client's connection.

    Args:
        app: what answers.
        limits: of the connections.
    """

    def __init__(self, app: App, limits: ConnectionLimits = ConnectionLimits()) -> None:  # noqa: B008 - frozen
        self._limits = limits
        self._peers = Peers()
        self._state = ServerState()
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=limits.keep_alive_s,
        )
        self._config.load()

    async def serve(self, stream: ByteStream) -> None:
        """Until either side ends the connection; a call under way then is told that its client left."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(self._connection, theirs)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            transport.abort()
            raise
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_first, group.cancel_scope, _pump_in, stream, writer)
                group.start_soon(_first, group.cancel_scope, _pump_out, reader, stream)
        finally:
            writer.transport.abort()
            transport.abort()

    def _connection(self) -> PeerConnection:
        return PeerConnection(self._limits, self._peers, config=self._config, server_state=self._state, app_state={})


async def _first(
    scope: anyio.CancelScope,
    pump: Callable[[ByteStream, asyncio.StreamWriter], Awaitable[None]]
    | Callable[[asyncio.StreamReader, ByteStream], Awaitable[None]],
    *ends: object,
) -> None:
    """Either direction's end is the connection's: HTTP clients that half-close and still read are none of those in use."""
    await pump(*ends)  # type: ignore[arg-type]
    scope.cancel()


async def _pump_in(stream: ByteStream, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(await stream.receive(_CHUNK_BYTES))
            await writer.drain()
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        return


async def _pump_out(reader: asyncio.StreamReader, stream: ByteStream) -> None:
    try:
        while data := await reader.read(_CHUNK_BYTES):
            await stream.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        return
