"""What people order beside their decisions at gates: pure, from facts to a move.

None of these stops a process by itself: a running segment finds out before its next stage, and the engine, told of the
same order, ends it at once where the order can't wait (cancel, take over).
"""

from __future__ import annotations

import dataclasses
from typing import Final

from mohist.delivery.errors import NotEntitledError, StateError
from mohist.delivery.machine import OVER, PASSED, Required, advance, changed, next_step, state_of, step_back, then
from mohist.delivery.state import STAGES, Delivery, Facts, Move, StageName, StageRow

OWED: Final = "owed"
"""Key in a cancelled delivery's options: what it left outside is not all taken back yet; since when, and when to try."""


def pause(facts: Facts, by: str, now_ms: int) -> Move:
    """Nothing new begins until it is resumed; gates stay open, and may be decided.

    Raises:
        StateError: it is over.
    """
    delivery = _going(facts, "be paused")
    if delivery.status == "paused":
        return Move(delivery)
    after = changed(delivery, now_ms, status="paused", detail=f"paused by {by}")
    return Move(after, notes=(("paused", f"paused by {by}", {"by": by}),))


def resume(facts: Facts, by: str, now_ms: int, required: Required | None = None) -> Move:
    """Goes on where it was paused; nothing where it was not.

    Raises:
        StateError: it is over, or somebody works in its worktree.
    """
    delivery = _going(facts, "be resumed")
    if delivery.taken_by:
        raise StateError(f"{delivery.taken_by!r} works on {delivery.delivery_id!r}.", "They hand it back first.")
    if delivery.status != "paused":
        return Move(delivery)
    after = changed(delivery, now_ms, status="working", detail="")
    move = Move(after, notes=(("resumed", f"resumed by {by}", {"by": by}),))
    return then(move, facts, lambda now: advance(now, now_ms, required))


def cancel(facts: Facts, by: str, because: str, now_ms: int) -> Move:
    """Ends it for good. Its engine's segment, where one runs, is for the caller to end; what it left outside is owed
    until `withdrawal` took it back.

    Raises:
        StateError: it is done.
    """
    delivery = facts.delivery
    if delivery.status == "cancelled":
        return Move(delivery)
    if delivery.status == "done":
        raise StateError(f"Delivery {delivery.delivery_id!r} is done; there is nothing to cancel.")
    told = f"cancelled by {by}{': ' if because else ''}{because}"
    options = {**delivery.options, OWED: {"since_ms": now_ms, "at_ms": now_ms}}
    after = changed(delivery, now_ms, status="cancelled", detail=told, taken_by="", options=options)
    still = tuple(gate.gate_id for gate in facts.gates if not gate.closed and gate.status == "open")
    return Move(after, withdraws=still, notes=(("cancelled", told, {"by": by, "because": because}),))


def retry(facts: Facts, stage: StageName, by: str, now_ms: int, required: Required | None = None) -> Move:
    """Does a stage and all after it again, as another attempt.

    Raises:
        StateError: something runs, it was cancelled, a stage before this one has not been passed, or the change is merged
            and this stage lies before that.
    """
    delivery = facts.delivery
    if delivery.status == "cancelled":
        raise StateError(f"Delivery {delivery.delivery_id!r} was cancelled.", "Begin a new one.")
    _still(delivery)
    rows = state_of(facts)
    # A report may be made again of a deploy that failed.
    may_lack = PASSED | {"failed"} if stage == "report" else PASSED
    for before in STAGES[: STAGES.index(stage)]:
        if rows[before].status not in may_lack:
            raise StateError(f"Stage {before!r} comes before {stage!r}.", f"`mohist deliver retry {before}` does both.")
    options = {name: value for name, value in delivery.options.items() if name != "roll_back"}
    move = step_back(facts, stage, now_ms, options=options)
    # A rejection that led here is answered by this.
    closes = tuple(gate.gate_id for gate in facts.gates if not gate.closed and gate.status == "rejected")
    note = ("retry", f"{by} retries {stage}", {"by": by, "stage": stage})
    move = dataclasses.replace(move, closes=closes, notes=(note,))
    return then(move, facts, lambda now: advance(now, now_ms, required))


def take_over(facts: Facts, by: str, now_ms: int) -> Move:
    """A person works in the worktree; nothing runs until they hand it back.

    Raises:
        StateError: it is over or merged, there is no plan to work on yet, or somebody else has it.
    """
    delivery = _going(facts, "be taken over")
    if delivery.taken_by == by:
        return Move(delivery)
    if delivery.taken_by:
        raise StateError(f"{delivery.taken_by!r} works on {delivery.delivery_id!r} already.")
    rows = state_of(facts)
    if delivery.merged or any(rows[stage].status not in PASSED for stage in ("specify", "plan")):
        raise StateError(
            f"Delivery {delivery.delivery_id!r} can be taken over while it is built: after its plan, before its merge."
        )
    told = f"taken over by {by}"
    after = changed(delivery, now_ms, status="paused", detail=told, taken_by=by)
    return Move(after, notes=(("taken", told, {"by": by}),))


