"""Budgets: room that is held before a call and replaced by what the call cost after it.

Pure and in memory. Order of use: `load` once, `limit` as often as budgets change; then for each call `shortage`, and
when it says nothing, `hold` and later exactly one `settle`. The caller makes `shortage` and `hold` one step.

A call passes while what is spent and held is below the limit. So a budget is never overdrawn by more than the one call
that crossed it, in whatever order parallel calls come and end, as long as no call costs more than was held for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, get_args

from mohist.gateway.call import CallRecord, Principal, Reservation

Period = Literal["day", "month", "total"]
Subject = Literal["key", "user", "project", "team"]
"""What a budget is of."""

PERIODS: Final[tuple[Period, ...]] = get_args(Period)
SUBJECTS: Final[tuple[Subject, ...]] = get_args(Subject)
_ADJECTIVES: Final = {"day": "daily", "month": "monthly", "total": "total"}
_DAY_MS: Final = 86_400_000
# What an answer without a limit may come to; the larger of today's coding clients ask for this much.
UNLIMITED_OUTPUT_TOKENS: Final = 32_000
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on money, tokens or both, for one subject and period (UTC)."""

    subject: Subject
    name: str
    """Key id, user, project or team."""
    period: Period
    limit_microusd: int | None = None
    limit_tokens: int | None = None
    allow_unpriced: bool = False
    """Let calls of models without a known price pass a money budget uncounted, so that only tokens bound them."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What one subject used up on one day."""

    subject: Subject
    name: str
    day: int
    microusd: int
    tokens: int


