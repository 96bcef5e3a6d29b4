"""The control plane of a process that calls for itself: budgets bind it, usage gets its calls, no lock is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from gateway_call import NOW_MS, over, price, record, until

from fakes.clock import FakeClock
from mohist.gateway.address import file_address
from mohist.gateway.budget import Budget
from mohist.gateway.call import Principal, Refusal, Reservation, Wait
from mohist.gateway.clerk import catch_up
from mohist.gateway.errors import StoreError
from mohist.gateway.resident import Resident
from mohist.gateway.store import Store, database_path

ANN = Principal("local", "ann", "shop")
Start = Callable[..., Resident]


@pytest.fixture
def resident() -> Iterator[Start]:
    """Makes processes of ann's, and stops them."""
    made: list[Resident] = []

    def start(home: Path, *, priced: bool = True) -> Resident:
        dearest = partial(price, "m" if priced else "unpriced")
        made.append(Resident(home, {}, ANN, dearest, FakeClock(NOW_MS)))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


def reserve(at: Resident, output: int = 50) -> Reservation | Refusal:
    who = at.identify("whatever is shown")
    assert who == ANN
    answer = at.reserve(ANN, "openai-chat", "m", "mohist/1", 100, output)
    return over(answer) if isinstance(answer, Wait) else answer


def limit(home: Path, budget: Budget) -> None:
    with Store(database_path(home)) as store:
        store.set_budget(budget)


def test_without_a_database_nothing_is_made_before_a_call_has_ended(tmp_path: Path, resident: Start):
    at = resident(tmp_path)
    held = reserve(at)
    assert isinstance(held, Reservation)
    assert not database_path(tmp_path).exists()
    at.settle(held, record("call-1"))
    at.settle(held, record("call-1"))  # a second time does nothing
    at.stop()
    assert at.unwritten == 0
    with Store(database_path(tmp_path)) as store:
        (total,) = store.usage("user")
    assert (total.name, total.calls, total.cost_microusd) == ("ann", 1, 700)


@pytest.mark.parametrize(
    "budget",
    [Budget("user", "ann", "day", limit_microusd=800), Budget("project", "shop", "total", limit_tokens=250)],
)
def test_what_is_held_and_spent_counts_against_each_budget(tmp_path: Path, resident: Start, budget: Budget):
    limit(tmp_path, budget)
    at = resident(tmp_path)
    first, second = reserve(at), reserve(at, 900)  # the call that crosses passes
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    refused = reserve(at)
    assert isinstance(refused, Refusal)
    assert (refused.kind, refused.status) == ("budget", 402)
    assert f"of {budget.subject} {budget.name!r}" in refused.message
    at.settle(first, record("call-1", cost_microusd=1))
    at.settle(second, record("call-2", cost_microusd=900))
    assert isinstance(reserve(at), Refusal)  # spent, though the database may not know it yet
    at.stop()
    assert isinstance(reserve(resident(tmp_path)), Refusal)  # and now it does


def test_two_processes_overdraw_their_budget_by_less_than_one_call(tmp_path: Path, resident: Start):
    limit(tmp_path, Budget("user", "ann", "day", limit_microusd=1000))
    calling = [resident(tmp_path), resident(tmp_path)]
    spent = 0
    while calling:
        held = reserve(at := calling.pop(0))
        if isinstance(held, Reservation):
            spent += 150
            at.settle(held, record(f"call-{spent}", cost_microusd=150))
            calling.append(at)
    assert 1000 <= spent < 1150


def test_a_budget_that_comes_while_a_process_calls_binds_it_once_a_call_has_ended(tmp_path: Path, resident: Start):
    at = resident(tmp_path)
    first, second = reserve(at), reserve(at)
    assert isinstance(first, Reservation)
    assert isinstance(second, Reservation)
    limit(tmp_path, Budget("user", "ann", "day", limit_microusd=800))
    at.settle(first, record("call-1", cost_microusd=800))
    until(lambda: isinstance(reserve(at), Refusal))
    at.settle(second, record("call-2", cost_microusd=30))  # began before, and counts all the same
    at.stop()
    with Store(database_path(tmp_path)) as store:
        assert store.usage("user")[0].cost_microusd == 830


def test_calls_that_the_database_can_not_take_wait_in_a_journal_for_the_next_process(tmp_path: Path, resident: Start):
    at = resident(tmp_path)
    held = reserve(at)
    assert isinstance(held, Reservation)
    database_path(tmp_path).mkdir()  # in the way
    at.settle(held, record("call-1"))
    at.stop()
    assert at.unwritten == 0
    database_path(tmp_path).rmdir()
    address = file_address(database_path(tmp_path))
    catch_up(address)
    with Store(address) as store:
        assert [(total.name, total.calls, total.cost_microusd) for total in store.usage("user")] == [("ann", 1, 700)]


def test_a_model_without_a_price_is_refused_where_money_is_limited(tmp_path: Path, resident: Start):
    limit(tmp_path, Budget("user", "ann", "day", limit_microusd=1000))
    refused = reserve(resident(tmp_path, priced=False))
    assert isinstance(refused, Refusal)
    assert "No price is known" in refused.message


def test_budgets_of_others_do_not_bind(tmp_path: Path, resident: Start):
    limit(tmp_path, Budget("user", "bob", "day", limit_microusd=0))
    assert isinstance(reserve(resident(tmp_path)), Reservation)


def test_calls_that_were_refused_are_written_down_too(tmp_path: Path, resident: Start):
    at = resident(tmp_path)
    at.refused(ANN, record("call-1", verdict="policy", status=403, usage=None, cost_microusd=None))
    at.stop()
    with Store(database_path(tmp_path)) as store:
        assert [(total.calls, total.refused) for total in store.usage("user")] == [(1, 1)]


def test_a_damaged_database_is_no_start_and_one_that_can_not_be_written_keeps_the_calls_in_mind(
    tmp_path: Path, resident: Start
):
    database_path(tmp_path).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"gateway\.db"):
        resident(tmp_path)
    elsewhere = tmp_path / "file"
    elsewhere.write_text("in the way", "ascii")
    at = resident(elsewhere)
    held = reserve(at)
    assert isinstance(held, Reservation)
    at.settle(held, record("call-1"))
    at.stop()
    assert at.unwritten == 1
