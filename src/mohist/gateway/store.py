"""What the gateway keeps: keys, budgets and usage, in one SQLite file that its owner alone may read.

The only module that speaks SQL. A `Store` belongs to the thread that opened it. Every change is on the disk when its
method returns (WAL, synchronous=FULL).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from mohist.gateway.budget import Budget, Spend, subjects_of
from mohist.gateway.call import Principal
from mohist.gateway.errors import StoreError
from mohist.gateway.key import Key, KeySecret
from mohist.gateway.schema import MIGRATIONS
from mohist.gateway.usage import BY, COLUMNS, UsageTotal

_BUSY_S: Final = 5.0
_RETRY_S: Final = 0.01
_KEY_COLUMNS: Final = (
    "key_id",
    "user",
    "project",
    "team",
    "models",
    "clients",
    "dialects",
    "created_at_ms",
    "expires_at_ms",
    "revoked_at_ms",
    "requests_per_minute",
    "tokens_per_minute",
)


def database_path(home: Path) -> Path:
    """Where the keys, budgets and usage of an installation are kept."""
    return home / "gateway.db"


class Store:
    """The gateway's database, open."""

    def __init__(self, path: Path, *, busy_s: float = _BUSY_S) -> None:
        """Opens or makes the file and brings its schema up to date; StoreError where that can't be.

        Args:
            path: the file.
            busy_s: how long to wait for another process that writes.
        """
        self.path = path
        self._busy_s = busy_s
        try:
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            # Before SQLite makes it by the umask; its -wal and -shm files get the same mode. A file that is there is not
            # opened: closing any descriptor of it would drop the locks that other connections of this process hold, and
            # another process would then take the log away under them (https://www.sqlite.org/howtocorrupt.html, 2.2).
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
            self._inode = path.stat().st_ino
        except OSError as error:
            raise StoreError(f"Can't open the gateway's database {str(path)!r}: {error.strerror}.") from error
        with self._told():
            self._db = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def revision(self) -> int:
        """Counts the changes of keys and budgets; StoreError when the file was removed or replaced."""
        try:
            replaced = self.path.stat().st_ino != self._inode
        except OSError:
            replaced = True
        if replaced:
            raise StoreError(f"The gateway's database {str(self.path)!r} was removed or replaced while it was open.")
        with self._told():
            return int(self._db.execute("SELECT number FROM revision").fetchone()[0])

    def policy(self) -> tuple[int, list[Key], list[KeySecret], list[Budget]]:
        """The revision with all keys, their secrets' hashes and all budgets, as of one moment."""
        with self._transaction("DEFERRED"):
            return self.revision(), self.keys(), self._secrets(), self.budgets()

    # Keys

    def keys(self) -> list[Key]:
        """All keys, oldest first, revoked and expired ones too."""
        with self._told():
            rows = self._db.execute(f"SELECT {', '.join(_KEY_COLUMNS)} FROM keys ORDER BY created_at_ms, key_id")  # noqa: S608 - fixed names
            return [_key(row) for row in rows]

    def key(self, key_id: str) -> Key:
        """One key; StoreError when there is none of that id."""
        for key in self.keys():
            if key.key_id == key_id:
                return key
        raise StoreError(f"There is no key {key_id!r}.", "See: mohist keys list")

    def add_key(self, key: Key, secret_hash: bytes, budgets: Sequence[Budget] = ()) -> None:
        """A new key with its budgets."""
        values = [_stored(getattr(key, name)) for name in _KEY_COLUMNS]
        with self._change():
            self._db.execute(
                f"INSERT INTO keys ({', '.join(_KEY_COLUMNS)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608 - fixed names
                values,
            )
            self._add_secret(secret_hash, key.key_id, key.created_at_ms)
            for budget in budgets:
                self._put(budget)

    def revoke_key(self, key_id: str, now_ms: int) -> Key:
        """Ends a key for good; a key already revoked stays as it is."""
        key = self.key(key_id)
        if key.revoked_at_ms is not None:
            return key
        with self._change():
            self._db.execute(
                "UPDATE keys SET revoked_at_ms = ? WHERE key_id = ? AND revoked_at_ms IS NULL", (now_ms, key_id)
            )
        return replace(key, revoked_at_ms=now_ms)

    def rotate_key(self, key_id: str, secret_hash: bytes, now_ms: int, grace_ms: int = 0) -> Key:
        """A new secret for a key; the old one works for `grace_ms` more. Budgets and what was spent stay."""
        key = self.key(key_id)
        if key.revoked_at_ms is not None:
            raise StoreError(f"Key {key_id!r} is revoked.", "Make a new one: mohist keys create")
        end_ms = now_ms + grace_ms
        with self._change():
            self._db.execute(
                "UPDATE key_secrets SET expires_at_ms = ? WHERE key_id = ? "
                "AND (expires_at_ms IS NULL OR expires_at_ms > ?)",
                (end_ms, key_id, end_ms),
            )
            self._add_secret(secret_hash, key_id, now_ms)
        return key

    # Budgets

    def budgets(self) -> list[Budget]:
        """All budgets, those of keys too."""
        with self._told():
            rows = self._db.execute(
                "SELECT subject, name, period, limit_microusd, limit_tokens, allow_unpriced FROM budgets "
                "ORDER BY subject, name, period"
            )
            return [
                Budget(subject, name, period, microusd, tokens, bool(unpriced))
                for subject, name, period, microusd, tokens, unpriced in rows
            ]

    def set_budget(self, budget: Budget) -> None:
        """Makes or replaces the budget of this subject and period."""
        with self._change():
            self._put(budget)

    def remove_budgets(self, subject: str, name: str) -> int:
        """Takes all budgets of one subject away; how many there were."""
        with self._change():
            return self._db.execute("DELETE FROM budgets WHERE subject = ? AND name = ?", (subject, name)).rowcount

    # Usage

    def add_usage(self, rows: Iterable[dict[str, Any]]) -> int:
        """Takes rows over, each call once however often it comes; how many were new."""
        marks = ", ".join("?" * len(COLUMNS))
        insert = f"INSERT OR IGNORE INTO usage ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608 - fixed names
        added = 0
        charges: dict[tuple[str, str, int], tuple[int, int]] = {}
        with self._transaction("IMMEDIATE"):
            for row in rows:
                if self._db.execute(insert, [row[name] for name in COLUMNS]).rowcount != 1:
                    continue
                added += 1
                if not row["key_id"]:
                    continue
                for subject, name in subjects_of(Principal(row["key_id"], row["user"], row["project"], row["team"])):
                    microusd, tokens = charges.get((subject, name, row["day"]), (0, 0))
                    charges[subject, name, row["day"]] = (
                        microusd + row["charged_microusd"],
                        tokens + row["charged_tokens"],
                    )
            self._db.executemany(
                "INSERT INTO spend VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "microusd = microusd + excluded.microusd, tokens = tokens + excluded.tokens",
                [(*place, *sums) for place, sums in charges.items() if any(sums)],
            )
        return added

    def spends(self) -> list[Spend]:
        """What was charged to every subject on every day."""
        with self._told():
            return [Spend(*row) for row in self._db.execute("SELECT subject, name, day, microusd, tokens FROM spend")]

    def usage(self, by: str, since_ms: int = 0) -> list[UsageTotal]:
        """Sums by one of `usage.BY`, dearest first, of the calls that began at `since_ms` or later."""
        sums = ", ".join(f"SUM(COALESCE({name}, 0))" for name in COLUMNS[-7:-3])
        query = (
            f"SELECT {BY[by]}, COUNT(*), SUM(verdict <> 'allowed'), {sums}, SUM(COALESCE(cost_microusd, 0)), "  # noqa: S608 - fixed names
            "SUM(verdict = 'allowed' AND cost_microusd IS NULL AND (status < 400 OR input_tokens IS NOT NULL)) "
            "FROM usage WHERE started_at_ms >= ? GROUP BY 1 ORDER BY 8 DESC, 2 DESC, 1"
        )
        with self._told():
            return [UsageTotal(*row) for row in self._db.execute(query, (since_ms,))]

    # Inside

    def _prepare(self) -> None:
        with self._told():
            self._use_wal()
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
        if self._version() == len(MIGRATIONS):
            return
        with self._transaction("IMMEDIATE"):
            version = self._version()  # another process may have been faster
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"The gateway's database {str(self.path)!r} has schema {version}; this program knows up to "
                    f"{len(MIGRATIONS)}.",
                    "Use the newer program that wrote it.",
                )
            for number in range(version, len(MIGRATIONS)):
                for statement in MIGRATIONS[number].split(";"):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _use_wal(self) -> None:
        """Switches a fresh file over. Where several do so at once SQLite gives up without waiting, so this waits."""
        until_s = time.monotonic() + self._busy_s
        while True:
            try:
                if self._db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until_s:
                    raise
                time.sleep(_RETRY_S)

    def _version(self) -> int:
        with self._told():
            return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _secrets(self) -> list[KeySecret]:
        rows = self._db.execute("SELECT hash, key_id, created_at_ms, expires_at_ms FROM key_secrets")
        return [KeySecret(*row) for row in rows]

    def _add_secret(self, secret_hash: bytes, key_id: str, now_ms: int) -> None:
        self._db.execute("INSERT INTO key_secrets VALUES (?, ?, ?, NULL)", (secret_hash, key_id, now_ms))

    def _put(self, budget: Budget) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?, ?, ?)",
            (
                budget.subject,
                budget.name,
                budget.period,
                budget.limit_microusd,
                budget.limit_tokens,
                int(budget.allow_unpriced),
            ),
        )

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A change of keys or budgets, which running servers must see."""
        with self._transaction("IMMEDIATE"):
            yield
            self._db.execute("UPDATE revision SET number = number + 1")

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        with self._told():
            self._db.execute(f"BEGIN {kind}")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"The gateway's database {str(self.path)!r} can't be used: {error}.") from error


def _key(row: Sequence[Any]) -> Key:
    values = dict(zip(_KEY_COLUMNS, row, strict=True))
    for name in ("models", "clients", "dialects"):
        values[name] = tuple(json.loads(values[name]))
    return Key(**values)


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value
