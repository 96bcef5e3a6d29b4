"""An engine that is open only while there is something to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from fakes.clock import FakeClock
from mohist.delivery.engine import Json, SegmentStatus, segment_key
from mohist.delivery.engine.doze import REST_S, DozingEngine
from mohist.delivery.errors import EngineError
from mohist.delivery.state import SegmentName


class CountedEngine:
    """Says in which slot it was opened, and whether it is still."""

    opened: list[CountedEngine]

    def __init__(self, opened: list[CountedEngine]) -> None:
        opened.append(self)
        self.executor_id = f"worker-{len(opened)}"
        self.graces: list[float] = []

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        return segment_key(segment, delivery_id, turn)

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None: ...

    def cancel(self, key: str) -> None: ...

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        return {key: SegmentStatus(key, "running", self.executor_id) for key in keys}

    def recover(self, executor_id: str) -> Sequence[str]:
        return []

    def close(self, grace_s: float = 10.0) -> None:
        self.graces.append(grace_s)


def test_it_shuts_when_nothing_was_to_run_for_a_while_and_opens_when_it_is_asked(clock: FakeClock) -> None:
    opened: list[CountedEngine] = []
    engine = DozingEngine(lambda: CountedEngine(opened), now_s=clock.monotonic_s)
    assert (engine.executor_id, engine.is_open) == ("worker-1", True)
    clock.advance(REST_S - 1)
    engine.rest()
    assert engine.start("spec", "d-1", 1) == "d-1/1/spec"
    clock.advance(REST_S - 1)
    engine.rest()
    assert engine.is_open, "it was asked a short while ago"
    clock.advance(1)
    engine.rest()
    engine.rest()
    assert (engine.is_open, opened[0].graces) == (False, [0.0])
    assert engine.status(["d-1/1/spec"])["d-1/1/spec"].owner == "worker-2"
    assert engine.executor_id == "worker-2"
    engine.signal("d-1/1/spec", "look", 1, "s-1")
    engine.cancel("d-1/1/spec")
    assert engine.recover("worker-0") == []
    engine.close(3.0)
    engine.close(3.0)
    assert opened[1].graces == [3.0]
    assert len(opened) == 2


def test_a_closed_one_is_never_opened_again(clock: FakeClock) -> None:
    opened: list[CountedEngine] = []
    engine = DozingEngine(lambda: CountedEngine(opened), now_s=clock.monotonic_s)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.start("spec", "d-1", 1)
    assert len(opened) == 1


def test_one_that_cant_be_opened_is_tried_again(clock: FakeClock) -> None:
    opened: list[CountedEngine] = []
    away: list[EngineError] = []

    def make() -> CountedEngine:
        if away:
            raise away.pop()
        return CountedEngine(opened)

    engine = DozingEngine(make, now_s=clock.monotonic_s)
    clock.advance(REST_S)
    engine.rest()
    away.append(EngineError("The database is away."))
    with pytest.raises(EngineError, match="away"):
        engine.status(["d-1/1/spec"])
    assert engine.status(["d-1/1/spec"])["d-1/1/spec"].owner == "worker-2"
    engine.close()
