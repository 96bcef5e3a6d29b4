"""Enters every call in the ledger: what is about to leave, before it leaves, and what came of it.

The intent is durable before the first byte goes out; where it can't be, the call is refused. The result is entered when the call
is over; an intent without a result, in the log, means that nobody knows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from mohist.base import MohistError
from mohist.gateway.call import CallRecord, Refusal
from mohist.gateway.entry import session_stream
from mohist.gateway.request import Headers, RefusedError
from mohist.gateway.route import Upstream
from mohist.gateway.tally import Call
from mohist.ledger import Content, Draft, Receipt

_log = logging.getLogger(__name__)

UNENTERED = Refusal(
    "unavailable", 503, "This gateway's ledger can't take entries, and no call leaves without one. Tell its operator."
)


class Recorder(Protocol):
    """What the chronicle needs of a ledger."""

    def submit(self, draft: Draft) -> Future[Receipt]:
        """See `mohist.ledger.Ledger`; may take its time."""
        ...


Name = Callable[[str, str], str]
"""(sort, name) -> pseudonym."""


class Chronicle:
    """Enters calls. An observer of calls, and asked before each attempt.

    Args:
        ledger: takes the entries.
        name: makes pseudonyms; entries hold no names of people.
        failed: is told, once each time it begins, that results can't be entered.
    """

    def __init__(self, ledger: Recorder, name: Name, failed: Callable[[str], None] = lambda _: None) -> None:
        self._ledger = ledger
        self._name = name
        self._told = failed
        self._queue: deque[tuple[Callable[[], Draft], Callable[[MohistError | None], None]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._pending = 0
        self._failing = False
        self._tries: dict[str, list[str]] = {}
        self._thread = threading.Thread(target=self._work, name="mohist-chronicle", daemon=True)
        self._thread.start()

    async def leaves(self, call: Call, upstream: Upstream, body: bytes) -> None:
        """Enters that a body is about to leave for an upstream.

        Raises:
            RefusedError: it can't be entered, so it may not leave.
        """
        tries = self._tries.setdefault(call.call_id, [])
        key = f"call:{call.call_id}/{len(tries) + 1}"
        tries.append(key)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[MohistError | None] = loop.create_future()

        def tell(error: MohistError | None) -> None:
            loop.call_soon_threadsafe(_settle, done, error)

        self._put(lambda: self._intent(call, upstream, body, key), tell)
        if (error := await done) is not None:
            tries.remove(key)
            _log.error("call %s is not entered and does not leave: %s", call.call_id, error)
            raise RefusedError(UNENTERED)

    def began(self, call: Call, headers: Headers) -> None:
        """Nothing is entered of a call before something of it leaves."""

    def ended(self, call: Call, record: CallRecord) -> None:
        """Enters what came of a call."""
        tries = self._tries.pop(call.call_id, [])
        for number, key in enumerate(tries, 1):
            last = number == len(tries)
            self._put(lambda key=key, last=last: self._response(call, record, key, last=last), self._result)  # type: ignore[misc]
        if not tries and record.verdict != "allowed":
            self._put(lambda: self._refusal(call, record), self._result)

    def close(self) -> None:
        """Enters what is queued, and waits until that is durable."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        with self._wake:
            self._wake.wait_for(lambda: not self._pending)

    def _put(self, draft: Callable[[], Draft], tell: Callable[[MohistError | None], None]) -> None:
        with self._wake:
            self._pending += 1
            self._queue.append((draft, tell))
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                batch = list(self._queue)
                self._queue.clear()
            for draft, tell in batch:
                self._submit(draft, tell)

    def _submit(self, draft: Callable[[], Draft], tell: Callable[[MohistError | None], None]) -> None:
        def over(done: Future[Receipt]) -> None:
            error = done.exception()
            known = error if error is None or isinstance(error, MohistError) else MohistError(type(error).__name__)
            tell(known)
            with self._wake:
                self._pending -= 1
                self._wake.notify_all()

        try:
            self._ledger.submit(draft()).add_done_callback(over)
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever fails, the call is told, and does not leave
            failed: Future[Receipt] = Future()
            failed.add_done_callback(over)
            failed.set_exception(error)

    def _result(self, error: MohistError | None) -> None:
        if error is not None and not self._failing:
            _log.error("results of calls are not entered: %s", error)
            self._told(str(error))
        self._failing = error is not None

    def _stream(self, call: Call) -> str:
        """A client's session; a key's calls where it names none."""
        assert call.principal is not None
        return session_stream(self._name, call.principal.key_id, call.session_id)

    def _intent(self, call: Call, upstream: Upstream, body: bytes, key: str) -> Draft:
        assert call.principal is not None
        assert call.envelope is not None
        person = self._name("person", call.principal.user)
        return Draft(
            "model.intent",
            self._stream(call),
            f"key:{call.principal.key_id}",
            on_behalf_of=person,
            about={"call": call.call_id, "project": self._name("project", call.principal.project)}
            if call.principal.project
            else {"call": call.call_id},
            data={
                "client": call.client,
                "dialect": call.dialect,
                "model": call.envelope.model,
                "upstream": upstream.name,
                "vendor": upstream.provider,
                "region": upstream.region,
                "self_hosted": upstream.self_hosted,
                "rule": call.rule,
                "bytes": len(body),
            },
            # Committed to, not kept: a request repeats all of its conversation.
            contents=(Content("request", "application/json", body, subject=person, keep=False),),
            key=key,
        )

    def _response(self, call: Call, record: CallRecord, key: str, *, last: bool) -> Draft:
        assert call.principal is not None
        usage = record.usage if last else None
        return Draft(
            "model.response",
            self._stream(call),
            f"key:{call.principal.key_id}",
            on_behalf_of=self._name("person", call.principal.user),
            about={"call": call.call_id, "intent": key},
            data={
                "status": record.status if last else 0,
                "verdict": record.verdict if last else "failed over",
                "model": record.model_served if last else "",
                "cancelled": record.cancelled,
                "input_tokens": usage.input_tokens if usage else None,
                "output_tokens": usage.output_tokens if usage else None,
                "cost_microusd": record.cost_microusd if last else 0,
                "price": record.price_row if last else "",
                "ms": record.duration_ms,
            },
            key=f"{key}/end",
        )

    def _refusal(self, call: Call, record: CallRecord) -> Draft:
        who = call.principal
        return Draft(
            "verdict",
            self._stream(call) if who else "gateway",
            f"key:{who.key_id}" if who else "key:unknown",
            on_behalf_of=self._name("person", who.user) if who else "",
            about={"call": call.call_id},
            data={
                "client": call.client,
                "model": record.model_asked,
                "verdict": record.verdict,
                "status": record.status,
                "rule": record.rule,
            },
            key=f"call:{call.call_id}/refused",
        )


def _settle(done: asyncio.Future[MohistError | None], error: MohistError | None) -> None:
    if not done.done():  # the client may have gone meanwhile
        done.set_result(error)
