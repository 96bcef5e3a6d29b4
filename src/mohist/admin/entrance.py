"""The way into the admin API: who asks, how often in vain, and how much they send, before anything else is run.

What the API is built with is imported in a thread when the first request with a right credential comes, so that who
never administers by HTTP pays nothing for it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio import to_thread

from mohist.admin.attendance import Attendance
from mohist.admin.desk import DESK, WHO, Desk
from mohist.gateway.asgi import App, Message, Receive, Scope, Send
from mohist.gateway.call import Principal, Refusal
from mohist.gateway.rate import Bucket

_log = logging.getLogger(__name__)

PREFIX: Final = "/admin"
MAX_BODY_BYTES: Final = 1024 * 1024
BODY_S: Final = 10.0
"""For a whole body."""
MAX_AT_ONCE: Final = 8
"""Requests that are worked on; model calls must not wait for those who count them."""
QUEUE_S: Final = 10.0
VAIN_PER_MINUTE: Final = 60
"""Requests without a right credential that are told so, of all callers together; a right one always gets through, so
nobody can be shut out by another's guesses. 256 random bits need no slower answer."""
# https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html#security-headers
_HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def _load() -> App:
    from mohist.admin.application import build

    return build()


class Entrance:
    """Serves `/admin/…` for keys with the role `admin` or `auditor`.

    Args:
        desk: what the operations work with.
        load: makes the application; blocks.
        attendance: enters who came; None: there is no ledger.
        vain_per_minute: see `VAIN_PER_MINUTE`.
    """

    def __init__(
        self,
        desk: Desk,
        load: Callable[[], App] = _load,
        attendance: Attendance | None = None,
        vain_per_minute: int = VAIN_PER_MINUTE,
    ) -> None:
        self._desk = desk
        self._attendance = attendance
        self._load = load
        self._vain = Bucket(vain_per_minute, desk.clock.monotonic_s())
        self._building = anyio.Lock()
        self._places = anyio.CapacityLimiter(MAX_AT_ONCE)
        self._app: App | None = None

    def beside(self, app: App) -> App:
        """An application that has `/admin` and passes everything else on."""

        def both(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            ours = scope["type"] == "http" and scope["path"].startswith(PREFIX) and scope["path"][6:7] in ("", "/")
            return self(scope, receive, send) if ours else app(scope, receive, send)

        return both

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        who = self._admitted(scope)
        if self._attendance is not None:
            who = await self._attendance.checked(who)
        if isinstance(who, Refusal):
            await _refuse(send, who)
            return
        try:
            with anyio.fail_after(BODY_S):
                body = await _whole_body(receive)
        except TimeoutError:
            await _refuse(send, Refusal("bad_request", 408, "The request's body did not come in time."))
            return
        if body is None:
            text = f"The request's body is larger than {MAX_BODY_BYTES // 1024} KiB."
            await _refuse(send, Refusal("too_large", 413, text))
            return
        try:
            with anyio.fail_after(QUEUE_S):
                await self._places.acquire_on_behalf_of(scope_token := object())
        except TimeoutError:
            await _refuse(send, Refusal("unavailable", 503, "Too many admin requests are under way.", 1.0))
            return
        try:
            app = await self._built()
            await app({**scope, WHO: who, DESK: self._desk}, _replayed(body, receive), _guarded(send))
        except Exception as error:  # noqa: BLE001 - the boundary of one request; its answer has been sent
            _log.error("admin request failed: %s", type(error).__name__)
        finally:
            self._places.release_on_behalf_of(scope_token)

    def _admitted(self, scope: Scope) -> Principal | Refusal:
        """Who asks, by a bearer token and nothing else: no cookie, no parameter."""
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, secret = (shown[0] if len(shown) == 1 else b"").strip().partition(b" ")
        if scheme.lower() != b"bearer" or not secret.strip():
            found: Principal | Refusal = Refusal("auth", 401, "Show an admin key: `authorization: Bearer mhk-…`.")
        else:
            found = self._desk.gate.identify(secret.strip().decode("latin-1"))
        if isinstance(found, Principal):
            if {"admin", "auditor"} & set(found.roles):
                return found
            found = Refusal("scope", 403, "This key calls models; it administers nothing.")
        if found.status in (401, 403):
            now_s = self._desk.clock.monotonic_s()
            wait_s = self._vain.wait_s(1, now_s)
            if wait_s > 0:
                return Refusal("rate", 429, "Too many requests without a right key.", wait_s)
            self._vain.take(1)
        return found

    async def _built(self) -> App:
        async with self._building:
            if self._app is None:
                self._app = await to_thread.run_sync(self._load)
            return self._app


async def _whole_body(receive: Receive) -> bytes | None:
    """All of it; None when it is too large. A client that goes away has sent what it has sent."""
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > MAX_BODY_BYTES:
            return None
        parts.append(part)
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _guarded(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_HEADERS]}
        await send(message)

    return guarded


async def _refuse(send: Send, refusal: Refusal) -> None:
    from mohist.admin.fault import CODES, body

    content = body(CODES[refusal.status], refusal.message)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *_HEADERS]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="mohist admin"'))
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(refusal.retry_after_s))).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
