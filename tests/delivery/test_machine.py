"""What comes next in a delivery, and what people's words change."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fakes.book import FakeBook
from mohist.delivery import order
from mohist.delivery.consent import by_yes, unmet
from mohist.delivery.errors import DecidedError, NotEntitledError, OutdatedError, StateError
from mohist.delivery.machine import Finish, Start, Wait, advance, ended, entered, left, next_step, state_of
from mohist.delivery.state import STAGES, Bound, Decision, Delivery, Gate, Plan, Release, Spec, StageName

ID = "delivery-1"
SPEC = Gate("", "spec", "plan", "spec v1", "s1", (), False)
MERGE = Gate("", "merge", "merge", "merge into main", "c1", (("bob",),), False)
DEPLOY = Gate("", "deploy", "deploy", "deploy to production", "m1", (), False)


class Played:
    """A book with one delivery whose engine is played by hand."""

    def __init__(self, upto: StageName = "clarify", **changes: Any) -> None:
        self.book = FakeBook()
        self.now_ms = 0
        made = Delivery(ID, "/r", "…", "text", "ann", "b", "main", "m", "working", "clarify", 1, 0, 0)
        self.book.create(dataclasses.replace(made, **changes))
        self.book.put_spec(ID, Spec(1, "s1", "", ()))
        self.book.put_plan(ID, Plan(1, "p1", ()))
        self.move(advance)
        for stage in STAGES[: STAGES.index(upto)]:
            self.does(stage)

    def move(self, transition: Any, *arguments: Any, **named: Any) -> Delivery:
        self.now_ms += 1000
        return self.book.move(ID, lambda facts: transition(facts, *arguments, now_ms=self.now_ms, **named))

    def does(
        self, stage: StageName, status: str = "done", required: Any = None, detail: str = "", during: Any = None
    ) -> Delivery:
        """The engine does a stage, and ends its segment."""
        step = next_step(self.book.facts(ID), required)
        assert isinstance(step, Start), step
        assert step.stage == stage
        turn = self.delivery.turn
        self.move(entered, turn, stage)
        commits = {"implement": {"commit": "c1"}, "merge": {"merged": "m1"}}.get(stage, {})
        self.book.change(ID, lambda now: dataclasses.replace(now, **commits))
        if during is not None:
            during(self.book)
        self.move(left, self.delivery.attempt, stage, status, detail=detail)
        return self.move(ended, turn, required=required)

    def says(self, verdict: Any = "approve", by: str = "bob", **more: Any) -> Delivery:
        gate = next(gate for gate in self.book.gates(ID) if gate.status == "open")
        self.book.decide(gate.gate_id, Decision(by, verdict, "because", gate.digest, self.now_ms, **more))
        return self.move(advance)

    @property
    def delivery(self) -> Delivery:
        return self.book.get(ID)

    @property
    def statuses(self) -> dict[str, str]:
        return {stage: row.status for stage, row in state_of(self.book.facts(ID)).items()}


def test_a_delivery_without_gates_runs_stage_by_stage_to_its_end() -> None:
    played = Played()
    for stage in STAGES:
        assert (played.delivery.stage, played.delivery.status) == (stage, "working")
        played.does(stage)
    assert (played.delivery.status, played.delivery.segment, played.delivery.turn) == ("done", "", len(STAGES))
    assert played.move(advance).status == "done"


def test_one_segment_runs_at_a_time_however_often_it_is_advanced() -> None:
    played = Played()
    assert (played.move(advance).turn, played.move(advance).turn) == (1, 1)
    with pytest.raises(StateError):
        played.move(entered, 7, "clarify")
    with pytest.raises(StateError):
        played.move(entered, 1, "plan")


def test_an_old_turn_that_ends_late_changes_nothing() -> None:
    played = Played("specify")
    before = played.delivery
    assert played.move(ended, before.turn - 1) == before


def test_an_approval_starts_what_waited_for_it() -> None:
    played = Played("specify")
    assert played.does("specify", required={"plan": [SPEC]}).status == "waiting"
    assert played.delivery.detail == "waits for spec v1"
    assert played.says().segment == "spec"
    assert next_step(played.book.facts(ID), {"plan": [SPEC]}) == Start("spec", "plan")


def test_an_approved_gate_of_an_older_digest_opens_nothing() -> None:
    played = Played("specify")
    played.does("specify", required={"plan": [SPEC]})
    played.says()
    newer = dataclasses.replace(SPEC, subject="spec v2", digest="s2")
    step = next_step(played.book.facts(ID), {"plan": [newer]})
    assert step == Wait((newer,), "waits for spec v2")


def test_a_rejected_spec_goes_back_to_specify_with_the_words() -> None:
    played = Played("specify")
    played.does("specify", required={"plan": [SPEC]})
    assert played.says("reject").stage == "specify"
    assert (played.delivery.attempt, played.delivery.segment) == (2, "spec")
    note = next(note for note in played.book.notes(ID) if note.kind == "rejected")
    assert (note.facts["stage"], note.facts["because"], note.facts["by"]) == ("specify", "because", "bob")
    # The very same text again is asked about again.
    assert played.does("specify", required={"plan": [SPEC]}).status == "waiting"


@pytest.mark.parametrize("kind", ["review", "merge"])
def test_a_rejected_change_goes_back_to_implement_and_keeps_the_approved_spec(kind: Any) -> None:
    played = Played("review")
    gate = dataclasses.replace(MERGE, kind=kind)
    played.does("review", required={"merge": [gate]})
    assert played.says("reject").stage == "implement"
    assert (played.delivery.commit, played.statuses["plan"], played.statuses["review"]) == ("", "done", "pending")


def test_a_rejected_deploy_ends_after_a_report() -> None:
    played = Played("merge")
    played.does("merge", required={"deploy": [DEPLOY]})
    assert played.says("reject").stage == "report"
    assert played.does("report").status == "failed"
    assert "deploy to production rejected by bob: because" in played.delivery.detail


def test_a_rejected_deploy_may_be_rolled_back_without_being_asked_again() -> None:
    played = Played("merge")
    played.book.put_release(ID, Release("r", "test", "m1", "committed", ""))
    played.does("merge", required={"deploy": [DEPLOY]})
    played.says("reject", answers={"roll_back": "yes"})
    assert played.delivery.options["roll_back"] is True
    assert next_step(played.book.facts(ID), {"deploy": [DEPLOY]}) == Start("ship", "deploy")


def test_an_answer_lets_the_stage_that_asked_go_on() -> None:
    played = Played()
    questions = [{"id": "q", "question": "Which?", "recommended": "this"}]
    asks = Gate("", "questions", "clarify", "questions", "q1", (), False, facts={"questions": questions})
    assert played.does("clarify", "waiting", during=lambda book: book.open_gate(ID, asks)).status == "waiting"
    assert played.says("answer", by="ann", answers={"q": "that"}).stage == "clarify"


def test_yes_answers_as_recommended_and_approves_what_the_requester_may() -> None:
    played = Played()
    questions = [{"id": "q", "question": "Which?", "recommended": "this"}]
    mine = [
        Gate("", "questions", "clarify", "questions", "q1", (), False, facts={"questions": questions}),
        Gate("", "conflict", "implement", "conflict", "x", (), False),
        Gate("", "questions", "clarify", "for bob", "q2", (("bob",),), False),
        Gate("", "questions", "clarify", "for another", "q3", (), True),
        Gate("", "questions", "clarify", "for my team", "q4", (("@core",),), True),
        SPEC,
    ]
    for gate in mine:
        played.book.open_gate(ID, gate)
    said = by_yes(played.book.facts(ID), "ann", ("@core",), 5)
    assert [(gate_id, decision.verdict, decision.answers) for gate_id, decision in said] == [
        (f"{ID}.1", "answer", {"q": "this"}),
        (f"{ID}.6", "approve", {}),
    ]


def test_work_stops_at_a_bound_and_goes_on_when_somebody_gives_more() -> None:
    played = Played("specify", bound=Bound(cost_microusd=100))
    assert played.does("specify", during=lambda book: book.spend(ID, "specify", "k", 130, 1)).status == "waiting"
    assert played.says(answers={"cost_microusd": "50"}).bound == Bound(cost_microusd=180)
    assert played.delivery.stage == "plan"
    assert played.does("plan", during=lambda book: book.spend(ID, "plan", "l", 50, 1)).status == "waiting"
    assert played.says("reject").status == "failed"
    assert played.move(order.retry, "plan", "ann").status == "waiting"


def test_time_that_people_take_is_no_work() -> None:
    played = Played("specify", bound=Bound(seconds=3))
    played.now_ms += 3_600_000
    assert played.does("specify").status == "working"
    assert played.does("plan").status == "waiting"


def test_a_spent_budget_does_not_hold_what_is_reviewed() -> None:
    played = Played("review", bound=Bound(tokens=10))
    assert played.does("review", during=lambda book: book.spend(ID, "review", "k", 0, 10)).stage == "merge"


def test_a_failed_stage_ends_it_and_a_retry_begins_another_attempt() -> None:
    played = Played("implement")
    assert played.does("implement", "failed", detail="no idea").status == "failed"
    assert next_step(played.book.facts(ID)) == Finish("failed", "no idea")
    with pytest.raises(StateError):
        played.move(order.retry, "verify", "ann")
    after = played.move(order.retry, "implement", "ann")
    assert (after.status, after.attempt, after.segment) == ("working", 2, "build")


def test_what_a_worker_of_an_older_attempt_reports_counts_for_nothing() -> None:
    played = Played("implement")
    played.does("implement", "failed")
    played.move(order.retry, "implement", "ann")
    played.move(left, 1, "implement", "done")
    assert played.statuses["implement"] == "pending"


def test_paused_nothing_begins_and_a_decision_still_counts() -> None:
    played = Played("specify")
    played.does("specify", required={"plan": [SPEC]})
    played.move(order.pause, "ann")
    assert (played.says().status, played.delivery.segment) == ("paused", "")
    assert played.move(order.resume, "ann").segment == "spec"


def test_a_segment_that_runs_sees_a_pause_before_its_next_stage() -> None:
    played = Played("plan")
    played.move(order.pause, "ann")
    assert isinstance(next_step(played.book.facts(ID)), Wait)
    assert played.move(ended, played.delivery.turn).segment == ""
    assert played.delivery.status == "paused"


def test_cancelled_is_the_end() -> None:
    played = Played("specify")
    played.does("specify", required={"plan": [SPEC]})
    opened = played.book.gates(ID)[0]
    assert played.move(order.cancel, "ann", "not needed").detail == "cancelled by ann: not needed"
    assert played.book.gates(ID)[0].status == "withdrawn"
    with pytest.raises(DecidedError):
        played.book.decide(opened.gate_id, Decision("bob", "approve", "", "s1", 1))
    for again in (order.pause, order.resume, order.take_over, order.spec_edited):
        with pytest.raises(StateError):
            played.move(again, "ann")
    with pytest.raises(StateError):
        played.move(order.retry, "plan", "ann")
    assert played.move(advance).status == "cancelled"


def test_a_person_takes_over_and_what_they_hand_back_is_verified() -> None:
    played = Played("review")
    played.does("review", required={"merge": [MERGE]})
    assert played.move(order.take_over, "cleo").status == "paused"
    with pytest.raises(StateError):
        played.move(order.take_over, "bob")
    with pytest.raises(StateError):
        played.move(order.resume, "bob")
    with pytest.raises(NotEntitledError):
        played.move(order.hand_back, "bob", "c2")
    after = played.move(order.hand_back, "cleo", "c2")
    assert (after.stage, after.commit, after.taken_by, after.attempt) == ("verify", "c2", "", 2)
    assert (played.statuses["implement"], played.book.gates(ID)[0].status) == ("done", "withdrawn")


def test_handed_back_unchanged_it_goes_on_where_it_was() -> None:
    played = Played("review")
    played.does("review", required={"merge": [MERGE]})
    played.move(order.take_over, "cleo")
    after = played.move(order.hand_back, "cleo", "c1")
    assert (after.status, after.attempt, played.book.gates(ID)[0].status) == ("waiting", 1, "open")


def test_without_a_plan_there_is_nothing_to_take_over() -> None:
    with pytest.raises(StateError):
        Played("plan").move(order.take_over, "cleo")


def test_an_edited_spec_is_planned_anew_and_the_approval_of_the_old_is_gone() -> None:
    played = Played("verify")
    played.move(ended, played.delivery.turn)
    played.book.put_spec(ID, Spec(2, "s2", "", ()))
    after = played.move(order.spec_edited, "cleo")
    assert (after.attempt, after.commit, played.statuses["specify"], played.statuses["plan"]) == (
        2,
        "",
        "done",
        "pending",
    )


def test_merged_nothing_before_the_deploy_is_done_again() -> None:
    played = Played("deploy")
    played.does("deploy", "failed", detail="sick")
    played.does("report")
    assert (played.delivery.status, played.delivery.detail) == ("failed", "sick")
    with pytest.raises(StateError, match="merged"):
        played.move(order.retry, "implement", "ann")
    assert played.move(order.retry, "deploy", "ann").stage == "deploy"


def test_a_skipped_stage_says_why() -> None:
    played = Played("plan")
    played.move(order.skip, "plan", "one file of low risk needs no plan")
    assert state_of(played.book.facts(ID))["plan"].detail == "one file of low risk needs no plan"
    assert next_step(played.book.facts(ID)) == Start("build", "implement")


def test_a_stage_entered_again_after_a_kill_keeps_when_it_began() -> None:
    played = Played("plan")
    played.move(entered, played.delivery.turn, "plan")
    began = state_of(played.book.facts(ID))["plan"].began_at_ms
    played.move(entered, played.delivery.turn, "plan")
    assert state_of(played.book.facts(ID))["plan"].began_at_ms == began


def test_two_of_a_group_are_two_people_and_one_person_stands_for_two_groups() -> None:
    two = dataclasses.replace(SPEC, needs=(("bob", "cleo"), ("bob", "cleo")))
    said = Decision("bob", "approve", "", "s1", 1)
    assert unmet(dataclasses.replace(two, decisions=(said, dataclasses.replace(said, at_ms=2))), "ann") == (
        ("bob", "cleo"),
    )
    both = dataclasses.replace(
        SPEC, needs=(("bob",), ("@core",)), decisions=(dataclasses.replace(said, teams=("@core",)),)
    )
    assert unmet(both, "ann") == ()


def test_an_approval_of_a_commit_that_has_changed_since_is_refused() -> None:
    played = Played("review")
    played.does("review", required={"merge": [MERGE]})
    played.book.change(ID, lambda now: dataclasses.replace(now, commit="c2"))
    with pytest.raises(OutdatedError):
        played.book.decide(f"{ID}.1", Decision("bob", "approve", "", "c1", 1))
    renewed = dataclasses.replace(MERGE, digest="c2")
    played.move(advance, required={"merge": [renewed]})
    assert [(gate.digest, gate.status) for gate in played.book.gates(ID)] == [("c1", "withdrawn"), ("c2", "open")]
