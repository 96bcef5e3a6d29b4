"""Brings the log's tables up to date, step by step, all of one climb in one transaction. Steps are only ever added to."""

from __future__ import annotations

from importlib import resources
from typing import Final

from mohist.ledger.errors import LedgerError
from mohist.ledger.postgres.link import SCHEMA, Address, Connection

STEPS: Final = ("0001",)
"""In order; a new one goes to the end."""
HEAD: Final = STEPS[-1]
_LOCK: Final = int.from_bytes(b"mohles", "big")
"""Serialises processes that open one database at once."""


def current(db: Connection) -> str:
    """The step that a database is at; empty: there is no log in it."""
    # Not by name, which the session may remember as one that is not there, across the wait for whoever makes it just now.
    row = db.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'step'", (SCHEMA,)).fetchone()
    if row is None:
        return ""
    found = db.execute("SELECT max(name) FROM step").fetchone()
    return str(found[0]) if found and found[0] else ""


def climb(db: Connection, address: Address, origin: str) -> None:
    """Makes all missing steps, and names the log where it is new.

    Args:
        db: outside of a transaction.
        address: for messages.
        origin: of the log.

    Raises:
        LedgerError: a newer program made the tables, or they can't be made.
    """
    with address.told(db):
        if current(db) == HEAD:
            return
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            at = current(db)
            known(at, address)
            if not at:
                db.execute(f"CREATE SCHEMA {SCHEMA}")
                db.execute(f"CREATE TABLE {SCHEMA}.step (name text PRIMARY KEY)")
            for step in STEPS[STEPS.index(at) + 1 if at else 0 :]:
                text = resources.files("mohist.ledger.postgres").joinpath("migration", f"{step}.sql").read_bytes()
                db.execute(text)
                db.execute("INSERT INTO step VALUES (%s)", (step,))
            if not at:
                db.execute("INSERT INTO about VALUES ('origin', %s)", (origin,))


def known(at: str, address: Address) -> None:
    """That a step is one of this program's; empty is.

    Raises:
        LedgerError: a newer program made it.
    """
    if at and at not in STEPS:
        raise LedgerError(
            f"The ledger at {address.shown} has schema {at}; this program knows up to {HEAD}.",
            "Use the newer Mohist that wrote it.",
        )
