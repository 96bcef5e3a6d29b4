"""The service over keys, budgets and usage: what the command line and the admin API do, on SQLite and PostgreSQL.

Synchronous; a `Store` belongs to the thread that opened it, and every change is on the disk when its method returns.
Running servers see a change of keys and budgets within a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from mohist.gateway.address import Address
from mohist.gateway.budget import Budget, Period, Spend, Subject, subjects_of
from mohist.gateway.call import Principal
from mohist.gateway.change import Action, Author, Enter, write_down
from mohist.gateway.database import BUSY_S, Session
from mohist.gateway.errors import ConflictError, HeldError, NotThereError
from mohist.gateway.key import Key, KeySecret
from mohist.gateway.listing import Filter, Total, totals
from mohist.gateway.schema import BUDGETS, KEY_SECRETS, KEYS, REPEATABLE, REVISION, SPEND
from mohist.gateway.usage import COLUMNS

_LISTS: Final = ("models", "clients", "dialects", "roles")
REPEATABLE_MS: Final = 86_400_000
"""So long a request that made a key is known again."""
Charges = Mapping[tuple[str, str, int], tuple[int, int]]
"""Money (microusd) and tokens by subject, name and day."""


def database_path(home: Path) -> Path:
    """Where the database of an installation is when nobody says otherwise."""
    return home / "gateway.db"


@dataclass(frozen=True, slots=True)
class Token:
    """The name that a sender gave to a request, so that it may come twice and be done once."""

    sender: str
    """Key id."""
    text: str
    digest: str
    """Of what is asked for: under one name it must stay the same."""


class Store(Session):
    """The gateway's database, open.

    Args:
        address: the database, or the path of a file of SQLite.
        busy_s: how long to wait for another process that writes.
        author: whom changes are put down to.
        enter: enters each change in the ledger; None: nothing is entered.
    """

    held_error = HeldError

    def __init__(
        self,
        address: Address | Path,
        *,
        busy_s: float = BUSY_S,
        author: Author | None = None,
        enter: Enter | None = None,
    ) -> None:
        super().__init__(address, busy_s=busy_s)
        self.author = author or Author()
        self._enter = enter

    def revision(self) -> int:
        """Counts the changes of keys and budgets; StoreError when the file was removed or replaced."""
        self.check_file()
        with self.transaction(write=False) as db:
            return _revision(db)

    def policy(self) -> tuple[int, list[Key], list[KeySecret], list[Budget]]:
        """The revision with all keys, their secrets' hashes and all budgets.

        A change in between is seen by the next revision at the latest.
        """
        self.check_file()
        with self.transaction(write=False) as db:
            # The revision first: what is read after it is of this revision or a later one.
            return _revision(db), _keys(db), _secrets(db), _budgets(db)

    # Keys

    def keys(self) -> list[Key]:
        """All keys, oldest first, revoked and expired ones too."""
        with self.transaction(write=False) as db:
            return _keys(db)

    def key(self, key_id: str) -> Key:
        """One key; StoreError when there is none of that id."""
        with self.transaction(write=False) as db:
            return _found(db, key_id)

    def add_key(
        self, key: Key, secret_hash: bytes, budgets: Sequence[Budget] = (), token: Token | None = None
    ) -> Key | None:
        """A new key with its budgets; StoreError when there is one of that id.

        Returns:
            None; or, when a request of this token made a key within `REPEATABLE_MS`, that key, and nothing is changed.

        Raises:
            ConflictError: the token was used for another request.
        """
        with self._change() as note:
            if token is not None and (made := _made_before(note.db, token, key.created_at_ms)) is not None:
                return made
            note.db.execute(insert(KEYS).values(_key_row(key)))
            note.db.execute(insert(KEY_SECRETS).values(_secret_row(secret_hash, key.key_id, key.created_at_ms)))
            for budget in budgets:
                _put(note.db, budget)
            if token is not None:
                row = {"sender": token.sender, "token": token.text, "digest": token.digest}
                note.db.execute(insert(REPEATABLE).values(**row, key_id=key.key_id, at_ms=key.created_at_ms))
            limits = [_budget_row(budget) for budget in budgets]
            note("key.create", "key", key.key_id, _told(key) | ({"budgets": limits} if limits else {}))
        return None

    def change_key(self, key_id: str, edit: Callable[[Key], Key]) -> Key:
        """Puts what `edit` makes of a key in its place; what it raises leaves all as it was.

        Raises:
            NotThereError: there is no such key.
            ConflictError: it is revoked.
        """
        with self._change() as note:
            key = _found(note.db, key_id)
            edited = edit(key)
            if key.revoked_at_ms is not None:
                raise ConflictError(f"Key {key_id!r} is revoked.", "Make a new one.")
            before, after = _key_row(key), _key_row(edited)
            changed = {name: value for name, value in after.items() if value != before[name]}
            if changed:
                note.db.execute(update(KEYS).where(KEYS.c.key_id == key_id).values(changed))
                told = (_told(key), _told(edited))
                shown = {name: [part[name] for part in told] for name in changed}
                note("key.change", "key", key_id, shown)
            return edited

    def revoke_key(self, key_id: str, now_ms: int) -> Key:
        """Ends a key for good; a key already revoked stays as it is."""
        with self._change() as note:
            key = _found(note.db, key_id)
            if key.revoked_at_ms is not None:
                return key
            note.db.execute(
                update(KEYS).where(KEYS.c.key_id == key_id, KEYS.c.revoked_at_ms.is_(None)).values(revoked_at_ms=now_ms)
            )
            note("key.revoke", "key", key_id, {})
            return replace(key, revoked_at_ms=now_ms)

    def rotate_key(self, key_id: str, secret_hash: bytes, now_ms: int, grace_ms: int = 0) -> Key:
        """A new secret for a key; the old one works for `grace_ms` more. Budgets and what was spent stay."""
        end_ms = now_ms + grace_ms
        with self._change() as note:
            key = _found(note.db, key_id)
            if key.revoked_at_ms is not None:
                raise ConflictError(f"Key {key_id!r} is revoked.", "Make a new one: mohist keys create")
            ends = KEY_SECRETS.c.expires_at_ms
            mine = KEY_SECRETS.c.key_id == key_id
            ending = update(KEY_SECRETS).where(mine, or_(ends.is_(None), ends > end_ms)).values(expires_at_ms=end_ms)
            note.db.execute(ending)
            note.db.execute(insert(KEY_SECRETS).values(_secret_row(secret_hash, key_id, now_ms)))
            note("key.rotate", "key", key_id, {"grace_ms": grace_ms})
            return key

    # Budgets

    def budgets(self) -> list[Budget]:
        """All budgets, those of keys too."""
        with self.transaction(write=False) as db:
            return _budgets(db)

    def set_budget(self, budget: Budget, check: Callable[[Budget | None], None] | None = None) -> None:
        """Makes or replaces the budget of this subject and period.

        Args:
            budget: as it is to be.
            check: told the one there is; what it raises leaves all as it was.

        Raises:
            NotThereError: it is a key's, and there is no such key.
        """
        with self._change() as note:
            if budget.subject == "key":
                _found(note.db, budget.name)
            before = _budget(note.db, budget.subject, budget.name, budget.period)
            if check is not None:
                check(before)
            if before == budget:
                return
            _put(note.db, budget)
            was = None if before is None else _budget_row(before)
            note("budget.set", budget.subject, budget.name, {"before": was, "after": _budget_row(budget)})

    def remove_budget(
        self, subject: Subject, name: str, period: Period, check: Callable[[Budget], None] | None = None
    ) -> None:
        """Takes one budget away; NotThereError when there is none. `check` as in `set_budget`."""
        with self._change() as note:
            before = _budget(note.db, subject, name, period)
            if before is None:
                raise NotThereError(f"There is no budget of {subject} {name!r} for this period ({period}).")
            if check is not None:
                check(before)
            note.db.execute(delete(BUDGETS).where(*_place(subject, name, period)))
            note("budget.remove", subject, name, {"budgets": [_budget_row(before)]})

    def remove_budgets(self, subject: str, name: str) -> int:
        """Takes all budgets of one subject away; how many there were."""
        with self._change() as note:
            mine = BUDGETS.c.subject == subject, BUDGETS.c.name == name
            gone = [_budget_row(budget) for budget in _budgets(note.db, *mine)]
            if gone:
                note.db.execute(delete(BUDGETS).where(*mine))
                note("budget.remove", subject, name, {"budgets": gone})
            return len(gone)

    # Usage

    def add_usage(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Takes rows over, each call once however often it comes; how many were new."""
        with self.transaction(write=True) as db:
            return add_rows(db, list(rows))

    def spends(self) -> list[Spend]:
        """What was charged to every subject on every day."""
        with self.transaction(write=False) as db:
            return [Spend(*row) for row in db.execute(select(SPEND).order_by(*SPEND.primary_key))]

    def usage(self, by: str, since_ms: int = 0) -> list[Total]:
        """Sums by one of `listing.DIMENSIONS`, dearest first, of the calls that began at `since_ms` or later."""
        return totals(self, [by], Filter(since_ms))

    # Inside

    @contextmanager
    def _change(self) -> Iterator[Note]:
        """A change of keys or budgets, which running servers must see."""
        with self.transaction(write=True) as db:
            # First: two changes at once take turns here, and what is read next holds until the end.
            db.execute(update(REVISION).values(number=REVISION.c.number + 1))
            yield Note(db, self.author, self._enter)


