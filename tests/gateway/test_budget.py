"""Budgets and rates: pure arithmetic that must hold in every order of events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.gateway.budget import Accounts, Budget, Hold, Spend, day_of, period_end, period_start
from mohist.gateway.call import Principal
from mohist.gateway.rate import Bucket

ANN = Principal("key-1", "ann", "shop", "core")
DAY = day_of(int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000))


def accounts(*budgets: Budget) -> Accounts:
    made = Accounts()
    made.limit(budgets)
    return made


# A step is a call that comes (largest cost, what it will really cost), or the end of one of those under way.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 1_000), st.floats(0, 1)),
        st.integers(0, 50),
    ),
    max_size=80,
)


@given(limit=st.integers(0, 5_000), steps=STEPS, subject=st.sampled_from(["key", "user", "project", "team"]))
def test_parallel_calls_never_overdraw_by_more_than_one_call(limit: int, steps: list, subject: str) -> None:
    name = {"key": "key-1", "user": "ann", "project": "shop", "team": "core"}[subject]
    money = accounts(Budget(subject, name, "month", limit_microusd=limit))
    under_way: list[tuple[Hold, int]] = []
    spent, largest = 0, 0
    for step in steps:
        if isinstance(step, tuple):
            most, part = step
            if not money.shortage(ANN, DAY, "m", most):
                under_way.append((money.hold(ANN, DAY, most, 0), int(most * part)))
                largest = max(largest, most)
        elif under_way:
            hold, cost = under_way.pop(step % len(under_way))
            hold.settle(cost, 0)
            spent += cost
    for hold, cost in under_way:
        hold.settle(cost, 0)
        spent += cost
    assert spent < limit + largest or spent == 0
    assert bool(money.shortage(ANN, DAY, "m", 0)) == (spent >= limit)


def test_a_limit_of_zero_lets_nothing_pass() -> None:
    assert accounts(Budget("user", "ann", "day", limit_tokens=0)).shortage(ANN, DAY, "m", 0)


def test_the_message_says_which_budget_how_much_and_until_when() -> None:
    money = accounts(Budget("team", "core", "month", limit_microusd=50_000_000))
    money.hold(ANN, DAY, 49_000_000, 0).settle(49_980_000, 0)
    money.hold(ANN, DAY, 800_000, 0)
    assert money.shortage(ANN, DAY, "m", 1) == (
        "The monthly budget of team 'core' has no room: $49.98 spent and $0.80 held by calls under way, of $50.00. "
        "It renews at 2026-12-01 00:00 UTC."
    )


def test_a_token_budget_speaks_of_tokens_and_a_total_does_not_renew() -> None:
    tokens = accounts(Budget("key", "key-1", "total", limit_tokens=1_000))
    tokens.hold(ANN, DAY, 0, 1_200).settle(0, 1_200)
    assert tokens.shortage(ANN, DAY, "m", None) == (
        "The total budget of key 'key-1' has no room: 1,200 spent and 0 held by calls under way, of 1,000 tokens. "
        "It does not renew."
    )


def test_a_model_without_a_price_is_refused_by_money_budgets_unless_they_let_it_pass() -> None:
    strict = accounts(Budget("user", "ann", "day", limit_microusd=10))
    assert "No price is known for model 'new'" in strict.shortage(ANN, DAY, "new", None)
    lenient = accounts(Budget("user", "ann", "day", limit_microusd=10, limit_tokens=5, allow_unpriced=True))
    assert lenient.shortage(ANN, DAY, "new", None) == ""
    lenient.hold(ANN, DAY, 0, 5)
    assert "of 5 tokens" in lenient.shortage(ANN, DAY, "new", None)


def test_another_subject_has_its_own_budget() -> None:
    money = accounts(Budget("user", "ann", "day", limit_microusd=10))
    money.hold(ANN, DAY, 10, 0)
    assert money.shortage(ANN, DAY, "m", 1)
    assert money.shortage(Principal("key-2", "bob", "shop", "core"), DAY, "m", 1) == ""


def test_a_budget_renews_with_its_period_and_a_late_call_counts_on_the_day_it_began() -> None:
    money = accounts(
        Budget("user", "ann", "day", limit_microusd=10), Budget("user", "ann", "month", limit_microusd=100)
    )
    late = money.hold(ANN, DAY, 10, 0)
    assert "daily" in money.shortage(ANN, DAY, "m", 1)
    assert money.shortage(ANN, DAY + 1, "m", 1) == ""
    late.settle(95, 0)
    assert money.shortage(ANN, DAY + 1, "m", 1) == ""
    assert late.day == DAY
    money.hold(ANN, DAY + 1, 5, 0)
    assert "monthly" in money.shortage(ANN, DAY + 1, "m", 1)


def test_a_clock_set_back_opens_no_budget_again() -> None:
    money = accounts(Budget("user", "ann", "day", limit_microusd=10))
    money.hold(ANN, DAY, 10, 0).settle(10, 0)
    assert money.shortage(ANN, DAY - 1, "m", 1)
    assert money.shortage(ANN, DAY, "m", 1)


def test_what_was_spent_before_a_start_counts_in_its_periods() -> None:
    money = Accounts()
    first = period_start("month", DAY)
    money.load([Spend("user", "ann", day, 10, 1) for day in (first - 1, first, DAY)], DAY)
    for period, spent in (("day", 10), ("month", 20), ("total", 30)):
        money.limit([Budget("user", "ann", period, limit_microusd=spent + 1)])
        assert money.shortage(ANN, DAY, "m", 1) == ""
        money.limit([Budget("user", "ann", period, limit_microusd=spent)])
        assert money.shortage(ANN, DAY, "m", 1)


@given(st.integers(0, 60_000))
def test_a_period_holds_its_day_and_ends_where_the_next_begins(day: int) -> None:
    for period in ("day", "month"):
        assert period_start(period, day) <= day
        end = period_end(period, day)
        assert end is not None
        following = day_of(int(end.timestamp() * 1000))
        assert following > day
        assert period_start(period, following) == following
        assert period_start(period, following - 1) == period_start(period, day)


@given(st.integers(1, 600), st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=60))
def test_a_bucket_never_passes_more_than_its_rate_and_one_minute_at_once(limit: int, calls: list) -> None:
    bucket = Bucket(limit, 0.0)
    now_s, passed, largest = 0.0, 0, 0
    for pause_s, need in calls:
        now_s += pause_s
        if bucket.wait_s(need, now_s) == 0:
            bucket.take(need)
            passed += need
            largest = max(largest, need)
    assert passed <= limit + now_s * limit / 60 + largest + 1e-3


@given(st.integers(1, 600), st.integers(1, 2_000))
def test_whoever_waits_as_long_as_told_passes(limit: int, need: int) -> None:
    bucket = Bucket(limit, 5.0)
    assert bucket.wait_s(need, 5.0) == 0
    bucket.take(need)
    wait_s = bucket.wait_s(need, 5.0)
    assert bucket.wait_s(need, 5.0 + wait_s) == 0


def test_what_was_not_used_goes_back_and_no_more_than_fits() -> None:
    bucket = Bucket(100, 0.0)
    bucket.take(100)
    assert bucket.wait_s(50, 0.0) == pytest.approx(30)
    bucket.give(80)
    assert bucket.wait_s(50, 0.0) == 0
    bucket.give(1_000)
    bucket.take(100)
    assert bucket.wait_s(1, 0.0) > 0


def test_a_rate_of_zero_lets_nothing_pass() -> None:
    assert Bucket(0, 0.0).wait_s(1, 1e9) == float("inf")
