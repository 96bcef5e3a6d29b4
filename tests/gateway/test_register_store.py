"""The register in the gateway's database: changed whole, put down to a person, entered in the ledger, and by two where two are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_call import NOW_MS, record

from fakes.clock import FakeClock
from fakes.ledger import Ledger, opened
from mohist.gateway.address import Address
from mohist.gateway.budget import day_of
from mohist.gateway.call import Principal
from mohist.gateway.change import Author
from mohist.gateway.entry import change_draft
from mohist.gateway.errors import ConflictError, NotThereError
from mohist.gateway.register import Edit, RegisterStore
from mohist.gateway.roster import change_page
from mohist.gateway.usage import UsageRow, flat
from mohist.ledger import LedgerError
from mohist.policy.register import Entry, Settings, entry_of

TWO = Settings(two_persons=True)


def entry(name: str = "marks", **changes: object) -> Entry:
    table = {"id": name, "tool": "claude-code", "disposition": "banned", "reason": "Ann Smith saw it"}
    return entry_of(table | {"alternative": "qwen-code", "first_step": "begin", "owner": "ann@example.com"} | changes)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "ledger").mkdir()
    with opened(tmp_path / "ledger") as made:
        yield made


def test_changes_are_kept_numbered_and_put_down_to_who_made_them(address: Address) -> None:
    with RegisterStore(address, author=Author("ann", door="command")) as store:
        before = store.revision()
        assert store.change(Edit((entry(), entry("other", tool="codex"))), fresh=True) is None
        assert store.change(Edit((entry(reason="Because"),), ("other",), Settings("deny", ask="write us"))) is None
        register = store.register()
        assert store.revision() == before + 2
        changes = change_page(store, "register", "", None, 10, newest_first=False)
    assert [one.entry_id for one in register.entries] == ["marks"]
    assert register.entries[0].reason == "Because"
    assert register.settings == Settings("deny", ask="write us")
    assert [(one.action, one.user, one.name) for one in changes] == [("register.change", "ann", "")] * 2
    assert changes[1].detail["before"]["entries"][0]["reason"] == "Ann Smith saw it"


def test_what_is_there_is_not_made_again_and_what_is_not_there_not_removed(address: Address) -> None:
    with RegisterStore(address, author=Author("ann")) as store:
        store.change(Edit((entry(),)), fresh=True)
        number = store.revision()
        with pytest.raises(ConflictError, match="already"):
            store.change(Edit((entry(),)), fresh=True)
        with pytest.raises(NotThereError):
            store.change(Edit(removed=("nobody",)))
        assert store.revision() == number


def test_with_two_persons_a_change_waits_until_somebody_else_approves_it(address: Address) -> None:
    with RegisterStore(address, author=Author("ann")) as ann, RegisterStore(address, author=Author("bob")) as bob:
        ann.change(Edit(settings=TWO))
        proposal = ann.change(Edit((entry(),)), fresh=True)
        assert proposal is not None
        assert ann.register().entries == ()
        with pytest.raises(ConflictError, match="somebody else"):
            ann.approve(proposal.proposal_id)
        assert ann.register().entries == ()
        approved = bob.approve(proposal.proposal_id)
        assert (approved.decision, approved.decided_by) == ("approved", "bob")
        assert [one.entry_id for one in ann.register().entries] == ["marks"]
        with pytest.raises(NotThereError):
            bob.approve(proposal.proposal_id)
        assert ann.proposals() == []
        assert [one.decision for one in ann.proposals(waiting=False)] == ["approved"]


def test_the_two_person_rule_itself_is_lifted_by_two(address: Address) -> None:
    with RegisterStore(address, author=Author("ann")) as store:
        store.change(Edit(settings=TWO))
        assert store.change(Edit(settings=Settings())) is not None
        assert store.register().settings.two_persons


def test_nobody_in_particular_approves_nothing(address: Address) -> None:
    with RegisterStore(address, author=Author("ann")) as store, RegisterStore(address, author=Author("")) as nobody:
        store.change(Edit(settings=TWO))
        proposal = store.change(Edit((entry(),)))
        assert proposal is not None
        with pytest.raises(ConflictError):
            nobody.approve(proposal.proposal_id)


def test_a_proposal_whose_ground_moved_is_not_approved(address: Address) -> None:
    with RegisterStore(address, author=Author("ann")) as ann, RegisterStore(address, author=Author("bob")) as bob:
        ann.change(Edit((entry(),)))
        ann.change(Edit(settings=TWO))
        first = ann.change(Edit((entry(reason="One"),)))
        second = ann.change(Edit(removed=("marks",)))
        assert first is not None
        assert second is not None
        bob.approve(first.proposal_id)
        with pytest.raises(ConflictError, match="changed since"):
            bob.approve(second.proposal_id)
        assert bob.withdraw(second.proposal_id).decision == "withdrawn"
        assert [one.reason for one in bob.register().entries] == ["One"]


def test_each_change_is_entered_without_names_and_its_words_are_sealed(address: Address, kept: Ledger) -> None:
    name = kept.names.pseudonym
    enter = lambda change: kept.append(change_draft(change, name))  # noqa: E731
    with RegisterStore(address, author=Author("ann", door="command"), enter=enter) as store:
        digest = "sha256:" + "ab" * 32
        store.change(
            Edit((entry(versions="<2", effective="2026-12-01", evidence=[{"place": "r.json", "digest": digest}]),))
        )
        store.change(Edit(settings=TWO))
        proposal = store.change(Edit(removed=("marks",)))
    assert proposal is not None
    with RegisterStore(address, author=Author("bob"), enter=enter) as store:
        store.approve(proposal.proposal_id)
    entries = kept.entries()
    assert [(one["kind"], one["stream"], one["data"]["action"]) for one in entries] == [
        ("register", "register", "register.change"),
        ("register", "register", "register.change"),
        ("register", "register", "register.propose"),
        ("register", "register", "register.change"),
    ]
    shown = {"id": "marks", "tool": "claude-code", "versions": "<2", "disposition": "banned", "effective": "2026-12-01"}
    assert entries[0]["data"]["set"] == [shown | {"evidence": [digest]}]
    assert entries[3]["data"]["proposed_by"] == name("person", "ann")
    assert entries[3]["for"] == name("person", "bob")
    assert not any(word in json.dumps(entries) for word in ("Smith", "ann@", "bob"))


def test_a_change_that_cant_be_entered_is_not_made(address: Address) -> None:
    def full(_change: object) -> None:
        raise LedgerError("The disk is full.")

    with RegisterStore(address, author=Author("ann"), enter=full) as store:
        number = store.revision()
        with pytest.raises(LedgerError):
            store.change(Edit((entry(),)))
        assert store.register().entries == ()
        assert store.revision() == number


def test_a_hundred_entries_at_once_are_one_change_and_fit_into_an_entry(address: Address, kept: Ledger) -> None:
    long = "x" * 190
    many = tuple(
        entry(f"e-{number}", tool=f"npm:@{long}/{number}", versions="<1.2.3 || " * 15 + "3") for number in range(100)
    )
    enter = lambda change: kept.append(change_draft(change, kept.names.pseudonym))  # noqa: E731
    with RegisterStore(address, author=Author("ann"), enter=enter) as store:
        store.change(Edit(many))
        assert len(store.register().entries) == 100
    [one] = kept.entries()
    assert one["data"]["more"] == 100 - len(one["data"]["set"])


def test_who_called_with_what_was_warned_of_or_refused_is_counted_by_entry_person_and_client(address: Address) -> None:
    def call(
        number: int, rule: str, user: str = "ann", verdict: str = "allowed", at_ms: int = NOW_MS
    ) -> dict[str, object]:
        made = record(f"call-{number}", rule=rule, verdict=verdict, started_at_ms=at_ms, client="claude-cli/2.1.100")
        return flat(UsageRow(made, Principal("key-1", user), day_of(at_ms)))

    rows = [
        call(1, "register.marks"),
        call(2, "register.marks,only-eu"),
        call(3, "register.marks", verdict="policy"),
        call(4, "register.marks", user="bob"),
        call(5, "register.marks-2"),
        call(6, "only-eu"),
        call(7, "register.marks", at_ms=NOW_MS - 8 * 86_400_000),
        call(8, "registerXmarks"),
    ]
    author = Author("ops", clock=FakeClock(NOW_MS + 1))
    with RegisterStore(address, author=author) as store:
        store.add_usage(rows)
        marks, everything = store.users("marks", 7), store.users("", 7)
    said = [(row["entry"], row["user"], row["warned"], row["refused"]) for row in marks]
    assert said == [("marks", "ann", 2, 1), ("marks", "bob", 1, 0)]
    assert {row["entry"] for row in everything} == {"marks", "marks-2"}
    assert json.loads(json.dumps(marks)) == marks
