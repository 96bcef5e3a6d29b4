"""The database goes away, comes back, forgets a process; clocks jump; disks are full. Nothing settled is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from gateway_call import NOW_MS, add_key, full_disk, kind, price, record, reserve, spent, until
from sqlalchemy import select

from fakes.clock import FakeClock
from fakes.postgres import Postgres
from mohist.base import SystemClock
from mohist.gateway import clerk, lease
from mohist.gateway.address import Address, file_address, home_address
from mohist.gateway.budget import Budget
from mohist.gateway.call import Principal, Refusal, Reservation, Wait
from mohist.gateway.database import Session
from mohist.gateway.errors import StoreError
from mohist.gateway.journal import Journal
from mohist.gateway.keeper import RESERVATION_S, STALE_S, Keeper
from mohist.gateway.key import Key
from mohist.gateway.pot import Pot, Row
from mohist.gateway.schema import INSTANCES, LEASES
from mohist.gateway.store import Store

Away = Callable[[], object]
LIMIT = Budget("key", "key-1", "month", limit_microusd=150 * 1_000)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes and does not end."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.fixture
def away(address: Address, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Takes the database away for as long as it is entered."""
    monkeypatch.setattr(
        clerk, "_BUSY_S", 0.1
    )  # patience with others that write, but for whom nobody needs to wait here
    if address.path is not None:
        path = address.path

        @contextmanager
        def held() -> Iterator[None]:
            with monkeypatch.context() as patch, locked(path):
                patch.setattr(clerk, "_HELD_S", 0.0)
                yield

        return held
    server = request.getfixturevalue("running_postgres")
    return lambda: stopped(server)


def call(keeper: Keeper, secret: str, name: str, cost: int = 150) -> str:
    """One whole call; what became of it."""
    answer = reserve(keeper, secret)
    if isinstance(answer, Reservation):
        keeper.settle(answer, record(name, cost_microusd=cost))
    return kind(answer)


def calls_until_refused(keeper: Keeper, secret: str, name: str, most: int = 2_000) -> tuple[int, str]:
    """How many calls passed, and what became of the next."""
    for number in range(most):
        answer = call(keeper, secret, f"{name}-{number}")
        if answer != "passes":
            return number, answer
    return most, "passes"


def test_calls_go_on_without_the_database_as_far_as_the_slice_reaches_and_nothing_is_lost(
    address: Address, away: Away, clock: FakeClock
) -> None:
    bound, free = add_key(address, Key("key-1", "ann"), LIMIT), add_key(address, Key("key-2", "bob"))
    with Keeper(address, price, clock, poll_s=0.02) as keeper:
        assert call(keeper, bound, "first") == "passes"
        with away():
            until(lambda: keeper.trouble != "")
            made, refusal = calls_until_refused(keeper, bound, "bound")
            # Half of a budget that nobody else uses, less what the first call took.
            assert (400 <= made <= 600, refusal) == (True, "unavailable")
            answer = reserve(keeper, bound)
            assert isinstance(answer, Refusal)
            assert (answer.status, answer.retry_after_s) == (503, 5.0)
            assert "the gateway's database is away" in answer.message
            assert [call(keeper, free, f"free-{number}") for number in range(50)] == ["passes"] * 50
            clock.advance(STALE_S + 1)
            assert kind(keeper.identify(free)) == "unavailable"
        until(lambda: keeper.trouble == "" and keeper.backlog == 0)
        rest, refusal = calls_until_refused(keeper, bound, "rest")
        assert (1 + made + rest, refusal) == (1_000, "budget")
    assert spent(address, "key-1") == (1_000 * 150, 1_000 * 200)
    assert spent(address, "key-2") == (50 * 150, 50 * 200)


def test_with_open_calls_go_on_without_the_database_and_are_counted_when_it_is_back(
    address: Address, away: Away, clock: FakeClock
) -> None:
    secret = add_key(address, Key("key-1", "ann"), LIMIT)
    with Keeper(address, price, clock, on_loss="open", poll_s=0.02) as keeper:
        assert call(keeper, secret, "first") == "passes"
        with away():
            until(lambda: keeper.trouble != "")
            clock.advance(STALE_S + 1)
            assert calls_until_refused(keeper, secret, "away", 1_100) == (1_100, "passes")
        until(lambda: keeper.trouble == "" and keeper.backlog == 0)
        assert kind(reserve(keeper, secret)) == "budget"
    assert spent(address, "key-1")[0] == 1_101 * 150


