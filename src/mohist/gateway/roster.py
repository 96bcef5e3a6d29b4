"""Keys, budgets and changes in pages, for whoever looks after a gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, case, func, or_, select, tuple_

from mohist.gateway.budget import Budget, period_start
from mohist.gateway.change import Change
from mohist.gateway.database import Session
from mohist.gateway.key import Key
from mohist.gateway.schema import BUDGETS, CHANGES, KEYS, SPEND
from mohist.gateway.store import budget_of, key_of

Status = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys are meant; what is empty is not asked about."""

    user: str = ""
    project: str = ""
    team: str = ""
    role: str = ""
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget with what was charged to it in the period that runs now."""

    budget: Budget
    microusd: int
    tokens: int


def key_page(session: Session, chosen: KeyFilter, now_ms: int, after: tuple[int, str] | None, limit: int) -> list[Key]:
    """Keys, oldest first.

    Args:
        session: the database.
        chosen: which.
        now_ms: for what has expired.
        after: when the last key of the page before was made, and its id.
        limit: at most so many.
    """
    key = KEYS.c
    clauses = [key[name] == value for name in ("user", "project", "team") if (value := getattr(chosen, name))]
    if chosen.role:
        # The list is kept as JSON.
        clauses.append(func.replace(key.roles, f'"{chosen.role}"', "") != key.roles)
    if chosen.status is not None:
        clauses.append(_has_status(chosen.status, now_ms))
    if after is not None:
        made_ms, key_id = after
        clauses.append(or_(key.created_at_ms > made_ms, and_(key.created_at_ms == made_ms, key.key_id > key_id)))
    query = select(KEYS).where(*clauses).order_by(key.created_at_ms, key.key_id).limit(limit)
    with session.transaction(write=False) as db:
        return [key_of(row._mapping) for row in db.execute(query)]


def budget_page(
    session: Session, subject: str, name: str, today: int, after: tuple[str, str, str] | None, limit: int
) -> list[Spent]:
    """Budgets with what is spent of them, by subject, name and period.

    Args:
        session: the database.
        subject: `key`, `user`, `project` or `team`; empty: all.
        name: of the subject; empty: all.
        today: the UTC day.
        after: the last one of the page before.
        limit: at most so many.
    """
    budget = BUDGETS.c
    clauses: list[ColumnElement[bool]] = []
    if subject:
        clauses.append(budget.subject == subject)
    if name:
        clauses.append(budget.name == name)
    if after is not None:
        clauses.append(tuple_(budget.subject, budget.name, budget.period) > after)
    query = select(BUDGETS).where(*clauses).order_by(budget.subject, budget.name, budget.period).limit(limit)
    with session.transaction(write=False) as db:
        found = [budget_of(row) for row in db.execute(query)]
        spent = _spent(db, found, today)
    return [Spent(one, *spent.get((one.subject, one.name, one.period), (0, 0))) for one in found]


def budget_spent(session: Session, subject: str, name: str, period: str, today: int) -> Spent | None:
    """One budget with what is spent of it; None when there is none."""
    budget = BUDGETS.c
    query = select(BUDGETS).where(budget.subject == subject, budget.name == name, budget.period == period)
    with session.transaction(write=False) as db:
        row = db.execute(query).first()
        if row is None:
            return None
        found = budget_of(row)
        return Spent(found, *_spent(db, [found], today).get((subject, name, period), (0, 0)))


def change_page(
    session: Session, subject: str, name: str, after: int | None, limit: int, *, newest_first: bool
) -> list[Change]:
    """Changes of keys and budgets, by their number."""
    change = CHANGES.c
    clauses: list[ColumnElement[bool]] = []
    if subject:
        clauses.append(change.subject == subject)
    if name:
        clauses.append(change.name == name)
    if after is not None:
        clauses.append(change.number < after if newest_first else change.number > after)
    order = change.number.desc() if newest_first else change.number
    with session.transaction(write=False) as db:
        rows = db.execute(select(CHANGES).where(*clauses).order_by(order).limit(limit)).mappings()
        return [Change(**{**row, "detail": json.loads(row["detail"])}) for row in rows]


def _has_status(status: Status, now_ms: int) -> ColumnElement[bool]:
    key = KEYS.c
    if status == "revoked":
        return key.revoked_at_ms.is_not(None)
    if status == "expired":
        return key.revoked_at_ms.is_(None) & (key.expires_at_ms <= now_ms)
    return key.revoked_at_ms.is_(None) & (key.expires_at_ms.is_(None) | (key.expires_at_ms > now_ms))


def _spent(db: Any, budgets: Sequence[Budget], today: int) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Money and tokens in the running periods, by subject, name and period."""
    if not budgets:
        return {}
    starts = {budget.period: period_start(budget.period, today) for budget in budgets}
    spend = SPEND.c
    sums = []
    for start in starts.values():
        sums += [func.sum(case((spend.day >= start, column), else_=0)) for column in (spend.microusd, spend.tokens)]
    places = {(budget.subject, budget.name) for budget in budgets}
    query = (
        select(spend.subject, spend.name, *sums)
        .where(tuple_(spend.subject, spend.name).in_(places), spend.day >= min(starts.values()))
        .group_by(spend.subject, spend.name)
    )
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for subject, name, *amounts in db.execute(query):
        for index, period in enumerate(starts):
            found[subject, name, period] = int(amounts[2 * index] or 0), int(amounts[2 * index + 1] or 0)
    return found
