"""Others decide in the place of those who are asked, and nothing decides by itself."""

from __future__ import annotations

import pytest

from fakes.book import FakeBook
from fakes.clock import FakeClock
from mohist.delivery.consent import unmet, who_may
from mohist.delivery.deputy import delegate, due_at_ms, escalate, overdue
from mohist.delivery.errors import DecidedError, NotEntitledError, StateError
from mohist.delivery.gate import Change, Ruling, gates_for
from mohist.delivery.rule import Rules, load_rules, tighten
from mohist.delivery.state import Decision, Delivery, Gate, Spec

HOUR_MS = 3_600_000
DIGEST = "d" * 64


@pytest.fixture
def book(clock: FakeClock) -> FakeBook:
    made = FakeBook(clock.now_ms)
    made.create(
        Delivery(
            "d-1", "/srv/shop", "Ship free", "text", "ann", "a" * 40, "main", "b", "waiting", "plan", 1, 1, 1
        )
    )  # fmt: skip
    made.put_spec("d-1", Spec(1, DIGEST, "# x", ()))
    return made


def opened(book: FakeBook, *needs: tuple[str, ...], four_eyes: bool = False, **facts: object) -> Gate:
    return book.open_gate("d-1", Gate("", "spec", "plan", "spec v1", DIGEST, needs, four_eyes, facts=dict(facts)))


def says(book: FakeBook, gate: Gate, by: str, *teams: str) -> Gate:
    return book.decide(gate.gate_id, Decision(by, "approve", "", DIGEST, 1, {}, teams))


def now(book: FakeBook, gate: Gate) -> Gate:
    return next(one for one in book.gates("d-1") if one.gate_id == gate.gate_id)


def test_whom_one_lets_decide_decides_and_one_no_longer_may(book: FakeBook) -> None:
    gate = opened(book, ("@payments",))
    book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", ["@payments"], "cid", "on leave"))
    assert "cid decides for bob" in who_may(now(book, gate), "ann")
    with pytest.raises(NotEntitledError, match="lets 'cid' decide"):
        says(book, gate, "bob", "@payments")
    with pytest.raises(NotEntitledError):
        says(book, gate, "dan")
    assert says(book, gate, "cid").status == "approved"
    assert "bob lets cid decide about spec v1: on leave" in [note.text for note in book.notes("d-1")]


def test_a_deputy_who_may_decide_by_themselves_still_counts_once(book: FakeBook) -> None:
    gate = opened(book, ("@payments",), ("@payments",))
    book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", ["@payments"], "cid", ""))
    assert says(book, gate, "cid", "@payments").status == "open"
    assert says(book, gate, "dan", "@payments").status == "approved"


def test_a_right_is_taken_back_by_naming_oneself(book: FakeBook) -> None:
    gate = opened(book, ("bob",))
    book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", [], "cid", ""))
    book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", [], "bob", ""))
    with pytest.raises(NotEntitledError):
        says(book, gate, "cid")
    assert says(book, gate, "bob").status == "approved"
    other = book.open_gate("d-1", Gate("", "spec", "plan", "another", DIGEST, (("bob",),), False))
    with pytest.raises(StateError, match="let nobody"):
        book.move("d-1", lambda facts: delegate(facts, other.gate_id, "bob", [], "bob", ""))


def test_only_who_may_decide_can_let_another_and_what_was_given_is_not_passed_on(book: FakeBook) -> None:
    gate = opened(book, ("bob",), four_eyes=True)
    for by, to in (("cid", "dan"), ("ann", "cid"), ("bob", "ann")):
        with pytest.raises(NotEntitledError):
            book.move("d-1", lambda facts, by=by, to=to: delegate(facts, gate.gate_id, by, [], to, ""))
    book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", [], "cid", ""))
    with pytest.raises(NotEntitledError):
        book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "cid", [], "dan", ""))
    says(book, gate, "cid")
    with pytest.raises(DecidedError):
        book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", [], "dan", ""))


def test_who_has_decided_can_let_nobody_decide_once_more(book: FakeBook) -> None:
    gate = opened(book, ("@payments",), ("@payments",))
    says(book, gate, "bob", "@payments")
    with pytest.raises(StateError, match="has decided"):
        book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "bob", ["@payments"], "cid", ""))
    with pytest.raises(StateError, match="has decided"):
        book.move("d-1", lambda facts: delegate(facts, gate.gate_id, "dan", ["@payments"], "bob", ""))


