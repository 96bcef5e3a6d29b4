"""Triggers at work: each due time and file begins one delivery, whoever dies and however many workers there are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import FakeClock
from mohist.app.deliver import Asked, account_name, begin
from mohist.app.office import Office
from mohist.app.trigger import HELD_MS, WAITS_S, Triggers, look_at_triggers, open_firings, read_triggers
from mohist.delivery.errors import RuleError
from mohist.delivery.state import Delivery
from mohist.delivery.trigger.firing import Firing
from mohist.ledger import decode
from mohist.ledger.log import Log

START = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
NIGHTLY = """
[trigger.nightly]
kind = "cron"
schedule = "30 2 * * *"
repository = "{repo}"
requester = "nightly"
requirement = "Bring the dependencies up to date."
model = "http://127.0.0.1:9/v1#none"
"""
INBOX = """
[trigger.inbox]
kind = "drop"
folder = "{inbox}"
settle_s = 0
repository = "{repo}"
requester = "inbox"
model = "http://127.0.0.1:9/v1#none"
"""


class Place:
    """A machine with a repository, where workers come and go."""

    def __init__(self, room: Path) -> None:
        self.room, self.home, self.repo, self.inbox = room, room / "state", room / "repo", room / "inbox"
        for folder in (self.home, self.repo, self.inbox):
            folder.mkdir(mode=0o755)
        self.clock = FakeClock(round(START.timestamp() * 1000))
        self.env = {"MOHIST_HOME": str(self.home), "HOME": str(room), "PATH": os.environ["PATH"]}
        identity = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "commit.gpgsign=false")
        for words in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "Start")):
            subprocess.run(["git", *identity, *words], cwd=self.repo, env=self.env, check=True)
        self._open: list[Triggers] = []

    def configure(self, text: str) -> None:
        filled = text.replace("{repo}", str(self.repo)).replace("{inbox}", str(self.inbox))
        (self.home / "deliver.toml").write_text(filled, encoding="utf-8")

    def office(self) -> Office:
        office = Office(self.env)
        office.clock = self.clock
        return office

    def worker(self) -> Triggers:
        """A worker's triggers, as it has them when it starts."""
        office = self.office()
        firings = open_firings(office)
        made = Triggers(office, read_triggers(office), firings)
        self._open.append(made)
        return made

    def close(self) -> None:
        for one in self._open:
            one.firings.close()
            one.office.close()

    def deliveries(self) -> list[Delivery]:
        office = self.office()
        try:
            return list(office.book.list())
        finally:
            office.close()

    def last(self, name: str = "nightly") -> Firing | None:
        office = self.office()
        try:
            return next(state.last for state in look_at_triggers(office)[0] if state.trigger.name == name)
        finally:
            office.close()

    def told(self, name: str = "nightly") -> str:
        office = self.office()
        try:
            return next(state.told for state in look_at_triggers(office)[0] if state.trigger.name == name)
        finally:
            office.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def entries(place: Place) -> list[dict[str, Any]]:
    """What is in the ledger of the place."""
    log = Log(place.home / "ledger" / "log.db", read_only=True)
    try:
        return [decode(leaf) for leaf in log.leaves(0, log.size)]
    finally:
        log.close()


def until(clock: FakeClock, text: str) -> None:
    """Lets time pass until then."""
    then = datetime.fromisoformat(text).replace(tzinfo=UTC)
    clock.advance((then.timestamp() * 1000 - clock.now_ms()) / 1000)


async def test_a_due_time_begins_one_delivery_in_the_name_that_the_trigger_says(place: Place) -> None:
    place.configure(NIGHTLY)
    one, two = place.worker(), place.worker()
    for worker in (one, two):
        worker.look()
    until(place.clock, "2027-03-02T02:29:59")
    for worker in (one, two):
        worker.look()
        assert await worker.begin_waiting() == 0
    until(place.clock, "2027-03-02T02:30:00")
    for worker in (one, two):
        worker.look()
    assert [await worker.begin_waiting() for worker in (one, two)] == [1, 0]
    for worker in (one, two):
        worker.look()
        await worker.begin_waiting()
    (delivery,) = place.deliveries()
    assert (delivery.requested_by, delivery.requirement) == ("nightly", "Bring the dependencies up to date.")
    assert delivery.options["trigger"] == "nightly"
    assert delivery.source == "schedule nightly 2027-03-02T02:30:00Z"
    assert delivery.segment == "spec", "a worker goes on with it"
    last = place.last()
    assert last is not None
    assert (last.status, last.delivery_id) == ("begun", delivery.delivery_id)


