"""What comes next in a delivery, and what people's words change: pure, from facts to a move.

    clarify specify plan │ implement verify review │ merge deploy report
    ───── spec ────────── ─────── build ────────── ─────── ship ────────

A stage's state is its row of the highest attempt. A step back begins another attempt: rows from that stage on are
written anew as pending, so what a late worker of an older attempt reports counts for nothing.

The order of a delivery:
    create → `advance` → [the engine runs `delivery.segment`, key `delivery_id/turn`] → `ended` → … → Finish
    In a segment, before each stage: `next_step` with the gates that the rules demand; it goes on only while the answer
    is a `Start` of the same segment. Everybody else (approve, comment, pause, …) makes a move at any time, and a running
    segment finds out at its next `next_step`.

Invariants: a segment is started only where none is there; an approval counts only with the digest that is current; a
cancelled delivery never changes again but for its engine's going away and what is taken back of it; who waits has an open gate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mohist.base import canonical_json, sha256_hex
from mohist.delivery.errors import StateError
from mohist.delivery.state import (
    SEGMENTS,
    STAGES,
    Delivery,
    Facts,
    Gate,
    GateKind,
    Move,
    SegmentName,
    StageName,
    StageRow,
    StageStatus,
    Status,
)

Required = Mapping[StageName, Sequence[Gate]]
"""Gates without whose approval a stage may not begin."""

OVER: Final = frozenset({"done", "failed", "cancelled"})
"""Nothing goes on by itself from here; `retry` takes a failed one up again."""
PASSED: Final = frozenset({"done", "skipped"})
LOOK: Final = "look"
"""Key in a delivery's options: which stage looks again, and when."""

FARTHEST_LOOK_MS: Final = 2 * 3_600_000
"""No stage puts its next look off for longer; what is farther ahead was written before the clock was set back."""

_BACK_TO: Final[Mapping[GateKind, StageName]] = {
    "questions": "clarify",
    "spec": "specify",
    "plan": "plan",
    "conflict": "implement",
    "review": "implement",
    "merge": "implement",
    "irreversible": "specify",
    "deploy": "deploy",
}
"""Where a rejection leads. One of `deploy` ends the stage, one of `budget` the delivery."""
_SPENDS: Final[frozenset[StageName]] = frozenset({"clarify", "specify", "plan", "implement", "verify", "review"})


@dataclass(frozen=True, slots=True)
class Start:
    """The stage that comes next, in its segment."""

    segment: SegmentName
    stage: StageName


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may run now."""

    gates: tuple[Gate, ...]
    """Open ones, and those to be opened (without an id); empty where it is paused, taken over, or looked at later."""
    why: str
    look_at_ms: int = 0
    """When a stage is to look again at something outside that tells nobody; 0: it waits for people."""


@dataclass(frozen=True, slots=True)
class Back:
    """Somebody rejected; the work goes back to a stage."""

    stage: StageName
    gate: Gate


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over."""

    status: Status
    detail: str = ""


Step = Start | Wait | Back | Finish


def segment_of(stage: StageName) -> SegmentName:
    """The segment that runs a stage."""
    return next(segment for segment, stages in SEGMENTS.items() if stage in stages)


def state_of(facts: Facts) -> dict[StageName, StageRow]:
    """Each stage's row of the highest attempt; stages without any are pending."""
    rows: dict[StageName, StageRow] = {}
    for row in facts.stages:
        if row.stage not in rows or rows[row.stage].attempt <= row.attempt:
            rows[row.stage] = row
    return {stage: rows.get(stage, StageRow(stage, 1, "pending")) for stage in STAGES}


