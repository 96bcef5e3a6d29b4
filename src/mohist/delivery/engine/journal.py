"""What was done in segments: one row a step, and who may write the next.

    begin ──> epoch n ── record, record, … ──> ended
      └── another worker begins it: epoch n + 1; whatever still comes with n is refused

The epoch is the fence: a worker that was taken for dead and wakes up has an old one. It is compared in the transaction that
writes, so nothing of a zombie's is ever recorded, and asked for before each effect outside.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)

from mohist.base import Clock, MohistError
from mohist.delivery.engine.contract import Json
from mohist.delivery.errors import EngineError, LostError
from mohist.gateway.address import Address
from mohist.gateway.database import Session

METADATA: Final = MetaData()
RUNS: Final = Table(
    "engine_run",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("idle", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
)
STEPS: Final = Table(
    "engine_step",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("result", Text, nullable=False),
)
SIGNALS: Final = Table(
    "engine_signal",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("signal_id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
)

PATIENCE_S: Final = 60.0
"""How long a database may be away before a step fails by it. Whether the segment is still ours is asked afterwards."""
KEPT_MS: Final = 30 * 24 * 3_600_000
_PAUSE_S: Final = 0.2
_MAKING: Final = 0x6D6F6873
"""Held on PostgreSQL while the tables are made: `IF NOT EXISTS` of two at once can fail there."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """A segment, begun."""

    epoch: int
    idle: int
    """How often it was begun since a step was last recorded, this time included."""
    cancelled: bool
    steps: dict[str, str]
    """By name, what each gave, as JSON."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a worker may go on."""

    held: bool
    cancelled: bool


class _Tables(Session):
    shown_as: ClassVar[str] = "The engine's database"
    error: ClassVar[type[MohistError]] = EngineError

    def is_behind(self, db: Connection) -> bool:
        return not inspect(db).has_table(SIGNALS.name)

    def bring_up(self, db: Connection) -> None:
        if self.path is None:
            db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
        METADATA.create_all(db)


class Journal:
    """The journal, open; one connection, which threads take in turn.

    A connection that breaks is made anew, and what was to be done with it is done again.

    Args:
        address: the database, or the path of a file of SQLite.
        clock: tells when a segment last changed.
        patience_s: how long to try where the database is away.

    Raises:
        EngineError: it can't be reached or made.
    """

    def __init__(self, address: Address | Path, clock: Clock, patience_s: float = PATIENCE_S) -> None:
        self._address = address
        self._clock = clock
        self._patience_s = patience_s
        self._turn = threading.Lock()
        self._session: _Tables | None = _Tables(address)

    def close(self) -> None:
        with self._turn:
            self._drop()

    def begin(self, key: str, owner: str) -> Run:
        """This worker runs the segment from here on, and nobody else does."""

        def work(db: Connection) -> Run:
            before = db.execute(select(RUNS).where(RUNS.c.key == key).with_for_update()).mappings().first()
            epoch, idle = (before["epoch"] + 1, before["idle"] + 1) if before else (1, 1)
            values = {"owner": owner, "epoch": epoch, "idle": idle, "changed_at_ms": self._clock.now_ms()}
            if before:
                db.execute(update(RUNS).where(RUNS.c.key == key).values(values))
            else:
                db.execute(insert(RUNS).values({"key": key, "cancelled": 0, **values}))
            rows = db.execute(select(STEPS.c.name, STEPS.c.result).where(STEPS.c.key == key))
            return Run(epoch, idle, bool(before and before["cancelled"]), {row.name: row.result for row in rows})

        return self._do(work)

    def record(self, key: str, epoch: int, name: str, result: str) -> None:
        """A step of this segment gave this.

        Raises:
            LostError: another worker has begun the segment since.
        """

        def work(db: Connection) -> None:
            held = and_(RUNS.c.key == key, RUNS.c.epoch == epoch)
            # This also holds the row, so that nobody begins it before this is written.
            done = db.execute(update(RUNS).where(held).values({"idle": 0, "changed_at_ms": self._clock.now_ms()}))
            if not done.rowcount:
                raise lost(key)
            # Where the connection broke just after this was written, it is written already.
            db.execute(delete(STEPS).where(STEPS.c.key == key, STEPS.c.name == name))
            db.execute(insert(STEPS).values({"key": key, "name": name, "result": result}))

        self._do(work)

    def standing(self, key: str, epoch: int) -> Standing:
        """Whether the epoch is still the segment's, and whether it was cancelled."""

        def work(db: Connection) -> Standing:
            row = db.execute(select(RUNS.c.epoch, RUNS.c.cancelled).where(RUNS.c.key == key)).first()
            return Standing(row is not None and row.epoch == epoch, bool(row and row.cancelled))

        return self._do(work, write=False)

    def cancel(self, key: str) -> None:
        """Whoever runs it, now or later, ends it."""

        def work(db: Connection) -> None:
            done = db.execute(update(RUNS).where(RUNS.c.key == key).values({"cancelled": 1}))
            if not done.rowcount:
                now_ms = self._clock.now_ms()
                values = {"owner": "", "epoch": 0, "idle": 0, "cancelled": 1, "changed_at_ms": now_ms}
                db.execute(insert(RUNS).values({"key": key, **values}))

        self._do(work)

    def signal(self, key: str, signal_id: str, name: str, value: Json) -> None:
        """Keeps what was sent; the same id again changes nothing."""

        def work(db: Connection) -> None:
            sent = db.execute(select(SIGNALS.c.signal_id).where(SIGNALS.c.key == key)).scalars().all()
            if signal_id not in sent:
                row = {
                    "key": key,
                    "signal_id": signal_id,
                    "number": len(sent),
                    "name": name,
                    "value": json.dumps(value),
                }
                db.execute(insert(SIGNALS).values(row))

        self._do(work)

    def signals(self, key: str, name: str) -> Sequence[Json]:
        """What was sent under a name, in order."""
        found = select(SIGNALS.c.value).where(SIGNALS.c.key == key, SIGNALS.c.name == name).order_by(SIGNALS.c.number)
        return [json.loads(value) for value in self._do(lambda db: db.execute(found).scalars().all(), write=False)]

    def prune(self) -> None:
        """Forgets segments that nothing happened to for a month."""
        old = select(RUNS.c.key).where(RUNS.c.changed_at_ms < self._clock.now_ms() - KEPT_MS)

        def work(db: Connection) -> None:
            for table in (STEPS, SIGNALS, RUNS):
                db.execute(delete(table).where(table.c.key.in_(old)))

        self._do(work)

    def _do(self, work: Callable[[Connection], T], *, write: bool = True) -> T:
        until_s = time.monotonic() + self._patience_s
        while True:
            try:
                with self._turn:
                    try:
                        if self._session is None:
                            self._session = _Tables(self._address)
                        with self._session.transaction(write=write) as db:
                            return work(db)
                    except LostError:
                        raise
                    except EngineError:
                        self._drop()
                        raise
            except LostError:
                raise
            except EngineError:
                if time.monotonic() >= until_s:
                    raise
            time.sleep(_PAUSE_S)

    def _drop(self) -> None:
        if self._session is not None:
            with suppress(EngineError):
                self._session.close()
            self._session = None


def lost(key: str) -> LostError:
    return LostError(f"Segment {key!r} is run by another worker now.")


def encoded(value: Any, what: str) -> str:
    """JSON of what a step gave.

    Raises:
        EngineError: it can't be held in JSON.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EngineError(f"{what} gave what JSON can't hold: {error}.", audience="bug") from error