class Turns:
    """Counts how often the clerk worked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        work = clerk.Clerk._work

        def counted(of: clerk.Clerk) -> None:
            try:
                work(of)
            finally:
                self.count += 1

        monkeypatch.setattr(clerk.Clerk, "_work", counted)


async def test_a_call_waits_for_others_that_write_and_passes_once_they_are_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerk, "_BUSY_S", 0.05)
    address, turns = file_address(tmp_path / "gateway.db"), Turns(monkeypatch)
    secret = add_key(address, Key("key-1", "ann"), LIMIT)
    with Keeper(address, price, SystemClock(), poll_s=0.02) as keeper:
        who = keeper.identify(secret)
        assert isinstance(who, Principal)
        with locked(tmp_path / "gateway.db"):
            answer = keeper.reserve(who, "openai-chat", "m", "", 100, 50)
            assert isinstance(answer, Wait)
            waiting = asyncio.ensure_future(answer.over())
            before = turns.count
            while turns.count < before + 5:  # noqa: ASYNC110 - a thread counts
                await asyncio.sleep(0)
            assert not waiting.done()
            assert keeper.trouble == ""
        assert isinstance(await waiting, Reservation)


def test_others_that_never_end_count_as_a_database_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerk, "_BUSY_S", 0.01)
    monkeypatch.setattr(clerk, "_HELD_S", 0.05)
    address = file_address(tmp_path / "gateway.db")
    secret = add_key(address, Key("key-1", "ann"), LIMIT)
    with Keeper(address, price, SystemClock(), poll_s=0.02) as keeper:
        with locked(tmp_path / "gateway.db"):
            assert kind(reserve(keeper, secret)) == "unavailable"
            assert "database is locked" in keeper.trouble
        until(lambda: keeper.trouble == "")
        assert kind(reserve(keeper, secret)) == "passes"


def test_a_start_waits_for_others_that_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clerk, "_BUSY_S", 0.01)
    address, turns = file_address(tmp_path / "gateway.db"), Turns(monkeypatch)
    add_key(address, Key("key-1", "ann"), LIMIT)
    keeper = Keeper(address, price, SystemClock())
    starting = threading.Thread(target=keeper.start)
    with locked(tmp_path / "gateway.db"):
        starting.start()
        until(lambda: turns.count >= 3)
    starting.join(60)
    assert keeper.trouble == ""
    keeper.stop()
    monkeypatch.setattr(clerk, "_START_S", 0.0)
    with locked(tmp_path / "gateway.db"), pytest.raises(StoreError, match="locked"):
        Keeper(address, price, SystemClock()).start()


def test_a_slice_that_others_may_have_taken_is_used_no_more(
    running_postgres: Postgres, clock: FakeClock, tmp_path: Path, filled_template: str
) -> None:
    address = home_address(tmp_path, {}, running_postgres.url(running_postgres.new_database(filled_template)))
    secret = add_key(address, Key("key-1", "ann"), LIMIT)
    with Keeper(address, price, clock, poll_s=0.02) as keeper:
        assert call(keeper, secret, "first") == "passes"
        with stopped(running_postgres):
            until(lambda: keeper.trouble != "")
            clock.advance(lease.TRUST_S)
            assert call(keeper, secret, "second") == "passes"
            clock.advance(1)
            assert call(keeper, secret, "third") == "unavailable"
        until(lambda: keeper.trouble == "")
        assert call(keeper, secret, "fourth") == "passes"


def gone(address: Address, name: str = "gateway-gone") -> None:
    """A process of another machine that holds all of the budget."""
    with Session(address) as session, session.transaction(write=True) as db:
        lease.register(db, name)
        place = (LIMIT.subject, LIMIT.name, LIMIT.period, 19_662)
        lease.write(db, name, [Row(place, (LIMIT.limit_microusd or 0, 0), (0, 0))])


def test_what_a_process_of_another_machine_held_is_free_once_its_beat_stood_still(
    running_postgres: Postgres,
    clock: FakeClock,
    tmp_path: Path,
    filled_template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clerk, "_ADOPT_EVERY_S", 0.0)
    address = home_address(tmp_path, {}, running_postgres.url(running_postgres.new_database(filled_template)))
    secret = add_key(address, Key("key-1", "ann"), LIMIT)
    with Keeper(address, price, clock, poll_s=0.01) as keeper:
        gone(address)
        until(lambda: "gateway-gone" in keeper._clerk._seen_beats)
        clock.advance(lease.LEASE_S)
        assert call(keeper, secret, "first") == "budget"
        clock.advance(1)
        until(lambda: call(keeper, secret, "second") == "passes")


def test_a_process_that_others_took_for_gone_counts_anew_what_it_holds(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann"), LIMIT)

    def taken() -> list[int]:
        with Session(address) as session, session.transaction(write=False) as db:
            return [row.microusd for row in db.execute(select(LEASES))]

    with Keeper(address, price, clock, poll_s=0.01) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        with Session(address) as session, session.transaction(write=True) as db:
            lease.evict(db, keeper._clerk.instance_id)
        # One is held still, so there is room for all but it, though the database had forgotten it.
        assert calls_until_refused(keeper, secret, "call") == (999, "budget")
        assert taken() != []
        keeper.settle(reservation, record("last"))
    assert spent(address, "key-1")[0] < 150 * 1_000 + 700
    assert taken() == []


def test_two_processes_never_take_of_one_budget_at_the_same_time(address: Address) -> None:
    add_key(address, Key("key-1", "ann"), LIMIT)
    pots = [Pot(LIMIT, 0)]
    with Session(address) as one, Session(address, busy_s=0.1) as two, one.transaction(write=True) as db:
        lease.lock(db, pots)
        with pytest.raises(StoreError), two.transaction(write=True) as other:
            lease.lock(other, pots)


def test_room_of_a_call_that_is_never_settled_is_given_back_and_a_late_end_is_charged(
    address: Address, clock: FakeClock
) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("key", "key-1", "total", limit_microusd=150))
    with Keeper(address, price, clock, poll_s=0.01) as keeper:
        lost = reserve(keeper, secret)
        assert isinstance(lost, Reservation)
        assert kind(reserve(keeper, secret)) == "budget"
        clock.advance(RESERVATION_S)
        until(lambda: kind(reserve(keeper, secret)) == "passes")
        keeper.settle(lost, record("late", cost_microusd=120))
        keeper.settle(lost, record("again", cost_microusd=120))
    assert spent(address, "key-1")[0] == 120


class JumpyClock(FakeClock):
    """A wall clock that somebody sets while the machine runs."""

    jump_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.jump_ms


def test_a_wall_clock_that_jumps_moves_periods_forward_alone_and_no_rate(address: Address) -> None:
    clock = JumpyClock()
    key = Key("key-1", "ann", requests_per_minute=4, expires_at_ms=NOW_MS + 10 * 86_400_000)
    secret = add_key(address, key, Budget("key", "key-1", "day", limit_microusd=150))
    with Keeper(address, price, clock, poll_s=0.01) as keeper:
        assert [call(keeper, secret, f"a-{number}") for number in range(2)] == ["passes", "budget"]
        clock.jump_ms = -3 * 86_400_000
        assert call(keeper, secret, "b") == "budget"
        clock.jump_ms = 86_400_000
        assert [call(keeper, secret, f"c-{number}") for number in range(2)] == ["passes", "budget"]
        clock.jump_ms = 0
        assert call(keeper, secret, "d") == "budget"
        clock.jump_ms = 2 * 86_400_000
        assert call(keeper, secret, "e") == "passes"
        clock.jump_ms = 3 * 86_400_000
        assert [call(keeper, secret, f"f-{number}", 0) for number in range(2)] == ["passes", "rate"]
        clock.jump_ms = 10 * 86_400_000
        assert kind(keeper.identify(secret)) == "auth"


def test_calls_that_no_file_took_go_into_a_database_elsewhere_at_the_end(
    running_postgres: Postgres, clock: FakeClock, tmp_path: Path, filled_template: str
) -> None:
    address = home_address(tmp_path, {}, running_postgres.url(running_postgres.new_database(filled_template)))
    secret = add_key(address, Key("key-1", "ann"))
    keeper = Keeper(address, price, clock)
    keeper.start()
    reservation = reserve(keeper, secret)
    assert isinstance(reservation, Reservation)
    with full_disk():
        keeper.settle(reservation, record())
        keeper.stop()
    assert spent(address, "key-1") == (700, 200)


def test_calls_that_neither_journal_nor_database_took_are_said_to_be_lost(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    address = file_address(tmp_path / "gateway.db")
    secret = add_key(address, Key("key-1", "ann"))
    keeper = Keeper(address, price, clock)
    keeper.start()
    reservation = reserve(keeper, secret)
    assert isinstance(reservation, Reservation)
    with full_disk(), locked(tmp_path / "gateway.db"):
        keeper.settle(reservation, record())
        keeper.stop()
    assert caplog.messages == ["usage of 1 calls is lost: neither the journal nor the database could be written"]


def test_a_journal_gives_up_its_spare_room_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, "one")
    spare, write = tmp_path / "one.spare", os.pwrite

    def full_while_spare(file: int, data: bytes, offset: int) -> int:
        if spare.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data, offset)

    assert spare.stat().st_blocks * 512 >= 1 << 20
    monkeypatch.setattr(os, "pwrite", full_while_spare)
    journal.append(b"kept\n")
    assert (journal.path.read_bytes(), spare.exists()) == (b"kept\n", False)
    journal.advance(5)
    assert spare.exists()
    journal.close()


def test_a_process_that_ends_leaves_no_trace(address: Address) -> None:
    secret = add_key(address, Key("key-1", "ann"), LIMIT)
    with Keeper(address, price, SystemClock()) as keeper:
        assert call(keeper, secret, "one") == "passes"
    with Store(address) as store, store.transaction(write=False) as db:
        assert db.execute(select(INSTANCES)).all() == []
    assert list(address.journals.iterdir()) == []