async def test_a_firing_is_in_the_ledger_before_its_delivery_and_once(place: Place) -> None:
    place.configure(NIGHTLY)
    one, two = place.worker(), place.worker()
    one.look()
    until(place.clock, "2027-03-02T02:30:00")
    for worker in (one, two):
        worker.look()
        await worker.begin_waiting()
    (delivery,) = place.deliveries()
    mine = [entry for entry in entries(place) if entry["stream"] == f"delivery:{delivery.delivery_id}"]
    assert [entry["data"]["stage"] for entry in mine][:2] == ["triggered", "requested"]
    assert mine[0]["actor"] == "system:trigger"
    assert (mine[0]["data"]["firing"], mine[0]["data"]["due_ms"]) == (
        "2027-03-02T02:30:00Z",
        int(datetime(2027, 3, 2, 2, 30, tzinfo=UTC).timestamp() * 1000),
    )
    assert sum(entry["data"].get("stage") == "triggered" for entry in mine) == 1


CLAIMS_AND_DIES = """
import os, signal, sys
from mohist.app.office import Office
from mohist.app.trigger import Triggers, open_firings, read_triggers
office = Office(os.environ)
class Clock:
    def now_ms(self): return int(sys.argv[1])
    def monotonic_s(self): return 0.0
office.clock = Clock()
Triggers(office, read_triggers(office), open_firings(office)).look()
os.kill(os.getpid(), signal.SIGKILL)
"""


def claim_and_die(place: Place) -> None:
    """A worker that claims what is due, and is killed before it begins it."""
    words = [sys.executable, "-c", CLAIMS_AND_DIES, str(place.clock.now_ms())]
    assert subprocess.run(words, env=place.env, check=False).returncode == -signal.SIGKILL


async def test_a_killed_worker_loses_no_due_time_and_doubles_none(place: Place) -> None:
    place.configure(NIGHTLY)
    place.worker().look()
    until(place.clock, "2027-03-02T02:30:05")
    claim_and_die(place)
    assert place.deliveries() == []
    claimed = place.last()
    assert claimed is not None
    assert claimed.status == "claimed"
    survivor = place.worker()
    survivor.look()
    assert await survivor.begin_waiting() == 1
    assert [one.delivery_id for one in place.deliveries()] == [claimed.delivery_id]


async def test_one_that_died_while_it_began_is_followed_and_not_repeated(place: Place) -> None:
    place.configure(NIGHTLY)
    dead = place.worker()
    dead.look()
    until(place.clock, "2027-03-02T02:30:00")
    dead.look()
    (firing,) = dead.firings.waiting([dead.read.triggers[0].ident])
    assert dead.firings.hold(firing, place.clock.now_ms() + HELD_MS)
    asked = Asked(firing.requirement, firing.source, place.repo, options={"model": "http://127.0.0.1:9/v1#none"})
    await begin(dead.office, asked, "nightly", firing.delivery_id)
    survivor = place.worker()
    assert await survivor.begin_waiting() == 0, "it is held"
    place.clock.advance(HELD_MS / 1000)
    assert await survivor.begin_waiting() == 1
    assert len(place.deliveries()) == 1
    last = place.last()
    assert last is not None
    assert last.status == "begun"


async def test_one_that_died_before_its_first_segment_is_set_going(place: Place) -> None:
    place.configure(NIGHTLY)
    dead = place.worker()
    dead.look()
    until(place.clock, "2027-03-02T02:30:00")
    dead.look()
    (firing,) = dead.firings.waiting([dead.read.triggers[0].ident])
    dead.office.book.create(
        Delivery(
            firing.delivery_id, str(place.repo), "x", "x", "nightly", "a" * 40, "main", "b", "working", "clarify", 1, 1, 1
        )
    )  # fmt: skip
    assert await place.worker().begin_waiting() == 1
    assert [one.segment for one in place.deliveries()] == ["spec"]


async def test_of_what_was_missed_the_newest_is_begun_once(place: Place) -> None:
    place.configure(NIGHTLY)
    place.worker().look()
    until(place.clock, "2027-03-05T09:00:00")
    worker = place.worker()
    worker.look()
    await worker.begin_waiting()
    worker.look()
    assert [one.source for one in place.deliveries()] == ["schedule nightly 2027-03-05T02:30:00Z"]


@pytest.mark.parametrize("policy", ['missed = "skip"', "missed_within_s = 3600"])
async def test_what_was_missed_is_let_go_where_that_is_said(place: Place, policy: str) -> None:
    place.configure(NIGHTLY + policy)
    place.worker().look()
    until(place.clock, "2027-03-05T09:00:00")
    for _ in range(2):
        worker = place.worker()
        worker.look()
        await worker.begin_waiting()
    assert place.deliveries() == []
    assert "2027-03-05T02:30:00Z was missed and let go" in place.told()
    until(place.clock, "2027-03-06T02:30:01")
    worker.look()
    assert await worker.begin_waiting() == 1


