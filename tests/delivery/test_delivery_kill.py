"""A whole delivery, killed at boundary after boundary from the first stage to the last, with a real service at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from delivery_room import Ear, Lane, closed, environment, over
from engine_room import Foreman

from mohist.app.office import Office
from mohist.delivery.state import STAGES

pytestmark = [pytest.mark.kill, pytest.mark.enable_socket]

LIMIT_S = 300.0
EVERY = 10
"""Of the boundaries, each so-many-th kills; 1: all of them."""


@pytest.fixture
def foreman(tmp_path: Path) -> Iterator[Foreman]:
    foreman = Foreman("delivery_child.py")
    foreman.folder = tmp_path
    yield foreman
    foreman.kill_all()
    foreman.close()


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, new_places: Callable[[str], dict[str, str]]
) -> Iterator[tuple[Office, Lane, dict[str, str]]]:
    """On a fresh database of each kind."""
    book = new_places(request.param)["book"]
    ear = Ear()
    env = environment(tmp_path / "state", "" if request.param == "sqlite" else book, ear)
    office, lane = Office(env), Lane(tmp_path / "shop")
    yield office, lane, env
    closed(office, [lane])
    ear.close()


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("scene", ["sqlite", "postgresql"], indirect=True)
def test_killed_at_boundaries_of_every_stage_a_delivery_comes_to_its_end(
    foreman: Foreman, scene: tuple[Office, Lane, dict[str, str]]
) -> None:
    office, lane, env = scene
    anyio.run(lane.begin, office)
    worker, end_s = foreman.start(env=env, every=EVERY), time.monotonic() + LIMIT_S
    while not over(office, lane.ids):
        assert time.monotonic() < end_s, foreman.lines("sprung")
        if not foreman.running(worker):
            worker = foreman.start(env=env, every=EVERY)
        time.sleep(0.02)
    assert lane.wrong(office) == []
    assert not lane.user.failures
    passed, sprung = foreman.lines("passed"), foreman.lines("sprung")
    assert len(sprung) == -(-len(passed) // EVERY)
    assert {name.split(": ")[0].rpartition(" ")[2] for name in passed} >= set(STAGES)
