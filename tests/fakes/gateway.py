"""A gateway on loopback with a gatekeeper that remembers what it was told, and a raw client for it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import anyio

from fakes.ids import CountingIds
from mohist.base import Clock, SystemClock
from mohist.gateway.call import CallRecord, Dialect, Principal, Refusal, Reservation
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.exposition import Exposition
from mohist.gateway.guard import Guard
from mohist.gateway.limit import ConnectionLimits, DoorSettings
from mohist.gateway.registrar import Registrar
from mohist.gateway.route import Route, Router, RouteTable, Upstream
from mohist.gateway.server import ServerSettings, serve
from mohist.gateway.tally import Observer
from mohist.gateway.warden import Warden
from mohist.provider.price import PriceRow, Tier
from mohist.provider.tariff import Tariff

PRICE = PriceRow((Tier(0, 1_000_000, 100_000, 1_250_000, 2_000_000, 4_000_000),), "test", "2026-01-01")
PATIENCE_S = 60.0
"""No test waits longer for one thing."""


class FakeKeeper:
    """Knows one key; keeps every record."""

    def __init__(self) -> None:
        self.key = "mk-" + secrets.token_hex(16)
        self.refusal: Refusal | None = None
        """Answer of the next reservations."""
        self.reserved: list[Reservation] = []
        self.settled: list[tuple[Reservation, CallRecord]] = []
        self.turned_away: list[CallRecord] = []
        self.revoked: Refusal | None = None
        """Why calls under way may not go on."""
        self.unlisted: set[tuple[Dialect, str]] = set()
        """What its key is not for."""
        self.who = Principal("key-1", "ada")
        """Whose its key is."""
        self._changed = asyncio.Event()

    def identify(self, secret: str) -> Principal | Refusal:
        if secret != self.key:
            return Refusal("auth", 401, "This key is not known here.")
        return self.who

    def holds(self, principal: Principal) -> Refusal | None:
        return self.revoked

    def lists(self, principal: Principal, dialect: Dialect, model: str) -> bool:
        return (dialect, model) not in self.unlisted

    def reserve(
        self,
        principal: Principal,
        dialect: Dialect,
        model: str,
        client: str,
        prompt_tokens: int,
        max_output_tokens: int,
    ) -> Reservation | Refusal:
        if self.refusal is not None:
            return self.refusal
        reservation = Reservation(len(self.reserved), principal, model, 0, prompt_tokens + max_output_tokens)
        self.reserved.append(reservation)
        return reservation

    def settle(self, reservation: Reservation, record: CallRecord) -> None:
        self.settled.append((reservation, record))
        self._changed.set()

    def refused(self, principal: Principal | None, record: CallRecord) -> None:
        self.turned_away.append(record)
        self._changed.set()

    @property
    def records(self) -> list[CallRecord]:
        return [record for _, record in self.settled] + self.turned_away

    async def recorded(self, count: int = 1) -> list[CallRecord]:
        """The records, once there are `count`."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.records) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.records


@dataclass
class Gateway:
    """A running gateway as a test sees it."""

    url: str
    keeper: FakeKeeper
    router: Router
    stop: Callable[[], None]
    """Ends the server, as a signal would; calls under way get a second."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def post(
        self, path: str, body: bytes, headers: Iterable[tuple[str, str]] = (), *, key: str | None = None
    ) -> Answered:
        """A whole call."""
        async with self.open(path, body, headers, key=key) as call:
            return await call.rest()

    @contextlib.asynccontextmanager
    async def open(
        self, path: str, body: bytes, headers: Iterable[tuple[str, str]] = (), *, key: str | None = None
    ) -> AsyncIterator[Talk]:
        """A call that can be read in pieces and hung up on."""
        shown = [("authorization", f"Bearer {self.keeper.key if key is None else key}")]
        lines = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {len(body)}"]
        if any(name == "authorization" for name, _ in headers) or key == "":
            shown = []
        lines += [f"{name}: {value}" for name, value in [*shown, *headers]]
        async with self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body) as talk:
            yield talk

    @contextlib.asynccontextmanager
    async def raw(self, data: bytes) -> AsyncIterator[Talk]:
        """A connection on which `data` was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            yield Talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@dataclass
class Answered:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True
    """False: the connection broke before the end."""


@dataclass
class Talk:
    """One connection of the raw client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pieces: list[bytes] = field(default_factory=list)

    async def head(self) -> Answered:
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        return Answered(int(first.split(" ")[1]), headers, b"")

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        async with asyncio.timeout(PATIENCE_S):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> Answered:
        answered = await self.head()
        try:
            if answered.headers.get("transfer-encoding") == "chunked":
                while chunk := await self.chunk():
                    answered.body += chunk
            else:
                async with asyncio.timeout(PATIENCE_S):
                    answered.body = await self.reader.readexactly(int(answered.headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError):
            answered.whole = False
        return answered

    def hang_up(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def gateway(
    routes: Sequence[Route],
    door: DoorSettings | None = None,
    connections: ConnectionLimits | None = None,
    *,
    observers: Sequence[Observer] = (),
    exposition: Exposition | None = None,
    warden: Warden | None = None,
    guard: Guard | None = None,
    chronicle: Chronicle | None = None,
    registrar: Registrar | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Gateway]:
    """Serves `routes` on a free port until the block ends."""
    keeper = FakeKeeper()
    clock = clock or SystemClock()
    router = Router(RouteTable(routes), clock)
    settings = ServerSettings(door=door or DoorSettings(), connections=connections or ConnectionLimits(), drain_s=1)
    async with anyio.create_task_group() as group:
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stopping = anyio.CancelScope()

        async def run() -> None:
            with stopping:
                await serve(
                    settings,
                    keeper,
                    router,
                    lambda _u, _m: Tariff(PRICE),
                    clock,
                    CountingIds(),
                    started.set_result,
                    warden=warden,
                    observers=observers,
                    exposition=exposition,
                    guard=guard,
                    chronicle=chronicle,
                    registrar=registrar,
                )

        group.start_soon(run)
        async with asyncio.timeout(PATIENCE_S):
            url = await started
        try:
            yield Gateway(url, keeper, router, stopping.cancel)
        finally:
            stopping.cancel()


def at(url: str, dialect: Dialect = "openai-chat", name: str = "one", key: str = "", **more: object) -> Upstream:
    """An upstream at a fake's address."""
    return Upstream(name, dialect, url + "/v1", lambda: key, **more)  # type: ignore[arg-type]
