"""Slices of budgets in the database, so that processes share them.

A place's budget is used up by what is spent (`spend`) and what processes have of it (`leases`). A process takes more only
in a transaction that has the budget for itself, and what calls cost moves from its slice to what is spent in one step.
So the sum never passes the limit, but for the one call that crosses it.

A slice ends with its process. On one machine the lock on a process's journal tells that it is gone. Elsewhere each
watches the others' beats by its own monotonic clock, and takes one whose beat stood still for `LEASE_S` for gone; that
one has ceased to use its slices before, by its own. No wall clock decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from mohist.gateway.budget import period_start
from mohist.gateway.errors import EvictedError
from mohist.gateway.pot import Known, Pair, Place, Pot, Row
from mohist.gateway.schema import BUDGETS, INSTANCES, LEASES, SPEND

LEASE_S: Final = 120.0
"""A process that the others haven't seen for so long is gone."""
TRUST_S: Final = 90.0
"""A process that could not say for so long that it lives uses its slices no more; less by the longest wait for a server."""
_RATE: Final = "rate"
"""Stands for a subject in the rows that say which keys a process uses."""


def register(db: Connection, instance_id: str) -> None:
    """A process that begins."""
    db.execute(insert(INSTANCES).values(instance_id=instance_id, beat=0))


def beat(db: Connection, instance_id: str) -> None:
    """Says that the process lives; EvictedError when the others took it for gone."""
    row = INSTANCES.c.instance_id == instance_id
    if db.execute(update(INSTANCES).where(row).values(beat=INSTANCES.c.beat + 1)).rowcount != 1:
        raise EvictedError("Other processes took this one for gone.")


def beats(db: Connection) -> dict[str, int]:
    """The beat of every process."""
    return {row.instance_id: row.beat for row in db.execute(select(INSTANCES))}


def evict(db: Connection, instance_id: str, at_beat: int | None = None) -> None:
    """Ends the slices of a process that is gone; with `at_beat` only if that is still its beat."""
    if at_beat is not None:
        row = select(INSTANCES.c.beat).where(INSTANCES.c.instance_id == instance_id)
        if db.dialect.name == "postgresql":
            row = row.with_for_update()
        if db.execute(row).scalar_one_or_none() != at_beat:
            return
    db.execute(delete(LEASES).where(LEASES.c.instance_id == instance_id))
    db.execute(delete(INSTANCES).where(INSTANCES.c.instance_id == instance_id))


def lock(db: Connection, pots: Iterable[Pot]) -> None:
    """Waits until no other process takes of these budgets; until the transaction ends none does."""
    if db.dialect.name != "postgresql":
        return  # a transaction that writes is alone
    columns = (BUDGETS.c.subject, BUDGETS.c.name)
    names = sorted({(pot.budget.subject, pot.budget.name) for pot in pots})
    # In one order for all, or two would wait for each other.
    db.execute(
        select(BUDGETS.c.period).where(tuple_(*columns).in_(names)).order_by(*BUDGETS.primary_key).with_for_update()
    )


