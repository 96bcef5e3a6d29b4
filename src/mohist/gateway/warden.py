"""Asks the rules of a call before anything is reserved or sent: which of its route's upstreams it may go to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Final

from mohist.gateway.call import Refusal
from mohist.gateway.request import RefusedError
from mohist.gateway.route import Route, Upstream
from mohist.gateway.tally import Call
from mohist.policy import MINUTE_MS, Facts, Memo, Rulebook, Ruling, deciding

MAX_REASONS = 3
"""Told to a client; a route may have many upstreams, each refused for a reason of its own."""


class Warden:
    """Holds the rules in force.

    Args:
        rulebook: None: no rules, and everything that a key may do is allowed.
    """

    def __init__(self, rulebook: Rulebook | None = None) -> None:
        self._memo = None if rulebook is None else _Memory(rulebook)
        self.trouble = ""
        """Why the newest rules are not in force; empty when they are."""
        self.since_ms: int | None = None
        """When the rules were taken; None: not known."""

    @property
    def rulebook(self) -> Rulebook | None:
        """The rules in force."""
        return None if self._memo is None else self._memo.rulebook

    def take(self, rulebook: Rulebook, at_ms: int | None = None) -> None:
        """Puts other rules in force, from the next call on; those under way keep what was decided."""
        self._memo = _Memory(rulebook)
        self.trouble = ""
        self.since_ms = at_ms

    def admit(self, call: Call, route: Route) -> Route:
        """The route without the upstreams that the call may not go to; writes the deciding rules into the call.

        Raises:
            RefusedError: it may go to none.
        """
        memo = self._memo
        if memo is None:
            return route
        rulings = [memo.decide(call, upstream) for upstream in route.upstreams]
        kept = tuple(upstream for upstream, ruling in zip(route.upstreams, rulings, strict=True) if ruling.allowed)
        # A call that goes on names the rules that let it; which upstreams were left out, `policy explain` tells.
        said = deciding(ruling for ruling in rulings if ruling.allowed or not kept)
        # The register may have said something before.
        call.rule = ",".join((call.rule, *said) if call.rule else said)
        if not kept:
            raise RefusedError(Refusal("policy", 403, refusal_text(rulings)))
        return route if len(kept) == len(rulings) else replace(route, upstreams=kept)


# Where each fact is read; `facts_of` reads all of them.
OF_CALL: Final = {
    "user": "principal.user",
    "team": "principal.team",
    "project": "principal.project",
    "key_id": "principal.key_id",
    "client": "client",
    "dialect": "dialect",
    "model": "envelope.model",
    "tools": "envelope.offer.tools",
    "vendor_tools": "envelope.offer.vendor_tools",
    "stream": "envelope.stream",
    "prompt_tokens": "envelope.prompt_tokens",
    "session": "session_id",
    "served_model": "envelope.model",
}
OF_UPSTREAM: Final = {
    "upstream": "name",
    "vendor": "provider",
    "region": "region",
    "data_class": "data_class",
    "self_hosted": "self_hosted",
    "served_model": "model",
}


class _Memory:
    """The rulings of one rulebook, remembered by what its rules read: most calls need no more facts than that."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._memo = Memo(rulebook)
        self._of_call = _reader(OF_CALL[name] for name in rulebook.uses if name in OF_CALL)
        self._of_upstream = _reader(OF_UPSTREAM[name] for name in rulebook.uses if name in OF_UPSTREAM)
        self._timed = "at_ms" in rulebook.uses

    @property
    def rulebook(self) -> Rulebook:
        return self._memo.rulebook

    def decide(self, call: Call, upstream: Upstream) -> Ruling:
        minute = call.started_at_ms // MINUTE_MS if self._timed else 0
        key = self._of_call(call), self._of_upstream(upstream), minute
        return self._memo.recall(key, lambda: facts_of(call, upstream))


def _reader(paths: Iterable[str]) -> Callable[[object], object]:
    found = sorted(paths)
    return attrgetter(*found) if found else lambda _: None


def facts_of(call: Call, upstream: Upstream) -> Facts:
    """What the rules are told of a call and one of the upstreams that could serve it."""
    who, envelope = call.principal, call.envelope
    assert who is not None
    assert envelope is not None
    return Facts(
        user=who.user,
        team=who.team,
        project=who.project,
        key_id=who.key_id,
        client=call.client,
        dialect=call.dialect,
        model=envelope.model,
        tools=envelope.offer.tools,
        vendor_tools=envelope.offer.vendor_tools,
        stream=envelope.stream,
        prompt_tokens=envelope.prompt_tokens,
        session=call.session_id,
        at_ms=call.started_at_ms,
        upstream=upstream.name,
        vendor=upstream.provider,
        region=upstream.region,
        data_class=upstream.data_class,
        self_hosted=upstream.self_hosted,
        served_model=upstream.model or envelope.model,
    )


def refusal_text(rulings: Iterable[Ruling]) -> str:
    """What the person is told of a call that may go nowhere."""
    reasons = list(dict.fromkeys(f"{ruling.reason} (rule {ruling.rule_ids[0]})" for ruling in rulings))
    more = f" And {len(reasons) - MAX_REASONS} more." if len(reasons) > MAX_REASONS else ""
    return f"Refused by this gateway's policy: {' '.join(reasons[:MAX_REASONS])}{more}"
