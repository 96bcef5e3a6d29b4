"""Several processes on one database: one budget, one truth, whoever is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gateway_call import add_key, price, record, reserve, until
from hammer import RESERVED, TASKS
from sqlalchemy import select

import mohist
from fakes.clock import FakeClock
from mohist.base import SystemClock
from mohist.gateway.address import Address
from mohist.gateway.budget import Budget
from mohist.gateway.call import Principal, Refusal, Reservation, Wait
from mohist.gateway.clerk import catch_up
from mohist.gateway.keeper import Keeper
from mohist.gateway.key import Key
from mohist.gateway.schema import LEASES, USAGE
from mohist.gateway.store import Store

HERE = Path(__file__).parent
SOURCE = Path(mohist.__file__).parents[1]
LIMIT = 60_000


@contextmanager
def hammering(
    address: Address, home: Path, secret: str, names: str, runs: str = ""
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that call until the budget is used up; those of `runs` are runs of ann's own."""
    url = "" if address.path else address.url.render_as_string(hide_password=False)
    children = [
        subprocess.Popen(
            [sys.executable, HERE / "hammer.py", home, url, "" if name in runs else secret, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(map(str, (HERE, HERE.parent, SOURCE)))},
        )
        for name in names
    ]
    try:
        # All begin at once, or the first would use the budget up alone.
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        yield children
    finally:
        for child in children:
            child.kill()
            child.communicate()


def spend_the_rest(address: Address, secret: str) -> None:
    """Calls until the budget is used up: nothing of it may be stuck with a process that is gone."""
    with Keeper(address, price, SystemClock(), poll_s=0.02) as keeper:
        for number in range(10_000):
            answer = reserve(keeper, secret)
            if isinstance(answer, Refusal):
                assert answer.kind == "budget"
                return
            keeper.settle(answer, record(f"rest-{number}", cost_microusd=50))
    raise AssertionError("the budget has no end")


def kept(address: Address) -> tuple[int, int, set[str]]:
    """What all calls cost, what the sums say, and which calls there are."""
    with Store(address) as store:
        [total] = store.usage("user")
        [summed] = [spend.microusd for spend in store.spends() if spend.subject == "user"]
        with store.transaction(write=False) as db:
            calls = {call_id for (call_id,) in db.execute(select(USAGE.c.call_id))}
            assert db.execute(select(LEASES)).all() == []
    assert len(calls) == total.calls
    return total.cost_microusd, summed, calls


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_processes_that_share_a_budget_overdraw_it_by_less_than_one_call(
    address: Address, tmp_path: Path, names: str
) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("user", "ann", "month", limit_microusd=LIMIT))
    with hammering(address, tmp_path, secret, names) as children:
        for child in children:
            out, err = child.communicate(timeout=60)
            assert (out.split()[-1:], child.returncode) == (["done"], 0), err
    cost, summed, calls = kept(address)
    assert cost == summed
    assert LIMIT - len(names) * TASKS * RESERVED <= cost < LIMIT + RESERVED
    assert {call[0] for call in calls} == set(names)
    spend_the_rest(address, secret)
    assert LIMIT <= kept(address)[0] < LIMIT + RESERVED


def test_runs_and_a_server_that_share_a_budget_overdraw_it_by_less_than_one_call(
    address: Address, tmp_path: Path
) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("user", "ann", "month", limit_microusd=LIMIT))
    with hammering(address, tmp_path, secret, "abcd", runs="bcd") as children:
        for child in children:
            out, err = child.communicate(timeout=60)
            assert (out.split()[-1:], child.returncode) == (["done"], 0), err
    cost, summed, calls = kept(address)
    assert cost == summed
    callers = {call[0] for call in calls}
    assert callers & set("bcd")
    assert len(callers) > 1
    # What one held when another was refused is left over, never more than asked for.
    assert LIMIT - 4 * TASKS * RESERVED <= cost < LIMIT + RESERVED
    spend_the_rest(address, secret)
    assert LIMIT <= kept(address)[0] < LIMIT + RESERVED


