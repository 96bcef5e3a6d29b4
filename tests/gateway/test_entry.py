"""Keys, budgets, findings and releases in the ledger: who and what, never a secret; and nothing changes that can't be entered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from gateway_call import until
from test_screen_book import NOTED, NOW_MS, noted

from fakes.ledger import Ledger, opened
from mohist.admin.issue import Order, issue, rotate
from mohist.base import RandomIds, SystemClock
from mohist.gateway.address import Address, file_address
from mohist.gateway.budget import Budget
from mohist.gateway.change import Author
from mohist.gateway.entry import change_draft, enter_findings, release_draft
from mohist.gateway.screen.archive import Archive, Release
from mohist.gateway.screen.book import Book
from mohist.gateway.store import Store
from mohist.ledger import LedgerError

CLOCK = SystemClock()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "ledger").mkdir()
    with opened(tmp_path / "ledger") as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Address:
    return file_address(tmp_path / "gateway.db")


def store(file: Address, kept: Ledger) -> Store:
    name = kept.names.pseudonym
    return Store(
        file, author=Author("ops", door="command"), enter=lambda change: kept.append(change_draft(change, name))
    )


def test_each_change_of_a_key_and_of_budgets_is_entered_with_who_and_what(file: Address, kept: Ledger) -> None:
    with store(file, kept) as db:
        order = Order("ann", team="core", budgets=(("day", 5_000_000, None, False),), requests_per_minute=9)
        made = issue(db, order, CLOCK, RandomIds(CLOCK))
        key_id = made.key.key_id
        other = rotate(db, key_id, CLOCK, 2)
        db.set_budget(Budget("user", "ann", "month", None, 1_000, False))
        db.remove_budgets("user", "ann")
        db.revoke_key(key_id, CLOCK.now_ms())
        db.revoke_key(key_id, CLOCK.now_ms())
    entries = kept.entries()
    assert [(entry["kind"], entry["data"]["action"]) for entry in entries] == [
        ("key", "key.create"), ("key", "key.rotate"), ("budget", "budget.set"), ("budget", "budget.remove"),
        ("key", "key.revoke"),
    ]  # fmt: skip
    assert {entry["stream"] for entry in entries} == {"keys"}
    assert {kept.names.name(entry["actor"]) for entry in entries} == {"ops"}
    create, rotated, limit, *_ = entries
    assert create["about"]["key"] == rotated["about"]["key"] == key_id
    assert kept.names.name(create["about"]["owner"]) == "ann"
    assert create["data"]["requests_per_minute"] == 9
    assert create["data"]["budgets"][0]["limit_microusd"] == 5_000_000
    assert rotated["data"]["grace_ms"] == 7_200_000
    assert limit["data"]["after"]["limit_tokens"] == 1_000
    assert json.loads(kept.content(create))["team"] == "core"
    # The whole of it lies beside its file while it is small.
    raw = b"".join(path.read_bytes() for path in kept.folder.iterdir())
    for secret in (made.secret, other.secret):
        assert secret[4:].encode() not in raw
    whole = json.dumps(entries)
    assert '"ann"' not in whole
    assert '"ops"' not in whole


def test_a_key_that_cannot_be_entered_is_not_made_and_none_is_changed(file: Address, kept: Ledger) -> None:
    with store(file, kept) as db:
        key_id = issue(db, Order("ann"), CLOCK, RandomIds(CLOCK)).key.key_id
        before = db.policy()
        kept.refuses = True
        with pytest.raises(LedgerError):
            issue(db, Order("eve"), CLOCK, RandomIds(CLOCK))
        with pytest.raises(LedgerError):
            rotate(db, key_id, CLOCK, 0)
        with pytest.raises(LedgerError):
            db.revoke_key(key_id, CLOCK.now_ms())
        with pytest.raises(LedgerError):
            db.set_budget(Budget("user", "ann", "day", 1, None, False))
        assert db.policy() == before
        kept.refuses = False
        db.revoke_key(key_id, CLOCK.now_ms())
    assert [entry["data"]["action"] for entry in kept.entries()] == ["key.create", "key.revoke"]


def test_a_finding_is_entered_by_its_keyed_digest_and_once_however_often_it_comes(file: Address, kept: Ledger) -> None:
    enter = partial(enter_findings, kept, kept.names.pseudonym)
    book = Book(partial(Archive, file), CLOCK, poll_s=0.02, enter=enter)
    book.start()
    try:
        kept.refuses = True
        book.take([NOTED, noted(call_id="call-2", session_id="", released="bob", action="pass")])
        until(lambda: bool(book.trouble))
        with Archive(file) as archive:
            assert not archive.list(0, 9)
        kept.refuses = False
        assert book.flush(10)
    finally:
        book.stop()
    enter([NOTED])
    stopped, passed = kept.entries()
    assert (stopped["kind"], stopped["about"]["call"], stopped["actor"]) == ("finding", "call-1", "system:guard")
    assert stopped["stream"].startswith("session:")
    assert passed["stream"] == "key:key-1"
    said = stopped["data"]
    assert (said["digest"], said["rule"], said["action"]) == ("ab" * 16, "betterleaks.github-pat", "block")
    assert said["place"] == "the result of tool Read, message 3, line 4"
    assert kept.names.name(passed["data"]["released_by"]) == "bob"


def test_a_value_passes_only_once_its_release_is_entered(file: Address, kept: Ledger) -> None:
    def enter(release: Release) -> object:
        return kept.append(release_draft(release, kept.names.pseudonym))

    with Archive(file) as archive:
        archive.add([NOTED])
        release = Release("release-1", "", "", NOW_MS, None, "bob", "it is public, says ann")
        kept.refuses = True
        with pytest.raises(LedgerError):
            archive.release("ab" * 5, release, enter)
        assert not archive.releases()
        kept.refuses = False
        archive.release("ab" * 5, release, enter)
        archive.end_release("release-1", NOW_MS + 1, "eve", enter)
    made, ended = kept.entries()
    assert (made["kind"], made["data"]["action"], ended["data"]["action"]) == ("approval", "release", "release.end")
    assert made["data"]["digest"] == "ab" * 16
    assert (kept.names.name(made["actor"]), kept.names.name(ended["actor"])) == ("bob", "eve")
    assert kept.content(made) == b"it is public, says ann"
    assert "public" not in json.dumps(made)
