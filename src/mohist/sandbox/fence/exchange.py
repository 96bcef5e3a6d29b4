"""HTTP/1.1 through the fence, request by request: both sides are parsed and written anew, so that no two readers differ.

One request is under way at a time. What it is for is asked of `open_lane` for each one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import h11
from anyio.abc import ByteStream

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.address import split_authority
from mohist.sandbox.fence.credential import Credential
from mohist.sandbox.fence.limit import FenceLimits
from mohist.sandbox.fence.scrub import Scrub
from mohist.sandbox.fence.stream import GONE, Peeked, join

_CHUNK_BYTES = 65536
_OF_THE_PROXY = (b"proxy-connection", b"proxy-authorization")
_ABSOLUTE: Final = re.compile(rb"http://([^/?#]*)([/?].*)?", re.DOTALL | re.IGNORECASE)
_LINGER_S = 1.0
METHODS = tuple(
    f"{method} ".encode() for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
)
"""How a connection starts that speaks HTTP/1."""

STATUS: Final = {False: (403, b"Forbidden"), True: (502, b"Bad Gateway")}
"""Of an answer for what was refused, and for what failed."""

_Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Lane:
    """A connection to the other side, for one request after the other."""

    stream: ByteStream
    target: bytes
    """What the request asks for there."""
    host: bytes = b""
    """Written into the Host header; empty leaves it."""
    credentials: Sequence[Credential] = ()
    side: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    @property
    def reusable(self) -> bool:
        return self.side.our_state is h11.IDLE and self.side.their_state is h11.IDLE


OpenLane = Callable[[h11.Request], Awaitable[Lane]]
"""Where a request goes. Raises FencedError for one that goes nowhere."""
Finish = Callable[[FencedError | None], Awaitable[None]]
"""Told how each request for which a lane was asked ended."""


async def exchange(client: Peeked, limits: FenceLimits, open_lane: OpenLane, finish: Finish) -> None:
    """Serves requests until the program leaves, something is refused, or the connection was turned to another protocol."""
    side = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
    while True:
        refused: FencedError | None = None
        try:
            request = await _read_request(side, client, limits)
            if request is None:
                return
            if request.method == b"CONNECT":
                raise FencedError("method", "A tunnel can't be asked for on this connection.")
            lane = await open_lane(request)
            keep = await _pass(side, client, request, lane, limits)
        except FencedError as error:
            refused = error
            await _refuse(side, client, error)
        except h11.ProtocolError as error:
            refused = FencedError("protocol", f"HTTP was broken: {error}.", failed=True)
            await _refuse(side, client, refused)
        except GONE:
            refused = FencedError("broken", "The other side broke off.", failed=True)
            await _refuse(side, client, refused)
        await finish(refused)
        if refused is not None or not keep:
            return
        side.start_next_cycle()


def named_host(request: h11.Request, usual_port: int) -> tuple[str, int]:
    """Whom a request to a proxy is for. Raises FencedError where it doesn't say."""
    found = _ABSOLUTE.fullmatch(request.target)
    if found is None:
        raise FencedError("protocol", "A request to the proxy must name http://host/.")
    return split_authority(found[1].decode("latin-1"), usual_port)


def told_target(request: h11.Request, host: str, port: int, usual_port: int) -> bytes:
    """What the request asks of its host. Raises FencedError `host-mismatch` where any part of it names another one."""
    found = _ABSOLUTE.fullmatch(request.target)
    said = [bytes(value) for key, value in request.headers if key == b"host"]
    said += [found[1]] if found is not None else []
    if not said:
        raise FencedError("protocol", "The request does not say whom it is for.")
    for text in said:
        if split_authority(text.decode("latin-1"), usual_port) != (host, port):
            raise FencedError("host-mismatch", f"The request is not for {host}, which the connection is for.")
    if found is None:
        return bytes(request.target)
    rest = found[2] or b"/"
    return rest if rest.startswith(b"/") else b"/" + rest


