"""An answer on its way to the client: bytes as they come, pings in silence, an end that can't be taken for whole."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from mohist.gateway import dialect as speech
from mohist.gateway.answer import Answer
from mohist.gateway.asgi import Send
from mohist.gateway.call import Refusal
from mohist.gateway.registrar import WARNING_HEADER
from mohist.gateway.request import RefusedError
from mohist.gateway.route import Router
from mohist.gateway.sieve import BLOCKED_STATUS, FAILED, BlockedError
from mohist.gateway.tally import Call, Tally
from mohist.gateway.wire import WireError

TELL_WITHIN_S = 1.0
_log = logging.getLogger(__name__)

# Hop by hop, or said anew, or about the upstream's own host.
_NOT_RETURNED = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"content-length", b"proxy-authenticate", b"set-cookie", b"alt-svc", b"strict-transport-security"),
        *(b"www-authenticate", b"location", b"x-accel-buffering"),
    }
)


class Relay:
    """Hands answers on.

    Args:
        router: told of upstreams that break off.
        tally: knows how long a call takes.
        ping_after_s: silence of an upstream after which a stream gets a ping.
    """

    def __init__(self, router: Router, tally: Tally, ping_after_s: float) -> None:
        self._router = router
        self._tally = tally
        self._ping_after_s = ping_after_s

    async def hand_on(self, call: Call, answer: Answer, send: Send) -> None:
        """The answer from its head to its end."""
        call.status = answer.status
        if call.begun:
            await self._hand_on_late(call, answer, send)
            return
        headers = [(name, value) for name, value in answer.headers if name not in _NOT_RETURNED]
        if answer.omitted:
            headers.append((b"x-mohist-omitted", answer.omitted.encode()))
        if call.warning:
            headers.append((WARNING_HEADER, call.warning))
        if answer.response is None:
            headers.append((b"content-length", str(len(answer.held)).encode()))
        else:
            headers.append((b"x-accel-buffering", b"no"))
        call.begun = True
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        call.first_byte_ms = self._tally.since_ms(call)
        if answer.response is None:
            call.finished = True
            await send({"type": "http.response.body", "body": answer.held, "more_body": False})
            return
        await self._hand_on_stream(call, answer, send)

    async def _hand_on_late(self, call: Call, answer: Answer, send: Send) -> None:
        """An answer to a client that has had a status and pings already: a stream, or an error as its one event."""
        call.first_byte_ms = self._tally.since_ms(call)
        if answer.response is not None:
            await self._hand_on_stream(call, answer, send)
            return
        call.finished = True
        kind = next((value for name, value in answer.headers if name == b"content-type"), b"")
        if answer.status == 200 and b"event-stream" in kind:
            last = answer.held
        else:
            last = speech.error_event(call.dialect, speech.refusal_of(answer.status, answer.held))
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _hand_on_stream(self, call: Call, answer: Answer, send: Send) -> None:
        if held := _sieved(answer, answer.veil.feed(answer.held) if answer.veil else answer.held):
            await send({"type": "http.response.body", "body": held, "more_body": True})
        try:
            await self._stream(call, answer, send)
        except WireError as error:
            self._router.failed(answer.upstream)
            await self.cut(call, Refusal("unavailable", 502, f"The upstream broke off: {error.what}."), send)
            return
        if answer.tap is not None and answer.tap.failed:
            self._router.failed(answer.upstream)
        call.finished = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stream(self, call: Call, answer: Answer, send: Send) -> None:
        """The rest of a stream: each piece to the client first, then to the tap."""
        response, tap, veil = answer.response, answer.tap, answer.veil
        assert response is not None
        ping = speech.ping(call.dialect)
        ping_after_s = self._ping_after_s
        silent_s = 0.0
        while veil is None or not veil.over:  # closing the answer stops an upstream that nobody can read
            chunk = await response.next(ping_after_s)
            if chunk is None:
                silent_s += ping_after_s
                if silent_s >= answer.upstream.idle_timeout_s:
                    raise WireError("the stream fell silent")
                if answer.between_events:
                    await send({"type": "http.response.body", "body": ping, "more_body": True})
                continue
            if not chunk:
                if rest := _sieved(answer, veil.end() if veil is not None else b"", last=True):
                    await send({"type": "http.response.body", "body": rest, "more_body": True})
                return
            silent_s = 0.0
            seen = veil.feed(chunk) if veil is not None else chunk
            if answer.sieve is not None:
                seen = _sieved(answer, seen)
            if seen:
                await send({"type": "http.response.body", "body": seen, "more_body": True})
            if tap is not None:
                tap.feed(chunk)

    async def cut(self, call: Call, refusal: Refusal, send: Send) -> None:
        """Ends an answer that has begun and may not or can't go on, so that no client takes it for whole.

        Between two events the client is told in its dialect; within one, the connection breaks.
        """
        if call.finished or (call.answer is not None and not call.answer.between_events):
            return  # an ASGI server closes the connection of an answer that was not ended
        call.finished = True
        event = speech.error_event(call.dialect, refusal)
        with contextlib.suppress(TimeoutError):  # a client that doesn't read can't be told
            async with asyncio.timeout(TELL_WITHIN_S):
                await send({"type": "http.response.body", "body": event, "more_body": False})


def _sieved(answer: Answer, data: bytes, *, last: bool = False) -> bytes:
    """What the guard lets through.

    Raises:
        RefusedError: it stops the answer, or fails: of a stream it may hold something back, so no failure is passed over.
    """
    sieve = answer.sieve
    if sieve is None:
        return data
    try:
        seen = sieve.feed(data)
        return seen + sieve.end() if last else seen
    except BlockedError as blocked:
        raise RefusedError(Refusal("guard", BLOCKED_STATUS, blocked.reason)) from None
    except Exception as error:
        _log.error("the guard failed on an answer: %s", type(error).__name__)
        raise RefusedError(FAILED) from error