def next_step(facts: Facts, required: Required | None = None) -> Step:
    """What comes next.

    Args:
        facts: all that is known.
        required: gates that must be approved before a stage begins, each with the digest that is current; stages that
            are not named need none. Who has no rules at hand (the command line after an approval) leaves it out: the
            segment that then starts asks again, with rules, before its first stage.
    """
    delivery = facts.delivery
    if delivery.status in OVER:
        return Finish(delivery.status, delivery.detail)
    if delivery.taken_by:
        return Wait((), f"{delivery.taken_by} works on it")
    if delivery.status == "paused":
        return Wait((), delivery.detail or "paused")
    live = [gate for gate in facts.gates if not gate.closed]
    for gate in live:
        if gate.status == "rejected" and gate.kind == "budget":
            return Finish("failed", f"the budget is spent, and {_by(gate)} gave no more")
        if gate.status == "rejected":
            return Back(_BACK_TO[gate.kind], gate)
    if waiting := tuple(gate for gate in live if gate.status == "open" and not stale(gate, facts)):
        return Wait(waiting, _told(waiting))
    rows = state_of(facts)
    failed = next((row for row in rows.values() if row.status == "failed"), None)
    for stage in STAGES:
        status = rows[stage].status
        if status in PASSED:
            continue
        if status == "failed":
            if stage == "deploy":
                continue  # The report says what was not done, so it comes all the same.
            return Finish("failed", rows[stage].detail)
        if look_at_ms := _look_of(facts, rows[stage]):
            return Wait((), rows[stage].detail, look_at_ms)
        asked = () if stage == "deploy" and delivery.options.get("roll_back") else (required or {}).get(stage, ())
        missing = tuple(gate for gate in (*_budget_gate(facts, stage), *asked) if not _approved(live, gate))
        if missing:
            return Wait(missing, _told(missing))
        return Start(segment_of(stage), stage)
    return Finish("failed", failed.detail) if failed else Finish("done")


def advance(facts: Facts, now_ms: int, required: Required | None = None) -> Move:
    """Makes the next step: starts a segment, opens gates, goes back, or ends. Nothing where a segment runs."""
    delivery = facts.delivery
    if delivery.segment or delivery.status in OVER:
        return Move(delivery)
    if outdated := tuple(
        gate for gate in facts.gates if not gate.closed and gate.status == "open" and stale(gate, facts)
    ):
        move = Move(changed(delivery, now_ms), withdraws=tuple(gate.gate_id for gate in outdated))
        return then(move, facts, lambda after: advance(after, now_ms, required))
    for gate in facts.gates:
        if gate.kind == "budget" and gate.status == "approved" and not gate.closed:
            move = _raise_bound(facts, gate, now_ms)
            return then(move, facts, lambda after: advance(after, now_ms, required))
    step = next_step(facts, required)
    if isinstance(step, Back):
        return then(_rejected(facts, step, now_ms), facts, lambda after: advance(after, now_ms, required))
    if isinstance(step, Start):
        turn = delivery.turn + 1
        after = changed(
            delivery, now_ms, status="working", stage=step.stage, segment=step.segment, turn=turn, detail=""
        )
        return Move(after, notes=(("segment", f"{step.segment} begins", {"turn": turn}),))
    if isinstance(step, Finish):
        live = [gate for gate in facts.gates if not gate.closed]
        return Move(
            changed(delivery, now_ms, status=step.status, detail=step.detail),
            closes=tuple(gate.gate_id for gate in live if gate.status == "rejected"),
            withdraws=tuple(gate.gate_id for gate in live if gate.status == "open"),
            notes=((step.status, step.detail or step.status, {}),),
        )
    if step.look_at_ms:
        return _looking(facts, step, now_ms, required)
    opens = tuple(gate for gate in step.gates if not gate.gate_id)
    if not step.gates or (delivery.status == "waiting" and not opens and delivery.detail == step.why):
        return Move(delivery)
    after = changed(delivery, now_ms, status="waiting", detail=step.why)
    return Move(after, opens=opens, notes=tuple(("gate", f"waits for {_name(gate)}", {}) for gate in opens))


def is_due(at_ms: int, now_ms: int) -> bool:
    """Whether a time that was put down to look again has come, also by a clock that was set back since."""
    return at_ms <= now_ms or at_ms - now_ms > FARTHEST_LOOK_MS


