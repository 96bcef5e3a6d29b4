"""Where the gateway's database is: a file of SQLite, or PostgreSQL by URL.

The password never leaves this module in a text: it comes with the URL, from a file, or by libpq's own ways (PGPASSFILE,
PGPASSWORD, ~/.pgpass), and `shown` lacks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from mohist.gateway.errors import StoreError

URL_VARIABLE: Final = "MOHIST_DATABASE_URL"
PASSWORD_FILE_VARIABLE: Final = "MOHIST_DATABASE_PASSWORD_FILE"  # noqa: S105 - the name of a variable
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and the folder where calls wait for it."""

    url: URL = field(repr=False)
    journals: Path
    """Of all processes that share a file of SQLite; of those of this home where it is PostgreSQL."""

    @property
    def path(self) -> Path | None:
        """The file; None: it is PostgreSQL."""
        return Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None

    @property
    def shown(self) -> str:
        """For messages; without user and password."""
        if self.path is not None:
            return str(self.path)
        return f"postgresql://{self.url.host or self.url.query.get('host', '')}/{self.url.database or ''}"


def file_address(path: Path) -> Address:
    """A file of SQLite; the journals of all who use it stand beside it."""
    return Address(URL.create("sqlite", database=str(path)), path.with_suffix(".journals"))


def home_address(home: Path, env: Mapping[str, str], url: str = "") -> Address:
    """The database of an installation.

    Args:
        home: the state folder.
        env: `MOHIST_DATABASE_URL` wins over `url`; `MOHIST_DATABASE_PASSWORD_FILE` names a file with the password.
        url: as configured; empty: `gateway.db` in the state folder.

    Raises:
        StoreError: no URL of a database, or the password's file can't be read.
    """
    text = env.get(URL_VARIABLE, "").strip() or url
    if not text:
        return file_address(home / "gateway.db")
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        parsed = URL.create("none")
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return file_address(Path(parsed.database).expanduser())
    if parsed.drivername not in _POSTGRES:
        # Not told what was found: a URL with a mistake in it can hold a password all the same.
        raise StoreError(
            "The gateway's database URL is not understood.",
            "Say sqlite:////PATH or postgresql://USER@HOST/DATABASE.",
        )
    secret_file = env.get(PASSWORD_FILE_VARIABLE, "").strip()
    if secret_file:
        try:
            password = Path(secret_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"Can't read the database's password from {secret_file!r}.") from error
        parsed = parsed.set(password=password)
    return Address(parsed.set(drivername="postgresql+psycopg"), home / "gateway.journals")
