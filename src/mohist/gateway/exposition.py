"""`/metrics`: the metrics in Prometheus's words, for whoever may read them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mohist.gateway.asgi import Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/metrics"
_OWN_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_SHUT = (
    "Metrics are not read here. Set a bearer token for them (MOHIST_METRICS_TOKEN), or have them on a port of this "
    "machine's own (--metrics-port).\n"
)


@dataclass(frozen=True, slots=True)
class Exposition:
    """Serves a registry.

    With a token, whoever shows it may read. Without one, where `open_here` says so, whoever calls this machine by a
    loopback name: the name keeps out pages in a browser that were led here under another one.
    """

    registry: CollectorRegistry
    token: str = ""
    open_here: bool = False
    """The listener is reached from this machine alone, and not through a proxy."""

    def beside(self, app: App) -> App:
        """An application that has `/metrics` and passes everything else on."""

        def both(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            ours = scope["type"] == "http" and scope["path"] == PATH
            return self.serve(scope, receive, send) if ours else app(scope, receive, send)

        return both

    async def serve(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        if scope["path"] != PATH:
            await _say(send, 404, b"There is nothing but /metrics here.\n")
        elif scope["method"] not in ("GET", "HEAD"):
            await _say(send, 405, b"Metrics are read with GET.\n")
        elif not self._may_read(headers):
            asked = [(b"www-authenticate", b'Bearer realm="metrics"')] if self.token else []
            await _say(send, 401 if self.token else 403, b"Show the token.\n" if self.token else _SHUT.encode(), asked)
        else:
            encode, kind = choose_encoder(headers.get(b"accept", b"").decode("latin-1"))
            await _say(send, 200, encode(self.registry), [(b"content-type", kind.encode())])

    def _may_read(self, headers: dict[bytes, bytes]) -> bool:
        if self.token:
            scheme, _, shown = headers.get(b"authorization", b"").strip().partition(b" ")
            return scheme.lower() == b"bearer" and hmac.compare_digest(shown.strip(), self.token.encode())
        host = headers.get(b"host", b"").decode("latin-1")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return self.open_here and name.lower() in _OWN_NAMES


async def _say(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    given = headers or []
    if not any(name == b"content-type" for name, _ in given):
        given = [*given, (b"content-type", b"text/plain; charset=utf-8")]
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*given, length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
