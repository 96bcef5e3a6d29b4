"""What one call was: its state while it goes, and its record, usage and cost when it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mohist.base import Clock
from mohist.gateway.answer import Answer
from mohist.gateway.call import CallRecord, Dialect, Gatekeeper, Principal, Reservation
from mohist.gateway.request import Envelope, Headers
from mohist.gateway.route import Upstream
from mohist.gateway.trace import Trace
from mohist.policy.register import Tool
from mohist.provider.message import Usage
from mohist.provider.price import Bill, Terms
from mohist.provider.tariff import Tariff

Prices = Callable[[Upstream, str], Tariff]
"""The rows that an upstream may bill the model by, under the name it knows; empty when there is none."""

FREE = Bill(0, "", list_cost_microusd=0)
"""Nothing was used."""

HUNG_UP = 499
"""What a record says of a client that left before any answer; nginx's number, never sent."""


@dataclass(slots=True)
class Call:
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
    rule: str = ""
    trace: Trace | None = None
    """The span that stands for the call; None: there is none."""
    tool: Tool | None = None
    """What its client says that it is; None: nobody asked."""
    warning: bytes = b""
    """For the client, in a header: what will be refused, from when on, and what to do instead."""


class Observer(Protocol):
    """Learns of every call, for metrics and traces; touches memory alone and takes microseconds."""

    def began(self, call: Call, headers: Headers) -> None:
        """The head of a call has come; it may be given a trace here."""
        ...

    def ended(self, call: Call, record: CallRecord) -> None:
        """The call is over and settled."""
        ...


class Tally:
    """Settles finished calls.

    Args:
        gatekeeper: gets the records.
        prices: what usage is billed by.
        clock: time.
        observers: told of every call.
    """

    def __init__(
        self, gatekeeper: Gatekeeper, prices: Prices, clock: Clock, observers: Sequence[Observer] = ()
    ) -> None:
        self._gatekeeper = gatekeeper
        self._prices = prices
        self._clock = clock
        self._observers = observers

    def open(self, call: Call, headers: Headers) -> None:
        """Tells of a call that begins."""
        for observer in self._observers:
            observer.began(call, headers)

    def since_ms(self, call: Call) -> int:
        """How long the call has taken so far."""
        return round((self._clock.monotonic_s() - call.started_s) * 1000)

    def close(self, call: Call) -> None:
        """Settles the call, or has it written down as refused."""
        answer, envelope = call.answer, call.envelope
        usage = self._usage(call)
        terms = answer.tap.terms() if answer and answer.tap else Terms()
        bill = self._bill(call, usage, terms)
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
            cost_microusd=bill.cost_microusd,
            price_row=bill.row,
            duration_ms=self.since_ms(call),
            first_byte_ms=call.first_byte_ms,
            attempts=len(call.upstreams),
            cancelled=call.cancelled,
            rule=call.rule,
            region=terms.own_region or (answer.upstream.region if answer else ""),
            service_tier=terms.service,
            web_searches=terms.web_searches,
            provider=answer.upstream.provider if answer else "",
            list_cost_microusd=bill.list_cost_microusd,
            unpriced=",".join(bill.unpriced),
        )
        if call.reservation is not None:
            self._gatekeeper.settle(call.reservation, record)
        else:
            self._gatekeeper.refused(call.principal, record)
        for observer in self._observers:
            observer.ended(call, record)

    def _usage(self, call: Call) -> Usage | None:
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
        if whole or (told is not None and answer.tap is not None and answer.tap.dialect != "anthropic-messages"):
            return told
        assert answer.tap is not None
        return answer.tap.streamed(envelope.prompt_tokens)

    def _bill(self, call: Call, usage: Usage | None, terms: Terms) -> Bill:
        upstream = call.answer.upstream if call.answer else (call.upstreams[-1] if call.upstreams else None)
        if usage is None or upstream is None or call.envelope is None:
            return Bill(None, "") if usage is None else FREE
        if usage == Usage() and not terms.web_searches:
            return FREE
        rows = self._prices(upstream, upstream.model or call.envelope.model)
        return rows.bill(usage, at_ms=call.started_at_ms, terms=terms)
