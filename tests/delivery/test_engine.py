"""What an engine promises, of each adapter; and what is DBOS's alone."""

from __future__ import annotations

import base64
import os
import pickle
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from anyio import from_thread
from engine_room import Foreman

from fakes.book import FakeBook
from fakes.clock import FakeClock
from fakes.postgres import Postgres
from mohist.delivery.engine import Engine, Segments, StepRunner
from mohist.delivery.engine.contract import ENDED
from mohist.delivery.engine.dbos import DbosEngine
from mohist.delivery.engine.journal import KEPT_MS, Journal
from mohist.delivery.engine.lease import AdvisoryLease, FileLease
from mohist.delivery.engine.plain import PlainEngine
from mohist.delivery.engine.runner import IDLE_LIMIT
from mohist.delivery.errors import BookError, EngineError, LostError
from mohist.gateway.address import Address

LIMIT_S = 60.0
TEMPORAL = pytest.param("temporal", marks=pytest.mark.enable_socket)
Start = Callable[..., Engine]


@pytest.fixture(params=["plain", "dbos-sqlite", "dbos-postgresql", TEMPORAL])
def start(
    request: pytest.FixtureRequest, new_engine_address: Callable[[str], Address], clock: FakeClock
) -> Iterator[Start]:
    """Opens an engine; again on the same database, where the last one was closed."""
    adapter, _, kind = request.param.partition("-")
    where = new_engine_address(kind or "sqlite")
    server = request.getfixturevalue("temporal_server") if adapter == "temporal" else None
    space = server.new_space() if server else ""
    opened: list[Engine] = []

    def make(segments: Segments, stopped: Callable[[str], None] = lambda _: None) -> Engine:
        if adapter == "plain":
            journal = Journal(where, clock)
            engine: Engine = PlainEngine(segments, journal, FakeBook(), stopped=stopped, watch_s=0.05)
        elif server:
            engine = until(lambda: temporal(server.target, space, segments, Journal(where, clock), stopped))
        else:
            quick = {"tick_s": 0.1, "patience_s": 0.2, "poll_s": 0.02}
            engine = DbosEngine(where, segments, FakeBook(), clock, stopped=stopped, **quick)
        opened.append(engine)
        return engine

    yield make
    for engine in opened:
        engine.close(0.0)


def temporal(target: str, space: str, segments: Segments, journal: Journal, stopped: Callable[[str], None]) -> Any:
    """None: the server has not made its namespace yet."""
    from mohist.delivery.engine.temporal import TemporalEngine

    try:
        return TemporalEngine(
            target, segments, journal, FakeBook(), namespace=space, stopped=stopped, watch_s=0.05, heartbeat_s=1.0
        )
    except EngineError:
        return None


def finished(engine: Engine, key: str) -> Any:
    return until(lambda: (status := engine.status([key])[key]).state in ENDED and status)


def until(fact: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + LIMIT_S
    while not (found := fact()):
        assert time.monotonic() < end_s
        time.sleep(0.005)
    return found


def test_a_segment_runs_once_however_often_it_is_started(start: Start) -> None:
    ran: list[str] = []

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> dict[str, Any]:
        ran.append(steps.key)
        return {"delivery": delivery_id, "turn": turn}

    engine = start({"spec": body})
    assert engine.status(["d-1/2/spec"])["d-1/2/spec"].state == "unknown"
    key = engine.start("spec", "d-1", 2)
    assert key == engine.start("spec", "d-1", 2) == "d-1/2/spec"
    status = finished(engine, key)
    assert (status.state, status.result) == ("done", {"delivery": "d-1", "turn": 2})
    assert engine.start("spec", "d-1", 2) == key
    assert finished(engine, key).state == "done"
    assert ran == [key]


def test_a_step_gives_what_json_makes_of_it_the_first_time_too(start: Start) -> None:
    seen: list[Any] = []

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> None:
        async def made() -> tuple[int, ...]:
            return (1, 2)

        seen.append(await steps("pair", made))

    engine = start({"spec": body})
    assert finished(engine, engine.start("spec", "d-1", 1)).state == "done"
    assert seen == [[1, 2]]


def test_a_plain_body_runs_in_a_thread_and_takes_its_steps_from_there(start: Start) -> None:
    def body(steps: StepRunner, delivery_id: str, turn: int) -> int:
        return from_thread.run(steps, "one", lambda: 41) + 1

    engine = start({"spec": body})
    assert finished(engine, engine.start("spec", "d-1", 1)).result == 42


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (ValueError("no such file"), "ValueError: no such file"),
        (EngineError("The forge is down.", "Wait."), "The forge is down. Wait."),
    ],
)
def test_a_body_that_raises_has_failed_and_says_why(start: Start, given: Exception, told: str) -> None:
    async def body(steps: StepRunner, delivery_id: str, turn: int) -> None:
        await steps("one", lambda: 1)
        raise given

    engine = start({"spec": body})
    status = finished(engine, engine.start("spec", "d-1", 1))
    assert (status.state, status.error) == ("failed", told)


