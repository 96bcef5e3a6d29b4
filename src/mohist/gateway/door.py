"""The ASGI callable: every request in, one answer out, one record of it.

Order of a call: who (key), what (body), whether (reservation), where (attempts), then bytes as they come,
then the record. The client's hang-up is watched for from the moment its body is read: an ASGI server does not
tell it otherwise, and the upstream would go on working, and billing, for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Self

from mohist.base import Clock, IdSource
from mohist.gateway import dialect as speech
from mohist.gateway.attempt import Answer, Attempts, Outgoing, UnansweredError
from mohist.gateway.call import CallRecord, Dialect, Gatekeeper, Principal, Refusal, Reservation
from mohist.gateway.request import (
    Envelope,
    Headers,
    RefusedError,
    bad_request,
    client_name,
    credential,
    decoded,
    forwarded,
    query,
    read_envelope,
    session_of,
    too_large,
)
from mohist.gateway.route import Router, Upstream
from mohist.gateway.wire import WireError
from mohist.provider.message import Usage
from mohist.provider.price import PriceRow

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Prices = Callable[[Upstream, str], PriceRow | None]
"""The price row of an upstream and the model name it knows; None when there is none."""

HUNG_UP = 499
"""What a record says of a client that left before any answer; nginx's number, never sent."""

_log = logging.getLogger(__name__)

# Hop by hop, or said anew, or about the upstream's own host.
_NOT_RETURNED = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"content-length", b"proxy-authenticate", b"set-cookie", b"alt-svc", b"strict-transport-security"),
        *(b"www-authenticate", b"location", b"x-accel-buffering"),
    }
)


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """Limits of the door."""

    max_body_bytes: int = 32 * 1024 * 1024
    """Of a request, as sent and decoded; Anthropic's own limit is 32 MB."""
    body_timeout_s: float = 60.0
    """Longest pause within a request's body."""
    ping_after_s: float = 15.0
    """Silence of an upstream after which a stream gets a ping; proxies cut at 60 s, clients at 180 s and up."""


@dataclass(slots=True)
class _Call:
    """One call as it goes."""

    call_id: str
    dialect: Dialect
    started_at_ms: int
    started_s: float
    free: bool
    client: str = ""
    session_id: str = ""
    principal: Principal | None = None
    reservation: Reservation | None = None
    envelope: Envelope | None = None
    answer: Answer | None = None
    upstreams: list[Upstream] = field(default_factory=list)
    status: int = HUNG_UP
    verdict: str = "allowed"
    begun: bool = False
    finished: bool = False
    first_byte_ms: int | None = None
    cancelled: bool = False


