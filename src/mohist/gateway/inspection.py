"""Asks the guard about one call: its body for each upstream, then its answer.

A guard that fails, or does what it may not, stops the call (`on_guard_failure = "closed"`) or is passed over ("open"). A
stream whose guard fails on the way is broken off in either case: what it held back is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import anyio.to_thread

from mohist.gateway.answer import Answer
from mohist.gateway.call import Principal, Refusal
from mohist.gateway.guard import Block, Destination, Guard, Outbound, Pass, Replace
from mohist.gateway.history import Outgoing
from mohist.gateway.limit import DoorSettings
from mohist.gateway.request import RefusedError, read_envelope
from mohist.gateway.route import Upstream
from mohist.gateway.sieve import BLOCKED_STATUS, FAILED, BlockedError, Sieve, SieveError
from mohist.gateway.tally import Call

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Inspection:
    """One call's.

    Args:
        guard: asked.
        settings: when in a thread, and what its failure means.
        call: identified, its body read.
    """

    def __init__(self, guard: Guard, settings: DoorSettings, call: Call) -> None:
        self._guard = guard
        self._settings = settings
        self._call = call
        self._let_out: Outbound | None = None

    async def outgoing(self, outgoing: Outgoing, upstream: Upstream) -> Outgoing:
        """The call as it may go to this upstream.

        Raises:
            RefusedError: it may not.
        """
        request = self._request(outgoing, upstream)
        memory: object = None
        try:
            verdict = await self._asked(len(request.body), partial(self._guard.outbound, request))
            if isinstance(verdict, Block):
                raise RefusedError(Refusal("guard", BLOCKED_STATUS, verdict.reason))
            if isinstance(verdict, Replace):
                outgoing = self._replaced(outgoing, verdict.body)
            if isinstance(verdict, Replace | Pass):
                memory = verdict.memory
        except RefusedError:
            raise
        except Exception as error:  # noqa: BLE001 - the guard's boundary: whatever fails in it has one consequence
            self._failed(error)
        self._let_out = replace(request, body=outgoing.envelope.body, memory=memory)
        return outgoing

    async def answer(self, answer: Answer) -> None:
        """Looks at a whole answer, or has a stream looked at as it goes.

        Raises:
            RefusedError: the client may not have it.
        """
        if answer.status != 200 or self._let_out is None:
            return
        try:
            inbound = self._guard.inbound(self._let_out)
            if inbound is None:
                return
            sieve = Sieve(self._let_out.dialect, inbound)
            if answer.response is not None:
                if answer.tap is None:
                    raise SieveError("the answer is compressed")
                answer.sieve = sieve
            elif b"event-stream" not in next((v for n, v in answer.headers if n == b"content-type"), b""):
                answer.held = await self._asked(len(answer.held), partial(sieve.whole, answer.held))
        except BlockedError as blocked:
            raise RefusedError(Refusal("guard", BLOCKED_STATUS, blocked.reason)) from None
        except Exception as error:  # noqa: BLE001 - the guard's boundary: whatever fails in it has one consequence
            self._failed(error)

    async def _asked(self, size_bytes: int, question: Callable[[], _T]) -> _T:
        if size_bytes <= self._settings.guard_inline_bytes:
            return question()
        return await anyio.to_thread.run_sync(question, abandon_on_cancel=True)

    def _failed(self, error: Exception) -> None:
        _log.error("the guard failed on call %s: %s", self._call.call_id, type(error).__name__)
        if self._settings.on_guard_failure == "closed":
            raise RefusedError(FAILED) from error

    def _request(self, outgoing: Outgoing, upstream: Upstream) -> Outbound:
        call = self._call
        assert isinstance(call.principal, Principal)
        return Outbound(
            call_id=call.call_id,
            principal=call.principal,
            client=call.client,
            dialect=outgoing.dialect,
            session_id=call.session_id,
            model=outgoing.envelope.model,
            destination=Destination(
                upstream.name, upstream.provider, upstream.region, upstream.data_class, upstream.self_hosted
            ),
            body=outgoing.envelope.body,
            head=_head(outgoing),
        )

    def _replaced(self, outgoing: Outgoing, body: bytes) -> Outgoing:
        envelope = read_envelope(body, outgoing.dialect)
        if (envelope.model, envelope.stream) != (outgoing.envelope.model, outgoing.envelope.stream):
            raise SieveError("the guard changed the model or the way of answering")
        return replace(outgoing, envelope=envelope)


def _head(outgoing: Outgoing) -> tuple[tuple[str, str], ...]:
    """Headers that the client chose and that are passed on, and the query."""
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in outgoing.headers]
    query = outgoing.query.decode("latin-1").removeprefix("?")
    return (*named, ("?", query)) if query else tuple(named)
