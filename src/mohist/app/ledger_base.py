"""A state folder's log in a database of PostgreSQL, which several machines share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mohist.ledger import Receipt, SealedError
from mohist.ledger.postgres import Address, Inbox, PostgresLog, Sequencer
from mohist.ledger.retention import ERASURES
from mohist.ledger.store import Ready, Store
from mohist.ledger.writer import Book


@dataclass(frozen=True, slots=True)
class Watch:
    """What is done where the log is shared."""

    glance: Callable[[Store], object]
    """With each new connection: compares the log with what is known here. Raises SealedError."""
    examine: Callable[[], object]
    """Before this machine gives entries their places. Raises SealedError."""
    seal: Callable[[SealedError], object]
    erasures: Callable[[], object]
    """Somebody was erased since, perhaps on another machine."""


@dataclass(frozen=True, slots=True)
class BasePlace:
    """A database of PostgreSQL."""

    address: Address
    watch: Watch
    shared = True

    @property
    def exists(self) -> bool:
        return bool(self.origin())

    @property
    def sealed(self) -> str:
        if not self.exists:
            return ""
        log = PostgresLog(self.address, read_only=True)
        log.close()
        return log.sealed

    def read(self) -> Store:
        return PostgresLog(self.address, read_only=True)

    def origin(self) -> str:
        return PostgresLog.named(self.address)

    def book(self, origin: str) -> Book:
        PostgresLog(self.address, origin).close()
        return _Shared(self.address, self.watch)

    def seal(self, why: str) -> None:
        log = PostgresLog(self.address, read_only=True)
        try:
            log.seal(why)
        finally:
            log.close()

    def agree(self, name: str, value: str) -> str:
        log = PostgresLog(self.address, read_only=True)
        try:
            return log.agree(name, value)
        finally:
            log.close()

    def drop(self, digests: Sequence[str]) -> None:
        log = PostgresLog(self.address, read_only=True)
        try:
            log.drop(digests)
        finally:
            log.close()


class _Shared:
    """This machine's way into a database, and its candidate for the one that gives entries their places."""

    def __init__(self, address: Address, watch: Watch) -> None:
        self._watch = watch
        self._erasures = -1
        self._sequencer = Sequencer(address, watch.examine, watch.seal, self._chore)
        self._inbox = Inbox(address, examine=watch.glance)

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        return self._inbox.write(batch)

    def close(self) -> None:
        self._inbox.close()
        self._sequencer.close()

    def _chore(self, log: PostgresLog) -> None:
        count = log.length(ERASURES)
        if count != self._erasures:
            self._watch.erasures()
            self._erasures = count
