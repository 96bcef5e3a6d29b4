"""One connection of a confined program, from what it asks for to its end."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

import anyio
import h11
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from mohist.base import Clock
from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence import hello, socks
from mohist.sandbox.fence.address import address_of, parse_host, split_authority
from mohist.sandbox.fence.authority import Authority
from mohist.sandbox.fence.dial import Resolve, dial
from mohist.sandbox.fence.exchange import METHODS, Lane, exchange, header, refusal_head, refusal_text
from mohist.sandbox.fence.limit import FenceLimits
from mohist.sandbox.fence.name import NameTable
from mohist.sandbox.fence.stream import GONE, Meter, Peeked, join, pipe
from mohist.sandbox.fence.wish import Asked, Attempt, Decision, Dial, Outcome, Refuse, Serve

_HTTP, _HTTPS = 80, 443
_LINGER_S: Final = 1.0
_CONNECT: Final = re.compile(rb"CONNECT ([\x21-\x7e]+) HTTP/1\.[01]\r\n", re.ASCII)
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp]://([^/?#]*)([/?].*)?", re.DOTALL)
_LONGEST_METHOD: Final = max(len(method) for method in METHODS)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all connections of a fence share."""

    decide: Callable[[Asked], Decision]
    record: Callable[[Attempt], None]
    limits: FenceLimits
    names: NameTable
    resolve: Resolve
    clock: Clock
    spend: Callable[[int], None]
    authority: Authority | None
    trust: Callable[[], ssl.SSLContext]
    """For TLS to the outside, where the program's was ended here."""

    def meter(self) -> Meter:
        return Meter(self.limits.connection_bytes, self.spend)

    def judge(self, asked: Asked) -> Dial | Serve:
        """Raises FencedError for a refusal."""
        decision = self.decide(asked)
        if isinstance(decision, Refuse):
            raise FencedError(decision.code, decision.reason)
        return decision

    def known(self, asked: Asked) -> Asked:
        """By name, where the address is one that the fence gave out."""
        name = self.names.name(asked.host)
        return replace(asked, host=name) if name else asked


class Trace:
    """Records one wish once, whatever becomes of it. FencedError and a broken connection end here.

    Args:
        before: what the meter showed, out and in, when the wish began.
    """

    def __init__(self, ground: Ground, asked: Asked, meter: Meter, before: tuple[int, int] = (0, 0)) -> None:
        self._ground = ground
        self._asked = asked
        self._meter = meter
        self._at_ms = ground.clock.now_ms()
        self._before = before
        self.outcome: Outcome = "failed"
        self.address = ""
        self.error: FencedError | None = None
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, FencedError):
            self.error = error
        elif isinstance(error, GONE) and self.outcome == "failed":
            self.error = FencedError("broken", "The connection broke off.", failed=True)
        self.close()
        return isinstance(error, (FencedError, *GONE))

    def close(self) -> None:
        """Writes the record."""
        if self._done:
            return
        self._done = True
        error = self.error
        outcome: Outcome = self.outcome if error is None else "failed" if error.failed else "refused"
        sent, received = self._meter.sent_bytes - self._before[0], self._meter.received_bytes - self._before[1]
        self._ground.record(
            Attempt(
                self._at_ms, self._asked, outcome, error.code if error else "", error.reason if error else "",
                self.address, sent, received,
            )
        )  # fmt: skip


Reply = Callable[[FencedError | None], Awaitable[None]]
"""Tells the program yes (None) or no, in its way of asking."""


async def serve_proxy(ground: Ground, stream: ByteStream) -> None:
    """A connection to the proxy's port."""
    meter = ground.meter()
    client = Peeked(stream, meter)
    with suppress(*GONE, TimeoutError):
        with anyio.fail_after(ground.limits.head_s):
            first = await client.peek(ground.limits.head_bytes)
            while len(first) < _LONGEST_METHOD and b"CONNECT ".startswith(first):
                first = await client.peek(ground.limits.head_bytes)
        if first[0] in socks.FIRST_BYTES:
            await _serve_socks(ground, client, meter)
        elif first.startswith(b"CONNECT "):
            await _serve_connect(ground, client, meter)
        else:
            await _serve_requests(ground, client, meter)


async def serve_direct(ground: Ground, stream: ByteStream, address: str, port: int) -> None:
    """A connection that knows nothing of a proxy, to whatever address."""
    meter = ground.meter()
    client = Peeked(stream, meter)

    async def reply(error: FencedError | None) -> None:
        if error is not None:
            await _refuse_raw(client, error)

    await _tunnel(ground, client, meter, ground.known(Asked("direct", address, port)), reply)


