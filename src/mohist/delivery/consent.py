"""Who may decide at a gate, and what becomes of it: pure.

A group of `needs` is met by an approval of one of its people; a group that stands there n times by n of them. One person
may stand for several different groups. Whoever is in none of the groups may neither approve nor reject, but the requester
may always reject: it is their requirement. An approval of the requester counts nowhere under four eyes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection
from typing import Final, Literal

from mohist.delivery.errors import DecidedError, NotEntitledError, OutdatedError
from mohist.delivery.machine import OVER, stale
from mohist.delivery.state import Decision, Facts, Gate, GateKind

ANYBODY: Final = "*"
DELEGATED: Final = "delegated"
"""In a gate's facts: who lets whom decide in their place, and the teams that the first is in."""
VIEWS: Final = "views"
"""In a gate's facts: grave findings that nobody mended, which an approval waives."""
_NEVER_BY_YES: Final[frozenset[GateKind]] = frozenset({"irreversible", "budget", "conflict"})


def entitled(person: str, teams: Collection[str], gate: Gate, requester: str) -> bool:
    """Whether this person's approval counts at this gate.

    Args:
        person: user name.
        teams: `@core`, …: the teams this person is in.
        gate: its `needs` and `four_eyes`.
        requester: who asked for the delivery.
    """
    if (gate.four_eyes and person == requester) or person in gate.facts.get(DELEGATED, {}):
        return False
    names, sides = _stands_for(person, teams, gate)
    return not gate.needs or any(_in(names, sides, group) for group in gate.needs)


def unmet(gate: Gate, requester: str) -> tuple[tuple[str, ...], ...]:
    """The groups that still miss somebody, each as often as it misses one."""
    approvals = {
        decision.by: decision
        for decision in gate.decisions
        if decision.verdict != "reject" and not (gate.four_eyes and decision.by == requester)
    }
    needs = Counter(gate.needs or ((ANYBODY,),))
    missing: list[tuple[str, ...]] = []
    for group, wanted in needs.items():
        have = sum(_in(*_stands_for(by, decision.teams, gate), group) for by, decision in approvals.items())
        missing += [group] * max(0, wanted - have)
    return tuple(missing)


def decided(facts: Facts, gate: Gate, decision: Decision) -> Gate:
    """The gate after a decision; the very same value where this person said the same before.

    Raises:
        OutdatedError: the decision is about another digest, or what the gate is about has changed since.
        NotEntitledError: this person may not decide here.
        DecidedError: the gate is not open.
    """
    requester = facts.delivery.requested_by
    if decision.digest != gate.digest or (gate.status == "open" and stale(gate, facts)):
        raise OutdatedError(
            f"What was decided about is not {gate.subject!r} as it is now.", "Look at it again, and decide anew."
        )
    for before in gate.decisions:
        if (before.by, before.verdict, before.answers) == (decision.by, decision.verdict, decision.answers):
            return gate
    if gate.status != "open" or gate.closed:
        raise DecidedError(f"The gate {gate.subject!r} is not open: it is {gate.status}.")
    if facts.delivery.status in OVER:
        raise DecidedError(f"Delivery {facts.delivery.delivery_id!r} is {facts.delivery.status}.")
    rejects = decision.verdict == "reject"
    if not entitled(decision.by, decision.teams, gate, requester) and not (rejects and decision.by == requester):
        raise NotEntitledError(_refusal(gate, decision.by, requester), who_may(gate, requester))
    after = dataclasses.replace(gate, decisions=(*gate.decisions, decision))
    if rejects:
        return dataclasses.replace(after, status="rejected")
    return after if unmet(after, requester) else dataclasses.replace(after, status="approved")


def who_may(gate: Gate, requester: str) -> str:
    """Who may decide, in words."""
    groups = " and ".join(" or ".join(group) for group in unmet(gate, requester) if group != (ANYBODY,))
    but = f"Anybody but {requester} may decide." if gate.four_eyes else "Anybody may decide."
    instead = "".join(f" {one['to']} decides for {by}." for by, one in gate.facts.get(DELEGATED, {}).items())
    return (f"It needs {groups}." if groups else but) + instead


def by_yes(facts: Facts, person: str, teams: Collection[str], now_ms: int) -> tuple[tuple[str, Decision], ...]:
    """What `--yes` says at the open gates: recommended answers, and approvals where this person's count.

    Never at gates about what can't be taken back, about money, in a conflict, or with findings to weigh (`views`): these are
    asked of somebody who looks.

    Returns:
        Gate ids with decisions.
    """
    said: list[tuple[str, Decision]] = []
    for gate in facts.gates:
        if gate.status != "open" or gate.closed or gate.kind in _NEVER_BY_YES or stale(gate, facts):
            continue
        if gate.facts.get(VIEWS):
            continue
        if not entitled(person, teams, gate, facts.delivery.requested_by):
            continue
        if any(decision.by == person for decision in gate.decisions):
            continue
        answers = {str(ask["id"]): str(ask.get("recommended", "")) for ask in gate.facts.get("questions", ())}
        verdict: Literal["answer", "approve"] = "answer" if gate.kind == "questions" else "approve"
        said.append((gate.gate_id, Decision(person, verdict, "--yes", gate.digest, now_ms, answers, tuple(teams))))
    return tuple(said)


def _stands_for(person: str, teams: Collection[str], gate: Gate) -> tuple[set[str], set[str]]:
    """Names and teams that a person's decision counts for: their own, and those of whom they stand in for."""
    names, sides = {person}, set(teams)
    for by, one in gate.facts.get(DELEGATED, {}).items():
        if one["to"] == person:
            names.add(by)
            sides.update(one["teams"])
    return names, sides


def _in(names: Collection[str], teams: Collection[str], group: Collection[str]) -> bool:
    return ANYBODY in group or not {*names, *teams}.isdisjoint(group)


def _refusal(gate: Gate, person: str, requester: str) -> str:
    if gate.four_eyes and person == requester:
        return f"{person!r} asked for this delivery and may not approve {gate.subject!r}: it takes a second person."
    if given := gate.facts.get(DELEGATED, {}).get(person):
        return f"{person!r} lets {given['to']!r} decide about {gate.subject!r}."
    return f"{person!r} may not decide about {gate.subject!r}."
