"""Deliveries in the ledger: asked, decided, proved, released, in the order in which it counts, and after a kill."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_book import delivery, spec

from fakes.clock import FakeClock
from fakes.ledger import Ledger, opened
from mohist.delivery.account import gather
from mohist.delivery.chronicle import ChronicledStore, DeliveryChronicle
from mohist.delivery.errors import NotEntitledError, OutdatedError
from mohist.delivery.page import render_page
from mohist.delivery.report import markdown
from mohist.delivery.state import Decision, Evidence, Facts, Finding, Gate, Move, Release, StageRow
from mohist.delivery.store import delivery_address
from mohist.ledger import LedgerError


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "ledger").mkdir()
    with opened(tmp_path / "ledger") as made:
        yield made


@pytest.fixture
def store(tmp_path: Path, ledger: Ledger) -> Iterator[ChronicledStore]:
    made = ChronicledStore(delivery_address(tmp_path, {}), FakeClock())
    made.chronicle = DeliveryChronicle(ledger, ledger.names.pseudonym)
    yield made
    made.close()


EVIDENCE = Evidence("e1", 1, "verify", "AC-1", "after", "pytest", 0, "a" * 64, "ok", 5, "c" * 40, "t" * 40)
RELEASE = Release("rel-1", "staging", "c" * 40, "activating", "rel-0", at_ms=7)
GATE = Gate("", "approval", "merge", "merge into main", "c" * 40, (("bob",),), four_eyes=True)


def lived(store: ChronicledStore) -> None:
    store.create(delivery())
    store.put_spec("delivery-1", spec())
    store.put_evidence("delivery-1", EVIDENCE)
    store.put_finding("delivery-1", Finding("f1", "major", "It greets nobody.", by="reviewer"))
    gate = store.open_gate("delivery-1", GATE)
    store.decide(gate.gate_id, Decision("bob", "approve", "looks right", "c" * 40, 5))
    assert store.effect("delivery-1/1/merge", "merge") is None
    store.done("delivery-1/1/merge", {"commit": "d" * 40})
    store.put_release("delivery-1", RELEASE)


def test_a_delivery_is_entered_step_by_step(store: ChronicledStore, ledger: Ledger) -> None:
    lived(store)
    entries = ledger.entries()
    assert ledger.kinds() == [
        "delivery.stage", "delivery.stage", "verdict", "finding", "approval", "tool.intent", "tool.result", "deploy",
    ]  # fmt: skip
    assert {entry["stream"] for entry in entries} == {"delivery:delivery-1"}
    assert ledger.content(entries[0]) == b"Add a greeting"
    approval = entries[4]
    assert (approval["data"]["verdict"], approval["data"]["digest"]) == ("approve", "c" * 40)
    assert ledger.names.name(approval["actor"]) == "bob"
    assert approval["about"] == {"delivery": "delivery-1", "commit": "c" * 40, "tree": "t" * 40}
    assert json.loads(ledger.content(approval))["because"] == "looks right"
    assert entries[6]["about"]["intent"] == entries[5]["key"]
    assert entries[7]["data"]["previous"] == "rel-0"
    assert b"bob" not in json.dumps(entries).encode()


def test_a_finding_names_the_commit_and_the_tree_that_were_reviewed(store: ChronicledStore, ledger: Ledger) -> None:
    store.create(dataclasses.replace(delivery(), commit="c" * 40))
    store.put_evidence("delivery-1", EVIDENCE)
    store.put_finding("delivery-1", Finding("f1", "major", "It greets nobody.", by="reviewer"))
    (entry,) = (entry for entry in ledger.entries() if entry["kind"] == "finding")
    assert entry["about"] == {"delivery": "delivery-1", "commit": "c" * 40, "tree": "t" * 40}


def test_stages_that_are_over_are_entered_as_they_are_moved(store: ChronicledStore, ledger: Ledger) -> None:
    store.create(delivery())
    before = len(ledger.entries())

    def on(facts: Facts) -> Move:
        changed = dataclasses.replace(facts.delivery, stage="specify")
        working = StageRow("specify", 1, "working", began_at_ms=1)
        return Move(changed, (StageRow("clarify", 1, "done", "", 12, 34, "m", 1, 2), working))

    store.move("delivery-1", on)
    (entry,) = ledger.entries()[before:]
    assert (entry["data"]["stage"], entry["data"]["status"], entry["data"]["cost_microusd"]) == ("clarify", "done", 12)


def test_a_delivery_that_is_over_is_closed_with_the_count_of_its_entries(
    store: ChronicledStore, ledger: Ledger
) -> None:
    lived(store)
    before = len(ledger.entries())
    store.move("delivery-1", lambda facts: Move(dataclasses.replace(facts.delivery, status="done")))
    store.reconcile("delivery-1")
    entries = ledger.entries()
    assert [entry["kind"] for entry in entries[before:]] == ["stream.close"]
    assert entries[-1]["data"]["entries"] == entries[-1]["seq"] == before
    assert entries[-1]["data"]["status"] == "done"


async def test_the_report_says_where_a_delivery_stands_in_the_ledger(store: ChronicledStore, ledger: Ledger) -> None:
    lived(store)
    assert "Evidence" not in markdown(await gather(store, None, "delivery-1"))
    assert store.chronicle is not None
    store.chronicle = dataclasses.replace(store.chronicle, place=lambda name: f"ledger: entries 0 to 7 of {name}")
    made = await gather(store, None, "delivery-1")
    assert markdown(made).endswith("## Evidence\n\nledger: entries 0 to 7 of delivery-1\n")
    assert "ledger: entries 0 to 7 of delivery-1" in render_page(made)


def test_nothing_goes_live_that_is_not_entered(store: ChronicledStore, ledger: Ledger) -> None:
    store.create(delivery())
    ledger.refuses = True
    with pytest.raises(LedgerError, match="disk is full"):
        store.put_release("delivery-1", RELEASE)
    assert store.releases("delivery-1") == []
    with pytest.raises(LedgerError, match="disk is full"):
        store.effect("delivery-1/1/push", "push")
    with pytest.raises(LedgerError, match="disk is full"):
        store.seize("delivery-1/1/merge", "merge", 1000)


def test_an_effect_that_is_done_is_not_begun_again_in_the_ledger(store: ChronicledStore, ledger: Ledger) -> None:
    lived(store)
    count = len(ledger.entries())
    assert store.effect("delivery-1/1/merge", "merge") == {"commit": "d" * 40}
    assert store.seize("delivery-1/1/merge", "merge", 1000) == "done"
    assert len(ledger.entries()) == count


def test_what_a_killed_process_left_without_an_entry_is_entered_once(store: ChronicledStore, ledger: Ledger) -> None:
    chronicle, store.chronicle = store.chronicle, None
    lived(store)
    assert ledger.entries() == []
    store.chronicle = chronicle
    store.reconcile("delivery-1")
    once = ledger.kinds()
    assert once == ["delivery.stage", "delivery.stage", "verdict", "finding", "approval", "deploy"]
    store.reconcile("delivery-1")
    assert ledger.kinds() == once


def test_what_is_refused_by_the_tables_is_not_entered(store: ChronicledStore, ledger: Ledger) -> None:
    store.create(delivery())
    gate = store.open_gate("delivery-1", GATE)
    count = len(ledger.entries())
    with pytest.raises(NotEntitledError):
        store.decide(gate.gate_id, Decision("eve", "approve", "", "c" * 40, 5))
    with pytest.raises(OutdatedError):
        store.decide(gate.gate_id, Decision("bob", "approve", "", "e" * 40, 5))
    assert len(ledger.entries()) == count
