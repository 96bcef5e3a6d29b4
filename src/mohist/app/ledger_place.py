"""Where a state folder's log is kept: in a file of the folder, or in a database that several machines share (`ledger_base`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mohist.ledger import LedgerError
from mohist.ledger.log import Log
from mohist.ledger.retention import drop
from mohist.ledger.store import Store
from mohist.ledger.writer import Book


class Place(Protocol):
    """Where the log is."""

    shared: bool
    """Whether other machines write to it as well."""

    @property
    def exists(self) -> bool:
        """Whether there is a log."""
        ...

    @property
    def sealed(self) -> str:
        """Why nothing may be entered, as far as the log itself says; empty: it may."""
        ...

    def read(self) -> Store:
        """For reading.

        Raises:
            LedgerError: there is none, or it can't be read.
        """
        ...

    def origin(self) -> str:
        """The log's name; empty: there is none yet."""
        ...

    def book(self, origin: str) -> Book:
        """For entering.

        Raises:
            LedgerError: it can't be opened.
        """
        ...

    def seal(self, why: str) -> None:
        """Nothing is entered from now on, where the log itself can say so.

        Raises:
            LedgerError: it can't be kept.
        """
        ...

    def agree(self, name: str, value: str) -> str:
        """What all machines hold to under a name: the value, where there was none; empty is only asked."""
        ...

    def drop(self, digests: Sequence[str]) -> None:
        """Deletes contents.

        Raises:
            LedgerError: they can't be deleted.
        """
        ...


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file of SQLite."""

    path: Path
    shared = False
    sealed = ""

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def read(self) -> Store:
        if not self.exists:
            raise LedgerError(f"There is no ledger in {self.path.parent}.", "It begins with the first run or call.")
        return Log(self.path, read_only=True)

    def origin(self) -> str:
        return ""

    def book(self, origin: str) -> Book:
        return Log(self.path, origin)

    def seal(self, why: str) -> None:
        """The folder says it."""

    def agree(self, name: str, value: str) -> str:  # noqa: ARG002 - nobody else is there
        return value

    def drop(self, digests: Sequence[str]) -> None:
        drop(self.path, digests)
