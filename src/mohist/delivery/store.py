"""`book.Book` on SQLite and PostgreSQL: everything that is known of deliveries.

Every method is one transaction. Whoever changes a delivery holds its row from reading to writing, so two people at once
come one after the other. Evidence, decisions and notes are only ever added to.

One connection, which threads take in turn.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Text, and_, desc, insert, or_, select, type_coerce, update

from mohist.base import Clock, MohistError
from mohist.delivery import migration
from mohist.delivery.book import Seized
from mohist.delivery.consent import decided
from mohist.delivery.errors import BookError, UnknownDeliveryError
from mohist.delivery.machine import FARTHEST_LOOK_MS, paid, same
from mohist.delivery.query import (
    add_row,
    add_version,
    close_gates,
    columns_of,
    held_delivery,
    next_number,
    put_row,
    read_facts,
    read_gates,
    read_plan,
    read_releases,
    read_spec,
    read_stages,
    revise_gate,
    rows_of,
    unknown_delivery,
    withdraw_older,
    write_delivery,
)
from mohist.delivery.row import delivery_of, gate_of, row_of, value_of
from mohist.delivery.schema import (
    DECISIONS,
    DELIVERIES,
    EFFECTS,
    EVIDENCE,
    FINDINGS,
    GATES,
    NOTES,
    PLANS,
    RELEASES,
    SPECS,
    SPENDINGS,
    STAGE_ROWS,
)
from mohist.delivery.state import (
    SEGMENTS,
    Decision,
    Delivery,
    Evidence,
    Facts,
    Finding,
    Gate,
    Move,
    Note,
    Plan,
    Release,
    Spec,
    StageName,
    StageRow,
)
from mohist.gateway.address import Address, file_address, home_address
from mohist.gateway.database import BUSY_S, Session

FILE_NAME: Final = "deliveries.db"


def delivery_address(home: Path, env: Mapping[str, str], url: str = "") -> Address:
    """The database of an installation: the gateway's where that has a URL, else a file of its own.

    Raises:
        mohist.gateway.errors.StoreError: no URL of a database, or the password's file can't be read.
    """
    address = home_address(home, env, url)
    return file_address(home / FILE_NAME) if address == home_address(home, {}) else address


class Tables(Session):
    """A connection to the tables of deliveries, brought up to date."""

    shown_as: ClassVar[str] = "The database of deliveries"
    error: ClassVar[type[MohistError]] = BookError

    def is_behind(self, db: Connection) -> bool:
        return migration.current(db) != migration.HEAD

    def bring_up(self, db: Connection) -> None:
        migration.upgrade(db, self.address.shown)


class Store:
    """The tables of deliveries, open.

    Args:
        address: the database, or the path of a file of SQLite.
        clock: tells when notes were taken and effects began.
        busy_s: how long to wait for another process that writes.

    Raises:
        BookError: it can't be reached or made, or a newer program made it.
    """

    def __init__(self, address: Address | Path, clock: Clock, *, busy_s: float = BUSY_S) -> None:
        self._tables = Tables(address, busy_s=busy_s)
        self._clock = clock
        self._lock = threading.Lock()

    def close(self) -> None:
        """Lets the connection go."""
        with self._lock:
            self._tables.close()

    def create(self, delivery: Delivery, then: Callable[[Facts], Move] | None = None) -> None:
        with self._writing() as db:
            db.execute(insert(DELIVERIES).values(columns_of(delivery)))
            self._note(db, delivery.delivery_id, "created", delivery.source, {"by": delivery.requested_by})
            if then is not None:
                self._move(db, delivery.delivery_id, then)

    def get(self, delivery_id: str) -> Delivery:
        with self._reading() as db:
            if delivery_id == "last":
                query = select(DELIVERIES).order_by(desc("created_at_ms"), desc("delivery_id")).limit(1)
            else:
                starts = DELIVERIES.c.delivery_id.startswith(delivery_id, autoescape=True)
                query = select(DELIVERIES).where(starts).order_by("delivery_id").limit(2)
            rows = rows_of(db, query)
        # SQLite takes capitals for small letters here.
        rows = [row for row in rows if delivery_id == "last" or row["delivery_id"].startswith(delivery_id)]
        exact = [row for row in rows if row["delivery_id"] == delivery_id]
        if not delivery_id or not rows:
            raise unknown_delivery(delivery_id)
        if len(rows) > 1 and not exact:
            raise UnknownDeliveryError(f"More than one delivery begins with {delivery_id!r}.", "Say more of its id.")
        return delivery_of((exact or rows)[0])

    def list(self, status: str = "") -> Sequence[Delivery]:
        query = select(DELIVERIES).order_by("created_at_ms", "delivery_id")
        with self._reading() as db:
            return [
                delivery_of(row) for row in rows_of(db, query.where(DELIVERIES.c.status == status) if status else query)
            ]

    def owing(self, option: str) -> Sequence[Delivery]:
        marked = type_coerce(DELIVERIES.c.options, Text).contains(f'"{option}":', autoescape=True)
        query = select(DELIVERIES).where(DELIVERIES.c.status == "cancelled", marked)
        with self._reading() as db:
            return [delivery for delivery in map(delivery_of, rows_of(db, query)) if option in delivery.options]

    def due(self, now_ms: int) -> Sequence[str]:
        at_ms = DELIVERIES.c.look_at_ms
        come = or_(at_ms <= now_ms, at_ms > now_ms + FARTHEST_LOOK_MS)
        mine = and_(DELIVERIES.c.status == "waiting", DELIVERIES.c.segment == "", come)
        with self._reading() as db:
            return db.execute(select(DELIVERIES.c.delivery_id).where(mine).order_by("look_at_ms")).scalars().all()

    def moved_since(self, status: str, since_ms: int) -> Sequence[tuple[str, int]]:
        """Deliveries of a status that were moved since then, by the clock of whoever moved them: id and revision of each."""
        query = select(DELIVERIES.c.delivery_id, DELIVERIES.c.revision)
        mine = and_(DELIVERIES.c.status == status, DELIVERIES.c.updated_at_ms >= since_ms)
        with self._reading() as db:
            return [(delivery_id, revision) for delivery_id, revision in db.execute(query.where(mine))]

    def running(self) -> Sequence[Delivery]:
        # Named one by one, so that the index is used: most deliveries have none.
        query = (
            select(DELIVERIES).where(DELIVERIES.c.segment.in_(list(SEGMENTS))).order_by("created_at_ms", "delivery_id")
        )
        with self._reading() as db:
            return [delivery_of(row) for row in rows_of(db, query)]

    def change(self, delivery_id: str, change: Callable[[Delivery], Delivery]) -> Delivery:
        with self._writing() as db:
            before = held_delivery(db, delivery_id)
            return write_delivery(db, before, change(before))

    def facts(self, delivery_id: str) -> Facts:
        with self._reading() as db:
            row = db.execute(select(DELIVERIES).where(DELIVERIES.c.delivery_id == delivery_id)).mappings().first()
            if row is None:
                raise unknown_delivery(delivery_id)
            return read_facts(db, delivery_of(row))

    def move(self, delivery_id: str, transition: Callable[[Facts], Move]) -> Delivery:
        with self._writing() as db:
            return self._move(db, delivery_id, transition)

    def put_spec(self, delivery_id: str, spec: Spec) -> None:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            if add_version(db, SPECS, delivery_id, spec):
                withdraw_older(db, delivery_id, "spec", spec.digest)

    def spec(self, delivery_id: str, version: int = 0) -> Spec | None:
        with self._reading() as db:
            return read_spec(db, delivery_id, version)

    def put_plan(self, delivery_id: str, plan: Plan) -> None:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            if add_version(db, PLANS, delivery_id, plan):
                withdraw_older(db, delivery_id, "plan", plan.digest)

    def plan(self, delivery_id: str) -> Plan | None:
        with self._reading() as db:
            return read_plan(db, delivery_id)

    def put_stage(self, delivery_id: str, row: StageRow) -> None:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            put_row(db, STAGE_ROWS, {"delivery_id": delivery_id, **row_of(row)})

    def stages(self, delivery_id: str) -> Sequence[StageRow]:
        with self._reading() as db:
            return read_stages(db, delivery_id)

    def put_evidence(self, delivery_id: str, evidence: Evidence) -> None:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            row = {"delivery_id": delivery_id, "number": next_number(db, EVIDENCE, delivery_id), **row_of(evidence)}
            add_row(db, EVIDENCE, row)

    def evidence(self, delivery_id: str, attempt: int | None = None) -> Sequence[Evidence]:
        query = select(EVIDENCE).where(EVIDENCE.c.delivery_id == delivery_id).order_by("number")
        if attempt is not None:
            query = query.where(EVIDENCE.c.attempt == attempt)
        with self._reading() as db:
            return [value_of(Evidence, row) for row in rows_of(db, query)]

    def put_finding(self, delivery_id: str, finding: Finding) -> None:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            row = {"delivery_id": delivery_id, "number": next_number(db, FINDINGS, delivery_id), **row_of(finding)}
            put_row(db, FINDINGS, row, keep=("number",))

    def findings(self, delivery_id: str) -> Sequence[Finding]:
        query = select(FINDINGS).where(FINDINGS.c.delivery_id == delivery_id).order_by("number")
        with self._reading() as db:
            return [value_of(Finding, row) for row in rows_of(db, query)]

    def open_gate(self, delivery_id: str, gate: Gate) -> Gate:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            return self._open(db, delivery_id, gate)

    def open_gates(self) -> Sequence[tuple[str, Gate]]:
        query = select(GATES).where(GATES.c.status == "open", GATES.c.closed.is_(False)).order_by("opened_at_ms")
        with self._reading() as db:
            return [(row["delivery_id"], gate_of(row, ())) for row in rows_of(db, query)]

    def gates(self, delivery_id: str) -> Sequence[Gate]:
        with self._reading() as db:
            return read_gates(db, delivery_id)

    def decide(self, gate_id: str, decision: Decision, then: Callable[[Facts], Move] | None = None) -> Gate:
        with self._writing() as db:
            found = db.execute(select(GATES.c.delivery_id).where(GATES.c.gate_id == gate_id)).scalar()
            if found is None:
                raise UnknownDeliveryError(f"There is no gate {gate_id!r}.")
            facts = read_facts(db, held_delivery(db, found))
            before = next(gate for gate in facts.gates if gate.gate_id == gate_id)
            after = decided(facts, before, decision)
            if after is not before:
                row = {"gate_id": gate_id, "number": len(after.decisions), **row_of(decision)}
                db.execute(insert(DECISIONS).values(row))
                db.execute(update(GATES).where(GATES.c.gate_id == gate_id).values(status=after.status))
                told = {"gate": gate_id, "by": decision.by, "verdict": decision.verdict, "because": decision.because}
                text = f"{decision.by}: {decision.verdict} {after.subject}"
                self._note(db, found, "decision", text, {**told, "status": after.status})
            if then is not None:
                self._move(db, found, then)
            return after

    def put_release(
        self, delivery_id: str, release: Release, notes: Sequence[tuple[str, str, dict[str, Any]]] = ()
    ) -> None:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            put_row(db, RELEASES, {"delivery_id": delivery_id, **row_of(release)})
            for kind, text, told in notes:
                self._note(db, delivery_id, kind, text, told)

    def releases(self, delivery_id: str = "", environment: str = "") -> Sequence[Release]:
        with self._reading() as db:
            return read_releases(db, delivery_id, environment)

    def note(self, delivery_id: str, kind: str, text: str, facts: dict[str, Any] | None = None) -> Note:
        with self._writing() as db:
            held_delivery(db, delivery_id)
            return self._note(db, delivery_id, kind, text, facts or {})

    def notes(self, delivery_id: str, after: int = 0) -> Sequence[Note]:
        query = select(NOTES).where(NOTES.c.delivery_id == delivery_id, NOTES.c.number > after).order_by("number")
        with self._reading() as db:
            return [value_of(Note, row) for row in rows_of(db, query)]

    def news(self, since_ms: int) -> Sequence[tuple[str, Note]]:
        """Notes of all deliveries taken since then, oldest first, each with its delivery's id."""
        query = select(NOTES).where(NOTES.c.at_ms >= since_ms).order_by("at_ms", "delivery_id", "number")
        with self._reading() as db:
            return [(row["delivery_id"], value_of(Note, row)) for row in rows_of(db, query)]

    def spend(
        self,
        delivery_id: str,
        stage: StageName,
        key: str,
        cost_microusd: int | None,
        tokens: int,
        held_microusd: int = 0,
    ) -> None:
        with self._writing() as db:
            before = held_delivery(db, delivery_id)
            row: dict[str, Any] = {"delivery_id": delivery_id, "key": key, "stage": stage, "attempt": before.attempt}
            row |= {
                "cost_microusd": cost_microusd or 0,
                "held_microusd": held_microusd if cost_microusd is None else None,
            }
            if add_row(db, SPENDINGS, {**row, "tokens": tokens}):
                write_delivery(db, before, paid(before, cost_microusd, tokens, held_microusd))

    def effect(self, key: str, kind: str) -> dict[str, Any] | None:
        with self._writing() as db:
            add_row(db, EFFECTS, {"key": key, "kind": kind, "begun_at_ms": self._clock.now_ms()})
            result: dict[str, Any] | None = db.execute(select(EFFECTS.c.result).where(EFFECTS.c.key == key)).scalar()
            return result

    def seize(self, key: str, kind: str, held_ms: int) -> Seized:
        now_ms = self._clock.now_ms()
        with self._writing() as db:
            if add_row(db, EFFECTS, {"key": key, "kind": kind, "begun_at_ms": now_ms}):
                return "mine"
            mine = and_(EFFECTS.c.key == key, EFFECTS.c.done_at_ms.is_(None), EFFECTS.c.begun_at_ms <= now_ms - held_ms)
            if db.execute(update(EFFECTS).where(mine).values(begun_at_ms=now_ms)).rowcount == 1:
                return "mine"
            is_done = db.execute(select(EFFECTS.c.done_at_ms).where(EFFECTS.c.key == key)).scalar() is not None
            return "done" if is_done else "held"

    def begun(self, key: str) -> bool:
        with self._reading() as db:
            return db.execute(select(EFFECTS.c.key).where(EFFECTS.c.key == key)).first() is not None

    def done(self, key: str, result: dict[str, Any]) -> None:
        now_ms = self._clock.now_ms()
        with self._writing() as db:
            add_row(db, EFFECTS, {"key": key, "kind": "", "begun_at_ms": now_ms})
            # What is known first holds: who did it again found it done.
            open_row = and_(EFFECTS.c.key == key, EFFECTS.c.done_at_ms.is_(None))
            db.execute(update(EFFECTS).where(open_row).values(result=result, done_at_ms=now_ms))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock, self._tables.transaction(write=False) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, self._tables.transaction(write=True) as db:
            yield db

    def _move(self, db: Connection, delivery_id: str, transition: Callable[[Facts], Move]) -> Delivery:
        facts = read_facts(db, held_delivery(db, delivery_id))
        move = transition(facts)
        for row in move.stages:
            put_row(db, STAGE_ROWS, {"delivery_id": delivery_id, **row_of(row)})
        for gate in move.revises:
            revise_gate(db, gate)
        close_gates(db, move.closes)
        close_gates(db, move.withdraws, status="withdrawn")
        for gate in move.opens:
            self._open(db, delivery_id, gate)
        for kind, text, told in move.notes:
            self._note(db, delivery_id, kind, text, told)
        return write_delivery(db, facts.delivery, move.delivery)

    def _open(self, db: Connection, delivery_id: str, gate: Gate) -> Gate:
        gates = read_gates(db, delivery_id)
        for other in gates:
            if same(gate, other):
                return other
        gate_id = gate.gate_id or f"{delivery_id}.{len(gates) + 1}"
        opened = dataclasses.replace(gate, gate_id=gate_id, opened_at_ms=gate.opened_at_ms or self._clock.now_ms())
        row = row_of(opened)
        del row["decisions"]
        db.execute(insert(GATES).values({"delivery_id": delivery_id, "number": len(gates) + 1, **row}))
        return opened

    def _note(self, db: Connection, delivery_id: str, kind: str, text: str, facts: dict[str, Any]) -> Note:
        note = Note(next_number(db, NOTES, delivery_id), kind, text, self._clock.now_ms(), facts)
        db.execute(insert(NOTES).values({"delivery_id": delivery_id, **row_of(note)}))
        return note