def host_header(host: str, port: int, usual_port: int) -> bytes:
    """A Host header's value."""
    shown = f"[{host}]" if ":" in host else host
    return (shown if port == usual_port else f"{shown}:{port}").encode()


def refusal_text(error: FencedError) -> bytes:
    """What a program is told."""
    verb = "Failed" if error.failed else "Refused"
    return f"{verb} at the fence: {error.code}: {error.reason}\n".encode()


def refusal_head(error: FencedError, length: int) -> _Headers:
    """Headers of an answer that refuses."""
    return [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Length", str(length).encode()),
        (b"Mohist-Refused", error.code.encode()),
        (b"Connection", b"close"),
    ]


async def _read_request(side: h11.Connection, client: Peeked, limits: FenceLimits) -> h11.Request | None:
    """The next one; None when the program has no more. Raises FencedError for what is none."""
    try:
        # The first bytes may take as long as a connection may idle, the rest of a head may not.
        event: object = side.next_event()
        if event is h11.NEED_DATA:
            try:
                with anyio.fail_after(limits.idle_s or None):
                    side.receive_data(await client.receive(_CHUNK_BYTES))
            except (*GONE, TimeoutError):
                return None
            with anyio.fail_after(limits.head_s):
                event = await _next(side, client)
    except TimeoutError:
        raise FencedError("timeout", "A request's head did not come in time.") from None
    except h11.RemoteProtocolError as error:
        raise FencedError("protocol", f"The request is broken: {error}.") from None
    return event if isinstance(event, h11.Request) else None


class _Pulse:
    """When something last moved on a request, in either direction."""

    def __init__(self) -> None:
        self.beat()

    def beat(self) -> None:
        self._last_s = anyio.current_time()

    async def stop(self, limit_s: float) -> None:
        """Returns when nothing has moved for so long."""
        while (left_s := self._last_s + limit_s - anyio.current_time()) > 0:  # noqa: ASYNC110 - time is what is waited for
            await anyio.sleep(left_s)


async def _next(side: h11.Connection, stream: ByteStream, pulse: _Pulse | None = None) -> object:
    while True:
        event = side.next_event()
        if event is h11.PAUSED or isinstance(event, h11.Event):
            return event
        try:
            side.receive_data(await stream.receive(_CHUNK_BYTES))
        except anyio.EndOfStream:
            side.receive_data(b"")
        if pulse is not None:
            pulse.beat()


async def _pass(side: h11.Connection, client: Peeked, request: h11.Request, lane: Lane, limits: FenceLimits) -> bool:
    """One request and its answer; whether the connection may carry another one."""
    changed = h11.Request(method=request.method, target=lane.target, headers=_outwards(request, lane))
    await _send(lane.stream, lane.side, changed)
    failure: FencedError | None = None
    switched = False
    pulse = _Pulse()

    async def stop_when_idle() -> None:
        nonlocal failure
        await pulse.stop(limits.idle_s)
        failure = FencedError("timeout", f"Nothing moved for {limits.idle_s:g} s.", failed=True)
        group.cancel_scope.cancel()

    async def send_body() -> None:
        nonlocal failure
        try:
            while isinstance(event := await _next(side, client, pulse), h11.Data | h11.EndOfMessage):
                await _send(lane.stream, lane.side, event)
                if isinstance(event, h11.EndOfMessage):
                    return
        except FencedError as error:
            failure = error
            group.cancel_scope.cancel()
        except (*GONE, h11.ProtocolError):
            if lane.side.their_state is not h11.DONE:  # the answer decides, if there is one
                failure = FencedError("broken", "The program broke off.", failed=True)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(send_body)
        if limits.idle_s:
            group.start_soon(stop_when_idle)
        try:
            switched = await _take_answer(side, client, lane, pulse)
        except FencedError as error:
            failure = error
        except (*GONE, h11.ProtocolError) as error:
            failure = failure or FencedError("broken", f"No proper answer came: {type(error).__name__}.", failed=True)
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if switched:
        await _join_switched(side, client, lane, limits)
        return False
    if side.our_state is not h11.DONE or side.their_state is not h11.DONE:
        return False
    if lane.side.our_state is h11.DONE and lane.side.their_state is h11.DONE:
        lane.side.start_next_cycle()
    return True


