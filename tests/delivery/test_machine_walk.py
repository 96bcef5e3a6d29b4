"""What holds of a delivery wherever people, an engine and its crashes lead it."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fakes.book import FakeBook
from mohist.delivery.consent import by_yes, entitled
from mohist.delivery.errors import DecidedError, DeliveryError, NotEntitledError, OutdatedError, StateError
from mohist.delivery.machine import (
    OVER,
    PASSED,
    Finish,
    Start,
    Wait,
    advance,
    ended,
    entered,
    left,
    next_step,
    stale,
    state_of,
)
from mohist.delivery.order import (
    cancel,
    comment,
    hand_back,
    pause,
    resume,
    retry,
    skip,
    spec_edited,
    take_over,
)
from mohist.delivery.state import SEGMENTS, STAGES, Bound, Decision, Delivery, Facts, Gate, Plan, Spec, StageName

PEOPLE = ("ann", "bob", "cleo")
ID = "delivery-1"


def demanded(facts: Facts) -> dict[StageName, tuple[Gate, ...]]:
    """Rules of a company: a colleague reads the spec, bob lets it in and out."""
    spec, delivery = facts.spec, facts.delivery
    gates: dict[StageName, tuple[Gate, ...]] = {}
    if spec is not None:
        gates["plan"] = (Gate("", "spec", "plan", f"spec v{spec.version}", spec.digest, (), True),)
    if delivery.commit:
        gates["merge"] = (
            Gate("", "review", "merge", "review", delivery.commit, (("cleo", "bob"),), True),
            Gate("", "merge", "merge", "merge", delivery.commit, (("bob",),), False),
        )
    if delivery.merged:
        gates["deploy"] = (Gate("", "deploy", "deploy", "deploy to production", delivery.merged, (("bob",),), False),)
    return gates


class Walk(RuleBasedStateMachine):
    """The engine is played: a turn may run its stages, be killed, or end anywhere; people do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.book = FakeBook()
        self.count = 0
        self.cancelled: Delivery | None = None
        self.running: set[int] = set()
        """Turns that an engine has begun and not ended."""

    @initialize(cost=st.sampled_from([None, None, 0, 200]), upto=st.sampled_from(STAGES))
    def begin(self, cost: int | None, upto: StageName) -> None:
        bound = Bound(cost_microusd=cost)
        made = Delivery(ID, "/r", "…", "text", "ann", "b", "main", "m", "working", "clarify", 1, 0, 0, bound)
        self.book.create(made)
        self.move(advance)
        for _ in range(99):
            if STAGES.index(self.delivery.stage) >= STAGES.index(upto):
                break
            self.engine_runs(0, "done")
            for gate in self.facts.gates:
                if gate.status == "open":
                    self.book.decide(gate.gate_id, Decision("bob", "approve", "", gate.digest, self.count))
            self.move(advance)

    def move(self, transition: Any, *arguments: Any, **named: Any) -> bool:
        """Whether it was allowed; what is refused is refused for a person's reason, and leaves nothing."""
        self.count += 1
        before = self.book.facts(ID)
        refused: DeliveryError | None = None
        try:
            self.book.move(ID, lambda facts: transition(facts, *arguments, now_ms=self.count, **named))
        except DeliveryError as error:
            refused = error
        if refused is not None:
            assert isinstance(refused, StateError | NotEntitledError)
            assert refused.audience != "bug"
            assert self.book.facts(ID) == before
        return refused is None

    @property
    def facts(self) -> Facts:
        return self.book.facts(ID)

    @property
    def delivery(self) -> Delivery:
        return self.book.get(ID)

    @rule(stages=st.integers(0, 4), how=st.sampled_from(["done", "killed", "done", "failed", "waiting", "killed"]))
    def engine_runs(self, stages: int, how: str) -> None:
        """Runs the segment that is to run; a killed one stays for the next time."""
        delivery = self.delivery
        if not delivery.segment:
            return
        turn, segment = delivery.turn, delivery.segment
        self.running.add(turn)
        for number in range(stages + 1):
            step = next_step(self.facts, demanded(self.facts))
            if not isinstance(step, Start) or step.segment != segment or self.delivery.turn != turn:
                break
            attempt = self.delivery.attempt
            self.check_right(step.stage)
            assert self.move(entered, turn, step.stage)
            if how == "killed" and number == stages:
                assert self.move(advance)
                assert self.delivery.turn == turn, "a second segment began beside one that was killed and will go on"
                return
            self.does(step.stage)
            status = how if number == stages and how != "killed" else "done"
            if status == "waiting":
                asks = Gate("", "questions", step.stage, "questions", f"q{self.count}", (), False)
                self.book.open_gate(ID, dataclasses.replace(asks, facts={"questions": [{"id": "a"}]}))
            assert self.move(left, attempt, step.stage, status)
        self.running.discard(turn)
        assert self.move(ended, turn, required=demanded(self.facts))

    def check_right(self, stage: StageName) -> None:
        """No stage begins that a rule keeps shut: whatever it demands was approved by somebody who may, as it is."""
        facts = self.facts
        assert facts.delivery.status == "working"
        for gate in () if facts.delivery.options.get("roll_back") else demanded(facts).get(stage, ()):
            assert any(
                (other.kind, other.digest, other.status) == (gate.kind, gate.digest, "approved")
                and not stale(other, facts)
                and any(
                    said.verdict == "approve" and said.digest == gate.digest and entitled(said.by, (), gate, "ann")
                    for said in other.decisions
                )
                for other in facts.gates
            ), f"{stage} began without {gate.kind}"

    def does(self, stage: StageName) -> None:
        self.book.spend(ID, stage, f"k{self.count}", 10, 1)
        if stage == "specify":
            self.new_spec()
        elif stage == "plan":
            newest = self.book.plan(ID)
            self.book.put_plan(ID, Plan((newest.version if newest else 0) + 1, f"p{self.count}", ()))
        elif stage == "implement":
            self.book.change(ID, lambda now: dataclasses.replace(now, commit=f"c{self.count}"))
        elif stage == "merge":
            self.book.change(ID, lambda now: dataclasses.replace(now, merged=f"m{self.count}"))

    def new_spec(self) -> None:
        newest = self.book.spec(ID)
        self.book.put_spec(ID, Spec((newest.version if newest else 0) + 1, f"s{self.count}", "", ()))

    @rule(
        which=st.integers(0, 5),
        by=st.sampled_from(PEOPLE),
        verdict=st.sampled_from(["approve", "approve", "approve", "reject"]),
        late=st.booleans(),
        roll_back=st.booleans(),
    )
    def somebody_decides(self, which: int, by: str, verdict: Any, late: bool, roll_back: bool) -> None:
        gates = [gate for gate in self.facts.gates if late or gate.status == "open"]
        if not gates:
            return
        gate = gates[which % len(gates)]
        answers = {"roll_back": "yes"} if roll_back and verdict == "reject" else {}
        before = self.facts
        try:
            self.book.decide(gate.gate_id, Decision(by, verdict, "so", gate.digest, self.count, answers))
        except (OutdatedError, NotEntitledError, DecidedError):
            assert self.facts == before
        assert self.move(advance)

    @rule(which=st.integers(0, 5), by=st.sampled_from(PEOPLE))
    def somebody_approves_what_they_saw_long_ago(self, which: int, by: str) -> None:
        gates = self.facts.gates
        if not gates:
            return
        gate = gates[which % len(gates)]
        before = self.facts
        try:
            self.book.decide(gate.gate_id, Decision(by, "approve", "", gate.digest + "-old", self.count))
        except OutdatedError:
            assert self.facts == before
        else:
            raise AssertionError("an approval of another digest counted")

    @rule(stages=st.integers(0, 2))
    def all_goes_well(self, stages: int) -> None:
        """Whoever paused it resumes, bob agrees to all, and the engine runs."""
        if self.delivery.taken_by:
            assert self.move(hand_back, self.delivery.taken_by, "")
        self.move(resume, "bob")
        for gate in self.facts.gates:
            if gate.status == "open":
                self.book.decide(gate.gate_id, Decision("bob", "approve", "", gate.digest, self.count))
        assert self.move(advance)
        self.engine_runs(stages, "done")

    @rule()
    def somebody_looks(self) -> None:
        assert self.move(advance)

    @rule()
    def the_requester_said_yes_to_all(self) -> None:
        for gate_id, decision in by_yes(self.facts, "ann", (), self.count):
            self.book.decide(gate_id, decision)
        assert self.move(advance)

    @rule(by=st.sampled_from(PEOPLE))
    def somebody_pauses(self, by: str) -> None:
        self.move(pause, by)

    @rule(by=st.sampled_from(PEOPLE))
    def somebody_resumes(self, by: str) -> None:
        self.move(resume, by)

    @rule(by=st.sampled_from(PEOPLE))
    def somebody_takes_over(self, by: str) -> None:
        self.move(take_over, by)

    @rule(by=st.sampled_from(PEOPLE), changed=st.booleans())
    def somebody_hands_back(self, by: str, changed: bool) -> None:
        self.move(hand_back, by, f"h{self.count}" if changed else "")

    @rule(stage=st.sampled_from(STAGES))
    def somebody_retries(self, stage: StageName) -> None:
        self.move(retry, stage, "bob")

    @rule()
    def somebody_comments(self) -> None:
        self.book.move(ID, lambda facts: comment(facts, "bob", "brief, please", "implement"))

    @precondition(lambda self: self.delivery.status not in OVER and not self.delivery.merged and self.book.spec(ID))
    @rule()
    def somebody_edits_the_spec(self) -> None:
        self.count += 1
        self.new_spec()
        assert self.move(spec_edited, "cleo")

    @precondition(lambda self: self.delivery.segment)
    @rule()
    def a_stage_is_skipped(self) -> None:
        step = next_step(self.facts, demanded(self.facts))
        if not isinstance(step, Start) or step.stage not in ("plan", "deploy"):
            return
        if step.segment == self.delivery.segment and state_of(self.facts)[step.stage].status != "working":
            self.check_right(step.stage)
            assert self.move(skip, step.stage, "it adds nothing")

    @rule(certain=st.integers(0, 9))
    def somebody_cancels(self, certain: int) -> None:
        if certain == 9 and self.move(cancel, "ann", "enough"):
            self.cancelled = self.delivery

    @invariant()
    def never_two_segments_at_once(self) -> None:
        if ID in self.book._facts:
            assert len(self.running) <= 1
            assert not self.running or self.running == {self.delivery.turn}

    @invariant()
    def cancelled_never_goes_on(self) -> None:
        if self.cancelled is not None:
            assert self.delivery.status == "cancelled"
            assert (self.delivery.turn, self.delivery.attempt) == (self.cancelled.turn, self.cancelled.attempt)
            assert isinstance(next_step(self.facts, demanded(self.facts)), Finish)
            assert not [gate for gate in self.facts.gates if gate.status == "open"]

    @invariant()
    def who_waits_has_an_open_gate_that_somebody_can_decide(self) -> None:
        if ID not in self.book._facts:
            return
        facts = self.facts
        if facts.delivery.status == "waiting" and not facts.delivery.segment:
            step = next_step(facts)
            assert isinstance(step, Wait)
            assert step.gates
            for gate in step.gates:
                assert gate.gate_id
                assert gate.status == "open"
                assert any(entitled(person, (), gate, "ann") for person in PEOPLE)

    @invariant()
    def who_works_has_a_segment_and_it_is_the_one_of_its_stage(self) -> None:
        if ID in self.book._facts and self.delivery.status == "working":
            assert self.delivery.segment in SEGMENTS

    @invariant()
    def what_is_over_has_nothing_open(self) -> None:
        if ID in self.book._facts and self.delivery.status in OVER:
            assert not [gate for gate in self.facts.gates if gate.status == "open" and not gate.closed]

    @invariant()
    def what_is_done_passed_every_stage(self) -> None:
        if ID in self.book._facts and self.delivery.status == "done":
            assert {row.status for row in state_of(self.facts).values()} <= PASSED


Walk.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestWalk = Walk.TestCase