def test_a_process_killed_among_others_loses_no_call_it_had_written_and_holds_nothing_up(
    address: Address, tmp_path: Path
) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("user", "ann", "month", limit_microusd=LIMIT))
    with hammering(address, tmp_path, secret, "abc") as children:
        victim, *others = children
        assert victim.stdout is not None
        safe = 0
        while safe < 30:
            safe = int(victim.stdout.readline())
        victim.kill()
        safe = max([safe, *map(int, victim.stdout.read().rpartition("\n")[0].split())])
        assert victim.wait(60) == -signal.SIGKILL
        for child in others:
            out, err = child.communicate(timeout=60)
            assert (out.split()[-1:], child.returncode) == (["done"], 0), err
    catch_up(address)
    cost, summed, calls = kept(address)
    assert cost == summed
    assert {f"a-{number}" for number in range(1, safe + 1)} <= calls
    assert cost < LIMIT + RESERVED
    spend_the_rest(address, secret)
    assert LIMIT <= kept(address)[0] < LIMIT + RESERVED


def test_two_processes_hear_of_a_revocation(address: Address) -> None:
    secret = add_key(address, Key("key-1", "ann"))
    with Keeper(address, price, SystemClock()) as one, Keeper(address, price, SystemClock()) as two:
        assert isinstance(reserve(one, secret), Reservation)
        assert isinstance(reserve(two, secret), Reservation)
        with Store(address) as store:
            store.revoke_key("key-1", 1)
        for keeper in (one, two):
            until(lambda keeper=keeper: isinstance(keeper.identify(secret), Refusal))


def test_what_one_process_does_not_need_goes_to_another_that_asks(address: Address) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("key", "key-1", "day", limit_tokens=1_500))
    with Keeper(address, price, SystemClock()) as one, Keeper(address, price, SystemClock()) as two:
        assert isinstance(reserve(one, secret), Reservation)
        # All ten calls that the budget holds, nine of them here, though the other one had more of it than one.
        for _ in range(9):
            assert isinstance(reserve(two, secret), Reservation)
        for keeper in (one, two):
            answer = reserve(keeper, secret)
            assert isinstance(answer, Refusal)
            assert "0 spent and 1,500 held by calls under way, of 1,500 tokens" in answer.message


def test_processes_share_the_rate_of_a_key_that_they_use(address: Address, clock: FakeClock) -> None:
    secret = add_key(address, Key("key-1", "ann", requests_per_minute=60))
    with Keeper(address, price, clock, poll_s=0.01) as one:
        assert isinstance(reserve(one, secret), Reservation)
        with Keeper(address, price, clock, poll_s=0.01) as two:
            assert isinstance(reserve(two, secret), Reservation)
            until(lambda: one._rates._sharers == two._rates._sharers == {"key-1": 2})
            assert passes(one, secret) + passes(two, secret) <= 90
            clock.advance(30)
            # Half a minute's worth, each half of it.
            assert (passes(one, secret), passes(two, secret)) == (15, 15)
            clock.advance(61)
            until(lambda: one._rates._sharers == two._rates._sharers == {})
            assert passes(one, secret) >= 30
            until(lambda: one._rates._sharers == {"key-1": 1})
            assert passes(one, secret) == 0
            clock.advance(60)
            assert passes(one, secret) == 60


def passes(keeper: Keeper, secret: str) -> int:
    """How many calls pass at once."""
    count = 0
    while isinstance(reserve(keeper, secret), Reservation):
        count += 1
    return count


async def test_a_client_that_leaves_while_its_call_waits_for_room_holds_nothing(address: Address) -> None:
    secret = add_key(address, Key("key-1", "ann"), Budget("key", "key-1", "day", limit_tokens=150))
    with Keeper(address, price, SystemClock()) as one, Keeper(address, price, SystemClock()) as two:
        held = await asyncio.to_thread(reserve, one, secret)
        assert isinstance(held, Reservation)
        who = two.identify(secret)
        assert isinstance(who, Principal)
        for _ in range(5):
            wait = two.reserve(who, "openai-chat", "m", "", 100, 50)
            if isinstance(wait, Wait):
                waiting = asyncio.ensure_future(wait.over())
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
        one.settle(held, record(usage=None, cost_microusd=None, upstream="", status=502))
        await asyncio.to_thread(until, lambda: isinstance(reserve(two, secret), Reservation))
