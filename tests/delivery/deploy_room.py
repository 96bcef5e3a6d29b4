"""What the tests of deploys share: a book in memory, a ground with one folder, and a delivery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes.clock import FakeClock
from mohist.delivery.environment import Environment, load_environments
from mohist.delivery.port import Ran
from mohist.delivery.state import Delivery, Note, Release

OLD, NEW = "a" * 40, "b" * 40


@dataclass
class MemoryBook:
    """The part of `Book` that deploys ask; `kill` is called before and after each write."""

    rows: dict[str, tuple[str, Release]] = field(default_factory=dict)
    told: list[Note] = field(default_factory=list)
    effects: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    kill: Callable[[], None] = lambda: None

    def put_release(
        self, delivery_id: str, release: Release, notes: Sequence[tuple[str, str, dict[str, Any]]] = ()
    ) -> None:
        self.kill()
        self.rows[release.release_id] = (delivery_id, release)
        for note in notes:
            self.note(delivery_id, *note)
        self.history.append(release.status)
        self.kill()

    def releases(self, delivery_id: str = "", environment: str = "") -> Sequence[Release]:
        return [
            row
            for owner, row in self.rows.values()
            if delivery_id in ("", owner) and environment in ("", row.environment)
        ]

    def note(self, delivery_id: str, kind: str, text: str, facts: dict[str, Any] | None = None) -> Note:
        made = Note(len(self.told) + 1, kind, text, 0, facts or {})
        self.told.append(made)
        return made

    def notes(self, delivery_id: str, after: int = 0) -> Sequence[Note]:
        return self.told[after:]

    def effect(self, key: str, kind: str) -> dict[str, Any] | None:
        return self.effects.get(key)

    def done(self, key: str, result: dict[str, Any]) -> None:
        self.effects[key] = result


@dataclass
class FolderGround:
    """The part of `Ground` that deploys ask: copies of commits are made by `fill`."""

    root: Path
    fill: Callable[[Path, str], None] = lambda folder, commit: None
    builds: list[str] = field(default_factory=list)
    exit_code: int = 0

    async def copy(self, key: str, commit: str) -> Path:
        folder = self.root / key.replace("/", "-")
        if not folder.exists():
            folder.mkdir(parents=True)
            self.fill(folder, commit)
        return folder

    async def run(self, folder: Path, command: str, timeout_s: float, network: bool = False) -> Ran:
        self.builds.append(command)
        return Ran(self.exit_code, b"said", 1)


def delivery(delivery_id: str = "del-1", attempt: int = 1) -> Delivery:
    return Delivery(
        delivery_id=delivery_id,
        repository="/repository",
        requirement="count to three",
        source="text",
        requested_by="ada",
        base_commit=OLD,
        base_branch="main",
        branch="mohist/del-1",
        status="working",
        stage="deploy",
        attempt=attempt,
        created_at_ms=0,
        updated_at_ms=0,
    )


def environment(more: str = "", probe: str = "", target: str = "") -> Environment:
    text = f"""
    [[environments]]
    name = "staging"
    {more}
    [environments.target]
    {target or 'kind = "command"' + chr(10) + 'activate = "true"' + chr(10) + 'rollback = "true"'}
    [environments.probe]
    url = "http://127.0.0.1:1/"
    version = "json:version"
    {probe}
    """
    return load_environments(text).get("staging")


def sleeper(clock: FakeClock) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    return sleep