class Door:
    """Serves the gateway's paths.

    Args:
        settings: limits.
        gatekeeper: identifies, reserves, settles.
        router: routes and health; its table may be replaced while calls run.
        attempts: the way to the upstreams.
        prices: what usage is billed by.
        clock: time.
        ids: of calls.
    """

    def __init__(
        self,
        settings: DoorSettings,
        gatekeeper: Gatekeeper,
        router: Router,
        attempts: Attempts,
        prices: Prices,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._settings = settings
        self._gatekeeper = gatekeeper
        self._router = router
        self._attempts = attempts
        self._prices = prices
        self._clock = clock
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI request."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if path in speech.DOORS and method == "POST":
            await self._call(scope, receive, send)
            return
        anthropic = any(name in (b"anthropic-version", b"x-api-key") for name, _ in scope["headers"])
        asked: Dialect = "anthropic-messages" if anthropic else "openai-chat"
        if method == "HEAD" and path in ("/", "/api/hello"):
            await _reply(send, 200, b"")
        elif path == "/healthz" and method in ("GET", "HEAD"):
            await _reply(send, 200, b'{"status":"ok"}')
        elif path == "/v1/models" and method == "GET":
            await self._models(scope["headers"], asked, send)
        elif path in speech.DOORS or path == "/v1/models":
            asked = speech.DOORS[path][0] if path in speech.DOORS else asked
            await _refuse(send, asked, Refusal("bad_request", 405, f"{path} does not take {method}."))
        else:
            message = "There is nothing at this path. The gateway serves /v1/chat/completions, /v1/responses, "
            message += "/v1/messages and /v1/models."
            await _refuse(send, asked, Refusal("bad_request", 404, message))

    async def _models(self, headers: Headers, asked: Dialect, send: Send) -> None:
        try:
            who = self._gatekeeper.identify(credential(headers))
        except RefusedError as refused:
            who = refused.refusal
        if isinstance(who, Refusal):
            await _refuse(send, asked, who)
            return
        anthropic = asked == "anthropic-messages"
        await _reply(send, 200, speech.models(self._router.table.names(anthropic), anthropic))

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One model call, from its first byte to its record."""
        path = scope["path"]
        call = _Call(
            call_id=self._ids.new("call"),
            dialect=speech.DOORS[path][0],
            started_at_ms=self._clock.now_ms(),
            started_s=self._clock.monotonic_s(),
            free=path == speech.COUNT_TOKENS,
        )
        try:
            await self._serve(call, scope, receive, send)
        except (RefusedError, UnansweredError) as error:
            await self._tell(call, send, error.refusal)
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of one call: the client gets an envelope, the log a name
            _log.error("call %s failed: %s", call.call_id, type(error).__name__)
            await self._tell(call, send, Refusal("unavailable", 500, "The gateway failed to serve this call."))
        finally:
            if call.answer is not None:
                call.answer.close()
            self._record(call)

    async def _serve(self, call: _Call, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        named = dict(headers)
        call.client = client_name(named)
        call.session_id = session_of(named)
        who = self._gatekeeper.identify(credential(headers))
        if isinstance(who, Refusal):
            raise RefusedError(who)
        call.principal = who
        outgoing_headers = forwarded(headers)
        outgoing_query = query(scope["query_string"])
        body = await self._body(call, named, receive)
        if body is None:
            return
        envelope = call.envelope = read_envelope(body, call.dialect)
        call.session_id = call.session_id or envelope.session_id
        route = self._router.table.find(envelope.model)
        if route is None:
            raise bad_request("No route serves this model. GET /v1/models lists those that are served.", 404)
        if not any(upstream.dialect == call.dialect for upstream in route.upstreams):
            spoken = ", ".join(sorted({upstream.dialect for upstream in route.upstreams}))
            raise bad_request(f"This model is served in another dialect only: {spoken}.")
        reserved = self._gatekeeper.reserve(
            who,
            call.dialect,
            envelope.model,
            call.client,
            0 if call.free else envelope.prompt_tokens,
            1 if call.free else envelope.max_output_tokens,
        )
        if isinstance(reserved, Refusal):
            raise RefusedError(reserved)
        call.reservation = reserved
        # Sessions of two principals never share a place in the table, whatever ids they choose.
        session = f"{who.key_id}/{call.session_id}" if call.session_id else ""
        path = speech.DOORS[scope["path"]][1]
        outgoing = Outgoing(call.dialect, path, outgoing_query, outgoing_headers, envelope, session)
        with _Watch(receive) as watch:
            try:
                call.answer = await self._attempts.answer(outgoing, route, call.upstreams.append)
                await self._relay(call, call.answer, send)
            except asyncio.CancelledError:
                if not watch.hung_up:
                    raise
                call.cancelled = True

    async def _body(self, call: _Call, named: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """The decoded body; None when the client left while sending it."""
        limit_bytes = self._settings.max_body_bytes
        length = named.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit_bytes:
            raise too_large(limit_bytes)
        parts: list[bytes] = []
        size_bytes = 0
        more = True
        while more:
            try:
                async with asyncio.timeout(self._settings.body_timeout_s):
                    message = await receive()
            except TimeoutError:
                raise bad_request("The body did not come in time.", 408) from None
            if message["type"] == "http.disconnect":
                call.cancelled = True
                return None
            part = message.get("body", b"")
            size_bytes += len(part)
            if size_bytes > limit_bytes:
                raise too_large(limit_bytes)
            parts.append(part)
            more = message.get("more_body", False)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return decoded(body, named.get(b"content-encoding", b""), limit_bytes)

    async def _relay(self, call: _Call, answer: Answer, send: Send) -> None:
        call.status = answer.status
        headers = [(name, value) for name, value in answer.headers if name not in _NOT_RETURNED]
        if answer.response is None:
            headers.append((b"content-length", str(len(answer.held)).encode()))
        else:
            headers.append((b"x-accel-buffering", b"no"))
        call.begun = True
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        call.first_byte_ms = self._since_ms(call)
        if answer.response is None:
            call.finished = True
            await send({"type": "http.response.body", "body": answer.held, "more_body": False})
            return
        if held := answer.veil.feed(answer.held) if answer.veil else answer.held:
            await send({"type": "http.response.body", "body": held, "more_body": True})
        try:
            await self._stream(call, answer, send)
        except WireError as error:
            self._router.failed(answer.upstream)
            await self._break_off(call, answer, error, send)
            return
        if answer.tap is not None and answer.tap.failed:
            self._router.failed(answer.upstream)
        call.finished = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stream(self, call: _Call, answer: Answer, send: Send) -> None:
        """The rest of a stream: each piece to the client first, then to the tap."""
        response, tap, veil = answer.response, answer.tap, answer.veil
        assert response is not None
        ping = speech.ping(call.dialect)
        ping_after_s = self._settings.ping_after_s
        silent_s = 0.0
        while True:
            chunk = await response.next(ping_after_s)
            if chunk is None:
                silent_s += ping_after_s
                if silent_s >= answer.upstream.idle_timeout_s:
                    raise WireError("the stream fell silent")
                if answer.between_events:
                    await send({"type": "http.response.body", "body": ping, "more_body": True})
                continue
            if not chunk:
                if veil is not None and (rest := veil.end()):
                    await send({"type": "http.response.body", "body": rest, "more_body": True})
                return
            silent_s = 0.0
            if seen := veil.feed(chunk) if veil is not None else chunk:
                await send({"type": "http.response.body", "body": seen, "more_body": True})
            if tap is not None:
                tap.feed(chunk)

    async def _break_off(self, call: _Call, answer: Answer, error: WireError, send: Send) -> None:
        """Ends a stream whose upstream is gone, so that no client takes it for whole.

        Between two events the client is told in its dialect; within one, the connection breaks.
        """
        if not answer.between_events:
            return  # an ASGI server closes the connection of an answer that was not ended
        refusal = Refusal("unavailable", 502, f"The upstream broke off: {error.what}.")
        call.finished = True
        await send(
            {"type": "http.response.body", "body": speech.error_event(call.dialect, refusal), "more_body": False}
        )

    async def _tell(self, call: _Call, send: Send, refusal: Refusal) -> None:
        call.verdict = refusal.kind
        if call.begun:
            return
        call.status = refusal.status
        call.begun = call.finished = True
        await _refuse(send, call.dialect, refusal)

    def _since_ms(self, call: _Call) -> int:
        return round((self._clock.monotonic_s() - call.started_s) * 1000)

    def _record(self, call: _Call) -> None:
        answer, envelope = call.answer, call.envelope
        usage = self._usage(call)
        cost_microusd, price_row = self._cost(call, usage)
        record = CallRecord(
            call_id=call.call_id,
            started_at_ms=call.started_at_ms,
            dialect=call.dialect,
            client=call.client,
            session_id=call.session_id,
            model_asked=envelope.model if envelope else "",
            model_served=answer.tap.model if answer and answer.tap else "",
            upstream=answer.upstream.name if answer else "",
            status=call.status,
            verdict=call.verdict,
            usage=usage,
            cost_microusd=cost_microusd,
            price_row=price_row,
            duration_ms=self._since_ms(call),
            first_byte_ms=call.first_byte_ms,
            attempts=len(call.upstreams),
            cancelled=call.cancelled,
        )
        if call.reservation is not None:
            self._gatekeeper.settle(call.reservation, record)
        else:
            self._gatekeeper.refused(call.principal, record)

    def _usage(self, call: _Call) -> Usage | None:
        """Tokens of the call; None when an upstream answered and said nothing of them."""
        answer, envelope = call.answer, call.envelope
        if call.free or envelope is None or not call.upstreams:
            return Usage()
        if answer is None:
            return Usage(input_tokens=envelope.prompt_tokens) if call.cancelled else Usage()
        told = answer.tap.usage() if answer.tap else None
        if answer.status != 200:
            return told or Usage()
        whole = answer.tap is None or (answer.tap.ended and not call.cancelled)
        if whole or (told is not None and call.dialect != "anthropic-messages"):
            return told
        assert answer.tap is not None
        return answer.tap.streamed(envelope.prompt_tokens)

    def _cost(self, call: _Call, usage: Usage | None) -> tuple[int | None, str]:
        upstream = call.answer.upstream if call.answer else (call.upstreams[-1] if call.upstreams else None)
        if usage is None or upstream is None or call.envelope is None:
            return (None if usage is None else 0), ""
        if usage == Usage():
            return 0, ""
        row = self._prices(upstream, upstream.model or call.envelope.model)
        if row is None:
            return None, ""
        return row.cost_microusd(usage, at_ms=call.started_at_ms), f"{row.source} {row.date}"


class _Watch:
    """Cancels the task it was entered in when the client hangs up.

    A task and a callback instead of a task group: this is on the path of every call.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.hung_up = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._listener = asyncio.ensure_future(self._receive())
        self._listener.add_done_callback(self._heard)
        return self

    def _heard(self, listener: asyncio.Future[Message]) -> None:
        if listener.cancelled() or listener.exception() is not None or self._task is None:
            return
        if listener.result()["type"] == "http.disconnect":
            self.hung_up = True
            self._task.cancel()

    def __exit__(self, *_: object) -> None:
        self._listener.remove_done_callback(self._heard)
        self._listener.cancel()
        if self.hung_up and self._task is not None:
            self._task.uncancel()


async def _refuse(send: Send, asked: Dialect, refusal: Refusal) -> None:
    headers = []
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(refusal.retry_after_s))).encode()))
    await _reply(send, refusal.status, speech.envelope(asked, refusal), headers)


async def _reply(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": False})
