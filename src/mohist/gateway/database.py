"""Connections to the database, alike on SQLite and PostgreSQL.

A `Session` belongs to the thread that opened it. Every change is on the disk when its transaction ends (SQLite: WAL,
synchronous=FULL). Nothing foreign gets out: every failure is a `StoreError`, without values and without the password.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mohist.base import MohistError
from mohist.gateway import migration
from mohist.gateway.address import Address, file_address
from mohist.gateway.errors import StoreError

BUSY_S: Final = 5.0
_RETRY_S: Final = 0.01
_LOCK_NOT_AVAILABLE: Final = "55P03"
"""PostgreSQL's word for a lock that was not given in time (appendix A of its manual)."""
# A server that is gone is noticed within this time, not after the quarter of an hour that TCP takes by itself.
_GONE_S: Final = 5


class Session:
    """One open connection, its schema up to date.

    Other tables than the gateway's, in a database of the same kind, are a subclass: it names what is said to people,
    the error it is said with, and how its schema comes up to date.

    Args:
        address: the database, or the path of a file of SQLite.
        busy_s: how long to wait for another process that writes.

    Raises:
        StoreError: it can't be reached or made, or a newer program made it.
    """

    shown_as: ClassVar[str] = "The gateway's database"
    error: ClassVar[type[MohistError]] = StoreError
    held_error: ClassVar[type[MohistError] | None] = None
    """What is said where others write for longer than `busy_s`; None: `error`."""

    def __init__(self, address: Address | Path, *, busy_s: float = BUSY_S) -> None:
        self.address = file_address(address) if isinstance(address, Path) else address
        self.path = self.address.path
        self._busy_s = busy_s
        self._inode = 0
        if self.path is not None:
            self._inode = _make_file(self.path, self)
        with self.told():
            self._engine = self._file_engine() if self.path is not None else self._server_engine()
            self.db: Connection = self._engine.connect()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets the connection go."""
        with suppress(SQLAlchemyError):
            self.db.close()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def check_file(self) -> None:
        """StoreError when the file was removed or replaced while it was open."""
        if self.path is None:
            return
        try:
            replaced = self.path.stat().st_ino != self._inode
        except OSError:
            replaced = True
        if replaced:
            raise self.error(f"{self.shown_as} {str(self.path)!r} was removed or replaced while it was open.")

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        """All or nothing; one that writes is alone on SQLite from its beginning."""
        with self.told():
            self.db.info["write"] = write
            with self.db.begin():
                yield self.db

    @contextmanager
    def told(self) -> Iterator[None]:
        """Makes a StoreError of what the database says."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            told = not isinstance(cause, SQLAlchemyError) and cause is not None
            said = str(cause).strip().split("\n", 1)[0] if told else type(error).__name__
            password = str(self.address.url.password or "")
            said = said.replace(password, "…") if password else said
            raise self._error_of(cause)(f"{self.shown_as} {self.address.shown!r} can't be used: {said}.") from None

    def _error_of(self, cause: BaseException | None) -> type[MohistError]:
        return (self.held_error if _is_held(cause) else None) or self.error

    def _file_engine(self) -> Engine:
        # The driver's own transactions begin too late and end too early
        # (https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#sqlite-transactions); these are begun by hand.
        arguments = {"timeout": self._busy_s, "isolation_level": None, "check_same_thread": False}
        engine = create_engine(self.address.url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("write") else "BEGIN DEFERRED")

        return engine

    def _server_engine(self) -> Engine:
        wait_ms = int(max(self._busy_s, 1.0) * 1000)
        arguments: dict[str, Any] = {
            "connect_timeout": _GONE_S,
            "keepalives_idle": _GONE_S,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "tcp_user_timeout": _GONE_S * 1000,
            "application_name": "mohist",
            "options": f"-c lock_timeout={wait_ms} -c statement_timeout=30000 "
            "-c idle_in_transaction_session_timeout=30000",
        }
        return create_engine(
            self.address.url,
            poolclass=NullPool,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            connect_args=arguments,
        )

    def _prepare(self) -> None:
        if self.path is not None:
            raw = self.db.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            try:
                self._use_wal(raw)
                raw.execute("PRAGMA synchronous = FULL")
                raw.execute("PRAGMA foreign_keys = ON")
            except sqlite3.Error as error:
                told = f"{self.shown_as} {self.address.shown!r} can't be used: {error}."
                raise self._error_of(error)(told) from None
        with self.transaction(write=False) as db:
            behind = self.is_behind(db)
        if behind:
            with self.transaction(write=True) as db:
                self.bring_up(db)

    def is_behind(self, db: Connection) -> bool:
        """Whether the schema is not the one that this program knows."""
        return migration.current(db) != migration.HEAD

    def bring_up(self, db: Connection) -> None:
        """In a transaction that may write: makes the schema the one that this program knows."""
        migration.upgrade(db, self.address.shown)

    def _use_wal(self, raw: sqlite3.Connection) -> None:
        """Switches a fresh file over. Where several do so at once SQLite gives up without waiting, so this waits."""
        until_s = time.monotonic() + self._busy_s
        while True:
            try:
                if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    raw.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_held(error) or time.monotonic() >= until_s:
                    raise
                time.sleep(_RETRY_S)


def _is_held(cause: BaseException | None) -> bool:
    """Whether it says that others write, and nothing else is wrong."""
    if isinstance(cause, sqlite3.OperationalError):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(cause, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _make_file(path: Path, session: Session) -> int:
    """The file, readable by its owner alone; its inode."""
    try:
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        # Before SQLite makes it by the umask; its -wal and -shm files get the same mode. A file that is there is not
        # opened: closing any descriptor of it would drop the locks that other connections of this process hold, and
        # another process would then take the log away under them (https://www.sqlite.org/howtocorrupt.html, 2.2).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        return path.stat().st_ino
    except OSError as error:
        what = session.shown_as[0].lower() + session.shown_as[1:]
        raise session.error(f"Can't open {what} {str(path)!r}: {error.strerror}.") from error