async def _take_answer(side: h11.Connection, client: Peeked, lane: Lane, pulse: _Pulse) -> bool:
    """Passes the answer back; True when both sides now speak something else."""
    scrub = Scrub(lane.credentials) if lane.credentials else None
    while True:
        event = await _next(lane.side, lane.stream, pulse)
        if isinstance(event, h11.InformationalResponse | h11.Response):
            event = _inwards(event, lane.credentials)
        if not isinstance(event, h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage):
            raise FencedError("broken", "The other side broke off.", failed=True)
        if scrub is not None and isinstance(event, h11.Data):
            event = h11.Data(data=scrub.feed(bytes(event.data)))
        if scrub is not None and isinstance(event, h11.EndOfMessage) and (rest := scrub.end()):
            await _send(client, side, h11.Data(data=rest))
        await _send(client, side, event)
        if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
            return True
        if isinstance(event, h11.EndOfMessage):
            return False


async def _join_switched(side: h11.Connection, client: Peeked, lane: Lane, limits: FenceLimits) -> None:
    early, answered = side.trailing_data[0], lane.side.trailing_data[0]
    with suppress(*GONE):
        if early:
            await lane.stream.send(early)
        if answered:
            await client.send(answered)
        await join(client, lane.stream, limits)


async def _send(stream: ByteStream, side: h11.Connection, event: h11.Event) -> None:
    data = side.send(event)
    if data:
        await stream.send(data)


def _outwards(request: h11.Request, lane: Lane) -> _Headers:
    changed: _Headers = []
    for name, value in request.headers.raw_items():
        lowered = name.lower()
        if lowered in _OF_THE_PROXY or (lane.credentials and lowered == b"accept-encoding"):
            continue
        if lowered == b"host" and lane.host:
            changed.append((name, lane.host))
            continue
        for credential in lane.credentials:
            if lowered.decode("latin-1") in credential.headers:
                value = swap(lowered, value, credential)
        changed.append((name, value))
    if lane.credentials:
        changed.append((b"Accept-Encoding", b"identity"))  # so that a secret that is repeated can be seen
    return changed


def swap(name: bytes, value: bytes, credential: Credential) -> bytes:
    """A header's value with the sentinel made into the secret, in Basic authorization inside the base64 too."""
    sentinel, secret = credential.sentinel.encode(), credential.secret.encode()
    scheme, _, rest = value.partition(b" ")
    if name in (b"authorization", b"proxy-authorization") and scheme.lower() == b"basic":
        with suppress(binascii.Error):
            plain = base64.b64decode(rest.strip(), validate=True)
            if sentinel in plain:
                return scheme + b" " + base64.b64encode(plain.replace(sentinel, secret))
    return value.replace(sentinel, secret)


def _inwards(
    event: h11.InformationalResponse | h11.Response, credentials: Sequence[Credential]
) -> h11.InformationalResponse | h11.Response:
    """The same answer, and where a secret was sent, without it; its length may change then."""
    headers: _Headers = list(event.headers.raw_items())
    if credentials:
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        headers = []
        for name, value in kept:
            scrub = Scrub(credentials)
            headers.append((name, scrub.feed(value) + scrub.end()))
    return type(event)(status_code=event.status_code, headers=headers, reason=event.reason)


async def _refuse(side: h11.Connection, client: ByteStream, error: FencedError) -> None:
    """Tells the program, if its request can still be answered, and lets it read that."""
    text = refusal_text(error)
    status, reason = STATUS[error.failed]
    with suppress(*GONE, h11.LocalProtocolError, FencedError), anyio.move_on_after(_LINGER_S):
        await _send(
            client, side, h11.Response(status_code=status, reason=reason, headers=refusal_head(error, len(text)))
        )
        await _send(client, side, h11.Data(data=text))
        await _send(client, side, h11.EndOfMessage())
        await client.send_eof()
        while True:
            await client.receive(_CHUNK_BYTES)
