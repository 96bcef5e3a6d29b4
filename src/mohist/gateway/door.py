"""The ASGI callable: every request in, one answer out, one record of it.

Order of a call: who (key), what (body), whether (reservation), where (attempts), then bytes as they come,
then the record. The client's hang-up is watched for from the moment its body is read: an ASGI server does not
tell it otherwise, and the upstream would go on working, and billing, for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from mohist.base import Clock, IdSource, light_dataclass
from mohist.gateway import dialect as speech
from mohist.gateway.admission import Admission
from mohist.gateway.asgi import Receive, Scope, Send, refuse, reply
from mohist.gateway.attempt import Attempts, UnansweredError
from mohist.gateway.call import Dialect, Gatekeeper, Principal, Refusal, Wait
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.guard import Guard
from mohist.gateway.history import Outgoing
from mohist.gateway.inspection import Inspection
from mohist.gateway.intake import read_body
from mohist.gateway.limit import DoorSettings
from mohist.gateway.lull import Lull
from mohist.gateway.registrar import Registrar
from mohist.gateway.relay import Relay
from mohist.gateway.request import (
    Headers,
    RefusedError,
    bad_request,
    client_name,
    credential,
    forwarded,
    query,
    read_envelope,
    session_of,
    without_keys,
)
from mohist.gateway.room import Room, Share
from mohist.gateway.route import Router
from mohist.gateway.tally import Call, Observer, Prices, Tally
from mohist.gateway.trace import carried
from mohist.gateway.warden import Warden
from mohist.gateway.watch import LINE, Line, Patrol, Watch

_log = logging.getLogger(__name__)


@light_dataclass(frozen=True, slots=True)
class Received:
    """A request that has come in."""

    path: str
    query: bytes
    headers: Headers
    body: bytes
    line: Line | None
    """None: the server does not show it."""


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
        warden: the rules; None: none.
        observers: told of every call.
        guard: looks at what calls carry; None: nobody does.
        chronicle: enters calls in the ledger; None: nothing is entered.
        registrar: the software register; None: every tool may call.
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
        warden: Warden | None = None,
        observers: Sequence[Observer] = (),
        guard: Guard | None = None,
        chronicle: Chronicle | None = None,
        registrar: Registrar | None = None,
    ) -> None:
        self._settings = settings
        self._gatekeeper = gatekeeper
        self._router = router
        self._attempts = attempts
        self._tally = Tally(gatekeeper, prices, clock, (*observers, chronicle) if chronicle else observers)
        self._relay = Relay(router, self._tally, settings.ping_after_s)
        self._admission = Admission(settings.max_calls, settings.max_calls_per_key)
        self._room = Room(settings.max_buffered_bytes)
        self.patrol = Patrol(gatekeeper, settings.patrol_s)
        """Must run as long as the door serves."""
        self._warden = warden or Warden()
        self._guard = guard
        self._chronicle = chronicle
        self._registrar = registrar or Registrar()
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
            await reply(send, 200, b"")
        elif path == "/healthz" and method in ("GET", "HEAD"):
            stale = b',"policy":"stale"' if self._warden.trouble else b""
            stale += b',"register":"stale"' if self._registrar.trouble else b""
            await reply(send, 200, b'{"status":"ok"' + stale + b"}")
        elif path == "/v1/models" and method == "GET":
            await self._models(scope["headers"], asked, send)
        elif path in speech.DOORS or path == "/v1/models":
            asked = speech.DOORS[path][0] if path in speech.DOORS else asked
            await refuse(send, asked, Refusal("bad_request", 405, f"{path} does not take {method}."))
        else:
            message = "There is nothing at this path. The gateway serves /v1/chat/completions, /v1/responses, "
            message += "/v1/messages and /v1/models."
            await refuse(send, asked, Refusal("bad_request", 404, message))

    async def _models(self, headers: Headers, asked: Dialect, send: Send) -> None:
        try:
            who = self._gatekeeper.identify(credential(headers))
        except RefusedError as refused:
            who = refused.refusal
        if isinstance(who, Refusal):
            await refuse(send, asked, who)
            return
        anthropic = asked == "anthropic-messages"
        spoken: tuple[Dialect, ...] = ("anthropic-messages",) if anthropic else ("openai-chat", "openai-responses")
        names = [
            name
            for name in self._router.table.names(anthropic)
            if any(self._gatekeeper.lists(who, dialect, name) for dialect in spoken)
        ]
        await reply(send, 200, speech.models(names, anthropic))

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One model call, from its first byte to its record."""
        path = scope["path"]
        call = Call(
            call_id=self._ids.new("call"),
            dialect=speech.DOORS[path][0],
            started_at_ms=self._clock.now_ms(),
            started_s=self._clock.monotonic_s(),
            free=path == speech.COUNT_TOKENS,
        )
        share = self._room.share()
        headers = without_keys(scope["headers"])
        self._tally.open(call, headers)
        try:
            await self._serve(call, scope, headers, receive, send, share)
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
            share.free()
            self._tally.close(call)

    async def _serve(
        self, call: Call, scope: Scope, headers: Headers, receive: Receive, send: Send, share: Share
    ) -> None:
        named = dict(headers)
        call.client = client_name(named)
        call.session_id = session_of(named)
        self._registrar.look(call, named)
        who = self._gatekeeper.identify(credential(headers))
        if isinstance(who, Refusal):
            raise RefusedError(who)
        call.principal = who
        # Before the body is read, so that calls that can't be made don't fill the memory either.
        if (full := self._admission.enter(who.key_id)) is not None:
            raise RefusedError(full)
        try:
            outgoing_query = query(scope["query_string"])
            outgoing_headers = carried(forwarded(headers), call.trace)
            body = await read_body(named, receive, self._settings, share, scope.get(LINE))
            if body is None:
                call.cancelled = True
                return
            path = scope["path"]
            received = Received(path, outgoing_query, outgoing_headers, body, scope.get(LINE))
            await self._forward(call, who, received, receive, send, share)
        finally:
            self._admission.leave(who.key_id)

    async def _forward(
        self, call: Call, who: Principal, received: Received, receive: Receive, send: Send, share: Share
    ) -> None:
        """A call that has come in whole."""
        envelope = call.envelope = read_envelope(received.body, call.dialect)
        call.session_id = call.session_id or envelope.session_id
        self._registrar.admit(call, who, envelope.model)
        route = self._router.table.find(envelope.model)
        if route is None:
            raise bad_request("No route serves this model. GET /v1/models lists those that are served.", 404)
        route = self._warden.admit(call, route)
        reserved = self._gatekeeper.reserve(
            who,
            call.dialect,
            envelope.model,
            call.client,
            0 if call.free else envelope.prompt_tokens,
            0 if call.free else envelope.max_output_tokens,
        )
        if isinstance(reserved, Wait):
            reserved = await reserved.over()
        if isinstance(reserved, Refusal):
            raise RefusedError(reserved)
        call.reservation = reserved
        if call.free and not any(upstream.dialect == call.dialect for upstream in route.upstreams):
            # Nobody counts in this dialect; the estimate that budgets go by is better than no answer.
            call.status, call.begun, call.finished = 200, True, True
            await reply(send, 200, speech.counted(envelope.prompt_tokens))
            return
        # Sessions of two principals never share a place in the table, whatever ids they choose.
        session = f"{who.key_id}/{call.session_id}" if call.session_id else ""
        path = speech.DOORS[received.path][1]
        outgoing = Outgoing(
            call.dialect, path, received.query, received.headers, envelope, session, share, call.call_id, call.free
        )
        inspection = Inspection(self._guard, self._settings, call) if self._guard is not None else None
        inspect = inspection.outgoing if inspection is not None else None
        leaves = partial(self._chronicle.leaves, call) if self._chronicle is not None else None
        with Watch(receive, received.line, who, self.patrol) as watch:
            try:
                async with Lull(call, send, self._settings.early_ping_after_s, self._settings.ping_after_s):
                    call.answer = await self._attempts.answer(outgoing, route, call.upstreams.append, inspect, leaves)
                    if inspection is not None:
                        await inspection.answer(call.answer)
                await self._relay.hand_on(call, call.answer, send)
            except asyncio.CancelledError:
                if watch.refusal is None and not watch.hung_up:
                    raise
                call.cancelled = watch.hung_up
        if watch.refusal is not None and not call.finished:
            raise RefusedError(watch.refusal)

    async def _tell(self, call: Call, send: Send, refusal: Refusal) -> None:
        call.verdict = refusal.kind
        if call.answer is None:
            call.status = refusal.status
        if call.begun:
            await self._relay.cut(call, refusal, send)
            return
        call.status = refusal.status
        call.begun = call.finished = True
        await refuse(send, call.dialect, refusal)
