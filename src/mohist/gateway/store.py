"""The service over keys, budgets and usage: what the command line and the admin API do, on SQLite and PostgreSQL.

Synchronous; a `Store` belongs to the thread that opened it, and every change is on the disk when its method returns.
Running servers see a change of keys and budgets within a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import BigInteger, Connection, case, delete, func, insert, or_, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite

from mohist.gateway.budget import Budget, Spend, subjects_of
from mohist.gateway.call import Principal
from mohist.gateway.database import Session
from mohist.gateway.errors import StoreError
from mohist.gateway.key import Key, KeySecret
from mohist.gateway.schema import BUDGETS, KEY_SECRETS, KEYS, REVISION, SPEND, USAGE
from mohist.gateway.usage import BY, COLUMNS, UsageTotal

_LISTS: Final = ("models", "clients", "dialects")
Charges = Mapping[tuple[str, str, int], tuple[int, int]]
"""Money (microusd) and tokens by subject, name and day."""


def database_path(home: Path) -> Path:
    """Where the database of an installation is when nobody says otherwise."""
    return home / "gateway.db"


class Store(Session):
    """The gateway's database, open."""

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

    def add_key(self, key: Key, secret_hash: bytes, budgets: Sequence[Budget] = ()) -> None:
        """A new key with its budgets; StoreError when there is one of that id."""
        with self._change() as db:
            db.execute(insert(KEYS).values(_key_row(key)))
            db.execute(insert(KEY_SECRETS).values(_secret_row(secret_hash, key.key_id, key.created_at_ms)))
            for budget in budgets:
                _put(db, budget)

    def revoke_key(self, key_id: str, now_ms: int) -> Key:
        """Ends a key for good; a key already revoked stays as it is."""
        with self._change() as db:
            key = _found(db, key_id)
            if key.revoked_at_ms is not None:
                return key
            db.execute(
                update(KEYS).where(KEYS.c.key_id == key_id, KEYS.c.revoked_at_ms.is_(None)).values(revoked_at_ms=now_ms)
            )
            return replace(key, revoked_at_ms=now_ms)

    def rotate_key(self, key_id: str, secret_hash: bytes, now_ms: int, grace_ms: int = 0) -> Key:
        """A new secret for a key; the old one works for `grace_ms` more. Budgets and what was spent stay."""
        end_ms = now_ms + grace_ms
        with self._change() as db:
            key = _found(db, key_id)
            if key.revoked_at_ms is not None:
                raise StoreError(f"Key {key_id!r} is revoked.", "Make a new one: mohist keys create")
            ends = KEY_SECRETS.c.expires_at_ms
            mine = KEY_SECRETS.c.key_id == key_id
            db.execute(update(KEY_SECRETS).where(mine, or_(ends.is_(None), ends > end_ms)).values(expires_at_ms=end_ms))
            db.execute(insert(KEY_SECRETS).values(_secret_row(secret_hash, key_id, now_ms)))
            return key

    # Budgets

    def budgets(self) -> list[Budget]:
        """All budgets, those of keys too."""
        with self.transaction(write=False) as db:
            return _budgets(db)

    def set_budget(self, budget: Budget) -> None:
        """Makes or replaces the budget of this subject and period."""
        with self._change() as db:
            _put(db, budget)

    def remove_budgets(self, subject: str, name: str) -> int:
        """Takes all budgets of one subject away; how many there were."""
        with self._change() as db:
            return db.execute(delete(BUDGETS).where(BUDGETS.c.subject == subject, BUDGETS.c.name == name)).rowcount

    # Usage

    def add_usage(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Takes rows over, each call once however often it comes; how many were new."""
        with self.transaction(write=True) as db:
            return add_rows(db, list(rows))

    def spends(self) -> list[Spend]:
        """What was charged to every subject on every day."""
        with self.transaction(write=False) as db:
            return [Spend(*row) for row in db.execute(select(SPEND).order_by(*SPEND.primary_key))]

    def usage(self, by: str, since_ms: int = 0) -> list[UsageTotal]:
        """Sums by one of `usage.BY`, dearest first, of the calls that began at `since_ms` or later."""
        call = USAGE.c
        made = call.verdict == "allowed"
        unknown = made & call.cost_microusd.is_(None) & ((call.status < 400) | call.input_tokens.is_not(None))
        cost = _sum(call.cost_microusd).label("cost")
        calls = func.count().label("calls")
        name = call[BY[by]]
        query = (
            select(
                name,
                calls,
                _sum(case((made, 0), else_=1)),
                *(_sum(call[f"{kind}_tokens"]) for kind in ("input", "cache_read", "cache_write", "output")),
                cost,
                _sum(case((unknown, 1), else_=0)),
            )
            .where(call.started_at_ms >= since_ms)
            .group_by(name)
            .order_by(cost.desc(), calls.desc(), name)
        )
        with self.transaction(write=False) as db:
            return [UsageTotal(*row) for row in db.execute(query)]

    # Inside

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        """A change of keys or budgets, which running servers must see."""
        with self.transaction(write=True) as db:
            # First: two changes at once take turns here, and what is read next holds until the end.
            db.execute(update(REVISION).values(number=REVISION.c.number + 1))
            yield db


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
    charges: dict[tuple[str, str, int], tuple[int, int]] = {}
    for row in rows:
        if not row["key_id"]:
            continue
        for subject, name in subjects_of(Principal(row["key_id"], row["user"], row["project"], row["team"])):
            microusd, tokens = charges.get((subject, name, row["day"]), (0, 0))
            charges[subject, name, row["day"]] = (microusd + row["charged_microusd"], tokens + row["charged_tokens"])
    return charges


# SQLAlchemy's own insert takes some 15 times as long a row, and can't say which rows were new.
_INSERT_IN_FILE: Final = f"INSERT OR IGNORE INTO usage ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - fixed names
_QUOTED: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_INSERT_ON_SERVER: Final = (
    f"INSERT INTO usage ({_QUOTED}) SELECT {_QUOTED} FROM json_populate_recordset(NULL::usage, %(rows)s::json) "  # noqa: S608 - fixed names
    "ON CONFLICT DO NOTHING RETURNING call_id"
)


def _insert_in_file(db: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    cursor = db.connection.cursor()
    fresh = []
    for row in rows:
        cursor.execute(_INSERT_IN_FILE, [row[name] for name in COLUMNS])
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
    return [_key(row._mapping) for row in db.execute(select(KEYS).order_by(KEYS.c.created_at_ms, KEYS.c.key_id))]


def _found(db: Connection, key_id: str) -> Key:
    row = db.execute(select(KEYS).where(KEYS.c.key_id == key_id)).mappings().first()
    if row is None:
        raise StoreError(f"There is no key {key_id!r}.", "See: mohist keys list")
    return _key(row)


def _key(row: Mapping[Any, Any]) -> Key:
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


def _budgets(db: Connection) -> list[Budget]:
    rows = db.execute(select(BUDGETS).order_by(BUDGETS.c.subject, BUDGETS.c.name, BUDGETS.c.period))
    return [
        Budget(row.subject, row.name, row.period, row.limit_microusd, row.limit_tokens, bool(row.allow_unpriced))
        for row in rows
    ]


def _put(db: Connection, budget: Budget) -> None:
    values: dict[str, Any] = {column.name: getattr(budget, column.name) for column in BUDGETS.columns}
    values["allow_unpriced"] = int(budget.allow_unpriced)
    place = BUDGETS.c.subject == budget.subject, BUDGETS.c.name == budget.name, BUDGETS.c.period == budget.period
    db.execute(delete(BUDGETS).where(*place))
    db.execute(insert(BUDGETS).values(values))


def _sum(value: Any) -> Any:
    """A whole number, 0 of nothing; PostgreSQL's own sums of such numbers are decimals."""
    return sql_cast(func.coalesce(func.sum(value), 0), BigInteger)