async def test_a_clock_that_is_set_back_repeats_nothing_and_stops_nothing(place: Place) -> None:
    place.configure(NIGHTLY.replace("30 2 * * *", "0 * * * *") + "most_open = 99\n")
    worker = place.worker()
    worker.look()
    until(place.clock, "2027-03-01T13:00:01")
    worker.look()
    assert await worker.begin_waiting() == 1
    place.clock = worker.office.clock = FakeClock(round(START.timestamp() * 1000))
    worker.firings._clock = place.clock
    for text in ("2027-03-01T12:00:05", "2027-03-01T13:00:01", "2027-03-01T14:00:01"):
        until(place.clock, text)
        worker.look()
        await worker.begin_waiting()
    fresh = place.worker()
    fresh.look()
    await fresh.begin_waiting()
    assert [one.source[-20:-4] for one in place.deliveries()] == ["2027-03-01T13:00", "2027-03-01T14:00"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_that_was_far_ahead_for_a_while_keeps_no_schedule_from_being_due(
    place: Place, restarted: bool
) -> None:
    place.configure(NIGHTLY.replace("30 2 * * *", "0 * * * *") + "most_open = 99\n")
    worker = place.worker()
    worker.look()
    until(place.clock, "2027-04-01T00:00:30")
    worker.look()
    place.clock = worker.office.clock = FakeClock(round(START.timestamp() * 1000))
    worker.firings._clock = place.clock
    if restarted:
        worker = place.worker()
    worker.look()
    until(place.clock, "2027-03-01T13:00:01")
    worker.look()
    assert await worker.begin_waiting() == 2
    assert [one.source[-20:-4] for one in place.deliveries()] == ["2027-04-01T00:00", "2027-03-01T13:00"]


async def test_a_schedule_that_is_far_ahead_of_its_deliveries_waits_for_them(place: Place) -> None:
    place.configure(NIGHTLY)
    worker = place.worker()
    worker.look()
    for text in ("2027-03-02T02:30:00", "2027-03-03T02:30:00"):
        until(place.clock, text)
        worker.look()
        await worker.begin_waiting()
    assert len(place.deliveries()) == 1
    assert "2027-03-03T02:30:00Z was left out" in place.told()


async def test_files_begin_deliveries_once_for_two_workers_that_look_at_once(place: Place) -> None:
    place.configure(INBOX)
    for number in range(4):
        (place.inbox / f"{number}.md").write_text(f"Do {number}", encoding="utf-8")
    workers = [place.worker(), place.worker()]
    for _ in range(3):
        for worker in workers:
            worker.look()
        for worker in workers:
            await worker.begin_waiting()
    assert sorted(one.requirement for one in place.deliveries()) == ["Do 0", "Do 1", "Do 2", "Do 3"]
    assert sorted(path.name for path in place.inbox.glob("*.md*")) == [f"{number}.md.result" for number in range(4)]


async def test_what_cant_be_begun_is_tried_again_and_then_given_up(place: Place) -> None:
    place.configure(NIGHTLY.replace("http://127.0.0.1:9/v1#none", "unheard-of/model"))
    worker = place.worker()
    worker.look()
    until(place.clock, "2027-03-02T02:30:00")
    worker.look()
    for wait_s in (*WAITS_S, 1.0):
        assert await worker.begin_waiting() == 0
        place.clock.advance(wait_s)
    last = place.last()
    assert last is not None
    assert (last.status, last.tries) == ("failed", len(WAITS_S) + 1)
    assert "unheard-of" in last.detail
    assert place.deliveries() == []


async def test_what_never_can_be_begun_is_refused_at_once_and_said_beside_the_file(place: Place) -> None:
    place.configure(INBOX)
    (place.inbox / "order.md").write_text("https://forge.example/acme/shop/issues/7", encoding="utf-8")
    worker = place.worker()
    for _ in range(2):
        worker.look()
    assert await worker.begin_waiting() == 0
    last = place.last("inbox")
    assert last is not None
    assert last.status == "refused"
    told = json.loads((place.inbox / "order.md.result").read_text(encoding="utf-8"))
    assert told["status"] == "refused"
    assert "No forge is named" in told["why"]


async def test_one_broken_trigger_holds_up_no_other(place: Place) -> None:
    place.configure(INBOX.replace("{inbox}", "{inbox}-none") + NIGHTLY)
    worker = place.worker()
    worker.look()
    until(place.clock, "2027-03-02T02:30:00")
    worker.look()
    assert await worker.begin_waiting() == 1
    assert "can't be read" in place.told("inbox")


def test_where_others_share_the_tables_a_users_trigger_asks_in_the_users_name(place: Place) -> None:
    place.configure(NIGHTLY)
    office = place.office()
    assert [trigger.name for trigger in read_triggers(office).triggers] == ["nightly"]
    office.is_file = False
    with pytest.raises(RuleError, match="asks in the name of 'nightly'"):
        read_triggers(office)
    place.configure(NIGHTLY.replace('requester = "nightly"', f'requester = "{account_name()}"'))
    assert read_triggers(office).triggers[0].requester == account_name()
    office.close()


def test_a_repositorys_own_file_sets_nothing_off(place: Place) -> None:
    folder = place.repo / ".mohist"
    folder.mkdir()
    (folder / "deliver.toml").write_text(NIGHTLY.replace("{repo}", str(place.repo)), encoding="utf-8")
    office = place.office()
    assert read_triggers(office).triggers == ()
    office.close()