def look_later(delivery: Delivery, stage: StageName, at_ms: int) -> Delivery:
    """The delivery, told when a stage that ends as `waiting` is to be entered again; until then it is rows alone."""
    look = {"stage": stage, "attempt": delivery.attempt, "at_ms": at_ms}
    return dataclasses.replace(delivery, options={**delivery.options, LOOK: look})


def _look_of(facts: Facts, row: StageRow) -> int:
    look = facts.delivery.options.get(LOOK)
    if row.status != "waiting" or not look or (look["stage"], look["attempt"]) != (row.stage, row.attempt):
        return 0
    return max(1, int(look["at_ms"]))


def _looking(facts: Facts, step: Wait, now_ms: int, required: Required | None) -> Move:
    """Enters the stage again once it is time; else it waits."""
    delivery = facts.delivery
    if is_due(step.look_at_ms, now_ms):
        options = {name: value for name, value in delivery.options.items() if name != LOOK}
        rows = tuple(dataclasses.replace(row, status="pending") for row in facts.stages if _look_of(facts, row))
        move = Move(changed(delivery, now_ms, options=options), rows)
        return then(move, facts, lambda after: advance(after, now_ms, required))
    if (delivery.status, delivery.detail) == ("waiting", step.why):
        return Move(delivery)
    return Move(changed(delivery, now_ms, status="waiting", detail=step.why))


def entered(facts: Facts, turn: int, stage: StageName, now_ms: int) -> Move:
    """A stage begins in the segment of `turn`.

    Raises:
        StateError: that segment is not the one that runs, or this stage is not what comes next.
    """
    step = next_step(facts)
    delivery = facts.delivery
    if delivery.turn != turn or not delivery.segment or not isinstance(step, Start) or step.stage != stage:
        raise StateError(f"Stage {stage!r} of {delivery.delivery_id!r} is not what comes next.", audience="bug")
    # Entered again after a crash: what it cost before stays with it.
    before = state_of(facts)[stage]
    fresh = before if before.attempt == delivery.attempt else StageRow(stage, delivery.attempt, "working")
    began_at_ms = fresh.began_at_ms or now_ms
    row = dataclasses.replace(fresh, status="working", detail="", began_at_ms=began_at_ms, ended_at_ms=0)
    return Move(changed(delivery, now_ms, stage=stage), (row,), notes=(("stage", f"{stage} begins", {}),))


def left(facts: Facts, attempt: int, stage: StageName, status: StageStatus, now_ms: int, detail: str = "") -> Move:
    """A stage of an attempt ended so. Of an older attempt it is only recorded."""
    before = [row for row in facts.stages if row.stage == stage and row.attempt == attempt]
    row = before[-1] if before else StageRow(stage, attempt, "pending", began_at_ms=now_ms)
    done = dataclasses.replace(row, status=status, detail=detail, ended_at_ms=now_ms)
    text = f"{stage} {status}{': ' if detail else ''}{detail}"
    return Move(changed(facts.delivery, now_ms), (done,), notes=(("stage", text, {"status": status}),))


def ended(facts: Facts, turn: int, now_ms: int, required: Required | None = None) -> Move:
    """The engine's segment of `turn` is over, however it ended; what comes next follows at once."""
    delivery = facts.delivery
    if delivery.turn != turn or not delivery.segment:
        return Move(delivery)
    move = Move(changed(delivery, now_ms, segment=""))
    return then(move, facts, lambda after: advance(after, now_ms, required))


def stale(gate: Gate, facts: Facts) -> bool:
    """Whether a gate is about something that has changed since. Digests: of a spec's or plan's gate its own; of a gate
    about the change its commit; of a deploy's the merged commit. The other kinds don't go stale."""
    current: Mapping[GateKind, str] = {
        "spec": facts.spec.digest if facts.spec else "",
        "plan": facts.plan.digest if facts.plan else "",
        "review": facts.delivery.commit,
        "merge": facts.delivery.commit,
        "irreversible": facts.delivery.commit,
        "deploy": facts.delivery.merged,
    }
    return gate.kind in current and gate.digest != current[gate.kind]


