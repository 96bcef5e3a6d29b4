"""What a book promises; the same suite runs on the one in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.book import FakeBook
from fakes.clock import FakeClock
from mohist.delivery.book import Book
from mohist.delivery.errors import (
    ConflictError,
    DecidedError,
    NotEntitledError,
    OutdatedError,
    UnknownDeliveryError,
)
from mohist.delivery.machine import LOOK
from mohist.delivery.state import (
    Bound,
    Criterion,
    Decision,
    Delivery,
    Evidence,
    Facts,
    Finding,
    Gate,
    Move,
    Plan,
    PlanTask,
    Release,
    Spec,
    StageRow,
)
from mohist.delivery.store import Store, delivery_address

AGAIN = ("sqlite", "postgresql")


@pytest.fixture(params=["memory", *AGAIN])
def book(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Iterator[Book]:
    if request.param == "memory":
        yield FakeBook(clock.now_ms)
        return
    store = Store(request.getfixturevalue("new_address")(request.param), clock)
    yield store
    store.close()


def delivery(delivery_id: str = "delivery-1", **changes: object) -> Delivery:
    made = Delivery(
        delivery_id,
        "/repo",
        "Add a greeting",
        "text",
        "ann",
        "b" * 40,
        "main",
        f"mohist/{delivery_id}",
        "working",
        "clarify",
        1,
        1000,
        1000,
        Bound(5_000_000, None, 60),
        options={"yes": True, "environments": ["test", "production"]},
    )
    return dataclasses.replace(made, **changes)


def spec(version: int = 1, digest: str = "d1") -> Spec:
    criteria = (Criterion("AC-1", "WHEN asked THE service SHALL greet", "pytest -k greet"),)
    return Spec(version, digest, "# Spec\n", criteria, ("drops column x",))


def gate(**changes: object) -> Gate:
    made = Gate("", "questions", "clarify", "questions", "q1", (), False, facts={"questions": []})
    return dataclasses.replace(made, **changes)


def says(verdict: str = "approve", by: str = "bob", digest: str = "q1", **more: object) -> Decision:
    return dataclasses.replace(Decision(by, "approve", "", digest, 5), verdict=verdict, **more)


def test_a_delivery_is_found_as_it_was_made_by_id_by_prefix_and_as_the_last(book: Book) -> None:
    book.create(delivery("delivery-a"))
    book.create(delivery("delivery-b", created_at_ms=2000))
    assert book.get("delivery-a") == delivery("delivery-a")
    assert book.get("delivery-b").delivery_id == book.get("last").delivery_id == "delivery-b"
    for wrong in ("delivery-", "delivery-c", "", "%", "DELIVERY-A"):
        with pytest.raises(UnknownDeliveryError):
            book.get(wrong)


def test_the_last_of_nothing_is_unknown(book: Book) -> None:
    with pytest.raises(UnknownDeliveryError):
        book.get("last")


def test_deliveries_are_listed_in_order_and_by_status(book: Book) -> None:
    book.create(delivery("delivery-b", created_at_ms=1))
    book.create(delivery("delivery-a", created_at_ms=2, status="done"))
    assert [one.delivery_id for one in book.list()] == ["delivery-b", "delivery-a"]
    assert [one.delivery_id for one in book.list("done")] == ["delivery-a"]


def test_a_change_counts_and_one_that_raises_writes_nothing(book: Book) -> None:
    book.create(delivery())
    after = book.change("delivery-1", lambda now: dataclasses.replace(now, detail="x", bound=Bound(tokens=7)))
    assert (after.revision, book.get("delivery-1")) == (1, after)
    assert book.change("delivery-1", lambda now: now).revision == 1

    def fail(_: Delivery) -> Delivery:
        raise OSError

    with pytest.raises(OSError):
        book.change("delivery-1", fail)
    assert book.get("delivery-1") == after


def test_a_value_read_before_somebody_elses_change_is_not_written(book: Book) -> None:
    book.create(delivery())
    old = book.get("delivery-1")
    book.change("delivery-1", lambda now: dataclasses.replace(now, detail="mine"))
    with pytest.raises(ConflictError):
        book.change("delivery-1", lambda _: dataclasses.replace(old, detail="theirs"))
    assert book.get("delivery-1").detail == "mine"


def test_a_move_writes_all_of_it(book: Book) -> None:
    book.create(delivery())
    old = book.open_gate("delivery-1", gate())
    other = book.open_gate("delivery-1", gate(digest="q2"))
    row = StageRow("clarify", 1, "done", "said", began_at_ms=1, ended_at_ms=2)

    def transition(facts: Facts) -> Move:
        assert (facts.delivery, facts.gates) == (delivery(), (old, other))
        changed = dataclasses.replace(facts.delivery, status="waiting")
        opens = (gate(kind="spec", stage="specify", digest="d1", needs=(("bob", "@core"),), four_eyes=True),)
        return Move(changed, (row,), opens, (old.gate_id,), (other.gate_id,), (("stage", "done", {"a": 1}),))

    assert book.move("delivery-1", transition).status == "waiting"
    facts = book.facts("delivery-1")
    assert (facts.delivery.status, facts.delivery.revision, facts.stages) == ("waiting", 1, (row,))
    assert [(one.gate_id, one.status, one.closed) for one in facts.gates] == [
        ("delivery-1.1", "open", True),
        ("delivery-1.2", "withdrawn", True),
        ("delivery-1.3", "open", False),
    ]
    assert (facts.gates[2].needs, facts.gates[2].four_eyes) == ((("bob", "@core"),), True)
    assert [(note.number, note.kind, note.facts) for note in book.notes("delivery-1")][-1] == (2, "stage", {"a": 1})


def test_a_move_that_raises_writes_nothing(book: Book) -> None:
    book.create(delivery())

    def fail(_: Facts) -> Move:
        raise OSError

    with pytest.raises(OSError):
        book.move("delivery-1", fail)
    assert (book.facts("delivery-1"), len(book.notes("delivery-1"))) == (Facts(delivery()), 1)


def test_a_new_spec_withdraws_the_gate_on_the_older_and_the_same_again_is_none(book: Book) -> None:
    book.create(delivery())
    book.put_spec("delivery-1", spec())
    kept = book.open_gate("delivery-1", gate())
    book.open_gate("delivery-1", gate(kind="spec", digest="d1"))
    book.put_spec("delivery-1", spec(2, "d1"))
    assert (book.spec("delivery-1"), [one.status for one in book.gates("delivery-1")]) == (spec(), ["open", "open"])
    book.put_spec("delivery-1", spec(2, "d2"))
    assert (book.spec("delivery-1"), book.spec("delivery-1", 1)) == (spec(2, "d2"), spec())
    assert [(one.status, one.closed) for one in book.gates("delivery-1")] == [("open", False), ("withdrawn", True)]
    assert book.gates("delivery-1")[0] == kept
    assert (book.spec("delivery-1", 3), book.facts("delivery-1").spec) == (None, spec(2, "d2"))


def test_a_version_that_two_people_write_is_refused_to_the_second(book: Book) -> None:
    book.create(delivery())
    book.put_spec("delivery-1", spec())
    book.put_spec("delivery-1", spec(2, "d2"))
    with pytest.raises(ConflictError):
        book.put_spec("delivery-1", spec(2, "d3"))
    assert book.spec("delivery-1") == spec(2, "d2")


def test_the_newest_plan_is_told_with_its_tasks(book: Book) -> None:
    book.create(delivery())
    task = PlanTask("T1", "Greet", "…", ("T0",), ("src/**",), ("AC-1",), 5)
    book.put_plan("delivery-1", Plan(1, "p1", ()))
    book.open_gate("delivery-1", gate(kind="plan", digest="p1"))
    book.put_plan("delivery-1", Plan(2, "p2", (task,)))
    assert book.plan("delivery-1") == Plan(2, "p2", (task,))
    assert book.gates("delivery-1")[0].status == "withdrawn"


def test_stages_come_in_their_order_and_the_last_word_about_one_holds(book: Book) -> None:
    book.create(delivery())
    for row in (StageRow("review", 1, "pending"), StageRow("plan", 2, "done"), StageRow("plan", 1, "failed")):
        book.put_stage("delivery-1", row)
    book.put_stage("delivery-1", StageRow("review", 1, "done", "fine", model="m"))
    assert [(row.attempt, row.stage, row.status) for row in book.stages("delivery-1")] == [
        (1, "plan", "failed"),
        (1, "review", "done"),
        (2, "plan", "done"),
    ]


def test_evidence_is_kept_as_it_was_first_said(book: Book) -> None:
    book.create(delivery())
    one = Evidence("e1", 1, "verify", "AC-1", "after", "make", 0, "ab", "ok", 3, "c", "t", 3, 2, 9)
    two = dataclasses.replace(one, evidence_id="e0", attempt=2, exit_code=None)
    book.put_evidence("delivery-1", one)
    book.put_evidence("delivery-1", dataclasses.replace(one, exit_code=1))
    book.put_evidence("delivery-1", two)
    assert (book.evidence("delivery-1"), book.evidence("delivery-1", 2)) == ([one, two], [two])


def test_a_finding_changes_in_its_place(book: Book) -> None:
    book.create(delivery())
    book.put_finding("delivery-1", Finding("f2", "major", "Wrong", "a.py", 3, "AC-1", "reviewer"))
    book.put_finding("delivery-1", Finding("f1", "note", "Odd"))
    book.put_finding("delivery-1", Finding("f2", "major", "Wrong", "a.py", 3, "AC-1", "reviewer", "fixed"))
    assert [(one.finding_id, one.status) for one in book.findings("delivery-1")] == [("f2", "fixed"), ("f1", "open")]


def test_a_gate_is_opened_once_and_again_only_when_it_is_closed(book: Book, clock: FakeClock) -> None:
    book.create(delivery())
    first = book.open_gate("delivery-1", gate())
    clock.advance(1)
    assert book.open_gate("delivery-1", gate(facts={"new": 1})) == first
    assert first.opened_at_ms == clock.now_ms() - 1000
    book.decide(first.gate_id, says("reject"))
    assert book.open_gate("delivery-1", gate()).status == "rejected"
    book.move("delivery-1", lambda facts: Move(facts.delivery, closes=(first.gate_id,)))
    second = book.open_gate("delivery-1", gate())
    assert (second.gate_id, second.status) == ("delivery-1.2", "open")


def test_a_decision_is_recorded_with_what_it_said_and_is_the_same_when_said_again(book: Book) -> None:
    book.create(delivery())
    opened = book.open_gate("delivery-1", gate(needs=(("bob",), ("@core",))))
    book.decide(opened.gate_id, says("answer", answers={"q": "yes"}))
    assert book.gates("delivery-1")[0].status == "open"
    after = book.decide(opened.gate_id, says(by="cleo", teams=("@core",), because="fine"))
    assert (after.status, [one.by for one in after.decisions]) == ("approved", ["bob", "cleo"])
    assert book.decide(opened.gate_id, says(by="cleo", at_ms=99)) == after == book.gates("delivery-1")[0]
    assert [note.kind for note in book.notes("delivery-1")] == ["created", "decision", "decision"]


def test_decisions_that_do_not_count_are_refused_and_leave_nothing(book: Book) -> None:
    book.create(delivery())
    opened = book.open_gate("delivery-1", gate(needs=(("bob", "ann"),), four_eyes=True))
    for error, said in (
        (OutdatedError, says(digest="q0")),
        (NotEntitledError, says(by="eve")),
        (NotEntitledError, says(by="ann")),
        (NotEntitledError, says("reject", by="eve")),
    ):
        with pytest.raises(error):
            book.decide(opened.gate_id, said)
    with pytest.raises(UnknownDeliveryError):
        book.decide("delivery-1.9", says())
    assert book.gates("delivery-1") == [opened]
    book.decide(opened.gate_id, says("reject"))
    with pytest.raises(DecidedError):
        book.decide(opened.gate_id, says("approve"))


def test_an_approval_of_a_spec_that_has_changed_since_is_refused(book: Book) -> None:
    book.create(delivery())
    book.put_spec("delivery-1", spec())
    opened = book.open_gate("delivery-1", gate(kind="spec", digest="d1"))
    book.put_spec("delivery-1", spec(2, "d2"))
    with pytest.raises((OutdatedError, DecidedError)):
        book.decide(opened.gate_id, says(digest="d1"))


def test_releases_are_told_by_delivery_and_by_environment(book: Book) -> None:
    book.create(delivery("delivery-1"))
    book.create(delivery("delivery-2"))
    one = Release("r1", "test", "c", "prepared", "", at_ms=1)
    book.put_release("delivery-1", one)
    book.put_release("delivery-1", dataclasses.replace(one, status="committed"))
    book.put_release("delivery-2", dataclasses.replace(one, release_id="r2", at_ms=2))
    book.put_release("delivery-2", dataclasses.replace(one, release_id="r3", environment="production", at_ms=3))
    assert [(row.release_id, row.status) for row in book.releases("delivery-1")] == [("r1", "committed")]
    assert [row.release_id for row in book.releases(environment="test")] == ["r1", "r2"]
    assert [row.release_id for row in book.facts("delivery-2").releases] == ["r2", "r3"]
    assert len(book.releases()) == 3


def test_what_follows_a_decision_and_a_beginning_is_written_with_them_or_neither_is(book: Book) -> None:
    def fails(_: Facts) -> Move:
        raise RuntimeError("killed")

    def goes_on(facts: Facts) -> Move:
        return Move(dataclasses.replace(facts.delivery, detail=f"{len(facts.gates)} {facts.delivery.detail}"))

    if not isinstance(book, FakeBook):
        with pytest.raises(RuntimeError):
            book.create(delivery(), fails)
        assert book.list() == []
    book.create(delivery(detail="begins"), goes_on)
    assert book.get("delivery-1").detail == "0 begins"
    opened = book.open_gate("delivery-1", gate())
    if not isinstance(book, FakeBook):
        with pytest.raises(RuntimeError):
            book.decide(opened.gate_id, says(), fails)
        assert book.gates("delivery-1")[0].status == "open"
    decided = book.decide(opened.gate_id, says(), goes_on)
    assert (decided.status, book.get("delivery-1").detail) == ("approved", "1 0 begins")
    book.decide(opened.gate_id, says(), goes_on)
    assert book.get("delivery-1").detail == "1 1 0 begins", "said again, what follows is looked at again"


def test_who_waits_until_it_looks_again_is_told_when_it_is_time(book: Book) -> None:
    def waits(delivery_id: str, at_ms: int, **changes: Any) -> None:
        book.create(delivery(delivery_id))
        options = {LOOK: {"stage": "merge", "attempt": 1, "at_ms": at_ms}} if at_ms else {}
        book.change(delivery_id, lambda row: dataclasses.replace(row, options=options, **changes))

    waits("delivery-1", 2_000, status="waiting", segment="")
    waits("delivery-2", 1_000, status="waiting", segment="")
    waits("delivery-3", 1_000, status="paused", segment="")
    waits("delivery-4", 1_000, status="waiting", segment="ship")
    waits("delivery-5", 0, status="waiting", segment="")
    assert book.due(999) == []
    assert book.due(1_000) == ["delivery-2"]
    assert sorted(book.due(2_000)) == ["delivery-1", "delivery-2"]
    book.change("delivery-2", lambda row: dataclasses.replace(row, options={}))
    assert book.due(2_000) == ["delivery-1"]


def test_a_release_is_written_together_with_the_word_of_it(book: Book) -> None:
    book.create(delivery())
    one = Release("r1", "test", "c", "committed", "")
    book.put_release("delivery-1", one, [("deploy", "r1 serves", {"release_id": "r1"})])
    assert book.releases("delivery-1") == [one]
    assert [(note.kind, note.facts) for note in book.notes("delivery-1", after=1)] == [("deploy", {"release_id": "r1"})]


def test_notes_are_numbered_without_gaps_and_read_on_from_one(book: Book, clock: FakeClock) -> None:
    book.create(delivery())
    noted = book.note("delivery-1", "comment", "Please be brief", {"by": "bob"})
    assert (noted.number, noted.at_ms, book.notes("delivery-1", after=1)) == (2, clock.now_ms(), [noted])
    assert [note.kind for note in book.notes("delivery-1")] == ["created", "comment"]


def test_what_a_run_cost_counts_once_for_the_delivery_and_for_its_stage(book: Book) -> None:
    book.create(delivery())
    book.put_stage("delivery-1", StageRow("plan", 1, "working"))
    for key in ("k1", "k1", "k2"):
        book.spend("delivery-1", "plan", key, 70, 7)
    assert (book.get("delivery-1").spent_microusd, book.get("delivery-1").spent_tokens) == (140, 14)
    book.put_stage("delivery-1", StageRow("plan", 1, "done"))
    assert [(row.status, row.cost_microusd, row.tokens) for row in book.stages("delivery-1")] == [("done", 140, 14)]


def test_a_run_of_unknown_price_is_counted_and_charged_what_was_held_for_it(book: Book) -> None:
    book.create(delivery())
    book.put_stage("delivery-1", StageRow("plan", 1, "working"))
    book.spend("delivery-1", "plan", "k1", 70, 7)
    for key in ("k2", "k2", "k3"):
        book.spend("delivery-1", "plan", key, None, 5, 400)
    now = book.get("delivery-1")
    assert (now.spent_microusd, now.spent_tokens, now.unpriced, now.held_microusd) == (70, 17, 2, 800)
    assert [(row.cost_microusd, row.tokens, row.unpriced) for row in book.stages("delivery-1")] == [(70, 17, 2)]


def test_a_gate_is_revised_with_its_decisions_and_found_while_it_is_open(book: Book) -> None:
    book.create(delivery())
    gate = book.open_gate(
        "delivery-1", Gate("", "questions", "clarify", "2 questions", "", (("bea",), ("bob",)), False)
    )
    book.decide(gate.gate_id, Decision("bea", "approve", "", "", 1))
    wider = dataclasses.replace(gate, needs=(("bea",), ("bob", "@core")), four_eyes=True, facts={"overdue": 1})
    book.move("delivery-1", lambda facts: Move(facts.delivery, revises=(wider,)))
    (found,) = book.open_gates()
    assert found == ("delivery-1", wider)
    (after,) = book.gates("delivery-1")
    assert [one.by for one in after.decisions] == ["bea"]
    assert dataclasses.replace(after, decisions=()) == wider
    book.decide(gate.gate_id, Decision("cid", "approve", "", "", 2, {}, ("@core",)))
    assert book.open_gates() == []


def test_of_several_that_would_do_an_effect_one_has_it_for_a_while(book: Book, clock: FakeClock) -> None:
    assert book.seize("d/notify/team/3", "notify", 60_000) == "mine"
    assert book.seize("d/notify/team/3", "notify", 60_000) == "held"
    assert book.seize("d/notify/team/4", "notify", 60_000) == "mine"
    clock.advance(60)
    assert book.seize("d/notify/team/3", "notify", 60_000) == "mine", "who had it is gone"
    assert book.seize("d/notify/team/3", "notify", 60_000) == "held"
    book.done("d/notify/team/3", {})
    clock.advance(60)
    assert book.seize("d/notify/team/3", "notify", 60_000) == "done"


def test_an_effect_is_on_record_before_it_happens_and_its_first_result_holds(book: Book) -> None:
    assert not book.begun("delivery-1/1/push")
    assert book.effect("delivery-1/1/push", "push") is None
    assert book.begun("delivery-1/1/push")
    assert book.effect("delivery-1/1/push", "push") is None
    book.done("delivery-1/1/push", {"commit": "c"})
    book.done("delivery-1/1/push", {"commit": "d"})
    assert book.effect("delivery-1/1/push", "push") == {"commit": "c"}


def test_nothing_is_written_about_a_delivery_that_is_unknown(book: Book) -> None:
    for write in (
        lambda: book.put_spec("nobody", spec()),
        lambda: book.put_plan("nobody", Plan(1, "p", ())),
        lambda: book.put_stage("nobody", StageRow("plan", 1, "done")),
        lambda: book.note("nobody", "comment", ""),
        lambda: book.spend("nobody", "plan", "k", 1, 1),
        lambda: book.open_gate("nobody", gate()),
        lambda: book.put_finding("nobody", Finding("f", "note", "")),
        lambda: book.put_release("nobody", Release("r", "e", "c", "prepared", "")),
        lambda: book.change("nobody", lambda now: now),
        lambda: book.facts("nobody"),
    ):
        with pytest.raises(UnknownDeliveryError):
            write()


@pytest.mark.parametrize("kind", AGAIN)
def test_what_is_written_is_there_for_the_next_process(
    kind: str, new_address: Callable[[str], object], clock: FakeClock
) -> None:
    address = new_address(kind)
    first = Store(address, clock)
    first.create(delivery())
    assert first.effect("k", "push") is None
    second = Store(address, clock)
    assert (second.get("last"), second.begun("k"), second.effect("k", "push")) == (delivery(), True, None)
    first.close()
    second.close()


@pytest.mark.parametrize("kind", AGAIN)
def test_two_at_once_come_one_after_the_other(
    kind: str, new_address: Callable[[str], object], clock: FakeClock
) -> None:
    address = new_address(kind)
    stores = [Store(address, clock) for _ in range(4)]
    stores[0].create(delivery())
    failures: list[BaseException] = []

    def work(store: Store) -> None:
        try:
            for _ in range(5):
                store.change("delivery-1", lambda now: dataclasses.replace(now, turn=now.turn + 1))
                store.note("delivery-1", "comment", "")
                store.open_gate("delivery-1", gate())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert (stores[0].get("last").turn, stores[0].get("last").revision) == (20, 20)
    assert [note.number for note in stores[0].notes("delivery-1")] == list(range(1, 22))
    assert len(stores[0].gates("delivery-1")) == 1
    for store in stores:
        store.close()


@pytest.mark.parametrize("kind", AGAIN)
def test_whatever_a_command_printed_is_kept(kind: str, new_address: Callable[[str], object], clock: FakeClock) -> None:
    store = Store(new_address(kind), clock)
    store.create(delivery(options={"note": "\0\ud800 ünï"}))
    one = Evidence("e1", 1, "verify", "tests", "after", "make", 2**40, "ab", "a\0b\ud800ü", 3, "c", "t")
    store.put_evidence("delivery-1", one)
    assert store.evidence("delivery-1")[0].output_tail == "a␀b?ü"
    assert store.get("last").options == {"note": "\0\ud800 ünï"}
    store.close()


def test_the_database_is_the_gateways_where_that_has_a_url_and_else_a_file_of_its_own(tmp_path: Path) -> None:
    assert delivery_address(tmp_path, {}).path == tmp_path / "deliveries.db"
    told = {"MOHIST_DATABASE_URL": "postgresql://ann@db/mohist"}
    assert delivery_address(tmp_path, told).shown == "postgresql://db/mohist"
    assert delivery_address(tmp_path, {}, f"sqlite:///{tmp_path}/x.db").path == tmp_path / "x.db"


def test_what_cancelled_deliveries_owe_is_found(book: Book) -> None:
    book.create(delivery("d-1", status="cancelled", options={"owed": {"at_ms": 1}}))
    book.create(delivery("d-2", status="cancelled", options={"note": '"owed":'}))
    book.create(delivery("d-3", status="failed", options={"owed": {}}))
    assert [one.delivery_id for one in book.owing("owed")] == ["d-1"]


def test_what_is_to_be_looked_at_is_found_also_by_a_clock_that_was_set_back(book: Book) -> None:
    look = {"stage": "merge", "attempt": 1, "at_ms": 100_000_000}
    book.create(delivery("d-1", status="waiting", options={"look": look}))
    assert list(book.due(99_999_999)) == []
    assert list(book.due(100_000_000)) == ["d-1"]
    assert list(book.due(10_000_000)) == ["d-1"], "a day ago by the clock: nobody puts a look off for so long"
