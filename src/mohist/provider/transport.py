"""Carries one request to an endpoint and its event stream back. The only module that knows the HTTP client.

The client (httpx2) is imported at the first call, not before: a command that never calls a model must
not pay for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mohist.base import Clock, MohistError, SystemClock
from mohist.provider.failure import failed, told_by
from mohist.provider.message import Failed
from mohist.provider.secret import Secret
from mohist.provider.sse import OversizedEventError, SseDecoder, SseEvent

if TYPE_CHECKING:
    import httpx2

SESSION_HEADER = "x-mohist-session"
"""Which run a call belongs to."""

_MAX_ERROR_BYTES = 64 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one call, in seconds. None is a limit on the whole answer: a long one is no fault."""

    connect_s: float = 15.0
    write_s: float = 60.0
    idle_s: float = 300.0
    """Longest silence, before the first byte or between two. Thinking models are silent for minutes."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to send."""

    url: str
    headers: Mapping[str, str]
    """Names in lower case; the key is not among them."""
    body: bytes
    text: str
    """What of the request must not turn up in an error's detail."""
    session_id: str = ""
    """Told to a gateway of ours, to nobody else."""


class Transport:
    """Sends, reads events, and turns every fault into a `Failed`.

    Args:
        name: how people name the provider; starts every detail.
        key: sent as `key_header`; read at each call. None: no key is sent.
        key_header: name of the header, lower case.
        key_prefix: put before the key, e.g. `Bearer `.
        timeouts: limits of one call.
        clock: for a retry-after that is a date.
        client: an HTTP client to use instead of an own one; its owner closes it.
        governed: a gateway of ours answers: it is told the session.
    """

    def __init__(
        self,
        name: str,
        key: Secret | None,
        *,
        key_header: str,
        key_prefix: str = "",
        timeouts: Timeouts | None = None,
        clock: Clock | None = None,
        client: httpx2.AsyncClient | None = None,
        governed: bool = False,
    ) -> None:
        self._name = name
        self._key = key
        self._key_header = key_header
        self._key_prefix = key_prefix
        self._timeouts = timeouts or Timeouts()
        self._clock = clock or SystemClock()
        self._client = client
        self._owns_client = client is None
        self._governed = governed
        self._sent_key = ""
        """The key of the last call, to cut it from what the endpoint says."""

    async def events(self, outgoing: Outgoing) -> AsyncIterator[SseEvent | Failed]:
        """The events of the answer; a fault is the last item, a `Failed`. Ends silently when the stream ends.

        Close the iterator (`contextlib.aclosing`) when you stop early, so that the connection goes with it.
        """
        import httpx2

        try:
            key = self._key.reveal() if self._key else ""
        except (OSError, LookupError, ValueError, MohistError) as error:
            yield Failed("auth", f"{self._name}: the key can't be read ({type(error).__name__})")
            return
        if not _printable(key):
            yield Failed("auth", f"{self._name}: the key holds characters that no header may hold")
            return
        self._sent_key = key
        headers = dict(outgoing.headers)
        if key:
            headers[self._key_header] = self._key_prefix + key
        if self._governed and outgoing.session_id:
            headers[SESSION_HEADER] = outgoing.session_id
        try:
            client = self._client = self._client or self._new_client(outgoing.url)
            request = client.build_request(
                "POST", outgoing.url, headers=headers, content=outgoing.body, timeout=self._limits()
            )
        except (httpx2.InvalidURL, ValueError):
            yield Failed(
                "bad_request", f"{self._name}: the base URL is not a URL, or a header holds what none may hold"
            )
            return
        try:
            response = await client.send(request, stream=True, follow_redirects=False)
        except httpx2.HTTPError as error:
            yield self._fault(error, "before an answer came")
            return
        async with contextlib.aclosing(response):
            try:
                refusal = await self._refusal(response, key, outgoing.text)
                if refusal:
                    yield refusal
                    return
                decoder = SseDecoder()
                async for piece in response.aiter_bytes():
                    for event in decoder.feed(piece):
                        yield event
            except httpx2.HTTPError as error:
                yield self._fault(error, "in the middle of the answer")
            except OversizedEventError as error:
                yield Failed("protocol", f"{self._name}: {error}", status=response.status_code)

    def failure_in_stream(self, value: Mapping[str, Any], text: str) -> Failed:
        """The last delta for an error object that came as an event after a 200."""
        return failed(self._name, told_by(value), key=self._sent_key, sent=text)

    async def aclose(self) -> None:
        """Closes the connections of an own client; a later call opens new ones."""
        if self._owns_client and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _refusal(self, response: httpx2.Response, key: str, text: str) -> Failed | None:
        """A `Failed` for an answer that is no event stream; None when it is one."""
        media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        status = response.status_code
        if status == 200 and media not in ("application/json", "text/html"):
            return None
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _MAX_ERROR_BYTES:
                break
        told = told_by(bytes(body[:_MAX_ERROR_BYTES]))
        if status == 200 and not (told.code or told.prose):
            return Failed("protocol", f"{self._name}: answered with {media}, not with an event stream", status=status)
        if 300 <= status < 400:
            return Failed(
                "bad_request",
                f"{self._name}: HTTP {status}; redirects are not followed, put the final address into the base URL",
                status=status,
            )
        headers = {name.lower(): value for name, value in response.headers.items()}
        now_s = self._clock.now_ms() / 1000
        return failed(self._name, told, status=status, headers=headers, now_s=now_s, key=key, sent=text)

    def _fault(self, error: httpx2.HTTPError, when: str) -> Failed:
        import httpx2

        if isinstance(error, httpx2.ConnectTimeout):
            what = f"no connection within {self._timeouts.connect_s:g} s"
        elif isinstance(error, httpx2.ReadTimeout):
            what = f"silent for {self._timeouts.idle_s:g} s {when}"
        elif isinstance(error, httpx2.ConnectError):
            what = f"no connection ({_reason(error)})"
        elif isinstance(error, httpx2.UnsupportedProtocol):
            return Failed("bad_request", f"{self._name}: the base URL must begin with http:// or https://")
        else:
            what = f"the connection broke {when} ({type(error).__name__})"
        return Failed("network", f"{self._name}: {what}")

    def _limits(self) -> httpx2.Timeout:
        import httpx2

        limit = self._timeouts
        return httpx2.Timeout(connect=limit.connect_s, read=limit.idle_s, write=limit.write_s, pool=limit.connect_s)

    def _new_client(self, url: str) -> httpx2.AsyncClient:
        import ssl

        import httpx2

        parts = urlsplit(url)
        # Loading the certificate store takes longer than the rest of the start; plain HTTP has no use for it.
        # The empty context trusts nobody, so it can't weaken anything.
        plain = parts.scheme == "http"
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True
        return httpx2.AsyncClient(verify=verify, trust_env=parts.hostname not in _LOOPBACK)


def _printable(key: str) -> bool:
    return all("!" <= char <= "~" for char in key)


def _reason(error: BaseException) -> str:
    """The system's word for a connect error: `Connection refused`, never an address with a secret in it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno)
        if isinstance(cause, socket.gaierror):
            return "the host name is not known"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
