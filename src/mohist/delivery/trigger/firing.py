"""What triggers fired: a row under a key that exists once, before anything is begun.

    claimed ──> begun | refused | failed

A worker holds a claimed firing for a while and begins its delivery, whose id the firing has had from the first. So whoever
finds it after a crash begins the same delivery, or finds it there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, and_, desc, func, select, update

from mohist.base import Clock
from mohist.delivery.machine import OVER
from mohist.delivery.query import add_row, put_row, rows_of
from mohist.delivery.row import row_of, value_of
from mohist.delivery.schema import DELIVERIES, FIRINGS, TRIGGERS
from mohist.delivery.store import Tables
from mohist.gateway.address import Address

FiringStatus = Literal["claimed", "begun", "refused", "failed"]
_WHOLE = ""
"""The row of a trigger as a whole, beside those of its schedules."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One time that a trigger was set off."""

    trigger: str
    """`Trigger.ident`."""
    key: str
    """Exists once for the trigger: a due time, a request's id, a file."""
    delivery_id: str
    requirement: str
    source: str
    """Where it came from, in words."""
    status: FiringStatus
    detail: str
    due_at_ms: int
    """When it was to be; 0: at no time of its own."""
    claimed_at_ms: int
    held_until_ms: int = 0
    """Until then a worker is at it."""
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of a claim."""

    firing: Firing | None
    """The row that is there now; None: the trigger has as many deliveries under way as it may."""
    is_new: bool


class Firings:
    """The firings of all triggers, open. A connection of its own, which threads take in turn.

    Args:
        address: the database of deliveries, or the path of a file of SQLite.
        clock: tells when something was claimed.

    Raises:
        BookError: it can't be reached or made.
    """

    def __init__(self, address: Address | Path, clock: Clock) -> None:
        self._tables = Tables(address)
        self._clock = clock
        self._lock = threading.Lock()

    def close(self) -> None:
        """Lets the connection go."""
        with self._lock:
            self._tables.close()

    def claim(self, firing: Firing, most_open: int, schedule: str = "") -> Claim:
        """Records a firing, unless its key is there, or `most_open` of the trigger are under way.

        Args:
            firing: as claimed.
            most_open: bound on its deliveries that are neither begun nor over.
            schedule: a schedule is looked through up to now by this.
        """
        with self._writing() as db:
            # Two workers that count at once would both find room.
            self._hold(db, firing.trigger)
            if schedule:
                self._look(db, firing.trigger, schedule, self._clock.now_ms())
            if there := self._of(db, firing.trigger, firing.key):
                return Claim(there, False)
            if self._open(db, firing.trigger) >= most_open:
                return Claim(None, False)
            add_row(db, FIRINGS, row_of(firing))
            return Claim(firing, True)

    def looked(self, trigger: str, schedule: str) -> int:
        """Up to when a schedule was looked through; now, where it was never: nothing is due before it was there."""
        with self._writing() as db:
            query = select(TRIGGERS.c.looked_at_ms).where(
                TRIGGERS.c.trigger == trigger, TRIGGERS.c.schedule == schedule
            )
            found: int | None = db.execute(query).scalar()
            if found is None:
                found = self._clock.now_ms()
                self._look(db, trigger, schedule, found)
            return found

    def look(self, trigger: str, schedule: str) -> None:
        """A schedule was looked through up to now, and nothing of it is to be begun."""
        with self._writing() as db:
            self._look(db, trigger, schedule, self._clock.now_ms())

    def waiting(self, triggers: Sequence[str]) -> Sequence[Firing]:
        """What is claimed, and nobody is at; the oldest first."""
        free = and_(FIRINGS.c.status == "claimed", FIRINGS.c.held_until_ms <= self._clock.now_ms())
        query = select(FIRINGS).where(free, FIRINGS.c.trigger.in_(triggers)).order_by("claimed_at_ms", "key")
        with self._reading() as db:
            return [value_of(Firing, row) for row in rows_of(db, query)]

    def hold(self, firing: Firing, until_ms: int) -> bool:
        """Takes a firing for a while; False: somebody else was quicker."""
        as_read = and_(
            FIRINGS.c.trigger == firing.trigger,
            FIRINGS.c.key == firing.key,
            FIRINGS.c.status == "claimed",
            FIRINGS.c.tries == firing.tries,
        )
        held = {"held_until_ms": until_ms, "tries": firing.tries + 1}
        with self._writing() as db:
            return db.execute(update(FIRINGS).where(as_read).values(held)).rowcount == 1

    def settle(self, firing: Firing, status: FiringStatus, detail: str = "", until_ms: int = 0) -> None:
        """Writes down what became of it; still claimed: it is tried again after `until_ms`. What is settled stays so."""
        mine = and_(FIRINGS.c.trigger == firing.trigger, FIRINGS.c.key == firing.key, FIRINGS.c.status == "claimed")
        with self._writing() as db:
            db.execute(update(FIRINGS).where(mine).values(status=status, detail=detail, held_until_ms=until_ms))

    def of(self, trigger: str, key: str) -> Firing | None:
        """The firing of a key."""
        with self._reading() as db:
            return self._of(db, trigger, key)

    def newest(self, trigger: str, count: int = 1) -> Sequence[Firing]:
        """The last firings, the newest first."""
        query = select(FIRINGS).where(FIRINGS.c.trigger == trigger).order_by(desc("claimed_at_ms"), desc("key"))
        with self._reading() as db:
            return [value_of(Firing, row) for row in rows_of(db, query.limit(count))]

    def under_way(self, trigger: str) -> int:
        """How many of its deliveries are not over."""
        with self._reading() as db:
            return self._open(db, trigger)

    def tell(self, trigger: str, words: str) -> None:
        """Remembers what a person should know of a trigger, in the place of what was told before."""
        with self._writing() as db:
            self._hold(db, trigger)
            mine = and_(TRIGGERS.c.trigger == trigger, TRIGGERS.c.schedule == _WHOLE)
            db.execute(update(TRIGGERS).where(mine).values(told=words, told_at_ms=self._clock.now_ms()))

    def told(self, trigger: str) -> tuple[str, int]:
        """That, and when."""
        query = select(TRIGGERS.c.told, TRIGGERS.c.told_at_ms).where(TRIGGERS.c.trigger == trigger)
        with self._reading() as db:
            found = db.execute(query.where(TRIGGERS.c.schedule == _WHOLE)).first()
            return (found.told, found.told_at_ms) if found else ("", 0)

    def _hold(self, db: Connection, trigger: str) -> None:
        """Holds the trigger's row to the end of the transaction."""
        row = {"trigger": trigger, "schedule": _WHOLE, "looked_at_ms": 0, "told": "", "told_at_ms": 0}
        add_row(db, TRIGGERS, row)
        mine = and_(TRIGGERS.c.trigger == trigger, TRIGGERS.c.schedule == _WHOLE)
        db.execute(select(TRIGGERS.c.trigger).where(mine).with_for_update())

    def _look(self, db: Connection, trigger: str, schedule: str, at_ms: int) -> None:
        row = {"trigger": trigger, "schedule": schedule, "looked_at_ms": at_ms, "told": "", "told_at_ms": 0}
        put_row(db, TRIGGERS, row, keep=("told", "told_at_ms"))

    def _of(self, db: Connection, trigger: str, key: str) -> Firing | None:
        rows = rows_of(db, select(FIRINGS).where(FIRINGS.c.trigger == trigger, FIRINGS.c.key == key))
        return value_of(Firing, rows[0]) if rows else None

    def _open(self, db: Connection, trigger: str) -> int:
        mine = FIRINGS.c.trigger == trigger
        claimed = select(func.count()).select_from(FIRINGS).where(mine, FIRINGS.c.status == "claimed")
        both = FIRINGS.join(DELIVERIES, DELIVERIES.c.delivery_id == FIRINGS.c.delivery_id)
        going = and_(mine, FIRINGS.c.status == "begun", DELIVERIES.c.status.not_in(OVER))
        begun = select(func.count()).select_from(both).where(going)
        return int(db.execute(claimed).scalar_one()) + int(db.execute(begun).scalar_one())

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock, self._tables.transaction(write=False) as db:
            yield db

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, self._tables.transaction(write=True) as db:
            yield db