class _Count:
    """One subject's use in one period; a new period gets a new count, calls on their way settle on the old one."""

    __slots__ = ("held_microusd", "held_tokens", "spent_microusd", "spent_tokens", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.spent_microusd = 0
        self.spent_tokens = 0
        self.held_microusd = 0
        self.held_tokens = 0


class Hold:
    """Room held for one call."""

    __slots__ = ("_counts", "amount_microusd", "day", "tokens")

    def __init__(self, counts: list[_Count], day: int, amount_microusd: int, tokens: int) -> None:
        self._counts = counts
        self.day = day
        """The UTC day the call counts on, however long it takes."""
        self.amount_microusd = amount_microusd
        self.tokens = tokens

    def settle(self, amount_microusd: int, tokens: int) -> None:
        """Replaces what was held by what was used; once."""
        counts, self._counts = self._counts, []
        for count in counts:
            count.held_microusd -= self.amount_microusd
            count.held_tokens -= self.tokens
            count.spent_microusd += amount_microusd
            count.spent_tokens += tokens


class Accounts:
    """What every key, user, project and team has spent and holds, against their budgets."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Subject, str], list[_Count]] = {}
        self._budgets: dict[tuple[Subject, str], tuple[Budget, ...]] = {}

    def load(self, spends: Iterable[Spend], today: int) -> None:
        """Takes over what was spent before this process started."""
        for spend in spends:
            for count, period in zip(self._of((spend.subject, spend.name), today), PERIODS, strict=True):
                if period_start(period, spend.day) == count.start:
                    count.spent_microusd += spend.microusd
                    count.spent_tokens += spend.tokens

    def limit(self, budgets: Iterable[Budget]) -> None:
        """Replaces all budgets; what was spent and held stays."""
        grouped: dict[tuple[Subject, str], tuple[Budget, ...]] = {}
        for budget in budgets:
            place = (budget.subject, budget.name)
            grouped[place] = (*grouped.get(place, ()), budget)
        self._budgets = grouped

    def shortage(self, principal: Principal, day: int, model: str, amount_microusd: int | None) -> str:
        """Which budget has no room for one more call, for people; empty when all have.

        Args:
            principal: who calls.
            day: the UTC day, counted from the epoch.
            model: for the message alone.
            amount_microusd: the call's largest cost; None: no price is known.
        """
        budgets = self._budgets
        for place in _places(principal):
            limits = budgets.get(place)
            if limits is None:
                continue
            counts = self._of(place, day)
            for budget in limits:
                if budget.limit_microusd is not None and amount_microusd is None and not budget.allow_unpriced:
                    return _unpriced(budget, model)
                count = counts[PERIODS.index(budget.period)]
                money, tokens = budget.limit_microusd, budget.limit_tokens
                # A limit of zero lets nothing pass; any other lets the call pass that crosses it.
                if money is not None and count.spent_microusd + count.held_microusd >= money:
                    return _used_up(budget, day, _money(count.spent_microusd), _money(count.held_microusd), _money(money))  # fmt: skip
                if tokens is not None and count.spent_tokens + count.held_tokens >= tokens:
                    return _used_up(budget, day, f"{count.spent_tokens:,}", f"{count.held_tokens:,}", f"{tokens:,} tokens")  # fmt: skip
        return ""

    def hold(self, principal: Principal, day: int, amount_microusd: int, tokens: int) -> Hold:
        """Keeps room free on all accounts the call counts on, those without a budget too."""
        counts = [count for place in _places(principal) for count in self._of(place, day)]
        for count in counts:
            count.held_microusd += amount_microusd
            count.held_tokens += tokens
        return Hold(counts, day, amount_microusd, tokens)

    def _of(self, place: tuple[Subject, str], day: int) -> list[_Count]:
        """Day, month and total of one subject, renewed when their period is over."""
        counts = self._counts.get(place)
        if counts is None:
            counts = self._counts[place] = [_Count(period_start(period, day)) for period in PERIODS]
        elif day > counts[0].start:
            # Never backwards: a clock that is set back must not open yesterday's budget again.
            for index, period in enumerate(PERIODS):
                start = period_start(period, day)
                if start > counts[index].start:
                    counts[index] = _Count(start)
        return counts


def charge(reservation: Reservation, record: CallRecord) -> tuple[int, int]:
    """What budgets are charged for a finished call: money and tokens."""
    usage = record.usage
    if usage is None:
        # Nobody answered, or with an error: vendors bill neither. Else it was billed and not said how much.
        free = not record.upstream or record.status >= 400
        return (record.cost_microusd or 0, 0) if free else (reservation.amount_microusd, reservation.tokens)
    amount = reservation.amount_microusd if record.cost_microusd is None else record.cost_microusd
    return amount, usage.prompt_tokens + usage.output_tokens


def day_of(at_ms: int) -> int:
    """The UTC day of a moment, counted from the epoch."""
    return at_ms // _DAY_MS


@lru_cache(maxsize=256)
def period_start(period: Period, day: int) -> int:
    """First day of the period that `day` lies in; 0 for the total."""
    if period == "day":
        return day
    if period == "total":
        return 0
    return day - (_EPOCH + timedelta(days=day)).day + 1


def period_end(period: Period, day: int) -> datetime | None:
    """When the period is over; None: never."""
    if period == "total":
        return None
    last = _EPOCH + timedelta(days=day)
    after = last + timedelta(days=1)
    if period == "month":
        after = (last.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime(after.year, after.month, after.day, tzinfo=UTC)


def subjects_of(principal: Principal) -> list[tuple[Subject, str]]:
    """The accounts a call of `principal` counts on."""
    return _places(principal)


def _places(principal: Principal) -> list[tuple[Subject, str]]:
    places: list[tuple[Subject, str]] = [("key", principal.key_id), ("user", principal.user)]
    if principal.project:
        places.append(("project", principal.project))
    if principal.team:
        places.append(("team", principal.team))
    return places


def _used_up(budget: Budget, day: int, spent: str, held: str, limit: str) -> str:
    end = period_end(budget.period, day)
    until = "It does not renew." if end is None else f"It renews at {end:%Y-%m-%d %H:%M} UTC."
    return (
        f"The {_ADJECTIVES[budget.period]} budget of {budget.subject} {budget.name!r} has no room: "
        f"{spent} spent and {held} held by calls under way, of {limit}. {until}"
    )


def _unpriced(budget: Budget, model: str) -> str:
    return (
        f"No price is known for model {model!r}, so the {_ADJECTIVES[budget.period]} budget of {budget.subject} "
        f"{budget.name!r} can't be kept. Configure its price, or let the budget pass models without one."
    )


def _money(microusd: int) -> str:
    return f"${microusd / 1e6:,.2f}" if microusd % 10_000 == 0 else f"${microusd / 1e6:,.4f}"
