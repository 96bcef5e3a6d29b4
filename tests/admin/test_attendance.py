"""Who comes to administer is in the ledger before they do anything, and those who are refused are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.admin import Site, application, opened, some_keys
from fakes.clock import FakeClock
from fakes.ledger import Ledger
from fakes.ledger import opened as opened_ledger
from mohist.admin.attendance import REFUSED_EVERY_S, STAY_S, Attendance
from mohist.admin.entrance import Entrance
from mohist.gateway.address import file_address
from mohist.gateway.entry import change_draft
from mohist.gateway.store import Store


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "ledger").mkdir()
    with opened_ledger(tmp_path / "ledger") as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def attended(tmp_path: Path, kept: Ledger, clock: FakeClock) -> Iterator[Site]:
    address = file_address(tmp_path / "gateway.db")
    name = kept.names.pseudonym
    with opened(address, some_keys(address)) as site:
        site.desk = replace(site.desk, enter=lambda change: kept.append(change_draft(change, name)))
        site.entrance = Entrance(site.desk, application, Attendance(kept, name, clock))
        yield site


async def test_a_sign_in_is_entered_once_in_an_hour_however_many_requests_come(
    attended: Site, kept: Ledger, clock: FakeClock
) -> None:
    for _ in range(3):
        assert (await attended.ask("GET", "/keys")).status == 200
    assert (await attended.ask("GET", "/keys", key="auditor")).status == 200
    clock.advance(STAY_S)
    assert (await attended.ask("GET", "/keys")).status == 200
    entries = kept.entries()
    assert [entry["actor"] for entry in entries] == ["key:key-admin", "key:key-auditor", "key:key-admin"]
    assert {(entry["kind"], entry["stream"]) for entry in entries} == {("sign-in", "admin")}
    assert kept.names.name(entries[0]["for"]) == "admin"


async def test_refusals_are_counted_into_one_entry_for_a_while(attended: Site, kept: Ledger, clock: FakeClock) -> None:
    for _ in range(4):
        assert (await attended.ask("GET", "/keys", key="unknown")).status == 401
    clock.advance(REFUSED_EVERY_S)
    assert (await attended.ask("GET", "/keys", key="caller")).status == 403
    assert [(entry["data"]["refused"], entry["data"]["status"]) for entry in kept.entries()] == [(1, 401), (4, 403)]
    assert attended.keys["unknown"] not in str(kept.entries())


async def test_nobody_administers_whose_coming_cannot_be_entered(attended: Site, kept: Ledger) -> None:
    kept.refuses = True
    assert (await attended.ask("GET", "/keys")).status == 503
    kept.refuses = False
    assert (await attended.ask("GET", "/keys")).status == 200


async def test_a_change_by_the_api_is_entered_with_its_key_or_not_made(attended: Site, kept: Ledger) -> None:
    made = await attended.ask("POST", "/keys", value={"user": "ann"})
    assert made.status == 201
    sign_in, entry = kept.entries()
    assert (sign_in["kind"], entry["kind"], entry["actor"]) == ("sign-in", "key", "key:key-admin")
    assert (entry["data"]["door"], entry["about"]["key"]) == ("api", made.json["key_id"])
    assert made.json["secret"] not in str(kept.entries())
    with Store(attended.address) as store:
        before = store.policy()
    kept.refuses = True
    refused = await attended.ask("POST", "/keys", value={"user": "eve"})
    assert refused.status == 503
    assert "ledger" in refused.json["error"]["message"]
    with Store(attended.address) as store:
        assert store.policy() == before
