"""A log wherever it is kept: opened as a process does, and changed as someone with the database does."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psycopg

from fakes.postgres import Postgres
from mohist.ledger.log import Log
from mohist.ledger.postgres import Address, PostgresLog
from mohist.ledger.store import Store

ORIGIN = "log.example/test"
# What someone does who owns the database, and has read how it defends itself.
_UNGUARDED = [
    f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ("entry", "stream", "tile", "head", "about", "payload")
]


class Place(Protocol):
    opened: list[Store]

    def log(self, origin: str = ORIGIN, *, read_only: bool = False) -> Store: ...

    def attack(self, *statements: str) -> None:
        """As the owner of the database, past all that it refuses."""
        ...

    def change(self, statement: str) -> str:
        """As anyone who may write; what the database says to it."""
        ...

    def clear(self) -> None:
        """Another, empty one is in its place from now on."""
        ...

    def backup(self) -> None:
        """Keeps a copy, while nobody has it open."""
        ...

    def restore(self) -> None:
        """The copy is in its place from now on."""
        ...


@dataclass(frozen=True)
class File:
    path: Path
    opened: list[Store] = field(default_factory=list)

    def log(self, origin: str = ORIGIN, *, read_only: bool = False) -> Store:
        self.opened.append(Log(self.path, origin if not read_only else "", read_only=read_only))
        return self.opened[-1]

    def attack(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                db.execute(statement)
            db.commit()

    def change(self, statement: str) -> str:
        with closing(sqlite3.connect(self.path)) as db:
            try:
                db.execute(statement)
            except sqlite3.IntegrityError as error:
                return str(error)
        return ""

    def clear(self) -> None:
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    def backup(self) -> None:
        shutil.copy(self.path, self.path.with_name("copy"))

    def restore(self) -> None:
        self.clear()
        shutil.copy(self.path.with_name("copy"), self.path)


@dataclass
class Base:
    address: Address
    server: Postgres | None = None
    empty: str = ""
    """A database with an empty log, to be copied."""
    copy: str = ""
    opened: list[Store] = field(default_factory=list)

    def log(self, origin: str = ORIGIN, *, read_only: bool = False) -> PostgresLog:
        made = PostgresLog(self.address, origin if not read_only else "", read_only=read_only)
        self.opened.append(made)
        return made

    def attack(self, *statements: str) -> None:
        with self.connect() as db:
            for statement in [*_UNGUARDED, *statements]:
                # A tile's root stands beside it here.
                db.execute(statement.replace("x'", "'\\x").replace("FROM fold", "FROM tile"))

    def change(self, statement: str) -> str:
        with self.connect() as db:
            try:
                db.execute(statement.replace("x'", "'\\x"))
            except psycopg.Error as error:
                return str(error)
        return ""

    def clear(self) -> None:
        assert self.server is not None
        self.address = Address(self.server.url(self.server.new_database(self.empty)))

    def backup(self) -> None:
        assert self.server is not None
        self.copy = self.server.new_database(self.address.url.partition("@/")[2].partition("?")[0])

    def restore(self) -> None:
        assert self.server is not None
        self.address = Address(self.server.url(self.copy))

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.address.url, autocommit=True, options="-c search_path=mohist_ledger")
