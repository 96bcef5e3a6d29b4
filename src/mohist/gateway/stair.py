"""Brings tables up to date, step by step, by Alembic: the gateway's, and others in a database of the same kind.

Steps are only ever added to. All of one climb go in one transaction. Alembic is read in only where there is something to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect, text

from mohist.base import MohistError

_KEY: Final = text("SELECT pg_advisory_xact_lock(:key)")


@dataclass(frozen=True, slots=True)
class Stair:
    """The steps of one set of tables."""

    package: str
    """Whose `migration` folder holds `env.py` and `version/`."""
    steps: tuple[str, ...]
    """In order; a new one goes to the end."""
    counter: str
    """The table in which Alembic keeps count."""
    lock: int
    """Serialises processes that open one PostgreSQL at once; any number, the same for all."""
    shown_as: str
    """What people are told it is, before its address."""
    error: type[MohistError]

    @property
    def head(self) -> str:
        return self.steps[-1]

    def counted(self, connection: Connection) -> str | None:
        """The step that Alembic counted; empty: none yet. None: it does not count here."""
        if not inspect(connection).has_table(self.counter):
            return None
        found = connection.execute(text(f"SELECT version_num FROM {self.counter}")).scalar_one_or_none()  # noqa: S608
        return str(found or "")

    def hold(self, connection: Connection) -> None:
        """Until the transaction's end nobody else climbs; to be done before it is asked where they are."""
        if connection.dialect.name == "postgresql":
            connection.execute(_KEY, {"key": self.lock})

    def climb(self, connection: Connection, at: str, shown: str) -> bool:
        """Inside a transaction that may write: makes all missing steps; whether there were any.

        Args:
            connection: in a transaction.
            at: the step that they are at; empty: a fresh database.
            shown: the database, for messages.

        Raises:
            MohistError: of the kind `error`: a newer program made them.
        """
        if at == self.head:
            return False
        if at and at not in self.steps:
            raise self.error(
                f"{self.shown_as} {shown!r} has schema {at}; this program knows up to {self.head}.",
                "Use the newer program that wrote it.",
            )
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", f"{self.package}:migration")
        config.set_main_option("version_locations", f"{self.package}:migration/version")
        config.set_main_option("path_separator", "newline")
        config.attributes["connection"] = connection
        config.attributes["at"] = at
        command.upgrade(config, "head")
        return True
