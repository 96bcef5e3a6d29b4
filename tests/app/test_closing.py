"""What a killed worker left open in the ledger is closed by the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from mohist.app.closing import close_ended
from mohist.app.office import Office
from mohist.app.work import work
from mohist.delivery.chronicle import DeliveryChronicle
from mohist.delivery.machine import changed
from mohist.delivery.state import Delivery, Status
from mohist.ledger import LedgerError, decode

NOW_MS = 1_790_000_000_000


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office({"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    yield made
    made.close()


def begun(office: Office, delivery_id: str) -> None:
    office.book.create(
        Delivery(
            delivery_id, "/srv/shop", "Ship free", "text", "ann", "a" * 40, "main", "b", "waiting", "plan", 1, 1, 1
        )
    )


def ends_killed(office: Office, delivery_id: str, monkeypatch: pytest.MonkeyPatch, status: Status = "done") -> None:
    """It is over in the tables, and whoever wrote that there died before it was entered."""

    def dies(*_: object) -> None:
        raise LedgerError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(DeliveryChronicle, "over", dies)
        with pytest.raises(LedgerError, match="killed"):
            office.book.change(delivery_id, lambda one: changed(one, NOW_MS, status=status))


def entries(office: Office, delivery_id: str) -> list[dict[str, Any]]:
    assert office.evidence is not None
    log = office.evidence.home.read()
    found = [decode(leaf) for _, leaf in log.stream(f"delivery:{delivery_id}")]
    log.close()
    return found


def kinds(office: Office, delivery_id: str) -> list[str]:
    return [entry["kind"] for entry in entries(office, delivery_id)]


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
def test_a_delivery_that_was_over_when_its_worker_was_killed_is_closed_once(
    office: Office, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    begun(office, "d-1")
    begun(office, "d-2")
    ends_killed(office, "d-1", monkeypatch, status)
    assert kinds(office, "d-1") == ["delivery.stage"]
    assert close_ended(office) == ["d-1"]
    closing = entries(office, "d-1")[-1]
    assert (closing["kind"], closing["data"]["status"], closing["data"]["entries"]) == ("stream.close", status, 1)
    assert close_ended(office) == []
    # What is not over stays open.
    assert kinds(office, "d-2") == ["delivery.stage"]


def test_what_was_over_before_there_was_a_ledger_is_not_entered(office: Office) -> None:
    begun(office, "d-1")
    chronicle, office.book.chronicle = office.book.chronicle, None
    begun(office, "d-0")
    office.book.change("d-0", lambda one: replace(one, status="done", updated_at_ms=NOW_MS))
    office.book.chronicle = chronicle
    assert close_ended(office) == []
    assert kinds(office, "d-0") == []


def test_where_nothing_can_be_entered_the_next_start_does_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(office, "d-1")
    ends_killed(office, "d-1", monkeypatch)

    def refuses(*_: object) -> None:
        raise LedgerError("The disk is full.")

    with monkeypatch.context() as full:
        full.setattr(DeliveryChronicle, "over", refuses)
        assert close_ended(office) == []
    assert close_ended(office) == ["d-1"]


async def test_a_worker_closes_them_when_it_begins(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(office, "d-1")
    ends_killed(office, "d-1", monkeypatch)
    seen: list[list[str]] = []

    async def beside(stop: anyio.Event) -> None:
        seen.append(kinds(office, "d-1"))
        stop.set()

    with anyio.fail_after(30):
        await work(office, lambda _: None, beside)
    assert seen == [["delivery.stage", "stream.close"]]