async def _serve_socks(ground: Ground, client: Peeked, meter: Meter) -> None:
    version = client.seen[0]

    async def reply(error: FencedError | None) -> None:
        await socks.reply(client, version, "" if error is None else "failed" if error.failed else error.code)

    try:
        with anyio.fail_after(ground.limits.head_s):
            asked = await socks.read_wish(client)
    except FencedError as error:
        await _refuse_unread(ground, "socks", meter, error, reply)
        return
    await _tunnel(ground, client, meter, ground.known(asked), reply)


async def _serve_connect(ground: Ground, client: Peeked, meter: Meter) -> None:
    async def reply(error: FencedError | None) -> None:
        if error is None:
            await client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            await _send_refusal(client, error)

    try:
        with anyio.fail_after(ground.limits.head_s):
            head = client.seen
            while b"\r\n\r\n" not in head:
                head = await client.peek(ground.limits.head_bytes)
        found = _CONNECT.match(head)
        if found is None:
            raise FencedError("protocol", "The proxy's request is broken.")
        host, port = split_authority(found[1].decode("ascii"))
    except FencedError as error:
        await _refuse_unread(ground, "connect", meter, error, reply)
        return
    client.take(head.index(b"\r\n\r\n") + 4)
    await _tunnel(ground, client, meter, ground.known(Asked("connect", host, port)), reply)


async def _refuse_unread(ground: Ground, carrier: str, meter: Meter, error: FencedError, reply: Reply) -> None:
    """A wish that could not be read: what it was for is in the reason."""
    asked = Asked("socks" if carrier == "socks" else "connect" if carrier == "connect" else "http", "", 0)
    with Trace(ground, asked, meter) as trace:
        trace.error = error
    with suppress(*GONE, FencedError):
        await reply(error)


async def _serve_requests(ground: Ground, client: Peeked, meter: Meter) -> None:
    """Plain HTTP by the proxy: each request names where it goes."""
    lanes = _Lanes(ground, meter)
    async with anyio.create_task_group() as group:
        lanes.group = group
        try:
            await exchange(client, ground.limits, lanes.open, lanes.finish)
        finally:
            with anyio.CancelScope(shield=True):
                await lanes.close()
        group.cancel_scope.cancel()


class _Lanes:
    """The other sides of one proxy connection: the last one is kept for the next request."""

    group: anyio.abc.TaskGroup

    def __init__(self, ground: Ground, meter: Meter) -> None:
        self._ground = ground
        self._meter = meter
        self._key: tuple[str, int, Decision] | None = None
        self._lane: Lane | None = None
        self._address = ""
        self._trace: Trace | None = None
        self._before = (0, 0)

    async def open(self, request: h11.Request) -> Lane:
        target = request.target
        found = _ABSOLUTE.fullmatch(target)
        self._trace = trace = Trace(self._ground, Asked("http", "", 0), self._meter, self._before)
        if found is None:
            raise FencedError("protocol", "A request to the proxy must name http://host/.")
        host, port = split_authority(found[1].decode("latin-1"), _HTTP)
        asked = self._ground.known(Asked("http", host, port))
        self._trace = trace = Trace(self._ground, asked, self._meter, self._before)
        _check_host(request, host, port, _HTTP)
        decision = self._ground.judge(asked)
        if self._lane is None or self._key != (host, port, decision) or not self._lane.reusable:
            await self._leave()
            stream = await self._reach(asked, decision)
            self._lane, self._key = Lane(stream, b""), (host, port, decision)
        trace.outcome = "through" if isinstance(decision, Dial) else "served"
        trace.address = self._address
        lane = self._lane
        lane.target = found[2] or b"/"
        lane.target = lane.target if lane.target.startswith(b"/") else b"/" + lane.target
        if isinstance(decision, Dial):
            lane.credentials = decision.credentials
            lane.host = _authority(decision.host, decision.port or port, _HTTP) if decision.host else b""
        return lane

    async def _reach(self, asked: Asked, decision: Dial | Serve) -> ByteStream:
        if isinstance(decision, Dial):
            limits = self._ground.limits
            stream, self._address = await dial(asked, decision, self._ground.resolve, limits.dial_s)
            return stream
        self._address = ""
        near, far = pipe()

        async def handle() -> None:
            try:
                await decision.handler(far, asked)
            except GONE:
                pass
            finally:
                with anyio.CancelScope(shield=True):
                    await far.aclose()

        self.group.start_soon(handle)
        return near

    async def finish(self, error: FencedError | None) -> None:
        if self._trace is not None:
            self._trace.error = error
            self._trace.close()
            self._trace = None
            self._before = (self._meter.sent_bytes, self._meter.received_bytes)

    async def close(self) -> None:
        await self._leave()
        await self.finish(None)

    async def _leave(self) -> None:
        if self._lane is not None:
            await self._lane.stream.aclose()
            self._lane = None