def look(db: Connection, instance_id: str, pots: Sequence[Pot]) -> dict[Place, Known]:
    """What is known of each pot's place, as of one moment."""
    names = sorted({(pot.budget.subject, pot.budget.name) for pot in pots})
    lease, spend = LEASES.c, SPEND.c
    leased = (
        select(
            lease.subject,
            lease.name,
            lease.period,
            lease.start,
            *(func.sum(lease[name]) for name in ("microusd", "tokens", "slack_microusd", "slack_tokens")),
        )
        .where(lease.instance_id != instance_id, tuple_(lease.subject, lease.name).in_(names))
        .group_by(lease.subject, lease.name, lease.period, lease.start)
    )
    parts: list[Select[Any]] = [leased]
    dated = [pot.start for pot in pots if pot.budget.period != "total"]
    mine = tuple_(spend.subject, spend.name).in_(names)
    if dated:
        columns = (
            spend.subject,
            spend.name,
            literal(""),
            spend.day,
            spend.microusd,
            spend.tokens,
            literal(0),
            literal(0),
        )
        parts.append(select(*columns).where(mine, spend.day >= min(dated)))
    if len(dated) < len(pots):
        sums = (func.sum(spend.microusd), func.sum(spend.tokens), literal(0), literal(0))
        totals = select(spend.subject, spend.name, literal("all"), literal(0), *sums)
        parts.append(totals.where(mine).group_by(spend.subject, spend.name))
    # One statement: what moves from a slice to what is spent meanwhile must be seen in exactly one of them.
    rows = db.execute(union_all(*parts)).all()
    others: dict[tuple[str, str, str, int], tuple[int, ...]] = {}
    days: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    whole: dict[tuple[str, str], Pair] = {}
    for subject, name, period, start, *amounts in rows:
        microusd, tokens, *slack = map(int, amounts)
        if period == "":
            days.setdefault((subject, name), []).append((start, microusd, tokens))
        elif period == "all":
            whole[subject, name] = (microusd, tokens)
        else:
            others[subject, name, period, start] = (microusd, tokens, *slack)
    known = {}
    for pot in pots:
        subject, name, period, start = pot.place
        if period == "total":
            spent = whole.get((subject, name), (0, 0))
        else:
            inside = [day for day in days.get((subject, name), ()) if period_start(period, day[0]) == start]
            spent = (sum(day[1] for day in inside), sum(day[2] for day in inside))
        microusd, tokens, *slack = others.get(pot.place, (0, 0, 0, 0))
        known[pot.place] = Known(spent, (microusd, tokens), (slack[0], slack[1]))
    return known


def processes(db: Connection) -> int:
    """How many take calls."""
    return db.execute(select(func.count()).select_from(INSTANCES)).scalar_one()


def write(db: Connection, instance_id: str, rows: Iterable[Row]) -> None:
    """What this process has of each place."""
    values = [
        {
            "instance_id": instance_id,
            "subject": row.place[0],
            "name": row.place[1],
            "period": row.place[2],
            "start": row.place[3],
            "microusd": row.taken[0],
            "tokens": row.taken[1],
            "slack_microusd": row.slack[0],
            "slack_tokens": row.slack[1],
        }
        for row in sorted(rows, key=lambda row: row.place)
    ]
    if not values:
        return
    adding = (postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert)(LEASES)
    changed = {name: adding.excluded[name] for name in ("microusd", "tokens", "slack_microusd", "slack_tokens")}
    db.execute(adding.on_conflict_do_update(index_elements=list(LEASES.primary_key), set_=changed), values)


def erase(db: Connection, instance_id: str, places: Iterable[Place]) -> None:
    """What this process has no more."""
    values = [{"at_subject": p[0], "at_name": p[1], "at_period": p[2], "at_start": p[3]} for p in sorted(places)]
    if values:
        db.execute(delete(LEASES).where(*_at(instance_id)), values)


def use(db: Connection, instance_id: str, keys: Iterable[str], unused: Iterable[str]) -> None:
    """Says which keys with a rate this process uses, and which no more."""
    write(db, instance_id, [Row((_RATE, key_id, "total", 0), (0, 0), (0, 0)) for key_id in keys])
    erase(db, instance_id, [(_RATE, key_id, "total", 0) for key_id in unused])


def users(db: Connection, keys: Iterable[str]) -> dict[str, int]:
    """How many processes use each key."""
    mine = (LEASES.c.subject == _RATE, LEASES.c.name.in_(sorted(keys)))
    rows = db.execute(select(LEASES.c.name, func.count()).where(*mine).group_by(LEASES.c.name))
    return {name: int(count) for name, count in rows}


def _at(instance_id: str) -> tuple[ColumnElement[bool], ...]:
    names = ("subject", "name", "period", "start")
    return (LEASES.c.instance_id == instance_id, *(LEASES.c[name] == bindparam(f"at_{name}") for name in names))
