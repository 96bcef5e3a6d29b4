"""The fence around one or more trees of one owner: their sockets, served from outside."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from anyio.abc import ByteStream, SocketAttribute, SocketStream, TaskGroup

from mohist.base import Clock, SystemClock
from mohist.sandbox.errors import FencedError, RefusedError
from mohist.sandbox.fence import name
from mohist.sandbox.fence.authority import Authority
from mohist.sandbox.fence.dial import Resolve, system_resolve
from mohist.sandbox.fence.ground import Book, Ground, Trace
from mohist.sandbox.fence.limit import FenceLimits
from mohist.sandbox.fence.post import Post, open_post
from mohist.sandbox.fence.stream import GONE, Meter
from mohist.sandbox.fence.watch import Seen, Watch
from mohist.sandbox.fence.wish import Asked, Attempt, Decision, Refuse

PROXY_PORT = 3128
_PROXY = f"http://127.0.0.1:{PROXY_PORT}"
_AUTHORITY_FILE = "/etc/mohist/authority.pem"
_BUNDLE_FILE = "/etc/mohist/bundle.pem"
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
)  # fmt: skip
"""Where distributions keep what they trust (crypto/x509/root_linux.go in Go has the same list)."""
_OF_ALL = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "npm_config_cafile",
    "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "NIX_SSL_CERT_FILE", "CODEX_CA_CERTIFICATE",
)  # fmt: skip
_ADDED = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
_DATAGRAM_BYTES = 4096
_PKTINFO = {socket.AF_INET: (socket.IPPROTO_IP, 8), socket.AF_INET6: (socket.IPPROTO_IPV6, 50)}
_PACKETS_AT_ONCE = 256
_BUSY_S = 0.05
_BACKLOG_S = 0.02
"""For connections that an ended tree has made and nobody has taken up yet."""


@dataclass(slots=True)
class _Manned:
    """What goes on at one tree's sockets."""

    lifted: anyio.Event = field(default_factory=anyio.Event)
    """Set when the tree has ended."""
    open: int = 0
    closed: anyio.Event = field(default_factory=anyio.Event)
    """Set at the next end of a connection."""


