"""Brings a database up to date, step by step, by Alembic; steps are only ever added to.

Alembic is read in only where there is something to do. All steps of one database go in one transaction.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, inspect, text

from mohist.gateway.errors import StoreError

STEPS: Final = ("0001", "0002", "0003", "0004", "0005", "0006")
"""In order; a new one goes to the end."""
HEAD: Final = STEPS[-1]
# Serialises processes that open one PostgreSQL at once; any number, the same for all.
_LOCK: Final = 0x6D6F68697374


def current(connection: Connection) -> str:
    """The step a database is at; empty: a fresh one."""
    if inspect(connection).has_table("alembic_version"):
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none() or "")
    if connection.dialect.name == "sqlite":
        # Before Alembic kept count SQLite's own number did.
        number = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        return f"{number:04}" if number else ""
    return ""


def upgrade(connection: Connection, shown: str) -> None:
    """Inside a transaction that may write: makes all missing steps.

    Args:
        connection: in a transaction.
        shown: the database, for messages.

    Raises:
        StoreError: a newer program made the database.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    at = current(connection)
    if at == HEAD:
        return
    if at and at not in STEPS:
        raise StoreError(
            f"The gateway's database {shown!r} has schema {at}; this program knows up to {HEAD}.",
            "Use the newer program that wrote it.",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "mohist.gateway:migration")
    config.set_main_option("version_locations", "mohist.gateway:migration/version")
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["at"] = at
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite":
        # So that programs from before Alembic refuse the file.
        connection.exec_driver_sql(f"PRAGMA user_version = {int(HEAD)}")
