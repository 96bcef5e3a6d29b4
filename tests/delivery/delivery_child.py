"""A program whose workers work on whole deliveries, the way `mohist deliver work` does, and die where they are told to.

Git, sandbox, checks, merge, service and messages are real; what models would say is played. Orders are those of
`engine_child`.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from delivery_room import ANSWERS, change_of
from engine_child import main

from mohist.app import work as app_work
from mohist.app.office import Office, Study
from mohist.app.segment import segments
from mohist.delivery.book import Book
from mohist.delivery.port import Job, Outcome
from mohist.delivery.state import Delivery


class PlayedMind:
    """Plays every role, and like the real one keeps each outcome: asked again with its key, nothing is run again."""

    def __init__(self, folder: Path, delivery: Delivery) -> None:
        self._folder = folder
        self._delivery = delivery

    async def run(self, job: Job) -> Outcome:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / hashlib.sha256(job.key.encode()).hexdigest()[:32]
        if path.exists():
            return Outcome(**json.loads(path.read_text(encoding="utf-8")))
        output = None
        if job.role == "implementer":
            (job.folder / "shop.py").write_text(change_of(self._delivery.requirement), encoding="utf-8")
        else:
            output = json.dumps(ANSWERS[job.role](self._delivery.requirement))
        outcome = Outcome(job.key, "done", "It is done.", "played/one", 10, 100, output)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(dataclasses.asdict(outcome)), encoding="utf-8")
        fresh.replace(path)
        return outcome


class Traps:
    """Kills the process at boundaries: before and after each call to the book, to the ground and to a run.

    Each boundary has a name that says what is done and not how often; a name kills once.

    Args:
        folder: holds `passed` (names, as they come up first) and `sprung` (names that killed).
        every: kills at each so-many-th name; 0: at none.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self._folder = folder
        self._every = every
        self._guard = threading.Lock()
        self.stage = ""

    def around(self, thing: Any, called: str) -> Any:
        """The thing, with traps at its calls."""
        traps = self

        class Trapped:
            def __getattr__(self, name: str) -> Any:
                call = getattr(thing, name)
                return traps._wired(call, f"{called}.{name}") if callable(call) else call

        return Trapped()

    def at(self, name: str) -> None:
        """A boundary is passed."""
        with self._guard, (self._folder / "passed").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            known = file.read().splitlines()
            if name in known:
                return
            file.write(f"{name}\n")
            file.flush()
            if self._every and len(known) % self._every == 0:
                with (self._folder / "sprung").open("a", encoding="utf-8") as sprung:
                    sprung.write(f"{name}\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def _wired(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(call):

            async def slow(*args: Any, **kwargs: Any) -> Any:
                self.at(f"before {self._named(name, args)}")
                result = await call(*args, **kwargs)
                self.at(f"after {self._named(name, args)}")
                return result

            return slow

        def quick(*args: Any, **kwargs: Any) -> Any:
            self.at(f"before {self._named(name, args)}")
            result = call(*args, **kwargs)
            self.at(f"after {self._named(name, args)}")
            return result

        return quick

    def _named(self, name: str, args: tuple[Any, ...]) -> str:
        """With what tells calls of one kind apart."""
        what = ""
        match name, args:
            case "book.put_release", (_, release, *_):
                what = release.status
            case "book.move", (_, partial() as move):
                self.stage = move.keywords.get("stage", self.stage)
                what = f"{move.func.__name__} {move.keywords.get('stage', '')}"
            case "book.effect" | "book.done" | "book.begun", (key, *_):
                what = key.split("/")[2]
            case "mind.run", (job, *_):
                what = job.role
        return f"{self.stage}: {name} {what}".strip()


class PlayedOffice(Office):
    """The office, but for who thinks in it."""

    traps: Traps

    @asynccontextmanager
    async def study(self, delivery: Delivery, book: Book | None = None) -> AsyncIterator[Study]:
        async with super().study(delivery, book) as study:
            mind = self.traps.around(PlayedMind(self.folder(delivery.delivery_id) / "played", delivery), "mind")
            ground = self.traps.around(study.ground, "ground")
            make = study.ship.make
            ship = dataclasses.replace(study.ship, make=lambda place: self.traps.around(make(place), "target"))
            context = dataclasses.replace(study.context, mind=mind, ground=ground)
            yield dataclasses.replace(study, context=context, ground=ground, ship=ship)


def life(order: Mapping[str, Any]) -> int:
    """One worker's life."""
    folder = Path(order["folder"])
    office = PlayedOffice(order["env"])
    office.traps = Traps(folder, order.get("every", 0))

    def told(_: str) -> None:
        (folder / f"ready-{os.getpid()}").touch()

    app_work.segments = lambda office, book: segments(office, office.traps.around(book, "book"))
    try:
        anyio.run(app_work.work, office, told)
    finally:
        office.close()
    return 0


if __name__ == "__main__":
    sys.modules["delivery_child"] = sys.modules["__main__"]
    main(life)