def test_a_step_that_gives_no_json_and_a_name_used_twice_are_told(start: Start) -> None:
    async def wrong(steps: StepRunner, delivery_id: str, turn: int) -> None:
        await steps("set", lambda: {1})

    async def twice(steps: StepRunner, delivery_id: str, turn: int) -> None:
        await steps("one", lambda: 1)
        await steps("one", lambda: 2)

    engine = start({"spec": wrong, "build": twice})
    assert "'set'" in finished(engine, engine.start("spec", "d-1", 1)).error
    assert "two steps 'one'" in finished(engine, engine.start("build", "d-1", 2)).error


def test_a_segment_that_nobody_knows_has_failed(start: Start) -> None:
    engine = start({})
    assert "no segment" in finished(engine, engine.start("ship", "d-1", 1)).error


def test_cancel_ends_a_body_and_calls_for_what_it_left_before_it_says_so(start: Start) -> None:
    begun, left = threading.Event(), []

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> None:
        async def long() -> None:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                left.append("body")

        await steps("long", long)

    engine = start({"spec": body}, stopped=left.append)
    key = engine.start("spec", "d-1", 1)
    assert begun.wait(LIMIT_S)
    engine.cancel(key)
    until(lambda: len(left) == 2)
    assert finished(engine, key).state == "cancelled"
    assert left == ["body", key]
    assert engine.start("spec", "d-1", 1) == key
    assert engine.status([key])[key].state == "cancelled"


def test_a_signal_reaches_a_body_once(start: Start) -> None:
    async def body(steps: StepRunner, delivery_id: str, turn: int) -> Any:
        while len(await steps.signals("look")) < 2:  # noqa: ASYNC110 - signals are looked for
            await anyio.sleep(0.01)
        return [await steps.signals("look"), await steps.signals("other")]

    engine = start({"spec": body})
    key = engine.start("spec", "d-1", 1)
    engine.signal(key, "look", {"at": 1}, "s-1")
    engine.signal(key, "look", {"at": 1}, "s-1")
    engine.signal(key, "look", {"at": 2}, "s-2")
    assert finished(engine, key).result == [[{"at": 1}, {"at": 2}], []]


def test_a_closed_engine_hands_back_what_it_ran_and_the_next_goes_on_where_it_was(start: Start) -> None:
    begun, calls, left = threading.Event(), [], []

    async def held(steps: StepRunner, delivery_id: str, turn: int) -> None:
        await steps("first", lambda: calls.append("first"))
        begun.set()
        await anyio.sleep_forever()

    async def free(steps: StepRunner, delivery_id: str, turn: int) -> str:
        await steps("first", lambda: calls.append("again"))
        return "done"

    engine = start({"spec": held}, stopped=left.append)
    key = engine.start("spec", "d-1", 1)
    assert begun.wait(LIMIT_S)
    engine.close(0.0)
    assert left == [key]
    engine = start({"spec": free})
    engine.start("spec", "d-1", 1)
    assert finished(engine, key).result == "done"
    assert calls == ["first"]


def test_a_step_under_way_ends_within_the_grace_and_no_other_begins(start: Start) -> None:
    begun, go, calls = threading.Event(), threading.Event(), []

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> None:
        def long() -> None:
            begun.set()
            assert go.wait(LIMIT_S)
            calls.append("long")

        await steps("long", long)
        await steps("next", lambda: calls.append("next"))

    engine = start({"spec": body})
    engine.start("spec", "d-1", 1)
    assert begun.wait(LIMIT_S)
    closing = threading.Thread(target=engine.close, args=(LIMIT_S,))
    closing.start()
    until(lambda: engine._runner.stopping)  # type: ignore[attr-defined]
    go.set()
    closing.join(LIMIT_S)
    assert calls == ["long"]


