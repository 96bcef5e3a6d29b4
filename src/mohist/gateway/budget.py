"""Budgets: limits on money and tokens by subject and period. Pure; what a process may put on one is a `pot.Pot`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, get_args

from mohist.gateway.call import Principal

Period = Literal["day", "month", "total"]
Subject = Literal["key", "user", "project", "team"]
"""What a budget is of."""

PERIODS: Final[tuple[Period, ...]] = get_args(Period)
SUBJECTS: Final[tuple[Subject, ...]] = get_args(Subject)
_ADJECTIVES: Final = {"day": "daily", "month": "monthly", "total": "total"}
_DAY_MS: Final = 86_400_000
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
    places: list[tuple[Subject, str]] = [("key", principal.key_id), ("user", principal.user)]
    if principal.project:
        places.append(("project", principal.project))
    if principal.team:
        places.append(("team", principal.team))
    return places


def used_up(budget: Budget, day: int, spent: int, held: int, limit: int, *, money: bool) -> str:
    """For who has no room: which budget, how much of how much, until when."""
    end = period_end(budget.period, day)
    until = "It does not renew." if end is None else f"It renews at {end:%Y-%m-%d %H:%M} UTC."
    shown = _money if money else _tokens
    unit = "" if money else " tokens"
    return (
        f"The {_ADJECTIVES[budget.period]} budget of {budget.subject} {budget.name!r} has no room: "
        f"{shown(spent)} spent and {shown(held)} held by calls under way, of {shown(limit)}{unit}. {until}"
    )


def unpriced(budget: Budget, model: str) -> str:
    """For who calls a model that no money budget can count."""
    return (
        f"No price is known for model {model!r}, so the {_ADJECTIVES[budget.period]} budget of {budget.subject} "
        f"{budget.name!r} can't be kept. Configure its price, or let the budget pass models without one."
    )


def _money(microusd: int) -> str:
    return f"${microusd / 1e6:,.2f}" if microusd % 10_000 == 0 else f"${microusd / 1e6:,.4f}"


def _tokens(count: int) -> str:
    return f"{count:,}"
