"""The steps of the gateway's database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from mohist.gateway.errors import StoreError
from mohist.gateway.stair import Stair

STEPS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""In order; a new one goes to the end."""
HEAD: Final = STEPS[-1]
_STAIR: Final = Stair("mohist.gateway", STEPS, "alembic_version", 0x6D6F68697374, "The gateway's database", StoreError)


def current(connection: Connection) -> str:
    """The step a database is at; empty: a fresh one."""
    counted = _STAIR.counted(connection)
    if counted is None and connection.dialect.name == "sqlite":
        # Before Alembic kept count SQLite's own number did.
        number = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        return f"{number:04}" if number else ""
    return counted or ""


def upgrade(connection: Connection, shown: str) -> None:
    """Inside a transaction that may write: makes all missing steps.

    Args:
        connection: in a transaction.
        shown: the database, for messages.

    Raises:
        StoreError: a newer program made the database.
    """
    _STAIR.hold(connection)
    if _STAIR.climb(connection, current(connection), shown) and connection.dialect.name == "sqlite":
        # So that programs from before Alembic refuse the file.
        connection.exec_driver_sql(f"PRAGMA user_version = {int(HEAD)}")
