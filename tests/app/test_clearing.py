"""What is owed of a cancelled delivery: tried again ever seldomer, then a person's; each thing is told once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mohist.app.clearing import PATIENCE_S, clear, clear_folders, clear_owed, cleared
from mohist.app.office import Office
from mohist.delivery.errors import StateError
from mohist.delivery.machine import applied
from mohist.delivery.order import OWED, cancel
from mohist.delivery.state import Delivery, Facts, Release, StageRow
from mohist.delivery.withdrawal import Withdrawn


def delivery(folder: Path = Path("/nowhere"), name: str = "dlv-1") -> Delivery:
    return Delivery(name, str(folder), "do", "text", "ann", "b", "main", f"mohist/{name}", "waiting", "merge", 1, 1, 1)


def cancelled() -> Facts:
    facts = Facts(delivery())
    return applied(facts, cancel(facts, "ann", "", 1_000))


def test_what_does_not_answer_is_tried_again_ever_seldomer_and_told_once() -> None:
    facts, now_ms, told, pauses = cancelled(), 1_000, [], []
    for _ in range(6):
        move = cleared(facts, Withdrawn(later=("the forge answers 503",)), now_ms)
        facts, told = applied(facts, move), told + [text for _, text, _ in move.notes]
        pauses.append((facts.delivery.options[OWED]["at_ms"] - now_ms) / 1000)
        now_ms = max(facts.delivery.options[OWED]["at_ms"], now_ms * 4)
    assert told == ["to be tried again: the forge answers 503"]
    assert pauses[0] == 10
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 300
    move = cleared(facts, Withdrawn(later=("the forge answers 503",), after_s=900), now_ms)
    assert move.delivery.options[OWED]["at_ms"] - now_ms == 900_000
    assert OWED not in cleared(facts, Withdrawn(done=("gone",)), now_ms).delivery.options


def test_what_never_answers_is_a_persons_after_a_day() -> None:
    facts = cancelled()
    late_ms = 1_000 + int(PATIENCE_S * 1000)
    move = cleared(facts, Withdrawn(later=("the forge answers 503",)), late_ms)
    assert [(kind, text) for kind, text, _ in move.notes] == [
        ("alarm", "cancelled, and not taken back: the forge answers 503")
    ]
    assert move.delivery.options[OWED]["at_ms"] == 0
    again = cleared(applied(facts, move), Withdrawn(later=("the forge answers 503",)), late_ms + 1)
    assert again.notes == ()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office({"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


async def test_a_delivery_that_left_nothing_outside_only_loses_its_folders(office: Office) -> None:
    office.book.create(delivery())
    (office.folder("dlv-1") / "ground" / "trees" / "t").mkdir(parents=True)
    with pytest.raises(StateError, match="can't be cleared"):
        await clear(office, "dlv-1")
    office.book.move("dlv-1", lambda facts: cancel(facts, "ann", "", 5))
    assert await clear(office, "dlv-1") == Withdrawn()
    assert not (office.folder("dlv-1") / "ground").exists()
    assert OWED not in office.book.get("dlv-1").options
    office.close()


async def test_what_can_not_be_looked_at_is_a_persons_and_nobody_tries_it_unasked(office: Office) -> None:
    office.book.create(delivery())
    office.book.put_stage("dlv-1", StageRow("merge", 1, "waiting", began_at_ms=1))
    office.book.move("dlv-1", lambda facts: cancel(facts, "ann", "", 5))
    (office.folder("dlv-1") / "ground" / "trees").mkdir(parents=True)
    (office.folder("dlv-1") / "ground" / "git").mkdir(parents=True)
    told = await clear(office, "dlv-1")
    assert "mohist/dlv-1" in told.stuck[0]
    assert [path.name for path in (office.folder("dlv-1") / "ground").iterdir()] == ["git"]
    notes = len(office.book.notes("dlv-1"))
    await clear_owed(office)
    clear_folders(office)
    assert len(office.book.notes("dlv-1")) == notes
    assert (office.folder("dlv-1") / "ground" / "git").is_dir()
    assert (await clear(office, "dlv-1")).stuck == told.stuck
    assert len(office.book.notes("dlv-1")) == notes
    office.close()


async def test_folders_of_what_was_cancelled_from_another_machine_go(office: Office) -> None:
    for name in ("dlv-1", "dlv-2"):
        office.book.create(delivery(name=name))
        (office.folder(name) / "ground" / "trees").mkdir(parents=True)
    (office.folder("dlv-3") / "ground").mkdir(parents=True)
    office.book.change("dlv-1", lambda row: dataclasses.replace(row, status="cancelled"))
    clear_folders(office)
    assert sorted(path.parent.name for path in office.paths.home.glob("deliveries/*/ground")) == ["dlv-2", "dlv-3"]
    office.book.put_release("dlv-1", Release("r", "staging", "c", "committed", ""))
    office.close()


async def test_work_folders_of_what_is_done_go_and_what_its_report_is_made_of_stays(office: Office) -> None:
    office.book.create(delivery())
    for name in ("trees/t", "copies/c", "git/objects"):
        (office.folder("dlv-1") / "ground" / name).mkdir(parents=True)
    office.book.change("dlv-1", lambda row: dataclasses.replace(row, status="done", segment="ship"))
    clear_folders(office)
    assert (office.folder("dlv-1") / "ground" / "trees" / "t").is_dir(), "something of it runs yet"
    office.book.change("dlv-1", lambda row: dataclasses.replace(row, segment=""))
    clear_folders(office)
    assert [path.name for path in (office.folder("dlv-1") / "ground").iterdir()] == ["git"]
    office.close()