def hand_back(facts: Facts, by: str, commit: str, now_ms: int, required: Required | None = None) -> Move:
    """The person who took it over is through; what they made is verified like anybody's.

    Args:
        facts: all that is known.
        by: the same person.
        commit: head of the change; empty or the one before: they changed nothing, and it goes on where it was.
        now_ms: the time.
        required: as for `machine.next_step`.

    Raises:
        StateError: nobody has taken it over.
        NotEntitledError: somebody else has.
    """
    delivery = _going(facts, "be handed back")
    if not delivery.taken_by:
        raise StateError(f"Nobody has taken over delivery {delivery.delivery_id!r}.")
    if delivery.taken_by != by:
        raise NotEntitledError(f"{delivery.taken_by!r} has it, and hands it back.")
    note = ("handed-back", f"handed back by {by}", {"by": by, "commit": commit})
    if not commit or commit == delivery.commit:
        move = Move(changed(delivery, now_ms, status="working", detail="", taken_by=""), notes=(note,))
    else:
        move = step_back(facts, "verify", now_ms, commit=commit, taken_by="")
        attempt = move.delivery.attempt
        made = StageRow("implement", attempt, "done", f"by {by}", began_at_ms=now_ms, ended_at_ms=now_ms)
        closes = tuple(gate.gate_id for gate in facts.gates if not gate.closed and gate.status == "rejected")
        move = dataclasses.replace(move, stages=(made, *move.stages), closes=closes, notes=(note,))
    return then(move, facts, lambda now: advance(now, now_ms, required))


def spec_edited(facts: Facts, by: str, now_ms: int, required: Required | None = None) -> Move:
    """A person changed the spec; `facts` hold the new version, and the book has withdrawn the gate on the old one.
    Whatever was planned and built on the old one is done again.

    Raises:
        StateError: it is over or merged: the change that this spec describes is there.
    """
    delivery = _going(facts, "have its spec changed")
    version = facts.spec.version if facts.spec else 0
    note = ("spec", f"{by} changed the spec to v{version}", {"by": by, "version": version})
    rows = state_of(facts)
    if rows["specify"].status not in PASSED:
        return Move(changed(delivery, now_ms), notes=(note,))
    keeps = {"status": delivery.status, "detail": delivery.detail} if delivery.status == "paused" else {}
    move = dataclasses.replace(step_back(facts, "plan", now_ms, **keeps), notes=(note,))
    closes = tuple(gate.gate_id for gate in facts.gates if not gate.closed and gate.status == "rejected")
    return then(dataclasses.replace(move, closes=closes), facts, lambda now: advance(now, now_ms, required))


def comment(facts: Facts, by: str, text: str, stage: StageName | None = None) -> Move:
    """Words for whoever does a stage next (none named: any); they change nothing by themselves."""
    told = {"by": by, "stage": stage} if stage else {"by": by}
    return Move(facts.delivery, notes=(("comment", text, told),))


def skip(facts: Facts, stage: StageName, why: str, now_ms: int) -> Move:
    """A stage that adds nothing is passed over, and it is told why.

    Raises:
        StateError: it is not what comes next.
    """
    delivery = facts.delivery
    step = next_step(facts)
    if getattr(step, "stage", None) != stage or state_of(facts)[stage].status == "working":
        raise StateError(f"Stage {stage!r} of {delivery.delivery_id!r} is not what comes next.", audience="bug")
    row = StageRow(stage, delivery.attempt, "skipped", why, began_at_ms=now_ms, ended_at_ms=now_ms)
    note = ("stage", f"{stage} skipped: {why}", {"status": "skipped"})
    return Move(changed(delivery, now_ms), (row,), notes=(note,))


def _going(facts: Facts, what: str) -> Delivery:
    delivery = facts.delivery
    if delivery.status in OVER:
        raise StateError(f"Delivery {delivery.delivery_id!r} is {delivery.status}; it can't {what}.")
    return delivery


def _still(delivery: Delivery) -> None:
    if delivery.segment:
        raise StateError(f"Delivery {delivery.delivery_id!r} is at work.", "Pause it, and wait until it stands.")
    if delivery.taken_by:
        raise StateError(f"{delivery.taken_by!r} works on {delivery.delivery_id!r}.", "They hand it back first.")