class Note:
    """The transaction of a change; to be called once, with what was changed."""

    def __init__(self, db: Connection, author: Author, enter: Enter | None) -> None:
        self.db = db
        self._author = author
        self._enter = enter

    def __call__(self, action: Action, subject: str, name: str, detail: Mapping[str, Any]) -> None:
        write_down(self.db, _revision(self.db), self._author, action, subject, name, detail, self._enter)


def add_rows(db: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """In a transaction that writes: `Store.add_usage`."""
    fresh = _insert_on_server(db, rows) if db.dialect.name == "postgresql" else _insert_in_file(db, rows)
    # Sorted: two processes that add to the same sums must lock them in the same order.
    sums = [
        {"subject": subject, "name": name, "day": day, "microusd": microusd, "tokens": tokens}
        for (subject, name, day), (microusd, tokens) in sorted(charges_of(fresh).items())
        if microusd or tokens
    ]
    if sums:
        kind = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
        adding = kind(SPEND)
        db.execute(
            adding.on_conflict_do_update(
                index_elements=list(SPEND.primary_key),
                set_={
                    "microusd": SPEND.c.microusd + adding.excluded.microusd,
                    "tokens": SPEND.c.tokens + adding.excluded.tokens,
                },
            ),
            sums,
        )
    return len(fresh)


def charges_of(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, int], tuple[int, int]]:
    """What the accounts of these calls are charged, by subject, name and day."""
    callers: dict[tuple[str, str, str, str, int], tuple[int, int]] = {}
    for row in rows:
        caller = row["key_id"], row["user"], row["project"], row["team"], row["day"]
        microusd, tokens = callers.get(caller, (0, 0))
        callers[caller] = (microusd + row["charged_microusd"], tokens + row["charged_tokens"])
    charges: dict[tuple[str, str, int], tuple[int, int]] = {}
    for (key_id, user, project, team, day), (of_caller_microusd, of_caller_tokens) in callers.items():
        if not key_id:
            continue
        for subject, name in subjects_of(Principal(key_id, user, project, team)):
            microusd, tokens = charges.get((subject, name, day), (0, 0))
            charges[subject, name, day] = (microusd + of_caller_microusd, tokens + of_caller_tokens)
    return charges


