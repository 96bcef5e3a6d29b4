"""Budgets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, StringConstraints

from mohist.admin.fault import FaultError
from mohist.admin.issue import SOUGHT_PATTERN, budget_row
from mohist.admin.operation.key import IfMatch
from mohist.admin.shape import (
    AFTER,
    Asked,
    Name,
    Page,
    Period,
    Sought,
    Subject,
    Told,
    Whole,
    check_match,
    tag,
)
from mohist.admin.turn import CHANGES, READS, Here, Operation
from mohist.gateway.budget import Budget, day_of, period_end
from mohist.gateway.roster import Spent, budget_page, budget_spent

router = APIRouter(route_class=Operation, tags=["budgets"])
PATH = "/budgets/{subject}/{period}/{name:path}"
_PLACE = f"^((key|user|project|team):(day|month|total):{SOUGHT_PATTERN[1:-1]})?$"
NameHere = Annotated[Name, Path(description="Key id, user, project or team.", examples=["ann"])]


class Limits(Asked):
    """What may be used up in a period; null: no limit on that."""

    limit_microusd: Whole | None = Field(None, description="Millionths of a US dollar.", examples=[50_000_000])
    limit_tokens: Whole | None = None
    allow_unpriced: bool = Field(False, description="Let models without a known price pass the money limit.")


class ShownBudget(Told):
    """A budget, and what was charged to it in the period that runs now; calls under way are not in it."""

    subject: Subject
    name: str
    period: Period
    limit_microusd: int | None
    limit_tokens: int | None
    allow_unpriced: bool
    spent_microusd: int
    spent_tokens: int
    renews_at: str | None = Field(description="When the period is over; null: never.")


class BudgetPage(Told):
    data: list[ShownBudget]
    next: str | None = Field(description="Say it as `after` for the next page; null: this is the last.")


class BudgetSearch(Page):
    after: Annotated[str, StringConstraints(pattern=_PLACE)] = Field("", description=AFTER)
    subject: Subject | None = None
    name: Sought = ""


@router.get("/budgets", summary="List budgets", response_model=BudgetPage, **READS)
def list_budgets(here: Here, asked: Annotated[BudgetSearch, Query()]) -> BudgetPage:
    """By subject, name and period, those of keys too."""
    today = day_of(here.desk.clock.now_ms())
    subject, period, name = asked.after.split(":", 2) if asked.after else ("", "", "")
    with here.desk.reading() as session:
        found = budget_page(
            session,
            asked.subject or "",
            asked.name,
            today,
            (subject, name, period) if subject else None,
            asked.limit + 1,
        )
    last = found[asked.limit - 1].budget if len(found) > asked.limit else None
    cursor = None if last is None else f"{last.subject}:{last.period}:{last.name}"
    return BudgetPage(data=[_shown(one, today) for one in found[: asked.limit]], next=cursor)


@router.get(PATH, summary="Show a budget", response_model=ShownBudget, **READS)
def show_budget(here: Here, subject: Subject, period: Period, name: NameHere, response: Response) -> ShownBudget:
    """Its ETag is of the limits, not of what was spent."""
    today = day_of(here.desk.clock.now_ms())
    with here.desk.reading() as session:
        found = budget_spent(session, subject, name, period, today)
    if found is None:
        raise FaultError(404, "There is no such budget.")
    response.headers["etag"] = tag(budget_row(found.budget))
    return _shown(found, today)


@router.put(PATH, summary="Make or replace a budget", response_model=ShownBudget, **CHANGES)
def set_budget(
    here: Here,
    subject: Subject,
    period: Period,
    name: NameHere,
    asked: Limits,
    response: Response,
    if_match: IfMatch = None,
) -> ShownBudget:
    """Running servers follow within a second. What was spent in the period counts."""
    today = day_of(here.desk.clock.now_ms())
    budget = Budget(subject, name, period, asked.limit_microusd, asked.limit_tokens, asked.allow_unpriced)
    with here.desk.writing(here.who) as store:
        store.set_budget(budget, lambda before: check_match(if_match, before and budget_row(before)))
        found = budget_spent(store, subject, name, period, today) or Spent(budget, 0, 0)
    response.headers["etag"] = tag(budget_row(found.budget))
    return _shown(found, today)


@router.delete(PATH, summary="Take a budget away", status_code=204, response_class=Response, **CHANGES)
def remove_budget(here: Here, subject: Subject, period: Period, name: NameHere, if_match: IfMatch = None) -> None:
    """What was spent stays on record."""
    with here.desk.writing(here.who) as store:
        store.remove_budget(subject, name, period, lambda before: check_match(if_match, budget_row(before)))


def _shown(spent: Spent, today: int) -> ShownBudget:
    end = period_end(spent.budget.period, today)
    return ShownBudget(
        **budget_row(spent.budget),
        spent_microusd=spent.microusd,
        spent_tokens=spent.tokens,
        renews_at=None if end is None else _utc(end),
    )


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