def test_a_segment_that_never_gets_further_is_given_up(tmp_path: Path, clock: FakeClock) -> None:
    journal = Journal(tmp_path / "engine.db", clock)
    for _ in range(IDLE_LIMIT):
        journal.begin("d-1/1/spec", "worker-0")
    engine = PlainEngine({"spec": lambda *_: "fine"}, journal, FakeBook())
    status = finished(engine, engine.start("spec", "d-1", 1))
    engine.close()
    assert status.state == "failed"
    assert "never got further" in status.error


def test_a_book_whose_database_is_away_fails_no_segment(tmp_path: Path, clock: FakeClock) -> None:
    class AwayBook(FakeBook):
        """Twice away when it is asked, and once when it is to write."""

        def __init__(self) -> None:
            super().__init__()
            self.away = ["facts", "begun", "begun", "done"]

        def begun(self, key: str) -> bool:
            self._answer("begun")
            return super().begun(key)

        def done(self, key: str, result: dict[str, Any]) -> None:
            self._answer("done")
            super().done(key, result)

        def _answer(self, what: str) -> None:
            if what in self.away:
                self.away.remove(what)
                raise BookError("The database of deliveries can't be used.")

    book, sent = AwayBook(), []

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> str:
        async def send(begun: bool) -> dict[str, Any]:
            sent.append(begun)
            return {"number": 7}

        await steps("first", lambda: 1)
        book._answer("facts")
        return (await steps("send", lambda: steps.effect("d-1/1/send", "message", send)))["number"]

    engine = PlainEngine({"spec": body}, Journal(tmp_path / "engine.db", clock), book)
    engine.start("spec", "d-1", 1)
    until(lambda: engine.status(["d-1/1/spec"])["d-1/1/spec"].state == "unknown")
    assert finished(engine, engine.start("spec", "d-1", 1)).result == 7
    engine.close()
    assert (sent, book.away) == ([False], [])


class TestJournal:
    def test_who_began_a_segment_before_another_can_record_nothing(
        self, new_address: Callable[[str], Address], clock: FakeClock
    ) -> None:
        for kind in ("sqlite", "postgresql"):
            journal = Journal(new_address(kind), clock)
            first = journal.begin("d-1/1/spec", "worker-0")
            journal.record("d-1/1/spec", first.epoch, "one", "1")
            second = journal.begin("d-1/1/spec", "worker-1")
            assert second.steps == {"one": "1"}
            assert not journal.standing("d-1/1/spec", first.epoch).held
            assert journal.standing("d-1/1/spec", second.epoch).held
            with pytest.raises(LostError):
                journal.record("d-1/1/spec", first.epoch, "two", "2")
            assert journal.begin("d-1/1/spec", "worker-1").steps == {"one": "1"}
            journal.close()

    def test_it_works_on_after_the_server_was_away(
        self, new_address: Callable[[str], Address], clock: FakeClock, delivery_postgres: Postgres
    ) -> None:
        journal = Journal(new_address("postgresql"), clock)
        run = journal.begin("d-1/1/spec", "worker-0")
        delivery_postgres.stop()
        recorded = threading.Thread(target=journal.record, args=("d-1/1/spec", run.epoch, "one", "1"))
        recorded.start()
        delivery_postgres.start()
        recorded.join(LIMIT_S)
        assert journal.begin("d-1/1/spec", "worker-0").steps == {"one": "1"}
        journal.close()

    def test_it_forgets_what_nothing_happened_to_for_a_month(self, tmp_path: Path, clock: FakeClock) -> None:
        journal = Journal(tmp_path / "engine.db", clock)
        old = journal.begin("d-1/1/spec", "worker-0")
        journal.record("d-1/1/spec", old.epoch, "one", "1")
        clock.advance(KEPT_MS / 1000 + 1)
        young = journal.begin("d-2/1/spec", "worker-0")
        journal.prune()
        assert not journal.standing("d-1/1/spec", old.epoch).held
        assert journal.standing("d-2/1/spec", young.epoch).held
        assert journal.begin("d-1/1/spec", "worker-0").steps == {}
        journal.close()


