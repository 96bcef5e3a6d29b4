"""Decides whether an adapter is good: its workers are killed at every boundary of a segment and inside every step."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_room import Foreman, Shop

ADAPTERS = [("plain", "sqlite"), ("dbos", "sqlite"), ("dbos", "postgresql"), ("temporal", "sqlite")]
MOST_POINTS = 60


def result(key: str) -> dict[str, Any]:
    return {"sum": 12, "line": f"{key.split('/')[0]}\n", "turn": 1}


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.mark.kill
@pytest.mark.enable_socket
@pytest.mark.parametrize(("adapter", "kind"), ADAPTERS)
def test_a_kill_at_any_point_loses_no_segment_and_repeats_no_effect(
    request: pytest.FixtureRequest,
    adapter: str,
    kind: str,
    foreman: Foreman,
    shop: Shop,
    new_places: Callable[[str], dict[str, str]],
) -> None:
    where: dict[str, Any] = {"adapter": adapter, "port": shop.port, **new_places(kind)}
    if adapter == "temporal":
        server = request.getfixturevalue("temporal_server")
        where |= {"target": server.target, "space": server.new_space()}
    keys: list[str] = []
    for number in range(1, MOST_POINTS):
        # What the last one left is brought to its end first, then this one is killed at its point. Where the server waits
        # for the heartbeats of the dead, what is left is brought to its end beside it.
        left, key = keys[-1:], f"d-{number}/1/spec"
        keys.append(key)
        first = [] if adapter == "temporal" else left
        code = foreman.wait(foreman.start(keys=[first, [key]], kill_key=key, kill_at=number, **where))
        assert foreman.told() == {one: ["done", result(one), ""] for one in (first if code else [key])}
        if code == 0:
            break
        assert code == -signal.SIGKILL
    if adapter != "plain":
        assert foreman.wait(foreman.start(keys=[keys], **where)) == 0
        assert foreman.told() == {key: ["done", result(key), ""] for key in keys}
    names = Counter(key.split("/")[0] for key in keys)
    assert Counter(foreman.lines("effects")) == names
    assert shop.orders == names
    passed = [point.split(":")[0] for point in foreman.lines("points")]
    assert set(passed) == {"begin", "begun", "before", "inside", "after", "recorded", "intended", "effected", "end"}
    assert len(passed) == len(keys) - 1
