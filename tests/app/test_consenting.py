"""What `--yes` says while a worker runs: soon after a gate opened, whatever ails other deliveries or the database."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from mohist.app.office import Office
from mohist.app.work import consenting
from mohist.delivery.errors import BookError
from mohist.delivery.machine import advance
from mohist.delivery.state import Delivery, Facts, Gate, Move

LIMIT_S = 60.0


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office({"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MOHIST_HOME": str(tmp_path / "state")})
    yield made
    made.close()


def repository(folder: Path) -> str:
    folder.mkdir()
    who = ["-c", "user.name=U", "-c", "user.email=u@example.invalid", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q", "-b", "main"], [*who, "commit", "-q", "--allow-empty", "-m", "base"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def waits(office: Office, delivery_id: str, folder: Path, commit: str) -> None:
    """A delivery whose first stage asks something."""
    words = (delivery_id, str(folder), "Say hello.", "text", "ann", commit, "main", f"mohist/{delivery_id}")

    def asks(facts: Facts) -> Move:
        gate = Gate("", "questions", "clarify", "1 question", "q", (), False, facts={"questions": [{"id": "Q1"}]})
        return advance(facts, office.clock.now_ms(), {"clarify": [gate]})

    office.book.create(Delivery(*words, "working", "clarify", 1, 1, 1, options={"yes": True}), asks)
    assert office.book.get(delivery_id).status == "waiting"


async def test_a_gate_is_answered_though_another_cant_be_looked_at_and_the_database_was_away(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits(office, "dlv-1", tmp_path / "nowhere", "a" * 40)
    waits(office, "dlv-2", tmp_path / "there", repository(tmp_path / "there"))
    away = [BookError("The database of deliveries can't be used.")]
    moved_since = office.book.moved_since

    def asked(status: str, since_ms: int) -> Sequence[tuple[str, int]]:
        if away:
            raise away.pop()
        return moved_since(status, since_ms)

    monkeypatch.setattr(office.book, "moved_since", asked)
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(consenting, office, stop, 0.01)
        with anyio.fail_after(LIMIT_S):
            while office.book.get("dlv-2").status == "waiting":  # noqa: ASYNC110 - a row sends no event
                await anyio.sleep(0.02)
        stop.set()
    assert [gate.status for gate in office.book.gates("dlv-2")] == ["approved"]
    assert [gate.status for gate in office.book.gates("dlv-1")] == ["open"]
    assert not away
