"""Connections to the log's database. Nothing of the driver gets out: every failure is a `LedgerError`, without the password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import conninfo

from mohist.ledger.errors import LedgerError, LostError

SCHEMES: Final = ("postgresql://", "postgres://", "postgresql+psycopg://")
SCHEMA: Final = "mohist_ledger"
NEW_ENTRIES: Final = "mohist_ledger_inbox"
ANSWERS: Final = "mohist_ledger_answer"
LEADER_LOCK: Final = int.from_bytes(b"mohled", "big")
"""Number of the advisory lock that the sequencer's session holds; stands in the database's own triggers as well."""
CONNECT_S: Final = 5
STATEMENT_S: Final = 60
# A peer that is gone is noticed within ten seconds on either side, not after the quarter of an hour that TCP takes by itself.
_LINK: Final[dict[str, Any]] = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "mohist-ledger",
}
# A receipt says durable, whatever a role or a server has as its default. Whoever stops in the middle of a transaction is thrown out.
_OPTIONS: Final = {
    "synchronous_commit": "on",
    "statement_timeout": str(STATEMENT_S * 1000),
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "10000",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "client_min_messages": "error",
    "search_path": f"{SCHEMA},pg_temp",
}
Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Address:
    """A database of PostgreSQL, 14 or later.

    Args:
        url: postgresql://USER@HOST/DATABASE
        password_file: holds the password; None: libpq's own ways (PGPASSFILE, ~/.pgpass).

    Raises:
        LedgerError: it is no such URL.
    """

    url: str = field(repr=False)
    password_file: Path | None = None

    def __post_init__(self) -> None:
        try:
            if not self.url.startswith(SCHEMES):
                raise ValueError
            conninfo.conninfo_to_dict(self._plain)
        except (ValueError, psycopg.Error):
            # Not told what was found: a URL with a mistake in it can hold a password all the same.
            raise LedgerError(
                "The URL of the ledger's database is not understood.", "Say postgresql://USER@HOST/DATABASE."
            ) from None

    @property
    def shown(self) -> str:
        """For messages; without user and password."""
        parts = conninfo.conninfo_to_dict(self._plain)
        return f"postgresql://{parts.get('host', '')}/{parts.get('dbname', '')}"

    def connect(self) -> Connection:
        """A connection in which each statement is a transaction unless one is begun.

        Raises:
            LostError: it can't be reached.
            LedgerError: the password can't be read.
        """
        password: dict[str, Any] = {}
        if self.password_file is not None:
            try:
                password["password"] = self.password_file.read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise LedgerError(
                    f"The password of the ledger's database can't be read from {str(self.password_file)!r}."
                ) from error
        options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
        try:
            return psycopg.connect(self._plain, autocommit=True, options=options, **_LINK, **password)
        except psycopg.Error as error:
            raise LostError(f"The ledger at {self.shown} can't be reached: {said(error)}.", _AWAY) from None

    @contextmanager
    def told(self, db: Connection) -> Iterator[None]:
        """Makes a LedgerError of what the database says.

        Raises:
            LostError: the connection is gone; what was under way may have been done or not.
            LedgerError: it refuses; nothing was done.
        """
        try:
            yield
        except psycopg.Error as error:
            if db.closed or db.broken:
                with suppress(psycopg.Error):
                    db.close()
                raise LostError(
                    f"The connection to the ledger at {self.shown} was lost: {said(error)}.", _AWAY
                ) from None
            raise LedgerError(
                f"The ledger at {self.shown} could not be used: {said(error)}.", "Nothing was entered."
            ) from None

    @property
    def _plain(self) -> str:
        return self.url.replace("postgresql+psycopg://", "postgresql://", 1)


def said(error: psycopg.Error) -> str:
    """What the driver says, its first line; it holds no password."""
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0].rstrip(".")


_AWAY = "Nothing runs without its ledger; see to the database."
