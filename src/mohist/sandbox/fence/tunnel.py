"""A connection whose content is the program's: TLS, HTTP or anything else, to one host that was asked for."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio
import h11
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence import hello
from mohist.sandbox.fence.address import address_of, parse_host
from mohist.sandbox.fence.dial import dial
from mohist.sandbox.fence.exchange import (
    METHODS,
    STATUS,
    Lane,
    exchange,
    host_header,
    refusal_head,
    refusal_text,
    told_target,
)
from mohist.sandbox.fence.ground import Ground, Reply, Trace
from mohist.sandbox.fence.limit import FenceLimits
from mohist.sandbox.fence.stream import GONE, Meter, Peeked, join
from mohist.sandbox.fence.wish import Asked, Dial, Serve

_HTTP, _HTTPS = 80, 443
_LINGER_S: Final = 1.0
_LONGEST_METHOD: Final = max(len(method) for method in METHODS)
_HTTP2: Final = b"PRI * HTTP/2"
"""How HTTP/2 starts without being negotiated (RFC 9113, 3.4)."""
_log = logging.getLogger(__name__)


class _ToldError(FencedError):
    """The program knows already."""


async def tunnel(ground: Ground, client: Peeked, meter: Meter, asked: Asked, reply: Reply) -> None:
    """Judges, reaches, answers, and carries to the end; the wish is recorded."""
    answered = False
    with Trace(ground, asked, meter) as trace:
        try:
            decision = ground.judge(asked)
            if isinstance(decision, Serve):
                await reply(None)
                answered = True
                trace.outcome = "served"
                await _serve(ground, client, asked, decision)
                return
            server, trace.address = await dial(asked, decision, ground.resolve, ground.limits.dial_s)
            async with server:
                await reply(None)
                answered = True
                await _converse(ground, client, server, trace, decision)
        except FencedError as error:
            with suppress(*GONE, FencedError):
                await (refuse_raw(client, error) if answered else reply(error))
            raise


async def handle(decision: Serve, stream: ByteStream, asked: Asked) -> None:
    """Mohist's own answer. Raises FencedError where that fails."""
    try:
        await decision.handler(stream, asked)
    except (FencedError, *GONE):
        raise
    except Exception as error:  # noqa: BLE001 - a task's boundary: no handler's fault may end the fence
        _log.warning("an answer for %s failed", asked.host, exc_info=True)
        raise FencedError("handler", f"Mohist's own answer failed: {type(error).__name__}.", failed=True) from None


async def refuse_raw(client: Peeked, error: FencedError) -> None:
    """In the way of whatever is being spoken, where that can be told."""
    if isinstance(error, _ToldError):
        return
    with anyio.move_on_after(_LINGER_S):
        first = client.seen or await client.peek(_LONGEST_METHOD)
        if first[0] == hello.HANDSHAKE:
            await client.send(hello.ACCESS_DENIED)
            await _linger(client)
        elif first.startswith(METHODS):
            await send_refusal(client, error)


async def send_refusal(client: Peeked, error: FencedError) -> None:
    """As an HTTP answer; whatever else the program sends is read and thrown away for a moment."""
    text = refusal_text(error)
    status = b"%d %s" % STATUS[error.failed]
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


async def _serve(ground: Ground, client: Peeked, asked: Asked, decision: Serve) -> None:
    if not decision.tls:
        await handle(decision, client, asked)
        return
    with anyio.fail_after(ground.limits.idle_s or None):
        first = client.seen or await client.peek(ground.limits.head_bytes)
    if first[0] != hello.HANDSHAKE:
        await handle(decision, client, asked)
        return
    said = await _read_hello(ground, client)
    host = asked.host
    if address_of(host) is not None:  # the certificate must be for whom the program believes to speak to
        with suppress(FencedError):
            host = parse_host(said.server_name)
    stream = await _end_tls(ground, client, host)
    await handle(decision, stream, replace(asked, host=host))
    with suppress(*GONE), anyio.move_on_after(_LINGER_S):
        await stream.aclose()


async def _converse(ground: Ground, client: Peeked, server: ByteStream, trace: Trace, decision: Dial) -> None:
    """What the program says first decides how it is read; nothing leaves before."""
    asked, limits = trace.asked, ground.limits
    inspected = decision.inspect or bool(decision.credentials)
    if await _client_first(client, server, asked.port, limits):
        if client.seen[0] == hello.HANDSHAKE:
            said = await _read_hello(ground, client)
            _check_name(said, asked)
            if inspected:
                inner = await _end_tls(ground, client, asked.host)
                outer = await _start_tls(ground, server, decision.host or asked.host)
                trace.outcome = "through"
                await _exchange(ground, inner, outer, asked, decision, _HTTPS)
                return
            if said.encrypted and not limits.encrypted_hello:
                raise FencedError("ech", "The ClientHello is encrypted, so whom it is for can't be seen.")
        elif await _speaks_http(client, limits):
            trace.outcome = "through"
            await _exchange(ground, client, server, asked, decision, _HTTP)
            return
        elif client.seen.startswith(_HTTP2):
            raise FencedError("protocol", "HTTP/2 without TLS can't be checked.")
    if inspected:
        raise FencedError("protocol", "Only HTTP can be looked into, as the rule asks for.")
    trace.outcome = "through"
    await join(client, server, limits)


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
        with suppress(*GONE):
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
    starts = (*METHODS, _HTTP2)
    with anyio.fail_after(limits.head_s):
        while not client.seen.startswith(starts) and any(start.startswith(client.seen) for start in starts):
            await client.peek(limits.head_bytes)
    return client.seen.startswith(METHODS)


async def _exchange(
    ground: Ground, client: ByteStream, server: ByteStream, asked: Asked, decision: Dial, usual_port: int
) -> None:
    """HTTP on a connection to one host: no request may be for another one."""
    lane = Lane(server, b"", credentials=decision.credentials)
    if decision.host:
        lane.host = host_header(decision.host, decision.port or asked.port, usual_port)
    refused: FencedError | None = None

    async def open_lane(request: h11.Request) -> Lane:
        lane.target = told_target(request, asked.host, asked.port, usual_port)
        return lane

    async def finish(error: FencedError | None) -> None:
        nonlocal refused
        refused = error

    await exchange(client if isinstance(client, Peeked) else Peeked(client), ground.limits, open_lane, finish)
    if refused is not None:
        raise _ToldError(refused.code, refused.reason, failed=refused.failed)


async def _end_tls(ground: Ground, client: Peeked, host: str) -> TLSStream:
    if ground.authority is None:
        raise FencedError("no-authority", "This fence can't look into TLS, as the rule asks for.")
    context = ground.authority.context(host)
    try:
        with anyio.fail_after(ground.limits.head_s):
            return await TLSStream.wrap(client, server_side=True, ssl_context=context, standard_compatible=False)
    except (ssl.SSLError, TimeoutError) as error:
        raise FencedError("tls", f"TLS with the program failed: {_said(error)}.", failed=True) from None


async def _start_tls(ground: Ground, server: ByteStream, host: str) -> TLSStream:
    try:
        with anyio.fail_after(ground.limits.head_s):
            return await TLSStream.wrap(server, hostname=host, ssl_context=ground.trust(), standard_compatible=False)
    except (ssl.SSLError, TimeoutError) as error:
        raise FencedError("tls", f"TLS with {host} failed: {_said(error)}.", failed=True) from None


def _said(error: OSError) -> str:
    return str(error.reason) if isinstance(error, ssl.SSLError) else "not in time"
