"""Connections from clients, bounded: how many, how long a request's headers may be and may take.

uvicorn waits for ever for the end of headers and reads any number of them, so that a few hundred slow clients would
hold a gateway's memory and sockets (https://owasp.org/www-community/attacks/Slow_Post).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mohist.gateway.limit import ConnectionLimits
from mohist.gateway.watch import LINE

# As uvicorn writes it.
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Peers:
    """The open connections by the address they come from."""

    def __init__(self) -> None:
        self.total = 0
        self._by_peer: dict[str, int] = {}

    def enter(self, peer: str, limits: ConnectionLimits) -> bool:
        """Counts one in; False when there are too many."""
        of_peer = self._by_peer.get(peer, 0)
        most = limits.max_connections_per_peer
        if self.total >= limits.max_connections or (most is not None and of_peer >= most):
            return False
        self.total += 1
        self._by_peer[peer] = of_peer + 1
        return True

    def leave(self, peer: str) -> None:
        """Counts one out."""
        self.total -= 1
        left = self._by_peer[peer] - 1
        if left:
            self._by_peer[peer] = left
        else:
            del self._by_peer[peer]


class PeerConnection(HttpToolsProtocol):
    """uvicorn's connection with those bounds.

    Args:
        limits: the bounds.
        peers: shared by all connections of a server.
        server: what uvicorn gives.
    """

    def __init__(self, limits: ConnectionLimits, peers: Peers, **server: Any) -> None:
        super().__init__(**server)
        self._limits = limits
        self._peers = peers
        self._peer: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._piece_bytes = 0
        self._raw_bytes = 0
        self._in_head = False
        self._in_body = False
        self._too_long = False
        self._refused = False
        self._lost = False
        self._listeners: set[Callable[[], None]] = set()

    @property
    def has_whole_body(self) -> bool:
        """That of the request that came last, and so of all before it."""
        return not self._in_body

    def listen(self, tell: Callable[[], None]) -> None:
        """Has `tell` called when the connection closes; at once if it is closed."""
        if self._lost:
            tell()
            return
        self._listeners.add(tell)
        self.flow.resume_reading()  # a large body stops it, and who does not read learns of no end

    def leave(self, tell: Callable[[], None]) -> None:
        """Ends that."""
        self._listeners.discard(tell)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._outlet = _Outlet(transport)
        peer = self.client[0] if self.client else ""
        if not self._peers.enter(peer, self._limits):
            self._turn_away(503, "There are too many connections to this gateway; try again.", b"retry-after: 1\r\n")
            return
        self._peer = peer
        # uvicorn starts this timer after an answer only; a connection on which nothing is ever sent has none.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._peer is not None:
            self._peers.leave(self._peer)
            self._peer = None
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._lost = True
        for tell in list(self._listeners):
            tell()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        was_in_head = self._in_head
        if not self._in_head and not self._in_body:
            self._begin_head()  # its first bytes can be half of a request line, of which the parser tells nothing
        self._piece_bytes = len(data)
        super().data_received(data)
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        if was_in_head and self._in_head and not self._refused:
            self._raw_bytes += len(data)
            if self._raw_bytes > self._limits.max_header_bytes:
                self._turn_away(431, self._why_too_long)
        elif self._in_body and self.cycle.response_complete:
            self._start_timer()  # nobody reads this body any more, and uvicorn's own timer starts anew at each byte

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        limit_bytes = self._limits.max_header_bytes
        # Summed up only where what has come could be too much: this is on the path of every call.
        if self._raw_bytes + self._piece_bytes > limit_bytes:
            size_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size_bytes > limit_bytes:
                self._too_long = True
                raise _TooLongError
        self._in_head = False
        self._in_body = True
        self._stop_timer()
        super().on_headers_complete()
        self.scope[LINE] = self  # type: ignore[literal-required]
        self.cycle.transport = cast("asyncio.Transport", self._outlet)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._outlet.end()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """An answer to what is no request."""
        if self._too_long:
            self._turn_away(431, self._why_too_long)
        else:
            self._turn_away(400, msg)

    @property
    def _why_too_long(self) -> str:
        return f"The request's headers are longer than {self._limits.max_header_bytes} bytes."

    def _begin_head(self) -> None:
        self._in_head = True
        self._raw_bytes = 0

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._limits.header_timeout_s, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._in_body:
            self.transport.close()  # its answer has been given
        else:
            self._turn_away(408, "The request's headers did not come in time.")

    def _turn_away(self, status: int, message: str, headers: bytes = b"") -> None:
        """Answers without the application, which doesn't know of this request, and closes."""
        self._refused = True
        self._stop_timer()
        if self.transport.is_closing():
            return
        error = {"message": message, "type": "invalid_request_error" if status < 500 else "server_error"}
        body = orjson.dumps({"type": "error", "error": error})
        head = STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\n" + headers
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()


class _Outlet:
    """A connection as the answers on it see it: the head of one whose length is known takes the same call of the system
    as its body, which comes right after it.

    Args:
        transport: the connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._begun = False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif not self._begun and b"\r\ncontent-length: " in data:
            self._begun = True
            self._head = data
        else:
            self._begun = data != _CONTINUE
            self._transport.write(data)

    def end(self) -> None:
        """The answer is over; the next one begins with its head."""
        self._begun = False
        if self._head:  # it has no body
            self.write(b"")

    def close(self) -> None:
        self.end()
        self._transport.close()


class _TooLongError(Exception):
    """Headers over their bound; the parser hands it on as an error of its own."""
