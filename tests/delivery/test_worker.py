"""The worker: what the book says is to run is run, and what became of it is told to the book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from fakes.book import FakeBook
from fakes.clock import FakeClock
from mohist.delivery.engine import Json, SegmentStatus, StepRunner, segment_key
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.plain import PlainEngine
from mohist.delivery.machine import advance, entered, left
from mohist.delivery.order import cancel
from mohist.delivery.state import SEGMENTS, Delivery, Gate, SegmentName
from mohist.delivery.worker import run_worker, sweep

LIMIT_S = 60.0


def delivery(delivery_id: str) -> Delivery:
    return Delivery(
        *(delivery_id, "/repository", "Say hello.", "text", "mo", "a" * 40, "main", f"mohist/{delivery_id}"),
        *("working", "clarify", 1, 1, 1),
    )


def created(book: FakeBook, delivery_id: str) -> None:
    book.create(delivery(delivery_id))
    book.move(delivery_id, lambda facts: advance(facts, 1))


class StubbornEngine:
    """Knows what was started and says what the test wants."""

    executor_id = "stub"

    def __init__(self) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.statuses: dict[str, SegmentStatus] = {}
        self.asked: list[Sequence[str]] = []
        self.closed = False

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        key = segment_key(segment, delivery_id, turn)
        self.started.append(key)
        self.statuses[key] = SegmentStatus(key, "queued")
        return key

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None: ...

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        self.asked.append(keys)
        return {key: self.statuses.get(key, SegmentStatus(key, "unknown")) for key in keys}

    def recover(self, executor_id: str) -> Sequence[str]:
        return []

    def close(self, grace_s: float = 10.0) -> None:
        self.closed = True


@pytest.fixture
def stub() -> StubbornEngine:
    return StubbornEngine()


def test_what_is_to_run_is_started_once(stub: StubbornEngine, clock: FakeClock) -> None:
    book = FakeBook()
    created(book, "d-1")
    sweep(stub, book, clock)
    sweep(stub, book, clock)
    assert stub.started == ["d-1/1/spec"]


def test_what_the_engine_has_forgotten_is_started_again(stub: StubbornEngine, clock: FakeClock) -> None:
    book = FakeBook()
    created(book, "d-1")
    sweep(stub, book, clock)
    stub.statuses.clear()
    sweep(stub, book, clock)
    assert stub.started == ["d-1/1/spec", "d-1/1/spec"]


def test_a_failed_segment_fails_its_stage_and_says_why(stub: StubbornEngine, clock: FakeClock) -> None:
    book = FakeBook()
    created(book, "d-1")
    stub.statuses["d-1/1/spec"] = SegmentStatus("d-1/1/spec", "failed", error="no model answers")
    sweep(stub, book, clock)
    sweep(stub, book, clock)
    after = book.get("d-1")
    assert (after.status, after.segment, after.detail) == ("failed", "", "no model answers")
    assert [(row.stage, row.status) for row in book.stages("d-1")] == [("clarify", "failed")]
    assert stub.started == []


def test_a_cancelled_delivery_ends_its_segment_wherever_that_runs(stub: StubbornEngine, clock: FakeClock) -> None:
    book = FakeBook()
    created(book, "d-1")
    sweep(stub, book, clock)
    book.move("d-1", lambda facts: cancel(facts, "mo", "", 1))
    sweep(stub, book, clock)
    assert stub.cancelled == ["d-1/1/spec"]
    assert book.get("d-1").segment == "spec"
    stub.statuses["d-1/1/spec"] = SegmentStatus("d-1/1/spec", "cancelled")
    sweep(stub, book, clock)
    assert (book.get("d-1").status, book.get("d-1").segment) == ("cancelled", "")


def test_a_delivery_that_waits_for_people_is_not_asked_about(stub: StubbornEngine, clock: FakeClock) -> None:
    book = FakeBook()
    for number in range(50):
        name = f"d-{number}"
        book.create(delivery(name))
        gate = Gate("", "questions", "clarify", "questions", "0" * 64, (), False)
        book.move(name, lambda facts, gate=gate: advance(facts, 1, {"clarify": [gate]}))
        assert book.get(name).status == "waiting"
    sweep(stub, book, clock)
    assert (stub.started, stub.asked) == ([], [])


async def test_it_takes_a_delivery_through_all_its_segments_and_stops_when_told(
    tmp_path: Path, clock: FakeClock
) -> None:
    book, stop = FakeBook(), anyio.Event()

    async def body(steps: StepRunner, delivery_id: str, turn: int) -> None:
        segment: Any = steps.key.rpartition("/")[2]
        for stage in SEGMENTS[segment]:
            book.move(delivery_id, lambda facts, stage=stage: entered(facts, turn, stage, 1))
            await steps(stage, lambda: None)
            book.move(delivery_id, lambda facts, stage=stage: left(facts, 1, stage, "done", 1))

    engine = PlainEngine(dict.fromkeys(SEGMENTS, body), Journal(tmp_path / "engine.db", clock), book)
    created(book, "d-1")
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while book.get("d-1").status == "working":  # noqa: ASYNC110 - the book sends no event
                    await anyio.sleep(0.01)
                stop.set()

            group.start_soon(watch)
            await run_worker(engine, book, clock, stop=stop, round_s=0.01)
    assert book.get("d-1").status == "done"
    assert book.get("d-1").turn == 3


async def test_a_round_that_fails_is_not_the_last(stub: StubbornEngine, clock: FakeClock) -> None:
    from mohist.delivery.errors import EngineError

    book, stop = FakeBook(), anyio.Event()
    created(book, "d-1")
    asked = stub.status
    failures = [EngineError("The database is away.")] * 2

    def status(keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        if failures:
            raise failures.pop()
        anyio.from_thread.run_sync(stop.set)
        return asked(keys)

    stub.status = status  # type: ignore[method-assign]
    with anyio.fail_after(LIMIT_S):
        await run_worker(stub, book, clock, stop=stop, round_s=0.01)
    assert stub.started == ["d-1/1/spec"]
    assert stub.closed
