"""A delivery that is built and reviewed, on a real repository, whose merge is played as a segment runs it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ground_room import AUTHOR, git, repository, write

from fakes.book import FakeBook
from fakes.clock import FakeClock
from mohist.delivery import landing
from mohist.delivery.ground import GitGround, Room
from mohist.delivery.machine import LOOK, advance, ended, entered, left
from mohist.delivery.stage import Context, Ended
from mohist.delivery.state import Delivery, StageRow

BRANCH = "mohist/d"


class Port:
    """A delivery that is built and reviewed, on a real repository."""

    def __init__(self, tmp_path: Path, user: Path, ground: GitGround, base: str, commit: str, book: Any = None) -> None:
        self.user, self.ground, self.commit = user, ground, commit
        self.clock = FakeClock()
        self.book = book or FakeBook(self.clock.now_ms)
        row = Delivery(
            "d", str(user), "Say bye.", "text", "ann", base, "main", BRANCH, "working", "merge", 1, 1, 1,
            segment="ship", turn=3, commit=commit,
        )  # fmt: skip
        self.book.create(row)
        for name in ("clarify", "specify", "plan", "implement", "verify", "review"):
            self.book.put_stage("d", StageRow(name, 1, "done"))  # type: ignore[arg-type]
        self.context = Context("d", 1, self.book, None, ground, self.clock, tmp_path, None)  # type: ignore[arg-type]

    @property
    def delivery(self) -> Delivery:
        return self.book.get("d")

    async def merge(self, **more: Any) -> Ended:
        """The stage as a segment runs it, to the end of the segment."""
        turn, attempt = self.delivery.turn, self.delivery.attempt
        self.book.move("d", lambda facts: entered(facts, turn, "merge", self.clock.now_ms()))
        ended_so = await landing.run(dataclasses.replace(self.context, attempt=attempt), self.ground, **more)
        now_ms = self.clock.now_ms()
        self.book.move("d", lambda facts: left(facts, attempt, "merge", ended_so.status, now_ms, ended_so.detail))
        self.book.move("d", lambda facts: ended(facts, turn, now_ms))
        return ended_so

    def wakes(self) -> None:
        """Time goes by until it looks again."""
        look = self.delivery.options[LOOK]
        self.clock.advance(max(0, look["at_ms"] - self.clock.now_ms()) / 1000)
        self.book.move("d", lambda facts: advance(facts, self.clock.now_ms()))

    def on_main(self, files: dict[str, str | None]) -> str:
        """Somebody else commits to main."""
        git(self.user, "checkout", "--quiet", "main")
        write(self.user, files)
        git(self.user, "add", "--all")
        git(self.user, "commit", "--quiet", "-m", "other")
        git(self.user, "checkout", "--quiet", "--detach")
        return self.main

    @property
    def main(self) -> str:
        return git(self.user, "rev-parse", "main")


async def port(tmp_path: Path, book: Any = None) -> Port:
    user = repository(tmp_path / "user", {"greet.sh": "echo hello\n", "other.sh": "echo other\n"})
    git(user, "checkout", "--quiet", "--detach")
    ground = await GitGround.open(user, tmp_path / "home", Room(None), AUTHOR)  # type: ignore[arg-type]
    base = await ground.resolve("HEAD")
    folder = await ground.worktree("made", base)
    write(folder, {"greet.sh": "echo hello\necho bye\n"})
    commit = await ground.commit(folder, "Say bye", {"Mohist-Delivery": "d"})
    return Port(tmp_path, user, ground, base, commit, book)
