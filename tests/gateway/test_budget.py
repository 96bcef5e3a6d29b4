"""Budgets and rates: pure arithmetic that must hold in every order of events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.gateway.budget import Budget, day_of, period_end, period_start
from mohist.gateway.call import Principal
from mohist.gateway.pot import Hold, Known, Pair, Place, Pots, Row, moving
from mohist.gateway.rate import Bucket

ANN = Principal("key-1", "ann", "shop", "core")
DAY = day_of(int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000))


class Table:
    """The database's sums and slices, kept in memory: what processes have of each place, and what is spent."""

    def __init__(self) -> None:
        self.spent: dict[Place, Pair] = {}
        self.taken: dict[tuple[int, Place], Row] = {}

    def known(self, process: int, place: Place) -> Known:
        others = [row for (name, at), row in self.taken.items() if name != process and at == place]
        return Known(
            self.spent.get(place, (0, 0)),
            (sum(row.taken[0] for row in others), sum(row.taken[1] for row in others)),
            (sum(row.slack[0] for row in others), sum(row.slack[1] for row in others)),
        )


class Process:
    """One process with its slices; what the clerk does, without a database."""

    def __init__(self, *budgets: Budget, table: Table | None = None, number: int = 0, count: int = 1) -> None:
        self.pots = Pots()
        self.pots.limit(budgets)
        self.table = table or Table()
        self.number, self.count = number, count

    def limit(self, *budgets: Budget) -> None:
        self.pots.limit(budgets)

    def shortage(self, principal: Principal, day: int, model: str, amount: int | None, tokens: int = 0) -> str:
        """Why a call is refused once the database was asked; empty when it passes."""
        for _ in range(3):
            lack = self.pots.lack(principal, day, model, amount, tokens, 0.0)
            if isinstance(lack, str):
                return lack
            self.renew([(amount or 0, tokens)])
        return self.pots.refusal(lack[0], day, (amount or 0, tokens))

    def hold(self, principal: Principal, day: int, amount: int, tokens: int) -> Hold:
        return self.pots.hold(principal, day, amount, tokens)

    def save(self, *holds: Hold) -> None:
        """Usage reaches the database."""
        for row, _ in moving(holds):
            self.table.taken[self.number, row.place] = row
        for hold in holds:
            for pot in hold.pots:
                money, tokens = self.table.spent.get(pot.place, (0, 0))
                self.table.spent[pot.place] = (money + hold.amounts[0], tokens + hold.amounts[1])
        self.pots.saved(holds)

    def renew(self, waiting: list[Pair] | None = None) -> None:
        for pot in self.pots.all():
            row = pot.propose(self.table.known(self.number, pot.place), self.count, waiting or [])
            if row is not None:
                self.table.taken[self.number, row.place] = row
            pot.confirm(row)


def accounts(*budgets: Budget) -> Process:
    return Process(*budgets)


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


def free(process: Process) -> int:
    """The largest call that passes without a look at the database."""
    [pot] = process.pots.all()
    return next((amount for amount in range(20_000, -1, -1) if not pot.lacks((amount, 0))), 0)


def test_a_slice_holds_the_same_when_the_database_learns_what_calls_cost() -> None:
    process = Process(Budget("user", "ann", "day", limit_microusd=10_000))
    assert process.shortage(ANN, DAY, "m", 100) == ""
    assert free(process) == 5_000
    hold = process.hold(ANN, DAY, 100, 0)
    assert free(process) == 4_900
    hold.settle(40, 0)
    assert free(process) == 4_960
    process.save(hold)
    assert free(process) == 4_960


def test_a_process_that_was_taken_for_gone_has_no_slice_and_asks_anew() -> None:
    budget, table = Budget("user", "ann", "day", limit_microusd=10_000), Table()
    one, two = (Process(budget, table=table, number=number, count=2) for number in range(2))
    assert one.shortage(ANN, DAY, "m", 100) == ""
    one.hold(ANN, DAY, 100, 0)
    table.taken.clear()
    while not two.shortage(ANN, DAY, "m", 100):
        two.hold(ANN, DAY, 100, 0)
    for pot in one.pots.all():
        pot.forget()
    assert free(one) == 0
    assert one.shortage(ANN, DAY, "m", 1)


# What one of three processes does: (which, what, largest cost, part of it that it costs).
MOVES = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["call", "call", "call", "settle", "settle", "save", "renew"]),
        st.integers(0, 1_000),
        st.floats(0, 1),
    ),
    max_size=120,
)


@given(limit=st.integers(0, 5_000), moves=MOVES)
def test_several_processes_together_never_overdraw_by_more_than_one_call(limit: int, moves: list) -> None:
    table = Table()
    budget = Budget("user", "ann", "month", limit_microusd=limit)
    three = [Process(budget, table=table, number=number, count=3) for number in range(3)]
    open_calls: list[list[tuple[Hold, int]]] = [[], [], []]
    settled: list[list[Hold]] = [[], [], []]
    spent, largest = 0, 0
    for which, what, most, part in moves:
        process = three[which]
        if what == "call" and not process.shortage(ANN, DAY, "m", most):
            open_calls[which].append((process.hold(ANN, DAY, most, 0), int(most * part)))
            largest = max(largest, most)
        elif what == "settle" and open_calls[which]:
            hold, cost = open_calls[which].pop(most % len(open_calls[which]))
            hold.settle(cost, 0)
            settled[which].append(hold)
            spent += cost
        elif what == "save":
            process.save(*settled[which])
            settled[which].clear()
        elif what == "renew":
            process.renew()
        held = sum(hold.amounts[0] for calls in open_calls for hold, _ in calls)
        assert spent + held < limit + largest or spent + held == 0
    for which, process in enumerate(three):
        for hold, cost in open_calls[which]:
            hold.settle(cost, 0)
            settled[which].append(hold)
        process.save(*settled[which])
        process.renew()
    # Nothing is left behind: what none of them needs goes to who asks.
    for _ in range(12):
        for process in three:
            process.renew()
    total = sum(money for money, _ in table.spent.values())
    assert bool(three[0].shortage(ANN, DAY, "m", 1)) == (total >= limit)


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
