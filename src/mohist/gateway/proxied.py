"""Upstreams behind a proxy: the same requests, carried by the general HTTP client, which knows how proxies are spoken to.

Slower than the gateway's own connections and used only where the environment names a proxy for the upstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpx2

from mohist.gateway.wire import Origin, Pool, Response, WireError

_WRITE_TIMEOUT_S: Final = 60.0
_SAID_ANEW: Final = frozenset({"host", "content-length"})


def proxy_of(url: str) -> str:
    """The proxy that the environment names for `url`; empty when it is reached without one."""
    parts = urlsplit(url)
    proxies = getproxies_environment()
    if not proxies or proxy_bypass(parts.hostname or ""):
        return ""
    return proxies.get(parts.scheme) or proxies.get("all") or ""


class ProxiedPool(Pool):
    """Connections through one proxy.

    Args:
        proxy: its URL; a user and password in it are shown to the proxy alone.
    """

    def __init__(self, proxy: str) -> None:
        super().__init__()
        self._client = httpx2.AsyncClient(
            proxy=proxy if "://" in proxy else f"http://{proxy}", trust_env=False, follow_redirects=False
        )
        self._closing: set[asyncio.Future[None]] = set()

    async def request(
        self, origin: Origin, head: bytes, body: bytes, *, connect_timeout_s: float, first_byte_timeout_s: float
    ) -> Response:
        """See Pool."""
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [(name, value) for name, _, value in (row.partition(": ") for row in lines if row)]
        scheme = "https" if origin.tls else "http"
        request = self._client.build_request(
            "POST",
            f"{scheme}://{origin.authority}{first.split(' ')[1]}",
            headers=[pair for pair in pairs if pair[0] not in _SAID_ANEW],
            content=body,
            timeout=httpx2.Timeout(
                connect=connect_timeout_s, read=first_byte_timeout_s, write=_WRITE_TIMEOUT_S, pool=connect_timeout_s
            ),
        )
        try:
            response = await self._client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise WireError(f"no connection through the proxy ({type(error).__name__})", untouched=True) from error
        except httpx2.HTTPError as error:
            raise WireError(f"no answer through the proxy ({type(error).__name__})") from error
        return _Carried(response, self)

    def let_go(self, closing: asyncio.Future[None]) -> None:
        """Keeps the end of a response in sight until it is over."""
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def close(self) -> None:
        """Breaks every connection, as soon as the loop gets to it."""
        self.let_go(asyncio.ensure_future(self._client.aclose()))


class _Carried(Response):
    """An answer that comes through the client."""

    __slots__ = ("_owner", "_pieces", "_response")

    def __init__(self, response: httpx2.Response, owner: ProxiedPool) -> None:
        self._response = response
        self._owner = owner
        self._pieces: AsyncIterator[bytes] = response.aiter_raw()
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.headers.raw]

    async def next(self, timeout_s: float) -> bytes | None:  # noqa: ARG002 - the silence allowed was said with the request
        """What came; empty at the end. A silence that is too long breaks the answer off."""
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except httpx2.HTTPError as error:
            raise WireError(f"the connection through the proxy broke ({type(error).__name__})") from error
        return b""

    def close(self) -> None:
        self._owner.let_go(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        with suppress(httpx2.HTTPError):
            await self._response.aclose()
