"""What the store asks of a connection inside a transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, desc, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mohist.delivery.errors import ConflictError, UnknownDeliveryError
from mohist.delivery.machine import LOOK
from mohist.delivery.row import Row, decision_of, delivery_of, gate_of, plan_of, row_of, spec_of, value_of
from mohist.delivery.schema import DECISIONS, DELIVERIES, GATES, PLANS, RELEASES, SPECS, SPENDINGS, STAGE_ROWS
from mohist.delivery.state import STAGES, Decision, Delivery, Facts, Gate, Plan, Release, Spec, StageRow


def unknown_delivery(delivery_id: str) -> UnknownDeliveryError:
    """The error that says so."""
    return UnknownDeliveryError(f"There is no delivery {delivery_id!r}.", "`mohist deliver list` shows them.")


def rows_of(db: Connection, query: Any) -> Sequence[Row]:
    """What a query finds, columns by name."""
    found: Sequence[Row] = db.execute(query).mappings().all()
    return found


def held_delivery(db: Connection, delivery_id: str) -> Delivery:
    """The delivery; on PostgreSQL nobody else changes it before this transaction ends (on SQLite: nobody anything)."""
    query = select(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery_id).with_for_update()
    row = db.execute(query).mappings().first()
    if row is None:
        raise unknown_delivery(delivery_id)
    return delivery_of(row)


def columns_of(delivery: Delivery) -> Row:
    """The columns of a delivery."""
    look = delivery.options.get(LOOK)
    return {**row_of(delivery), "look_at_ms": int(look["at_ms"]) if look else None}


def write_delivery(db: Connection, before: Delivery, after: Delivery) -> Delivery:
    """Writes a held delivery that was changed, and counts; what did not change is not written.

    Raises:
        ConflictError: the change began from another revision.
    """
    if after == before:
        return before
    if (after.delivery_id, after.revision) != (before.delivery_id, before.revision):
        raise ConflictError(f"Delivery {before.delivery_id!r} was changed by somebody else.", "Look, and say it again.")
    after = dataclasses.replace(after, revision=before.revision + 1)
    mine = and_(DELIVERIES.c.delivery_id == before.delivery_id, DELIVERIES.c.revision == before.revision)
    if db.execute(update(DELIVERIES).where(mine).values(columns_of(after))).rowcount != 1:
        raise ConflictError(f"Delivery {before.delivery_id!r} was changed by somebody else.", "Look, and say it again.")
    return after


def _insert(db: Connection, table: Table) -> Any:
    return (postgresql if db.dialect.name == "postgresql" else sqlite).insert(table)


def add_row(db: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Adds a row where there is none of its key; whether it did."""
    # What PostgreSQL's driver counts for such an insert is not told; the row that came to be is.
    query = _insert(db, table).values(**row).on_conflict_do_nothing().returning(*table.primary_key)
    return db.execute(query).first() is not None


def put_row(db: Connection, table: Table, row: Mapping[str, Any], keep: Sequence[str] = ()) -> None:
    """Adds a row, or changes the one of its key but for the columns `keep`."""
    key = [column.name for column in table.primary_key]
    fresh = {name: value for name, value in row.items() if name not in key and name not in keep}
    db.execute(_insert(db, table).values(**row).on_conflict_do_update(index_elements=key, set_=fresh))


def next_number(db: Connection, table: Table, delivery_id: str) -> int:
    """The next number; safe while the delivery is held."""
    query = select(func.max(table.c.number)).where(table.c.delivery_id == delivery_id)
    return (db.execute(query).scalar() or 0) + 1


def close_gates(db: Connection, gate_ids: Sequence[str], **values: Any) -> None:
    """Makes gates a matter of record."""
    if gate_ids:
        db.execute(update(GATES).where(GATES.c.gate_id.in_(gate_ids)).values(closed=True, **values))


def revise_gate(db: Connection, gate: Gate) -> None:
    """Writes whom an open gate needs and what is told of it."""
    row = row_of(gate)
    values = {name: row[name] for name in ("needs", "four_eyes", "facts")}
    db.execute(update(GATES).where(GATES.c.gate_id == gate.gate_id, GATES.c.status == "open").values(values))


