"""The control plane of a process that calls for itself: budgets bind it, usage gets its calls, no lock is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_call import NOW_MS, price, record

from fakes.clock import FakeClock
from mohist.gateway.budget import Budget
from mohist.gateway.call import Principal, Refusal, Reservation
from mohist.gateway.errors import StoreError
from mohist.gateway.resident import Resident
from mohist.gateway.store import Store, database_path

ANN = Principal("local", "ann", "shop")


def resident(home: Path, *, priced: bool = True) -> Resident:
    made = Resident(home, {}, ANN, lambda usage: price("m" if priced else "unpriced", usage), FakeClock(NOW_MS))
    made.start()
    return made


def reserve(at: Resident, output: int = 50) -> Reservation | Refusal:
    who = at.identify("whatever is shown")
    assert who == ANN
    return at.reserve(ANN, "openai-chat", "m", "mohist/1", 100, output)


def limit(home: Path, budget: Budget) -> None:
    with Store(database_path(home)) as store:
        store.set_budget(budget)


def test_without_a_database_nothing_is_made_before_a_call_has_ended(tmp_path: Path):
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
def test_what_is_held_and_spent_counts_against_each_budget(tmp_path: Path, budget: Budget):
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


def test_what_another_process_spent_counts_from_the_next_call_on(tmp_path: Path):
    limit(tmp_path, Budget("user", "ann", "day", limit_microusd=1000))
    one, other = resident(tmp_path), resident(tmp_path)
    for at, cost in ((other, 990), (one, 20)):
        held = reserve(at)
        assert isinstance(held, Reservation)
        at.settle(held, record(f"call-{cost}", cost_microusd=cost))
        at.stop()
    assert isinstance(reserve(one), Refusal)


def test_a_model_without_a_price_is_refused_where_money_is_limited(tmp_path: Path):
    limit(tmp_path, Budget("user", "ann", "day", limit_microusd=1000))
    refused = reserve(resident(tmp_path, priced=False))
    assert isinstance(refused, Refusal)
    assert "No price is known" in refused.message


def test_budgets_of_others_do_not_bind(tmp_path: Path):
    limit(tmp_path, Budget("user", "bob", "day", limit_microusd=0))
    assert isinstance(reserve(resident(tmp_path)), Reservation)


def test_calls_that_were_refused_are_written_down_too(tmp_path: Path):
    at = resident(tmp_path)
    at.refused(ANN, record("call-1", verdict="policy", status=403, usage=None, cost_microusd=None))
    at.stop()
    with Store(database_path(tmp_path)) as store:
        assert [(total.calls, total.refused) for total in store.usage("user")] == [(1, 1)]


def test_a_damaged_database_is_no_start_and_one_that_can_not_be_written_keeps_the_calls_in_mind(tmp_path: Path):
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