async def _tunnel(ground: Ground, client: Peeked, meter: Meter, asked: Asked, reply: Reply) -> None:
    """A connection whose content is the program's: TLS, HTTP or anything else."""
    answered = False
    with Trace(ground, asked, meter) as trace:
        try:
            decision = ground.judge(asked)
            if isinstance(decision, Serve):
                await reply(None)
                answered = True
                await _serve(ground, client, asked, decision)
                trace.outcome = "served"
                return
            server, trace.address = await dial(asked, decision, ground.resolve, ground.limits.dial_s)
            async with server:
                await reply(None)
                answered = True
                await _converse(ground, client, server, asked, decision)
                trace.outcome = "through"
        except FencedError as error:
            with suppress(*GONE, FencedError):
                await (_refuse_raw(client, error) if answered else reply(error))
            raise


async def _serve(ground: Ground, client: Peeked, asked: Asked, decision: Serve) -> None:
    if not decision.tls:
        await decision.handler(client, asked)
        return
    with anyio.fail_after(ground.limits.idle_s or None):
        first = client.seen or await client.peek(ground.limits.head_bytes)
    if first[0] != hello.HANDSHAKE:
        await decision.handler(client, asked)
        return
    said = await _read_hello(ground, client)
    with suppress(FencedError):
        asked = replace(asked, host=asked.host if address_of(asked.host) is None else parse_host(said.server_name))
    stream = await _end_tls(ground, client, asked.host)
    await decision.handler(stream, asked)
    with suppress(*GONE), anyio.move_on_after(_LINGER_S):
        await stream.aclose()


async def _converse(ground: Ground, client: Peeked, server: ByteStream, asked: Asked, decision: Dial) -> None:
    """Whatever the program says first decides how it is read; nothing leaves before."""
    if not await _client_first(client, server, asked.port, ground.limits):
        await join(client, server, ground.limits)
        return
    if client.seen[0] == hello.HANDSHAKE:
        said = await _read_hello(ground, client)
        _check_name(said, asked)
        if decision.inspect or decision.credentials:
            inner = await _end_tls(ground, client, asked.host)
            outer = await _start_tls(ground, server, decision.host or asked.host)
            await _exchange_fixed(ground, inner, outer, asked, decision, _HTTPS)
            return
        if said.encrypted and not ground.limits.encrypted_hello:
            raise FencedError("ech", "The ClientHello is encrypted, so whom it is for can't be seen.")
    elif await _speaks_http(client, ground.limits):
        await _exchange_fixed(ground, client, server, asked, decision, _HTTP)
        return
    await join(client, server, ground.limits)


async def _client_first(client: Peeked, server: ByteStream, port: int, limits: FenceLimits) -> bool:
    """Whether the program spoke first; where the protocol is known to start so, the other side is not listened to."""
    if client.seen:
        return True
    if port in (_HTTP, _HTTPS):
        with anyio.fail_after(limits.head_s):
            await client.peek(limits.head_bytes)
        return True
    early = b""

    async def listen() -> None:
        nonlocal early
        with suppress(*GONE):
            early = await server.receive()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        with suppress(anyio.EndOfStream):
            await client.peek(limits.head_bytes)
        group.cancel_scope.cancel()
    if early:
        await client.send(early)
    return bool(client.seen) and not early


async def _read_hello(ground: Ground, client: Peeked) -> hello.Hello:
    try:
        with anyio.fail_after(ground.limits.head_s):
            while (said := hello.parse_hello(client.seen)) is None:
                await client.peek(ground.limits.head_bytes)
    except TimeoutError:
        raise FencedError("timeout", "The ClientHello did not come in time.") from None
    return said


def _check_name(said: hello.Hello, asked: Asked) -> None:
    """What TLS says and what was allowed must be the same."""
    if address_of(asked.host) is not None:
        if said.server_name:
            raise FencedError("sni-mismatch", f"TLS is for {said.server_name[:80]!r}, the connection for {asked.host}.")
        return
    if not said.server_name:
        raise FencedError("sni-missing", f"TLS does not say that it is for {asked.host}.")
    if parse_host(said.server_name) != asked.host:
        raise FencedError("sni-mismatch", f"TLS is for {said.server_name[:80]!r}, the connection for {asked.host}.")


