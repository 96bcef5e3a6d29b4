"""The control plane, running, over a real database."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from gateway_call import NOW_MS, add_key, full_disk, kind, price, record, reserve, spends, until

from fakes.clock import FakeClock
from mohist.base import SystemClock
from mohist.gateway import writer
from mohist.gateway.address import Address
from mohist.gateway.budget import Budget
from mohist.gateway.call import Dialect, Principal, Refusal, Reservation
from mohist.gateway.charge import UNLIMITED_OUTPUT_TOKENS
from mohist.gateway.keeper import POLL_S, STALE_S, Keeper
from mohist.gateway.key import Key, new_secret, secret_hash
from mohist.gateway.store import Store, database_path
from mohist.gateway.usage import UsageRow, flat, to_line


def pass_time(keeper: Keeper, clock: FakeClock, seconds: float) -> None:
    """Lets time pass, and the watch see that it did."""
    clock.advance(seconds)
    until(lambda: kind(keeper.identify("")) != "unavailable")


def test_a_key_says_who_calls(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", "shop", "core"))
    with Keeper(address, price, clock) as keeper:
        assert keeper.identify(secret) == Principal("key-1", "ann", "shop", "core")
        for other in (new_secret(), "", secret[:-1], f"{secret} ", "mhk-\udcff"):
            answer = keeper.identify(other)
            assert isinstance(answer, Refusal)
            assert (answer.kind, answer.status) == ("auth", 401)


def test_a_key_ends_when_it_expires(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", expires_at_ms=clock.now_ms() + 1_000))
    with Keeper(address, price, clock) as keeper:
        principal = keeper.identify(secret)
        assert isinstance(principal, Principal)
        clock.advance(1)
        answer = keeper.identify(secret)
        assert isinstance(answer, Refusal)
        assert answer.message == "Key key-1 expired at 2023-11-14 22:13 UTC."
        assert kind(keeper.reserve(principal, "openai-chat", "m", "", 1, 1)) == "auth"


def test_a_key_lists_the_models_and_dialects_of_its_scope(address: Address, clock: FakeClock) -> None:
    dialects: tuple[Dialect, ...] = ("openai-chat",)
    add_key(address, Key("key-1", "ann", models=("claude-*",), clients=("claude-cli/*",), dialects=dialects))
    add_key(address, Key("key-2", "ann", roles=("admin",)))
    with Keeper(address, price, clock) as keeper:
        ann, admin, stranger = (Principal(key_id, "ann") for key_id in ("key-1", "key-2", "key-3"))
        assert keeper.lists(ann, "openai-chat", "claude-x")
        assert not keeper.lists(ann, "openai-chat", "gpt")
        assert not keeper.lists(ann, "anthropic-messages", "claude-x")
        assert not keeper.lists(admin, "openai-chat", "claude-x")
        assert not keeper.lists(stranger, "openai-chat", "claude-x")


def test_a_call_outside_the_scope_is_refused(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", models=("qwen*",)))
    with Keeper(address, price, clock) as keeper:
        answer = reserve(keeper, secret, "claude-opus")
        assert isinstance(answer, Refusal)
        assert (answer.kind, answer.status) == ("scope", 403)
        assert kind(reserve(keeper, secret, "qwen3")) == "passes"


def test_revocation_bites_a_running_server(address: Address) -> None:
    assert POLL_S <= 0.5, "within a second, it is promised"
    secret = add_key(address, Key("key-1", "ann"))
    with Keeper(address, price, SystemClock()) as keeper:
        principal = keeper.identify(secret)
        assert isinstance(principal, Principal)
        assert keeper.holds(principal) is None
        with Store(address) as store:
            store.revoke_key("key-1", NOW_MS)
        until(lambda: kind(keeper.identify(secret)) == "auth")
        ended = keeper.holds(principal)
        assert ended is not None
        assert "revoked" in ended.message
        assert kind(keeper.reserve(principal, "openai-chat", "m", "", 1, 1)) == "auth"


def test_a_running_server_learns_of_new_keys_and_budgets(address: Address) -> None:
    with Keeper(address, price, SystemClock()) as keeper:
        secret = add_key(address, Key("key-1", "ann"))
        until(lambda: kind(reserve(keeper, secret)) == "passes")
        with Store(address) as store:
            # What is held already counts, though no budget was there when it was.
            store.set_budget(Budget("user", "ann", "total", limit_tokens=1))
        until(lambda: kind(reserve(keeper, secret)) == "budget")
        with Store(address) as store:
            assert store.remove_budgets("user", "ann") == 1
        until(lambda: kind(reserve(keeper, secret)) == "passes")


def test_a_rotated_key_takes_its_old_secret_until_the_grace_is_over(address: Address, clock: FakeClock) -> None:
    old, new = add_key(address, Key("key-1", "ann")), new_secret()
    with Store(address) as store:
        store.rotate_key("key-1", secret_hash(new), clock.now_ms(), grace_ms=60_000)
    with Keeper(address, price, clock) as keeper:
        assert keeper.identify(old) == keeper.identify(new) == Principal("key-1", "ann")
        pass_time(keeper, clock, 60)
        assert kind(keeper.identify(old)) == "auth"
        assert keeper.identify(new) == Principal("key-1", "ann")


def test_a_watch_that_stopped_closes_the_door_until_it_works_again(tmp_path: Path, clock: FakeClock) -> None:
    secret = add_key(tmp_path, Key("key-1", "ann"))
    database, aside = database_path(tmp_path), tmp_path / "aside"
    with Keeper(tmp_path, price, clock, poll_s=0.01) as keeper:
        # A folder in its place: the database can neither be read nor made anew.
        database.rename(aside)
        database.mkdir()

        until(lambda: keeper.trouble != "")
        clock.advance(STALE_S)
        assert kind(keeper.identify(secret)) == "passes"
        clock.advance(0.1)
        answer = keeper.identify(secret)
        assert isinstance(answer, Refusal)
        assert (answer.kind, answer.status) == ("unavailable", 503)
        database.rmdir()
        aside.rename(database)
        until(lambda: kind(keeper.identify(secret)) == "passes")


def test_a_database_put_in_the_place_of_another_is_read_though_its_revision_is_the_same(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    first, second = add_key(home, Key("key-1", "ann")), add_key(other, Key("key-2", "bob"))
    with Keeper(home, price, SystemClock(), poll_s=0.01) as keeper:
        assert kind(keeper.identify(first)) == "passes"
        database_path(other).rename(database_path(home))
        until(lambda: kind(keeper.identify(second)) == "passes")
        assert kind(keeper.identify(first)) == "auth"


def test_threads_that_call_at_once_overdraw_by_no_more_than_one_call(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("user", "ann", "day", limit_microusd=100_000))
    numbers = itertools.count()

    def call_until_refused(keeper: Keeper) -> None:
        while isinstance(reservation := reserve(keeper, secret), Reservation):
            keeper.settle(reservation, record(f"call-{next(numbers)}", cost_microusd=150))

    with Keeper(address, price, clock) as keeper:
        threads = [threading.Thread(target=call_until_refused, args=[keeper]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert kind(reserve(keeper, secret)) == "budget"
    assert 100_000 <= spends(address)["user"][0] < 100_000 + 150


def test_a_flood_without_a_key_is_written_down_in_part(address: Address, clock: FakeClock) -> None:
    with Keeper(address, price, clock) as keeper:
        for number in range(2_000):
            keeper.refused(None, record(f"call-{number}", verdict="auth"))
    with Store(address) as store:
        assert store.usage("key")[0].refused == 600


def test_a_call_is_charged_what_it_cost_to_all_it_counts_on(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", "shop", "core"))
    with Keeper(address, price, clock) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        assert (reservation.amount_microusd, reservation.tokens) == (150, 150)
        keeper.settle(reservation, record())
        keeper.settle(reservation, record("call-2"))
        keeper.refused(None, record("call-3", verdict="auth", status=401, usage=None, cost_microusd=None, upstream=""))
    assert list(address.journals.iterdir()) == []
    assert spends(address) == dict.fromkeys(("key", "user", "project", "team"), (700, 200))
    with Store(address) as store:
        totals = {total.name: total for total in store.usage("key")}
    assert (totals["key-1"].calls, totals["key-1"].cost_microusd, totals["key-1"].cache_write_tokens) == (1, 700, 30)
    assert (totals[""].calls, totals[""].refused, totals[""].unpriced) == (1, 1, 0)


@pytest.mark.parametrize(
    ("changes", "charged"),
    [
        ({"usage": None, "cost_microusd": None}, (150, 150)),
        ({"usage": None, "cost_microusd": None, "cancelled": True}, (150, 150)),
        ({"usage": None, "cost_microusd": None, "upstream": "", "status": 502}, None),
        ({"usage": None, "cost_microusd": None, "status": 400}, None),
        ({"cost_microusd": None}, (150, 200)),
    ],
)
def test_what_is_not_known_is_charged_as_reserved_unless_nobody_can_have_billed_it(
    address: Address, clock: FakeClock, changes: dict, charged: tuple[int, int] | None
) -> None:
    secret = add_key(address, Key("key-1", "ann"))
    with Keeper(address, price, clock) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        keeper.settle(reservation, record(**changes))
    assert spends(address).get("key") == charged


def test_a_budget_outlives_the_server(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("key", "key-1", "day", limit_microusd=700))
    with Keeper(address, price, clock) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        assert isinstance(reserve(keeper, secret), Reservation)  # never settled: released by the next start
        keeper.settle(reservation, record(cost_microusd=699))
    with Keeper(address, price, clock) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        keeper.settle(reservation, record("call-2", cost_microusd=1))
        answer = reserve(keeper, secret)
        assert isinstance(answer, Refusal)
        assert (answer.kind, answer.status) == ("budget", 402)
        pass_time(keeper, clock, 86_400)
        assert kind(reserve(keeper, secret)) == "passes"


def test_a_call_without_a_limit_of_its_own_reserves_what_a_model_can_give(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann"))
    with Keeper(address, price, clock) as keeper:
        reservation = reserve(keeper, secret, output=0)
        assert isinstance(reservation, Reservation)
        assert reservation.tokens == 100 + UNLIMITED_OUTPUT_TOKENS


def test_a_call_that_nobody_bills_needs_no_room_in_a_budget(address: Address, clock: FakeClock) -> None:
    key = Key("key-1", "ann", requests_per_minute=1, tokens_per_minute=0)
    secret = add_key(address, key, Budget("key", "key-1", "day", limit_microusd=0))
    with Keeper(address, price, clock) as keeper:
        assert kind(reserve(keeper, secret)) == "budget"
        free = reserve(keeper, secret, "unpriced", prompt=0, output=0)
        assert isinstance(free, Reservation)
        assert (free.amount_microusd, free.tokens) == (0, 0)
        assert kind(reserve(keeper, secret, prompt=0, output=0)) == "rate"


def test_a_money_budget_refuses_a_model_without_a_price(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("key", "key-1", "day", limit_microusd=700))
    with Keeper(address, price, clock) as keeper:
        assert kind(reserve(keeper, secret, "unpriced")) == "budget"
        assert kind(reserve(keeper, secret)) == "passes"


def test_rates_slow_a_key_down_and_say_for_how_long(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", requests_per_minute=2, tokens_per_minute=1_000))
    with Keeper(address, price, clock) as keeper:
        assert [kind(reserve(keeper, secret)) for _ in range(3)] == ["passes", "passes", "rate"]
        answer = reserve(keeper, secret)
        assert isinstance(answer, Refusal)
        assert (answer.status, answer.retry_after_s) == (429, 30)
        pass_time(keeper, clock, 30)
        assert kind(reserve(keeper, secret)) == "passes"


def test_tokens_that_were_reserved_and_not_used_go_back_to_the_rate(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", tokens_per_minute=1_000))
    with Keeper(address, price, clock, poll_s=0.01) as keeper:
        large = reserve(keeper, secret, prompt=5_000)
        assert isinstance(large, Reservation)
        answer = reserve(keeper, secret)
        assert isinstance(answer, Refusal)
        assert answer.message == "Key key-1 is limited to 1,000 tokens a minute; there is room in 252.0 s."
        keeper.settle(large, record())
        assert kind(reserve(keeper, secret)) == "passes"


def test_a_keeper_that_does_not_serve_refuses(address: Address, clock: FakeClock) -> None:
    assert kind(Keeper(address, price, clock).identify("any")) == "unavailable"


def test_a_full_disk_closes_the_door_and_loses_no_call(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann"))
    with Keeper(address, price, clock) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        with full_disk():
            keeper.settle(reservation, record())
            until(lambda: kind(reserve(keeper, secret)) == "unavailable")
            answer = reserve(keeper, secret)
            assert isinstance(answer, Refusal)
            assert (answer.status, answer.message[:58]) == (
                503,
                "No calls are taken while the usage journal can't be writte",
            )
        until(lambda: kind(reserve(keeper, secret)) == "passes")
        assert keeper.flush(10)
    assert spends(address)["key"] == (700, 200)


def test_a_database_that_cannot_be_written_stops_calls_only_when_too_many_wait_for_it(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = to_line(flat(UsageRow(record("call-0"), Principal("key-1", "ann"), 19_675, 700, 200)))
    monkeypatch.setattr(writer, "_MAX_JOURNAL_BYTES", 5 * len(line))
    secret = add_key(tmp_path, Key("key-1", "ann"))
    with Keeper(tmp_path, price, clock) as keeper, closing(sqlite3.connect(database_path(tmp_path))) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in range(5):
            reservation = reserve(keeper, secret)
            assert isinstance(reservation, Reservation)
            keeper.settle(reservation, record(f"call-{number}"))
            assert keeper.flush(10)
        answer = reserve(keeper, secret)
        assert isinstance(answer, Refusal)
        assert "usage can't be written to the database" in answer.message
        keeper.refused(None, record("call-5", verdict="auth"))
        other.rollback()
        until(lambda: kind(reserve(keeper, secret)) == "passes")
    assert spends(tmp_path)["key"] == (3_500, 1_000)


def test_no_file_holds_a_secret_and_only_the_owner_may_read(tmp_path: Path, clock: FakeClock) -> None:
    home = tmp_path / "home"
    secret = add_key(home, Key("key-1", "ann"))
    with Keeper(home, price, clock) as keeper:
        reservation = reserve(keeper, secret)
        assert isinstance(reservation, Reservation)
        keeper.settle(reservation, record())
        assert keeper.flush(10)
        files = [path for path in home.rglob("*") if path.is_file()]
        assert len(files) >= 4
        assert home.joinpath("gateway.journals").stat().st_mode & 0o077 == 0
        for file in files:
            assert file.stat().st_mode & 0o077 == 0, file.name
            assert secret[4:].encode() not in file.read_bytes()
        assert secret not in repr(reservation) + repr(keeper.identify(secret))
