"""The merge into the user's own repository: by compare-and-swap, verified again where the base went on, nothing forced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ground_room import AUTHOR, git
from merge_room import BRANCH, Port, port

from fakes.book import FakeBook
from fakes.clock import FakeClock
from mohist.delivery import landing, order
from mohist.delivery.machine import LOOK, advance, next_step
from mohist.delivery.state import Decision, Delivery, Facts, Move
from mohist.delivery.worker import wake


class Killed(BaseException):
    """Nothing catches this."""


class DyingBook(FakeBook):
    """Its process is killed before or after a move."""

    dies = ""

    def move(self, delivery_id: str, transition: Callable[[Facts], Move]) -> Delivery:
        if self.dies == "before":
            raise Killed
        moved = super().move(delivery_id, transition)
        if self.dies:
            raise Killed
        return moved


@pytest.fixture
async def at(tmp_path: Path) -> Port:
    return await port(tmp_path)


async def test_the_base_branch_gets_the_change_with_who_made_it(at: Port) -> None:
    assert (await at.merge()).status == "done"
    assert at.main == at.delivery.merged == at.commit
    told = git(at.user, "log", "-1", "--format=%an|%(trailers:key=Mohist-Delivery,valueonly)", "main")
    assert told == f"{AUTHOR.name}|d"


async def test_a_merge_that_is_run_again_does_nothing_more(at: Port) -> None:
    await at.merge()
    at.book.change("d", lambda row: dataclasses.replace(row, merged=""))  # killed before it was written down
    assert (await landing.run(at.context, at.ground)).status == "done"
    assert at.main == at.delivery.merged == at.commit


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_a_merge_is_told_once_wherever_it_is_killed(tmp_path: Path, dies: str) -> None:
    book = DyingBook()
    at = await port(tmp_path, book)
    book.dies = dies
    with pytest.raises(Killed):
        await landing.run(at.context, at.ground)
    book.dies = ""
    assert (await landing.run(at.context, at.ground)).status == "done"
    assert at.main == at.delivery.merged == at.commit
    assert [note.kind for note in book.notes("d")].count("merged") == 1


async def test_a_base_that_went_on_sends_the_change_back_to_be_verified(at: Port) -> None:
    tip = at.on_main({"other.sh": "echo more\n"})
    ended_so = await at.merge()
    after = at.delivery
    assert (after.segment, after.stage, after.attempt, after.base_commit) == ("build", "verify", 2, tip)
    assert at.main == tip
    assert "verified again" in ended_so.detail
    assert await at.ground.contains(after.commit, tip)
    assert await at.ground.contains(after.commit, at.commit)
    assert set(await at.ground.changed(tip, after.commit)) == {"greet.sh"}


async def test_a_base_that_never_rests_is_said(at: Port) -> None:
    at.book.change("d", lambda row: dataclasses.replace(row, options={"base_moves": landing.MOST_MOVES}))
    at.on_main({"other.sh": "echo more\n"})
    assert (await at.merge()).status == "failed"


async def test_a_base_that_was_pushed_by_force_is_noticed_and_nothing_is_brought_back(at: Port) -> None:
    git(at.user, "checkout", "--quiet", "--orphan", "fresh")
    git(at.user, "commit", "--quiet", "-m", "all anew")
    git(at.user, "branch", "--force", "main")
    before = at.main
    ended_so = await at.merge()
    assert ended_so.status == "failed"
    assert "was rewritten" in ended_so.detail
    assert at.main == before
    assert at.delivery.status == "failed"


async def test_a_conflict_is_asked_about_and_then_made_anew_on_the_new_tip(at: Port) -> None:
    tip = at.on_main({"greet.sh": "echo good day\n"})
    assert (await at.merge()).status == "waiting"
    assert at.delivery.status == "waiting"
    gate = at.book.gates("d")[-1]
    assert (gate.kind, gate.facts["paths"]) == ("conflict", ["greet.sh"])
    at.book.decide(gate.gate_id, Decision("ann", "approve", "", gate.digest, 5))
    at.book.move("d", lambda facts: advance(facts, at.clock.now_ms()))
    assert at.delivery.segment == "ship"
    await at.merge()
    after = at.delivery
    assert (after.segment, after.stage, after.attempt, after.base_commit) == ("build", "implement", 2, tip)
    assert after.commit == ""
    assert at.main == tip


async def test_a_branch_that_is_checked_out_is_not_moved_behind_anybodys_back(at: Port) -> None:
    git(at.user, "checkout", "--quiet", "main")
    before = at.main
    ended_so = await at.merge()
    assert ended_so.status == "waiting"
    assert f"git merge --ff-only {BRANCH}" in ended_so.detail
    assert (at.main, git(at.user, "rev-parse", BRANCH)) == (before, at.commit)
    assert (at.delivery.status, at.delivery.segment) == ("waiting", "")
    git(at.user, "merge", "--quiet", "--ff-only", BRANCH)
    at.wakes()
    assert (await at.merge()).status == "done"
    assert at.delivery.merged == at.commit


async def test_what_waits_for_something_outside_is_rows_until_it_is_time(at: Port) -> None:
    git(at.user, "checkout", "--quiet", "main")
    await at.merge()
    at.book.move("d", lambda facts: advance(facts, at.clock.now_ms()))
    assert (at.delivery.status, at.delivery.segment) == ("waiting", "")
    first = at.delivery.options[LOOK]["at_ms"] - at.clock.now_ms()
    at.clock.advance(3600)
    at.book.move("d", lambda facts: advance(facts, at.clock.now_ms()))
    assert at.delivery.segment == "ship"
    assert next_step(at.book.facts("d")).stage == "merge"  # type: ignore[union-attr]
    await at.merge()
    later = at.delivery.options[LOOK]["at_ms"] - at.clock.now_ms()
    assert first == 10_000
    assert later == 300_000


async def test_a_detached_head_has_nothing_to_merge_into(at: Port) -> None:
    at.book.change("d", lambda row: dataclasses.replace(row, base_branch=""))
    assert (await at.merge()).status == "failed"


async def test_a_worker_enters_it_again_when_it_is_time_and_not_before(at: Port) -> None:
    git(at.user, "checkout", "--quiet", "main")
    await at.merge()
    wake(at.book, at.clock)
    assert at.delivery.segment == ""
    at.clock.advance(10)
    wake(at.book, at.clock)
    assert (at.delivery.segment, at.delivery.status) == ("ship", "working")


def cancel(facts: Facts, by: str, now_ms: int) -> Move:
    return order.cancel(facts, by, "enough", now_ms)


@pytest.mark.parametrize("how", [order.pause, cancel])
async def test_who_pauses_or_cancels_what_waits_is_heeded(at: Port, how: Any) -> None:
    git(at.user, "checkout", "--quiet", "main")
    await at.merge()
    at.book.move("d", lambda facts: how(facts, "ann", at.clock.now_ms()))
    at.clock.advance(3600)
    wake(at.book, at.clock)
    assert at.delivery.segment == ""


async def test_who_tries_again_does_not_wait_for_the_time(at: Port) -> None:
    git(at.user, "checkout", "--quiet", "main")
    await at.merge()
    git(at.user, "checkout", "--quiet", "--detach")
    at.book.move("d", lambda facts: order.retry(facts, "merge", "ann", at.clock.now_ms()))
    assert (await at.merge()).status == "done"
    assert at.main == at.commit


async def test_a_clock_that_is_set_back_puts_no_look_off(at: Port) -> None:
    git(at.user, "checkout", "--quiet", "main")
    assert (await at.merge()).status == "waiting"
    yesterday = FakeClock(at.clock.now_ms() - 86_400_000)
    wake(at.book, yesterday)
    assert (at.delivery.segment, at.delivery.status) == ("ship", "working")
    at.clock, at.context = yesterday, dataclasses.replace(at.context, clock=yesterday)
    assert (await at.merge()).status == "waiting"
    wake(at.book, yesterday)
    assert at.delivery.segment == "", "and after that it looks when it is time by the new one"
    yesterday.advance(10)
    wake(at.book, yesterday)
    assert at.delivery.segment == "ship"