def applied(facts: Facts, move: Move) -> Facts:
    """The facts after a move, as the book will tell them; new gates have ids of their own."""
    rows = {(row.stage, row.attempt): row for row in (*facts.stages, *move.stages)}
    gates = []
    revised = {gate.gate_id: gate for gate in move.revises}
    for before in facts.gates:
        new = revised.get(before.gate_id, before)
        gate = dataclasses.replace(before, needs=new.needs, four_eyes=new.four_eyes, facts=new.facts)
        if gate.gate_id in move.withdraws:
            gates.append(dataclasses.replace(gate, status="withdrawn", closed=True))
        elif gate.gate_id in move.closes:
            gates.append(dataclasses.replace(gate, closed=True))
        else:
            gates.append(gate)
    for gate in move.opens:
        if not any(same(gate, other) for other in gates):
            gate_id = gate.gate_id or f"{facts.delivery.delivery_id}.{len(gates) + 1}"
            gates.append(dataclasses.replace(gate, gate_id=gate_id))
    return dataclasses.replace(facts, delivery=move.delivery, stages=tuple(rows.values()), gates=tuple(gates))


def same(gate: Gate, other: Gate) -> bool:
    """Whether `other` is there and asks what `gate` asks."""
    asked = (gate.kind, gate.subject, gate.digest)
    return not other.closed and asked == (other.kind, other.subject, other.digest)


def then(move: Move, facts: Facts, transition: Callable[[Facts], Move]) -> Move:
    """One move that does what `move` does and what follows from it."""
    after = transition(applied(facts, move))
    # What it opened itself has no id in the book yet: an id that `applied` made up is not written.
    known = {gate.gate_id for gate in facts.gates}
    return Move(
        after.delivery,
        (*move.stages, *after.stages),
        (*move.opens, *after.opens),
        tuple(gate_id for gate_id in (*move.closes, *after.closes) if gate_id in known),
        tuple(gate_id for gate_id in (*move.withdraws, *after.withdraws) if gate_id in known),
        (*move.notes, *after.notes),
        (*move.revises, *after.revises),
    )


def step_back(facts: Facts, stage: StageName, now_ms: int, **changes: Any) -> Move:
    """Begins another attempt from a stage on. What is open about the old one is withdrawn.

    Raises:
        StateError: it is merged, and the stage lies before that.
    """
    delivery = facts.delivery
    if delivery.merged and STAGES.index(stage) <= STAGES.index("merge"):
        raise StateError(
            f"Delivery {delivery.delivery_id!r} is merged; it can't go back to {stage!r}.",
            "Ask for what is to change in a new delivery.",
        )
    attempt = delivery.attempt + 1
    rows = tuple(StageRow(name, attempt, "pending") for name in STAGES[STAGES.index(stage) :])
    changes = {"status": "working", "stage": stage, "attempt": attempt, "detail": ""} | changes
    if STAGES.index(stage) <= STAGES.index("implement"):
        changes.setdefault("commit", "")
    still = tuple(gate.gate_id for gate in facts.gates if gate.status == "open" and not gate.closed)
    return Move(changed(delivery, now_ms, **changes), rows, withdraws=still)


def _rejected(facts: Facts, step: Back, now_ms: int) -> Move:
    gate, delivery = step.gate, facts.delivery
    decision = gate.decisions[-1]
    told = f"{_name(gate)} rejected by {decision.by}: {decision.because}"
    note = ("rejected", told, {"stage": step.stage, "by": decision.by, "because": decision.because})
    if gate.kind != "deploy":
        move = step_back(facts, step.stage, now_ms)
        return dataclasses.replace(move, closes=(gate.gate_id,), notes=(note,))
    still = tuple(other.gate_id for other in facts.gates if other.status == "open" and not other.closed)
    if decision.answers.get("roll_back") == "yes":
        options = {**delivery.options, "roll_back": True}
        after = changed(delivery, now_ms, options=options, status="working")
        rows: tuple[StageRow, ...] = (StageRow("deploy", delivery.attempt, "pending", "to be rolled back"),)
    else:
        after = changed(delivery, now_ms, status="working")
        rows = (StageRow("deploy", delivery.attempt, "failed", told),)
    return Move(after, rows, closes=(gate.gate_id,), withdraws=still, notes=(note,))


