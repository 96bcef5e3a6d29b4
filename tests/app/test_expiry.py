"""A worker tells of gates that wait too long, once a time, by the user's file where a gate has no rule of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from fakes.clock import FakeClock
from mohist.app.expiry import expiring, look_for_overdue
from mohist.app.office import Office
from mohist.delivery.errors import RuleError
from mohist.delivery.state import Delivery, Gate, GateKind


@pytest.fixture
def office(tmp_path: Path, clock: FakeClock) -> Iterator[Office]:
    made = Office({"MOHIST_HOME": str(tmp_path), "HOME": str(tmp_path)})
    made.clock = made.book._clock = clock
    made.book.create(
        Delivery("d-1", "/srv/shop", "Ship free", "text", "ann", "a" * 40, "main", "b", "waiting", "plan", 1, 1, 1)
    )
    yield made
    made.close()


def opened(office: Office, kind: GateKind, **facts: object) -> Gate:
    return office.book.open_gate("d-1", Gate("", kind, "plan", kind, "", (("bob",),), False, facts=dict(facts)))


def overdue(office: Office) -> list[str]:
    return [note.text for note in office.book.notes("d-1") if note.kind == "overdue"]


def test_without_a_setting_nothing_expires(office: Office, clock: FakeClock) -> None:
    opened(office, "questions")
    clock.advance(400 * 86_400)
    assert look_for_overdue(office) == 0


def test_the_users_file_holds_for_gates_without_a_rule_of_their_own(office: Office, clock: FakeClock) -> None:
    (office.paths.home / "deliver.toml").write_text("expires_h = 2\n", encoding="utf-8")
    opened(office, "questions")
    opened(office, "budget", expires_h=24)
    clock.advance(2 * 3_600)
    assert [look_for_overdue(office) for _ in range(2)] == [1, 0]
    assert overdue(office) == ["questions has waited 2 h"]
    clock.advance(22 * 3_600)
    assert look_for_overdue(office) == 2
    assert overdue(office)[1:] == ["questions has waited 24 h", "budget has waited 24 h"]
    assert {gate.status for gate in office.book.gates("d-1")} == {"open"}


def test_a_file_that_is_not_understood_is_told_and_ends_no_worker(
    office: Office, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    (office.paths.home / "deliver.toml").write_text("expires_h = -2\n", encoding="utf-8")
    with pytest.raises(RuleError):
        look_for_overdue(office)

    async def once() -> None:
        stop = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(expiring, office, stop)
            with anyio.fail_after(60):
                while "looked through" not in caplog.text:  # noqa: ASYNC110 (a log tells of no change)
                    await anyio.sleep(0.01)
            stop.set()

    anyio.run(once)
