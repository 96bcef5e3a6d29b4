"""The steps of the tables of deliveries. They keep count apart, since the gateway's may live in the same database."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from mohist.delivery.errors import BookError
from mohist.gateway.stair import Stair

STEPS: Final = ("0001", "0002", "0003", "0004")
"""In order; a new one goes to the end."""
HEAD: Final = STEPS[-1]
VERSION_TABLE: Final = "delivery_version"
_STAIR: Final = Stair("mohist.delivery", STEPS, VERSION_TABLE, 0x6D6F64656C69, "The database of deliveries", BookError)


def current(connection: Connection) -> str:
    """The step a database is at; empty: a fresh one."""
    return _STAIR.counted(connection) or ""


def upgrade(connection: Connection, shown: str) -> None:
    """Inside a transaction that may write: makes all missing steps.

    Args:
        connection: in a transaction.
        shown: the database, for messages.

    Raises:
        BookError: a newer program made the tables.
    """
    _STAIR.hold(connection)
    _STAIR.climb(connection, current(connection), shown)