class TestLease:
    @pytest.fixture(params=["file", "advisory"])
    def lease(
        self, request: pytest.FixtureRequest, tmp_path: Path, new_address: Callable[[str], Address]
    ) -> Iterator[Callable[..., FileLease | AdvisoryLease]]:
        """Takes a slot; all are given up at the end, whatever became of the test."""
        address = new_address("postgresql") if request.param == "advisory" else None
        with ExitStack() as opened:

            def take(slot: int = -1) -> FileLease | AdvisoryLease:
                made = AdvisoryLease(address.url, slot, patience_s=0.0) if address else FileLease(tmp_path / "s", slot)
                return opened.enter_context(closing(made))

            yield take

    def test_a_worker_takes_the_first_free_slot_and_holds_it_alone(
        self, lease: Callable[..., FileLease | AdvisoryLease]
    ) -> None:
        first, second = lease(), lease()
        assert (first.executor_id, second.executor_id) == ("worker-0", "worker-1")
        with pytest.raises(EngineError, match="Worker 0 is running"):
            lease(0)
        with second.taken("worker-0") as dead:
            assert not dead
        first.close()
        with second.taken("worker-0") as dead:
            assert dead
            with pytest.raises(EngineError):
                lease(0)
        again = lease()
        assert again.executor_id == "worker-0"
        assert again.renew()
        assert second.renew()

    def test_its_own_slot_is_never_dead_to_it(self, lease: Callable[..., FileLease | AdvisoryLease]) -> None:
        with lease().taken("worker-0") as dead:
            assert not dead


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, new_places: Callable[[str], dict[str, str]]) -> dict[str, Any]:
    """Orders for a worker on a fresh database of each kind."""
    return {"adapter": "dbos", **new_places(request.param)}