class Fence:
    """Serves trees that are started with `Profile(network="fenced", fence=...)`. An async context manager that owns its
    tasks: when it is left, nothing reaches anything any more.

    Args:
        decide: says what becomes of a wish; called on the event loop, must not block.
        record: told of each attempt, when it is over; same.
        authority: for ending TLS; None: TLS passes unread.
        limits: bounds.
        resolve: turns names into addresses; the host's own by default.
        trust: makes the context for TLS to the outside; the system's trust by default.
        clock: for the attempts' times.
    """

    def __init__(
        self,
        decide: Callable[[Asked], Decision],
        record: Callable[[Attempt], None],
        *,
        authority: Authority | None = None,
        limits: FenceLimits = FenceLimits(),  # noqa: B008 - frozen
        resolve: Resolve = system_resolve,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits
        self._authority = authority
        self._table = name.NameTable(limits.names)
        self._spent_bytes = 0
        self._open = 0
        self._manned: list[_Manned] = []
        self._quiet = anyio.Event()
        self._group: TaskGroup | None = None
        book = Book(record, limits.attempts)
        self._ground = Ground(
            decide, book, limits, self._table, resolve, clock or SystemClock(), self._spend, authority, trust
        )

    @property
    def env(self) -> Mapping[str, str]:
        """What programs inside are told: the proxy, and whom to trust: what the system does (many bring a list of their
        own, which lacks a company's authority), and the fence's authority."""
        found = {"NO_PROXY": "localhost,127.0.0.1,::1"}
        found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _PROXY)
        found |= {key.lower(): value for key, value in found.items()}
        if self._authority is not None:
            found |= dict.fromkeys(_ADDED, _AUTHORITY_FILE)
        if _system_bundle() or self._authority is not None:
            found |= dict.fromkeys(_OF_ALL, _BUNDLE_FILE)
        return found

    @property
    def files(self) -> tuple[tuple[bytes, str], ...]:
        """Contents and paths of files that are made inside."""
        made = [(b"nameserver 127.0.0.1\n", "/etc/resolv.conf")]
        bundle = _system_bundle()
        if self._authority is not None:
            made.append((self._authority.pem, _AUTHORITY_FILE))
            bundle = bundle.rstrip() + b"\n" + self._authority.pem
        return (*made, (bundle, _BUNDLE_FILE))

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        assert group is not None
        if error is None:  # what an ended tree has sent still arrives; what one that goes on does, doesn't
            while any(state.lifted.is_set() for state in self._manned):
                self._quiet = anyio.Event()
                await self._quiet.wait()
        group.cancel_scope.cancel()
        if isinstance(error, anyio.get_cancelled_exc_class()):
            await group.__aexit__(kind, error, trace)
        else:  # the body's own error stays as it is, not in a group
            await group.__aexit__(None, None, None)

    def check_open(self) -> None:
        """Raises RefusedError outside of `async with`."""
        if self._group is None:
            raise RefusedError(
                "The fence is not open, so nothing can be started behind it.", "Use `async with fence:`."
            )

    async def enclose(self, pid: int) -> Callable[[], None]:
        """Puts itself up in the network namespace of `pid`, which waits meanwhile; the result takes it down again.

        Raises SandboxError.
        """
        self.check_open()
        assert self._group is not None
        post = await anyio.to_thread.run_sync(open_post, pid, PROXY_PORT, self._limits.ports)
        state = _Manned()
        self._manned.append(state)
        self._group.start_soon(self._man, post, state)
        return state.lifted.set

    async def _man(self, post: Post, state: _Manned) -> None:
        watch = Watch(frozenset((*self._limits.ports, 53)), PROXY_PORT)
        try:
            async with anyio.create_task_group() as group:
                for each in post.proxies:
                    group.start_soon(self._accept, each, self._proxy, state)
                for each in post.direct:
                    group.start_soon(self._accept, each, self._direct, state)
                for each in post.name_streams:
                    group.start_soon(self._accept, each, self._name_stream, state)
                for each in post.names:
                    group.start_soon(self._name_server, each)
                group.start_soon(self._look_out, post.watch, watch)
                await state.lifted.wait()
                with anyio.move_on_after(self._limits.last_s):
                    await anyio.sleep(_BACKLOG_S)
                    while state.open:
                        state.closed = anyio.Event()
                        await state.closed.wait()
                group.cancel_scope.cancel()
        finally:
            post.close()
            self._manned.remove(state)
            self._quiet.set()

    async def _accept(
        self, listening: socket.socket, serve: Callable[[SocketStream], Awaitable[None]], state: _Manned
    ) -> None:
        """Takes connections up. By hand: asyncio's own accepting loses one where it is cancelled at that moment."""

        async def one(connection: socket.socket) -> None:
            try:
                connection.setblocking(False)
                stream = await SocketStream.from_socket(connection)
            except BaseException:
                connection.close()
                raise
            async with stream:
                await self._count(stream, serve, state)

        async with anyio.create_task_group() as group:
            while True:
                await anyio.wait_readable(listening)
                try:
                    connection, _ = listening.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue
                except OSError:  # no descriptor or memory is free
                    await anyio.sleep(_BUSY_S)
                    continue
                group.start_soon(one, connection)

    async def _count(
        self, stream: SocketStream, serve: Callable[[SocketStream], Awaitable[None]], state: _Manned
    ) -> None:
        if self._open >= self._limits.connections:
            asked = self._ground.known(Asked("other", *_local(stream)))
            with Trace(self._ground, asked, self._ground.meter()):
                raise FencedError("busy", f"More than {self._limits.connections} connections at once.")
            return
        self._open += 1
        state.open += 1
        try:
            await serve(stream)
        except GONE:
            return
        finally:
            self._open -= 1
            state.open -= 1
            state.closed.set()

    async def _proxy(self, stream: SocketStream) -> None:
        from mohist.sandbox.fence.passage import serve_proxy  # loads the HTTP parser, which most of Mohist does without

        await serve_proxy(self._ground, stream)

    async def _direct(self, stream: SocketStream) -> None:
        from mohist.sandbox.fence.passage import serve_direct

        await serve_direct(self._ground, stream, *_local(stream))

    async def _name_stream(self, stream: ByteStream) -> None:
        with suppress(TimeoutError):
            while True:
                with anyio.fail_after(self._limits.head_s):
                    length = int.from_bytes(await _exactly(stream, 2), "big")
                    message = await _exactly(stream, length)
                answered = self._answer(message)
                if answered is None:
                    return
                await stream.send(len(answered).to_bytes(2, "big") + answered)

    async def _name_server(self, listening: socket.socket) -> None:
        level, kind = _PKTINFO[listening.family]
        while True:
            await anyio.wait_readable(listening)
            with suppress(BlockingIOError):
                message, extra, _, sender = listening.recvmsg(_DATAGRAM_BYTES, 256)
                answered = self._answer(message)
                if answered is not None:
                    told = [(level, kind, bytes(data)) for lvl, typ, data in extra if (lvl, typ) == (level, kind)]
                    with suppress(OSError):
                        listening.sendmsg([answered], [_from_same(*each) for each in told], 0, sender)

    def _answer(self, message: bytes) -> bytes | None:
        question = name.parse_question(message)
        if question is None:
            return None
        meter = self._ground.meter()
        asked = Asked("name", question.host, 0)
        answered = name.refusal(question)
        with Trace(self._ground, asked, meter) as trace:

            def allow(host: str) -> None:
                self._ground.judge(Asked("name", host, 0))

            if question.kind_name not in ("A", "AAAA"):
                trace.note = f"asked for {question.kind_name}"
            answered, trace.address = name.answer(question, self._table, allow)
            trace.outcome = "served"
        return answered

    async def _look_out(self, watching: socket.socket, watch: Watch) -> None:
        while True:
            await anyio.wait_readable(watching)
            for _ in range(_PACKETS_AT_ONCE):
                try:
                    packet = watching.recv(256)
                except BlockingIOError:
                    break
                seen = watch.look(packet)
                if seen is not None:
                    self._note(seen)
            await anyio.lowlevel.checkpoint()

    def _note(self, seen: Seen) -> None:
        asked = self._ground.known(Asked("other", seen.host, seen.port))
        with Trace(self._ground, asked, Meter(0, self._spend)):
            decision = self._ground.decide(asked)
            code, reason = "port", f"Nothing listens there ({seen.protocol})."
            if isinstance(decision, Refuse):
                code, reason = decision.code, f"{decision.reason} ({seen.protocol})"
            raise FencedError(code, reason)

    def _spend(self, count: int) -> None:
        self._spent_bytes += count
        if self._limits.total_bytes and self._spent_bytes > self._limits.total_bytes:
            raise FencedError("budget", f"All connections together carried more than {self._limits.total_bytes} bytes.")


@cache
def _system_bundle() -> bytes:
    return next((Path(path).read_bytes() for path in _BUNDLES if Path(path).is_file()), b"")


def _local(stream: SocketStream) -> tuple[str, int]:
    """Where the program thinks it is connected to."""
    address = stream.extra(SocketAttribute.local_address)  # noqa: S610 - anyio's, not a database's
    return str(address[0]), int(address[1])


def _from_same(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """Control data that makes an answer come from the address that was asked (ip(7), ipv6(7))."""
    if level == socket.IPPROTO_IP:
        data = bytes(4) + data[8:12] + bytes(4)  # any interface, from the address in the packet's header
    return level, kind, data


async def _exactly(stream: ByteStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data