def add_version(db: Connection, table: Table, delivery_id: str, value: Spec | Plan) -> bool:
    """Adds the next version; whether it did: the newest's digest again adds none."""
    query = select(table.c.version, table.c.digest).where(table.c.delivery_id == delivery_id)
    newest = db.execute(query.order_by(desc("version")).limit(1)).first()
    if newest is not None and newest.digest == value.digest:
        return False
    if value.version != (newest.version if newest is not None else 0) + 1:
        raise ConflictError(
            f"Version {value.version} of the {type(value).__name__.lower()} of {delivery_id!r} does not follow the newest.",
            "Somebody else changed it; look, and say it again.",
        )
    db.execute(insert(table).values({"delivery_id": delivery_id, **row_of(value)}))
    return True


def withdraw_older(db: Connection, delivery_id: str, kind: str, digest: str) -> None:
    """Takes back the question about what a new version replaces."""
    older = and_(GATES.c.delivery_id == delivery_id, GATES.c.kind == kind, GATES.c.digest != digest)
    db.execute(update(GATES).where(older, GATES.c.status == "open").values(status="withdrawn", closed=True))


def read_facts(db: Connection, delivery: Delivery) -> Facts:
    """All that decides what comes next."""
    delivery_id = delivery.delivery_id
    return Facts(
        delivery,
        tuple(read_stages(db, delivery_id)),
        tuple(read_gates(db, delivery_id)),
        read_spec(db, delivery_id),
        read_plan(db, delivery_id),
        tuple(read_releases(db, delivery_id)),
    )


def read_spec(db: Connection, delivery_id: str, version: int = 0) -> Spec | None:
    """A version of the spec; 0: the newest."""
    query = select(SPECS).where(SPECS.c.delivery_id == delivery_id).order_by(desc("version")).limit(1)
    rows = rows_of(db, query.where(SPECS.c.version == version) if version else query)
    return spec_of(rows[0]) if rows else None


def read_plan(db: Connection, delivery_id: str) -> Plan | None:
    """The newest plan."""
    rows = rows_of(db, select(PLANS).where(PLANS.c.delivery_id == delivery_id).order_by(desc("version")).limit(1))
    return plan_of(rows[0]) if rows else None


def read_stages(db: Connection, delivery_id: str) -> list[StageRow]:
    """All rows by attempt and stage, each with what its runs cost."""
    cost, tokens = func.sum(SPENDINGS.c.cost_microusd), func.sum(SPENDINGS.c.tokens)
    unpriced = func.count(SPENDINGS.c.held_microusd)
    paid = select(SPENDINGS.c.stage, SPENDINGS.c.attempt, cost, tokens, unpriced)
    paid = paid.where(SPENDINGS.c.delivery_id == delivery_id)
    # PostgreSQL sums whole numbers as decimals.
    sums: dict[tuple[str, int], dict[str, Any]] = {
        (stage, attempt): {"cost_microusd": int(paid_microusd), "tokens": int(used), "unpriced": int(unknown)}
        for stage, attempt, paid_microusd, used, unknown in db.execute(paid.group_by("stage", "attempt"))
    }
    rows = [
        dataclasses.replace(row, **sums.get((row.stage, row.attempt), {}))
        for row in (
            value_of(StageRow, found)
            for found in rows_of(db, select(STAGE_ROWS).where(STAGE_ROWS.c.delivery_id == delivery_id))
        )
    ]
    return sorted(rows, key=lambda row: (row.attempt, STAGES.index(row.stage)))


def read_gates(db: Connection, delivery_id: str) -> list[Gate]:
    """All gates as they were opened, with their decisions."""
    mine = GATES.c.delivery_id == delivery_id
    said: dict[str, list[Decision]] = {}
    query = select(DECISIONS).join(GATES, DECISIONS.c.gate_id == GATES.c.gate_id).where(mine)
    for row in rows_of(db, query.order_by(DECISIONS.c.number)):
        said.setdefault(row["gate_id"], []).append(decision_of(row))
    return [
        gate_of(row, tuple(said.get(row["gate_id"], ())))
        for row in rows_of(db, select(GATES).where(mine).order_by("number"))
    ]


def read_releases(db: Connection, delivery_id: str = "", environment: str = "") -> list[Release]:
    """Releases by time, of a delivery or in an environment, where one is named."""
    query = select(RELEASES).order_by("at_ms", "delivery_id", "environment", "release_id")
    if delivery_id:
        query = query.where(RELEASES.c.delivery_id == delivery_id)
    if environment:
        query = query.where(RELEASES.c.environment == environment)
    return [value_of(Release, row) for row in rows_of(db, query)]