class TestDbos:
    def test_a_peer_takes_over_what_a_dead_worker_ran(self, foreman: Foreman, where: dict[str, Any]) -> None:
        first = foreman.start(keys=[["d-1/1/build"]], slot=0, **where)
        foreman.until(f"waiting-*-{first}")
        second = foreman.start(keys=[["d-1/1/build"]], slot=1, **where)
        foreman.until(f"ready-{second}")
        foreman.kill(first)
        foreman.until(f"waiting-*-{second}")
        (foreman.folder / "go").touch()
        assert foreman.wait(second) == 0
        assert foreman.told() == {"d-1/1/build": ["done", "gone on", ""]}
        assert foreman.lines("effects") == ["d-1"]

    def test_a_worker_that_wakes_up_after_another_took_its_work_does_nothing_more(
        self, foreman: Foreman, where: dict[str, Any]
    ) -> None:
        first = foreman.start(keys=[["d-1/1/build"]], slot=0, **where)
        foreman.until(f"waiting-*-{first}")
        foreman.kill(first, signal.SIGSTOP)
        # Its slot is still held, so that nobody takes it for dead by itself: somebody says so.
        second = foreman.start(keys=[["d-1/1/build"]], slot=1, recover="worker-0", **where)
        foreman.until(f"waiting-*-{second}")
        foreman.kill(first, signal.SIGCONT)
        until(lambda: f"{first} d-1/1/build" in foreman.lines("stopped"))
        assert foreman.lines("effects") == []
        (foreman.folder / "go").touch()
        assert foreman.wait(second) == 0
        assert foreman.wait(first) == 0
        assert foreman.lines("effects") == ["d-1"]
        assert foreman.lines("stopped") == [f"{first} d-1/1/build"]

    def test_term_hands_back_and_leaves_cleanly(self, foreman: Foreman, where: dict[str, Any]) -> None:
        first = foreman.start(keys=[["d-1/1/build"]], grace_s=0.1, **where)
        foreman.until(f"waiting-*-{first}")
        foreman.kill(first, signal.SIGTERM)
        assert foreman.wait(first) == 0
        assert foreman.lines("stopped") == [f"{first} d-1/1/build"]
        (foreman.folder / "go").touch()
        assert foreman.wait(foreman.start(keys=[["d-1/1/build"]], **where)) == 0
        assert foreman.told() == {"d-1/1/build": ["done", "gone on", ""]}

    def test_an_upgrade_takes_over_what_the_version_before_left_and_only_that(
        self, foreman: Foreman, where: dict[str, Any]
    ) -> None:
        first = foreman.start(keys=[["d-1/1/build"]], version="1", **where)
        foreman.until(f"waiting-*-{first}")
        foreman.kill(first)
        other = foreman.start(keys=[], stays=True, slot=1, version="3", older=[], **where)
        second = foreman.start(keys=[["d-1/1/build"]], slot=2, version="2", older=["1"], **where)
        foreman.until(f"waiting-*-{second}")
        (foreman.folder / "go").touch()
        assert foreman.wait(second) == 0
        assert foreman.told() == {"d-1/1/build": ["done", "gone on", ""]}
        assert not list(foreman.folder.glob(f"waiting-*-{other}"))
        foreman.kill(other, signal.SIGTERM)
        assert foreman.wait(other) == 0

    def test_a_worker_that_loses_its_slot_stops_its_bodies_first_and_then_goes_on(
        self, foreman: Foreman, new_places: Callable[[str], dict[str, str]]
    ) -> None:
        places = new_places("postgresql")
        only = foreman.start(keys=[["d-1/1/build"]], adapter="dbos", **places)
        foreman.until(f"waiting-*-{only}")
        with psycopg.connect(places["engine"].replace("+psycopg", ""), autocommit=True) as db:
            ended = db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'mohist-lease' AND datname = current_database()"
            ).fetchall()
        assert ended == [(True,)]
        until(lambda: foreman.lines("stopped") == [f"{only} d-1/1/build"])
        (foreman.folder / "go").touch()
        assert foreman.wait(only) == 0
        assert foreman.told() == {"d-1/1/build": ["done", "gone on", ""]}
        assert foreman.lines("effects") == ["d-1"]

    def test_a_pickle_in_the_database_is_never_loaded(
        self, tmp_path: Path, new_engine_address: Callable[[str], Address], clock: FakeClock
    ) -> None:
        address = new_engine_address("sqlite")

        class Hostile:
            def __reduce__(self) -> Any:
                return (os.mkdir, (str(tmp_path / "loaded"),))

        text = base64.b64encode(pickle.dumps({"args": (Hostile(),), "kwargs": {}})).decode()
        place = address.path
        assert place is not None
        quick = {"tick_s": 0.1, "patience_s": 0.2, "poll_s": 0.02}
        engine = DbosEngine(place, {"spec": lambda *_: 1}, FakeBook(), clock, **quick)
        for delivery_id in ("d-1", "d-2"):
            finished(engine, engine.start("spec", delivery_id, 1))
        engine.close()
        with closing(sqlite3.connect(place)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            db.execute("UPDATE workflow_status SET serialization = 'py_pickle'")
            db.execute("UPDATE workflow_status SET status = 'PENDING' WHERE workflow_uuid = 'd-1/1/spec'")
            db.execute("UPDATE workflow_input SET inputs = ?", (text,))
            db.execute("UPDATE workflow_output SET output = ?", (text,))
            db.commit()
        engine = DbosEngine(place, {"spec": lambda *_: 1}, FakeBook(), clock, **quick)
        assert finished(engine, "d-1/1/spec").state == "failed"
        assert finished(engine, "d-2/1/spec").state == "done"
        engine.close()
        assert not (tmp_path / "loaded").exists()

    def test_a_second_engine_in_a_process_and_a_service_elsewhere_are_refused(
        self, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = DbosEngine(tmp_path / "engine.db", {}, FakeBook(), clock)
        with pytest.raises(EngineError, match="open in this process"):
            DbosEngine(tmp_path / "other.db", {}, FakeBook(), clock)
        engine.close()
        monkeypatch.setenv("DBOS__CLOUD", "true")
        with pytest.raises(EngineError, match="service elsewhere"):
            DbosEngine(tmp_path / "engine.db", {}, FakeBook(), clock)
        monkeypatch.delenv("DBOS__CLOUD")
        DbosEngine(tmp_path / "engine.db", {}, FakeBook(), clock).close()
