"""A small TCP switch for single hosts: one address, releases behind it, and shares of new connections between them.

Turning it is one assignment, so no connection sees something in between. A connection stays with the release that it
was opened to; `drain` ends those of a release once they are silent, so that nobody's request is cut.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

_CHUNK = 64 * 1024
_CONNECT_S = 5.0
_QUIET_S = 0.5
"""A connection on which nothing has moved so long is between two requests: HTTP clients must take its end for that
(RFC 9112, 9.5), and the answer to a request that is under way moves bytes or keeps `waiting` on."""


@dataclass(eq=False, slots=True)
class _Line:
    """One connection through the switch."""

    writer: asyncio.StreamWriter
    task: asyncio.Task[None]
    moved_s: float = field(default_factory=time.monotonic)
    waiting: bool = False
    """A request went in and no byte of its answer came out yet."""


class Switch:
    """Listens, and hands each new connection to a release by share.

    Args:
        chance: a number in [0, 1) for each connection.
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._shares: tuple[tuple[str, int, int], ...] = ()
        self._lines: dict[str, set[_Line]] = {}
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Begins to listen; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def turn(self, shares: tuple[tuple[str, int, int], ...]) -> None:
        """From now on new connections go to these: name, port on loopback, weight."""
        self._shares = tuple(share for share in shares if share[2] > 0)

    async def drain(self, name: str, within_s: float) -> int:
        """Ends connections to `name` as they fall silent, and all that are left after `within_s`; returns how many."""
        end_s = time.monotonic() + within_s
        while self._lines.get(name):
            now_s = time.monotonic()
            over = now_s >= end_s
            late = [line for line in self._lines[name] if over or self._silent(line, now_s)]
            for line in late:
                line.task.cancel()
            if over:
                return len(late)
            await asyncio.sleep(0.05)
        return 0

    async def close(self) -> None:
        """Ends listening and every connection."""
        if self._server is not None:
            self._server.close()
        for lines in self._lines.values():
            for line in list(lines):
                line.task.cancel()

    @staticmethod
    def _silent(line: _Line, now_s: float) -> bool:
        return not line.waiting and now_s - line.moved_s > _QUIET_S

    def _choose(self) -> tuple[str, int] | None:
        point = self._chance() * sum(weight for _, _, weight in self._shares)
        for name, port, weight in self._shares:
            point -= weight
            if point < 0:
                return name, port
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = self._choose()
        task = asyncio.current_task()
        assert task is not None
        if chosen is None:
            writer.close()
            return
        name, port = chosen
        line = _Line(writer, task)
        self._lines.setdefault(name, set()).add(line)
        try:
            await self._carry(line, reader, port)
        except asyncio.CancelledError:
            writer.transport.abort() if line.waiting else writer.close()
        except OSError:
            writer.transport.abort()
        finally:
            self._lines[name].discard(line)
            writer.close()

    async def _carry(self, line: _Line, reader: asyncio.StreamReader, port: int) -> None:
        async with asyncio.timeout(_CONNECT_S):
            back, forth = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(line, reader, forth, inward=True))
                group.create_task(_pump(line, back, line.writer, inward=False))
        except* OSError:
            line.writer.transport.abort()
        finally:
            forth.close()


async def _pump(line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, inward: bool) -> None:
    while chunk := await reader.read(_CHUNK):
        line.moved_s, line.waiting = time.monotonic(), inward
        writer.write(chunk)
        await writer.drain()
    with suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