# SQLAlchemy's own insert takes some 15 times as long a row, and can't say which rows were new.
_INSERT_IN_FILE: Final = f"INSERT OR IGNORE INTO usage ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - fixed names
_in_order: Final = itemgetter(*COLUMNS)
_QUOTED: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT_ON_SERVER: Final = (
    f"INSERT INTO usage ({_QUOTED}) SELECT {_QUOTED} FROM json_populate_recordset(NULL::usage, %(rows)s::json) "  # noqa: S608 - fixed names
    "ON CONFLICT DO NOTHING RETURNING call_id"
)


def _insert_in_file(db: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    cursor = db.connection.cursor()
    fresh = []
    for row in rows:
        cursor.execute(_INSERT_IN_FILE, _in_order(row))
        if cursor.rowcount == 1:
            fresh.append(row)
    return fresh


def _insert_on_server(db: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All rows as one parameter, one round trip."""
    # Sorted, and each once: two that bring the same calls must not wait for each other in a ring.
    by_id = {row["call_id"]: row for row in rows}
    text = json.dumps([{name: by_id[call_id][name] for name in COLUMNS} for call_id in sorted(by_id)])
    return [by_id[call_id] for (call_id,) in db.exec_driver_sql(_INSERT_ON_SERVER, {"rows": text})]


def _revision(db: Connection) -> int:
    return cast(int, db.execute(select(REVISION.c.number)).scalar_one())


def _keys(db: Connection) -> list[Key]:
    return [key_of(row._mapping) for row in db.execute(select(KEYS).order_by(KEYS.c.created_at_ms, KEYS.c.key_id))]


def _found(db: Connection, key_id: str) -> Key:
    row = db.execute(select(KEYS).where(KEYS.c.key_id == key_id)).mappings().first()
    if row is None:
        raise NotThereError(f"There is no key {key_id!r}.", "See: mohist keys list")
    return key_of(row)


def key_of(row: Mapping[Any, Any]) -> Key:
    """A key from a row of its table."""
    values = {str(name): value for name, value in row.items()}
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    return Key(**values)


def _key_row(key: Key) -> dict[str, Any]:
    values = {column.name: getattr(key, column.name) for column in KEYS.columns}
    return values | {name: json.dumps(values[name]) for name in _LISTS}


def _secrets(db: Connection) -> list[KeySecret]:
    return [KeySecret(*row) for row in db.execute(select(KEY_SECRETS))]


def _secret_row(secret_hash: bytes, key_id: str, now_ms: int) -> dict[str, Any]:
    return {"hash": secret_hash, "key_id": key_id, "created_at_ms": now_ms, "expires_at_ms": None}


def _told(key: Key) -> dict[str, Any]:
    """A key for its event."""
    return {column.name: getattr(key, column.name) for column in KEYS.columns if column.name != "key_id"}


def _made_before(db: Connection, token: Token, now_ms: int) -> Key | None:
    """The key that a request of this token made; forgets old ones. ConflictError: it asked for something else."""
    db.execute(delete(REPEATABLE).where(REPEATABLE.c.at_ms < now_ms - REPEATABLE_MS))
    place = REPEATABLE.c.sender == token.sender, REPEATABLE.c.token == token.text
    row = db.execute(select(REPEATABLE).where(*place)).first()
    if row is None:
        return None
    if row.digest != token.digest:
        raise ConflictError("This Idempotency-Key was used for another request.", "Take a new one for each request.")
    return _found(db, row.key_id)


def _budgets(db: Connection, *which: ColumnElement[bool]) -> list[Budget]:
    order = (BUDGETS.c.subject, BUDGETS.c.name, BUDGETS.c.period)
    return [budget_of(row) for row in db.execute(select(BUDGETS).where(*which).order_by(*order))]


def budget_of(row: Any) -> Budget:
    """A budget from a row of its table."""
    limits = row.limit_microusd, row.limit_tokens
    return Budget(row.subject, row.name, row.period, *limits, bool(row.allow_unpriced))


def _place(subject: str, name: str, period: str) -> tuple[ColumnElement[bool], ...]:
    return BUDGETS.c.subject == subject, BUDGETS.c.name == name, BUDGETS.c.period == period


def _budget(db: Connection, subject: str, name: str, period: str) -> Budget | None:
    return next(iter(_budgets(db, *_place(subject, name, period))), None)


def _budget_row(budget: Budget) -> dict[str, Any]:
    values: dict[str, Any] = {column.name: getattr(budget, column.name) for column in BUDGETS.columns}
    return values | {"allow_unpriced": int(budget.allow_unpriced)}


def _put(db: Connection, budget: Budget) -> None:
    db.execute(delete(BUDGETS).where(*_place(budget.subject, budget.name, budget.period)))
    db.execute(insert(BUDGETS).values(_budget_row(budget)))
