"""Whole deliveries under random kills: workers and the database, from the requirement to the service that runs.

Each arrangement has two lanes (`delivery_room.Lane`), one delivery after the other in each. Workers are those of
`mohist deliver work` on DBOS; models are played, all else is real.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
from delivery_room import Ear, Lane, closed, environment, over
from engine_room import Foreman

from fakes.postgres import Postgres
from mohist.app.office import Office
from mohist.base import MohistError

LANES: Final = 2
KILLS_EACH: Final = 5
"""Kills of a delivery at most, on average: then what is left may end in peace."""
PAUSE_S: Final = (0.5, 6.0)
CALM_S: Final = 300.0
DATABASE: Final = 0.1
"""Share of the kills that the database gets."""
MESSAGES_S: Final = 20.0
"""How long messages may still come after the last delivery has ended."""


@dataclass(slots=True)
class Round:
    """What one arrangement gave."""

    name: str
    deliveries: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    untold: int = 0
    """Messages that never came."""
    again: int = 0
    """Messages that came again, with the number they had: a receiver knows them."""
    failed: int = 0
    """Requests of users that failed, but for those that a sick release answered."""
    took_s: float = 0.0

    @property
    def good(self) -> bool:
        return not (self.wrong or self.untold or self.failed)


def run(kind: str, workers: int, count: int, chance: random.Random) -> Round:
    """So many deliveries on one arrangement."""
    folder = Path(tempfile.mkdtemp(prefix="delivery-kills-"))
    server = Postgres() if kind == "postgresql" else None
    ear, foreman = Ear(), Foreman("delivery_child.py")
    foreman.folder = folder
    result = Round(f"{kind}, {workers} worker{'s' if workers > 1 else ''}", count)
    begun_s = time.monotonic()
    env = environment(folder / "state", server.url(server.new_database()) if server else "", ear)
    office = Office(env)
    lanes = [Lane(folder / f"lane-{number}") for number in range(min(LANES, count))]
    try:
        _disturb(_Scene(office, lanes, foreman, server, chance), env, workers, count, result)
        for lane in lanes:
            result.wrong += lane.wrong(office)
            result.failed += sum(n for what, n in lane.user.failures.items() if not what.startswith("500 of"))
            result.wrong += [f"a user saw {what}" for what in lane.user.failures if not what.startswith("500 of")]
        expected = {
            f"{delivery_id}/{note.number}"
            for lane in lanes
            for delivery_id in lane.ids
            for note in office.book.notes(delivery_id)
            if note.kind in ("merged", "deploy", "rollback", "alarm", "done", "failed")
        }
        _wait(lambda: expected <= {event for event, _ in list(ear.heard)}, MESSAGES_S)
        result.untold = len(expected - {event for event, _ in ear.heard})
        result.again = sum(times - 1 for times in ear.heard.values())
    finally:
        foreman.kill_all()
        foreman.close()
        closed(office, lanes)
        ear.close()
        if server:
            server.remove()
        if result.good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept: {folder}", *result.wrong, sep="\n  ", file=sys.stderr)
    result.took_s = time.monotonic() - begun_s
    return result


@dataclass(frozen=True, slots=True)
class _Scene:
    office: Office
    lanes: list[Lane]
    foreman: Foreman
    server: Postgres | None
    chance: random.Random

    def over(self) -> int:
        return sum(len(over(self.office, lane.ids)) for lane in self.lanes)

    def begin(self, count: int) -> None:
        """Begins the next one in each lane that is free."""
        for lane in self.lanes:
            begun = sum(len(one.ids) for one in self.lanes)
            if begun < count and len(over(self.office, lane.ids)) == len(lane.ids):
                anyio.run(lane.begin, self.office)


def _disturb(scene: _Scene, env: dict[str, str], workers: int, count: int, result: Round) -> None:
    """Kills until all deliveries have ended, or there were enough kills."""
    alive: dict[int, int] = {}

    def begin() -> bool:
        for slot in range(workers):
            if slot not in alive or not scene.foreman.running(alive[slot]):
                alive[slot] = scene.foreman.start(env=env)
        scene.begin(count)
        return scene.over() == count

    while not _patiently(begin):
        if sum(result.kills.values()) >= KILLS_EACH * count:
            if not _wait(begin, CALM_S):
                result.wrong.append(f"{count - _patiently(scene.over)} deliveries never ended")
            return
        time.sleep(scene.chance.uniform(*PAUSE_S))
        if scene.server and scene.chance.random() < DATABASE:
            scene.server.stop()
            time.sleep(scene.chance.uniform(0.0, 1.0))
            scene.server.start()
            result.kills["database"] += 1
        else:
            victim = alive[scene.chance.choice(list(alive))]
            scene.foreman.kill(victim)
            scene.foreman.wait(victim)
            result.kills["worker"] += 1


def _patiently(ask: Callable[[], Any]) -> Any:
    """What is told, once the database answers again."""
    end_s = time.monotonic() + CALM_S
    while True:
        try:
            return ask()
        except MohistError:
            if time.monotonic() >= end_s:
                raise
            time.sleep(0.1)


def _wait(fact: Callable[[], bool], limit_s: float) -> bool:
    end_s = time.monotonic() + limit_s
    while not (so := _patiently(fact)) and time.monotonic() < end_s:
        time.sleep(0.2)
    return bool(so)


def line(one: Round) -> str:
    kills = ", ".join(f"{count} of the {what}" for what, count in sorted(one.kills.items()))
    return f"{one.name}: {one.deliveries} deliveries, kills {kills or 'none'}; {one.took_s:.0f} s"


def table(rounds: list[Round]) -> str:
    """For people."""
    titles = (
        "kills | deliveries | not as undisturbed | messages untold | told again, same number | users' failed requests"
    )
    rows = ["", f"| | {titles} |", "|---|---:|---:|---:|---:|---:|---:|"]
    for one in rounds:
        cells = [one.name, sum(one.kills.values()), one.deliveries, len(one.wrong), one.untold, one.again, one.failed]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)