def _raise_bound(facts: Facts, gate: Gate, now_ms: int) -> Move:
    """What a person gave by approving: the numbers they named on top, else as much again as there was."""
    bound, decision, used = facts.delivery.bound, gate.decisions[-1], _used(facts)
    raised = {}
    for name in exhausted(facts):
        limit, said = getattr(bound, name), decision.answers.get(name, "")
        more = int(said) if said.isdecimal() else limit
        raised[name] = max(limit, used[name]) + max(1, more)
    told = ", ".join(f"{name} to {value}" for name, value in raised.items())
    return Move(
        changed(facts.delivery, now_ms, bound=dataclasses.replace(bound, **raised)),
        closes=(gate.gate_id,),
        notes=(("budget", f"{decision.by} raised {told}", raised),),
    )


def paid(delivery: Delivery, cost_microusd: int | None, tokens: int, held_microusd: int) -> Delivery:
    """The delivery with what a run cost; None: nobody knows, and what is held for it counts against the bound."""
    known = cost_microusd is not None
    return dataclasses.replace(
        delivery,
        spent_microusd=delivery.spent_microusd + (cost_microusd or 0),
        spent_tokens=delivery.spent_tokens + tokens,
        unpriced=delivery.unpriced + (not known),
        held_microusd=delivery.held_microusd + (0 if known else held_microusd),
    )


def exhausted(facts: Facts) -> tuple[str, ...]:
    """Which bounds are reached: `cost_microusd`, `tokens`, `seconds` (of work; waiting for people counts nothing)."""
    limits = dataclasses.asdict(facts.delivery.bound)
    return tuple(name for name, used in _used(facts).items() if limits[name] is not None and used >= limits[name])


def _used(facts: Facts) -> dict[str, int]:
    worked_ms = sum(max(0, row.ended_at_ms - row.began_at_ms) for row in facts.stages if row.ended_at_ms)
    delivery = facts.delivery
    return {
        "cost_microusd": delivery.spent_microusd + delivery.held_microusd,
        "tokens": delivery.spent_tokens,
        "seconds": worked_ms // 1000,
    }


def _budget_gate(facts: Facts, stage: StageName) -> tuple[Gate, ...]:
    names = exhausted(facts) if stage in _SPENDS else ()
    if not names:
        return ()
    bound = dataclasses.asdict(facts.delivery.bound)
    digest = sha256_hex(canonical_json(bound))
    told: dict[str, Any] = {"exhausted": list(names), "bound": bound}
    if facts.delivery.unpriced:
        told |= {"unpriced": facts.delivery.unpriced, "held_microusd": facts.delivery.held_microusd}
    return (Gate("", "budget", stage, "budget", digest, (), False, facts=told),)


def _approved(live: Sequence[Gate], gate: Gate) -> bool:
    return any(same(gate, other) and other.status == "approved" for other in live)


def changed(delivery: Delivery, now_ms: int, **changes: Any) -> Delivery:
    """The delivery with these fields, as of now."""
    return dataclasses.replace(delivery, updated_at_ms=now_ms, **changes)


def _name(gate: Gate) -> str:
    return gate.subject if gate.subject.startswith(gate.kind) else f"{gate.kind} ({gate.subject})"


def _told(gates: Sequence[Gate]) -> str:
    return "waits for " + ", ".join(_name(gate) for gate in gates)


def _by(gate: Gate) -> str:
    return gate.decisions[-1].by if gate.decisions else "nobody"