def test_escalating_lets_others_decide_but_never_the_requester(book: FakeBook) -> None:
    gate = opened(book, ("@payments",), escalate=["@platform"])
    with pytest.raises(NotEntitledError):
        book.move("d-1", lambda facts: escalate(facts, gate.gate_id, "ann", ["@platform"], "I am in a hurry"))
    book.move("d-1", lambda facts: escalate(facts, gate.gate_id, "bob", ["@payments"], "it is theirs"))
    with pytest.raises(NotEntitledError, match="second person"):
        says(book, gate, "ann", "@platform")
    assert says(book, gate, "eve", "@platform").status == "approved"


def test_where_nobody_is_named_there_is_nobody_to_escalate_to(book: FakeBook) -> None:
    gate = opened(book, ("bob",))
    with pytest.raises(StateError, match="nobody to escalate"):
        book.move("d-1", lambda facts: escalate(facts, gate.gate_id, "bob", [], ""))


def test_what_waits_too_long_is_told_and_may_be_decided_by_others_and_is_never_approved(
    book: FakeBook, clock: FakeClock
) -> None:
    gate = opened(book, ("bob",), ("@payments",), escalate=["@platform"], expires_h=48)
    says(book, gate, "cid", "@payments")
    began_ms = gate.opened_at_ms
    for hours, told in ((47.9, 0), (48, 1), (48, 1), (95, 1), (97, 2), (97, 2), (1000, 3)):
        at_ms = began_ms + round(hours * HOUR_MS)
        book.move("d-1", lambda facts, at_ms=at_ms: overdue(facts, gate.gate_id, at_ms, 0.0))
        notes = [note.text for note in book.notes("d-1") if note.kind == "overdue"]
        assert len(notes) == told, hours
        assert now(book, gate).status == "open"
    assert notes[0] == "spec v1 has waited 48 h; @platform may decide now, too"
    assert notes[1] == "spec v1 has waited 96 h"
    assert [one.by for one in now(book, gate).decisions] == ["cid"], "what was said before stays said"
    assert says(book, gate, "eve", "@platform").status == "approved"


def test_a_gate_that_anybody_may_pass_is_only_told_of(book: FakeBook) -> None:
    gate = opened(book, escalate=["@platform"])
    assert due_at_ms(gate, 0.0) == 0
    assert due_at_ms(gate, 2.0) == gate.opened_at_ms + 2 * HOUR_MS
    book.move("d-1", lambda facts: overdue(facts, gate.gate_id, gate.opened_at_ms + 5 * HOUR_MS, 2.0))
    after = now(book, gate)
    assert (after.needs, after.four_eyes, after.facts["overdue"]) == ((), False, 2)
    assert says(book, gate, "ann").status == "approved"
    book.move("d-1", lambda facts: overdue(facts, gate.gate_id, gate.opened_at_ms + 99 * HOUR_MS, 2.0))
    assert len([note for note in book.notes("d-1") if note.kind == "overdue"]) == 1


def test_open_gates_of_all_deliveries_are_found(book: FakeBook) -> None:
    gate = opened(book, ("bob",))
    assert [(name, one.gate_id) for name, one in book.open_gates()] == [("d-1", gate.gate_id)]
    says(book, gate, "bob")
    assert book.open_gates() == []


def test_rules_say_how_long_and_the_shortest_holds(book: FakeBook) -> None:
    text = 'expires_h = 72\nescalate = ["@platform"]\n[[gates]]\nkind = "spec"\nneeds = ["bob"]\nexpires_h = 4\n'
    rules = load_rules(text)
    company = load_rules("expires_h = 24\n", "company", may_loosen=False)
    assert tighten(rules, company).expires_h == 24
    assert tighten(Rules(), company).expires_h == tighten(company, Rules()).expires_h == 24
    facts = book.facts("d-1")
    (spec,) = gates_for("plan", facts, Change(("a.py",), 1), Ruling(rules))
    assert (spec.facts["expires_h"], spec.facts["escalate"]) == (4, ["@platform"])
    merge = gates_for("merge", facts, Change(("a.py",), 1), Ruling(rules))[-1]
    assert merge.facts["expires_h"] == 72


def test_everybody_is_still_asked_who_was_asked(book: FakeBook) -> None:
    gate = opened(book, ("bob",), ("@payments",), escalate=["eve"])
    book.move("d-1", lambda facts: escalate(facts, gate.gate_id, "bob", [], ""))
    assert unmet(now(book, gate), "ann") == (("bob", "eve"), ("@payments", "eve"))
