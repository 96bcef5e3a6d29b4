"""Who decides in the place of those who are asked: pure, from facts to a move. None of it approves anything.

    delegate   somebody who may decide lets another decide instead; they themselves no longer may
    escalate   somebody who may decide lets those of `escalate` decide, too
    overdue    a gate that was open for its `expires_h` is told of, and is theirs, too; again after as long again

Whoever comes in this way is a second person: the requester's own approval counts no more at a gate that was escalated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, Final

from mohist.delivery.consent import ANYBODY, DELEGATED, entitled
from mohist.delivery.errors import DecidedError, NotEntitledError, StateError
from mohist.delivery.machine import OVER, stale
from mohist.delivery.state import Facts, Gate, Move

EXPIRES: Final = "expires_h"
ESCALATE: Final = "escalate"
OVERDUE: Final = "overdue"
"""In a gate's facts: how often it was told of."""


def delegate(facts: Facts, gate_id: str, by: str, teams: Collection[str], to: str, because: str) -> Move:
    """Lets another decide in one's place; to oneself takes it back.

    Raises:
        NotEntitledError: this person may not decide here, or the other never may.
        StateError: they have decided already.
        DecidedError: the gate is not open.
    """
    gate, requester = _open(facts, gate_id), facts.delivery.requested_by
    given = dict(gate.facts.get(DELEGATED, {}))
    if to == by:
        if by not in given:
            raise StateError(f"{by!r} has let nobody decide about {gate.subject!r}.")
        del given[by]
        told = f"{by} decides about {gate.subject} again"
        return _revised(facts, gate, ("delegated", told, {"by": by}), {DELEGATED: given})
    # What was given to oneself is not passed on: whoever gives a right is one of those who were asked.
    own = dataclasses.replace(gate, facts={**gate.facts, DELEGATED: {}})
    if by in given or not entitled(by, teams, own, requester):
        raise NotEntitledError(f"{by!r} may not decide about {gate.subject!r}, and can let nobody else.")
    if gate.four_eyes and to == requester:
        raise NotEntitledError(f"{to!r} asked for this delivery; {gate.subject!r} takes a second person.")
    if to in given:
        raise StateError(
            f"{to!r} has let {given[to]['to']!r} decide.", f"Let {given[to]['to']!r} decide in your place."
        )
    if any(decision.by in (by, to) for decision in gate.decisions):
        raise StateError(f"{by!r} or {to!r} has decided about {gate.subject!r} already.")
    given[by] = {"to": to, "teams": list(teams)}
    told = f"{by} lets {to} decide about {gate.subject}{': ' if because else ''}{because}"
    return _revised(facts, gate, ("delegated", told, {"by": by, "to": to, "because": because}), {DELEGATED: given})


def escalate(facts: Facts, gate_id: str, by: str, teams: Collection[str], because: str) -> Move:
    """Lets those of `escalate` decide, too.

    Raises:
        NotEntitledError: this person may not decide here.
        StateError: nobody is named to escalate to, or anybody may decide.
        DecidedError: the gate is not open.
    """
    gate = _open(facts, gate_id)
    if not entitled(by, teams, gate, facts.delivery.requested_by):
        raise NotEntitledError(f"{by!r} may not decide about {gate.subject!r}, and can't escalate it.")
    wider = _wider(gate)
    if wider is None:
        raise StateError(f"There is nobody to escalate {gate.subject!r} to.", "`escalate` in deliver.toml names them.")
    who = " or ".join(gate.facts[ESCALATE])
    told = f"{by} escalates {gate.subject} to {who}{': ' if because else ''}{because}"
    return _revised(facts, wider, ("overdue", told, {"by": by, "because": because}), {})


def due_at_ms(gate: Gate, usual_h: float) -> int:
    """When a gate is told of next; 0: never.

    Args:
        gate: open.
        usual_h: holds for gates that say nothing of their own; 0: none.
    """
    hours = float(gate.facts.get(EXPIRES, 0) or usual_h)
    return round(gate.opened_at_ms + (int(gate.facts.get(OVERDUE, 0)) + 1) * hours * 3_600_000) if hours > 0 else 0


def overdue(facts: Facts, gate_id: str, now_ms: int, usual_h: float) -> Move:
    """Tells of a gate whose time is up and lets those of `escalate` decide; nothing where it is not.

    Args:
        facts: all that is known.
        gate_id: the gate.
        now_ms: the time.
        usual_h: as for `due_at_ms`.
    """
    try:
        gate = _open(facts, gate_id)
    except DecidedError:
        return Move(facts.delivery)
    due_ms = due_at_ms(gate, usual_h)
    if not due_ms or now_ms < due_ms:
        return Move(facts.delivery)
    hours = float(gate.facts.get(EXPIRES, 0) or usual_h)
    periods = int((now_ms - gate.opened_at_ms) / (hours * 3_600_000))
    told = f"{gate.subject} has waited {periods * hours:g} h"
    if (wider := _wider(gate)) is not None:
        gate = wider
        told += f"; {' or '.join(gate.facts[ESCALATE])} may decide now, too"
    return _revised(facts, gate, ("overdue", told, {}), {OVERDUE: periods})


def _wider(gate: Gate) -> Gate | None:
    """With those of `escalate` in each group; None: that changes nothing."""
    people = tuple(gate.facts.get(ESCALATE, ()))
    groups = tuple(group if ANYBODY in group else tuple(dict.fromkeys((*group, *people))) for group in gate.needs)
    if not people or groups == gate.needs:
        return None
    return dataclasses.replace(gate, needs=groups, four_eyes=True)


def _open(facts: Facts, gate_id: str) -> Gate:
    gate = next(gate for gate in facts.gates if gate.gate_id == gate_id)
    if facts.delivery.status in OVER or gate.status != "open" or gate.closed or stale(gate, facts):
        raise DecidedError(f"The gate {gate.subject!r} is not open.")
    return gate


def _revised(facts: Facts, gate: Gate, note: tuple[str, str, dict[str, Any]], changes: dict[str, Any]) -> Move:
    after = dataclasses.replace(gate, facts={**gate.facts, **changes})
    kind, told, said = note
    return Move(facts.delivery, revises=(after,), notes=((kind, told, {"gate": gate.gate_id, **said}),))
