"""Brings the tables of deliveries up to date, step by step, by Alembic; steps are only ever added to.

They keep count in a table of their own, since the gateway's may live in the same database. Alembic is read in only where
there is something to do. All steps of one database go in one transaction.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, text

from mohist.delivery.errors import BookError

STEPS: Final = ("0001", "0002", "0003", "0004")
"""In order; a new one goes to the end."""
HEAD: Final = STEPS[-1]
VERSION_TABLE: Final = "delivery_version"
# Serialises processes that open one PostgreSQL at once; any number, the same for all.
_LOCK: Final = 0x6D6F64656C69


def current(connection: Connection) -> str:
    """The step a database is at; empty: a fresh one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(text("SELECT version_num FROM delivery_version")).scalar_one_or_none() or "")


def upgrade(connection: Connection, shown: str) -> None:
    """Inside a transaction that may write: makes all missing steps.

    Args:
        connection: in a transaction.
        shown: the database, for messages.

    Raises:
        BookError: a newer program made the tables.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    at = current(connection)
    if at == HEAD:
        return
    if at and at not in STEPS:
        raise BookError(
            f"The deliveries in {shown!r} have schema {at}; this program knows up to {HEAD}.",
            "Use the newer program that wrote them.",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "mohist.delivery:migration")
    config.set_main_option("version_locations", "mohist.delivery:migration/version")
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