async def _speaks_http(client: Peeked, limits: FenceLimits) -> bool:
    with anyio.fail_after(limits.head_s):
        while len(client.seen) < _LONGEST_METHOD and any(method.startswith(client.seen) for method in METHODS):
            await client.peek(limits.head_bytes)
    return client.seen.startswith(METHODS)


async def _exchange_fixed(
    ground: Ground, client: ByteStream, server: ByteStream, asked: Asked, decision: Dial, usual_port: int
) -> None:
    """HTTP on a connection to one host: no request may be for another one."""
    lane = Lane(server, b"", credentials=decision.credentials)
    if decision.host:
        lane.host = _authority(decision.host, decision.port or asked.port, usual_port)
    refused: FencedError | None = None

    async def open_lane(request: h11.Request) -> Lane:
        found = _ABSOLUTE.fullmatch(request.target)
        if found is not None and split_authority(found[1].decode("latin-1"), usual_port)[0] != asked.host:
            raise FencedError("host-mismatch", f"The request is not for {asked.host}.")
        _check_host(request, asked.host, asked.port, usual_port)
        lane.target = (found[2] or b"/") if found is not None else bytes(request.target)
        return lane

    async def finish(error: FencedError | None) -> None:
        nonlocal refused
        refused = error

    stream = client if isinstance(client, Peeked) else Peeked(client)
    await exchange(stream, ground.limits, open_lane, finish)
    if refused is not None:
        raise _ToldError(refused.code, refused.reason, failed=refused.failed)


class _ToldError(FencedError):
    """The program knows already."""


def _check_host(request: h11.Request, host: str, port: int, usual_port: int) -> None:
    said = header(request, b"host").decode("latin-1")
    if said and split_authority(said, usual_port) != (host, port):
        raise FencedError("host-mismatch", f"The Host header is not {host}, which the connection is for.")


def _authority(host: str, port: int, usual_port: int) -> bytes:
    shown = f"[{host}]" if ":" in host else host
    return (shown if port == usual_port else f"{shown}:{port}").encode()


async def _end_tls(ground: Ground, client: Peeked, host: str) -> TLSStream:
    if ground.authority is None:
        raise FencedError("no-authority", "This fence can't look into TLS, as the rule asks for.")
    try:
        with anyio.fail_after(ground.limits.head_s):
            return await TLSStream.wrap(
                client, server_side=True, ssl_context=ground.authority.context(host), standard_compatible=False
            )
    except (ssl.SSLError, TimeoutError) as error:
        text = error.reason if isinstance(error, ssl.SSLError) else "not in time"
        raise FencedError("tls", f"TLS with the program failed: {text}.", failed=True) from None


async def _start_tls(ground: Ground, server: ByteStream, host: str) -> TLSStream:
    try:
        with anyio.fail_after(ground.limits.head_s):
            return await TLSStream.wrap(server, hostname=host, ssl_context=ground.trust(), standard_compatible=False)
    except (ssl.SSLError, TimeoutError) as error:
        text = error.reason if isinstance(error, ssl.SSLError) else "not in time"
        raise FencedError("tls", f"TLS with {host} failed: {text}.", failed=True) from None


async def _refuse_raw(client: Peeked, error: FencedError) -> None:
    """In the way of whatever was being spoken, where that can be told."""
    if isinstance(error, _ToldError):
        return
    with anyio.move_on_after(_LINGER_S):
        first = client.seen or await client.peek(_LONGEST_METHOD)
        if first[0] == hello.HANDSHAKE:
            await client.send(hello.ACCESS_DENIED)
            await _linger(client)
        elif first.startswith(METHODS):
            await _send_refusal(client, error)


async def _send_refusal(client: Peeked, error: FencedError) -> None:
    text = refusal_text(error)
    status = b"502 Bad Gateway" if error.failed else b"403 Forbidden"
    head = b"".join(name + b": " + value + b"\r\n" for name, value in refusal_head(error, len(text)))
    with anyio.move_on_after(_LINGER_S):
        await client.send(b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + text)
        await _linger(client)


async def _linger(client: Peeked) -> None:
    """Ends our side first and reads what is still coming: closing on unread bytes would throw the answer away."""
    await client.send_eof()
    with suppress(*GONE):
        while True:
            await client.receive()
