"""Which worker is alive: a slot is a lock, which the kernel or PostgreSQL drops when its holder dies.

Executor ids are the slots' names (`worker-0`), so a worker that starts again finds what it left. A file's lock tells of
processes on one machine, an advisory lock of every machine that uses the database.
"""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy import URL

from mohist.delivery.errors import EngineError

SLOTS: Final = 64
"""Workers that one database has at most."""
_CLASS: Final = 0x6D6F6873
"""First half of the advisory locks' keys; the second is the slot's name, hashed."""
# Where the network is cut, the worker learns of it (by unanswered data, after 6 s) before the server does (by unanswered
# probes, after 10 s): its sandboxes are stopped by the time that others may take its slot.
_LINK: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}
_OPTIONS: Final = (
    "-c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c statement_timeout=3000"
)


class Lease(Protocol):
    """A worker's slot. Used by one thread at a time."""

    @property
    def executor_id(self) -> str: ...

    def renew(self) -> bool:
        """Whether the slot is held now; one that was lost is taken again if it can be."""
        ...

    def taken(self, executor_id: str) -> AbstractContextManager[bool]:
        """As a context: whether that worker is dead. While it lasts no worker can start in its slot."""
        ...

    def close(self) -> None:
        """Gives the slot up."""
        ...


class FileLease:
    """Slots as locked files in a folder, for workers on one machine.

    Args:
        folder: made where it is missing.
        slot: -1: the first that is free.

    Raises:
        EngineError: the slot is held, or none is free.
    """

    def __init__(self, folder: Path, slot: int = -1) -> None:
        self._folder = folder
        self._fd: int | None = None
        try:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            for number in _slots(slot):
                self.executor_id = _name(number)
                self._fd = self._lock(self.executor_id)
                if self._fd is not None:
                    return
        except OSError as error:
            raise EngineError(f"Can't lock a worker's slot in {str(folder)!r}: {error.strerror}.") from error
        raise _none_free(slot)

    def renew(self) -> bool:
        return self._fd is not None

    @contextmanager
    def taken(self, executor_id: str) -> Iterator[bool]:
        if executor_id == self.executor_id:
            yield False
            return
        fd = self._lock(executor_id)
        try:
            yield fd is not None
        finally:
            if fd is not None:
                os.close(fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self, executor_id: str) -> int | None:
        # One descriptor a lock: `flock` belongs to the open file, so that two in one process exclude each other too.
        name = executor_id if executor_id.replace("-", "").isalnum() else f"{zlib.crc32(executor_id.encode()):08x}"
        fd = os.open(self._folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd


class AdvisoryLease:
    """Slots as session advisory locks of PostgreSQL, for workers on any machine.

    Args:
        url: the database.
        slot: -1: the first that is free.
        patience_s: how long to wait for the slot, or for the database.

    Raises:
        EngineError: the slot is held, none is free, or the database can't be reached.
    """

    def __init__(self, url: URL, slot: int = -1, patience_s: float = 10.0) -> None:
        self._url = url
        self._db: psycopg.Connection[tuple[bool]] | None = None
        self.executor_id = ""
        until_s = time.monotonic() + patience_s
        while True:
            try:
                self._connect()
                for number in _slots(slot):
                    if self._lock(_name(number)):
                        self.executor_id = _name(number)
                        return
                # A server takes a moment to learn that the one who held it is dead.
                if time.monotonic() >= until_s:
                    self.close()
                    raise _none_free(slot)
            except psycopg.Error as error:
                self.close()
                if time.monotonic() >= until_s:
                    raise EngineError(f"PostgreSQL can't be reached for a worker's slot: {_said(error)}.") from None
            time.sleep(0.2)

    def renew(self) -> bool:
        try:
            if self._db is None:
                self._connect()
                if not self._lock(self.executor_id):
                    self.close()
                    return False
            else:
                self._db.execute("SELECT true")
        except psycopg.Error:
            self.close()
            return False
        return True

    @contextmanager
    def taken(self, executor_id: str) -> Iterator[bool]:
        free = False
        try:
            # A session gets its own lock again, so its own slot is not asked for.
            free = executor_id != self.executor_id and self._db is not None and self._lock(executor_id)
        except psycopg.Error:
            self.close()
        try:
            yield free
        finally:
            if free and self._db is not None:
                try:
                    self._db.execute("SELECT pg_advisory_unlock(%s, %s)", (_CLASS, _hashed(executor_id)))
                except psycopg.Error:
                    self.close()

    def close(self) -> None:
        if self._db is not None:
            with suppress(psycopg.Error):
                # Said out loud: a server that is busy sees only later that its client has gone.
                self._db.execute("SELECT pg_advisory_unlock_all()")
            self._db.close()
            self._db = None

    def _connect(self) -> None:
        if self._db is None:
            text = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._db = psycopg.connect(
                text, autocommit=True, options=_OPTIONS, application_name="mohist-lease", **_LINK
            )

    def _lock(self, executor_id: str) -> bool:
        assert self._db is not None
        row = self._db.execute("SELECT pg_try_advisory_lock(%s, %s)", (_CLASS, _hashed(executor_id))).fetchone()
        return bool(row and row[0])


def _slots(slot: int) -> range:
    return range(SLOTS) if slot < 0 else range(slot, slot + 1)


def _name(slot: int) -> str:
    return f"worker-{slot}"


def _hashed(executor_id: str) -> int:
    """A signed number of 32 bits, as the lock's key must be."""
    return zlib.crc32(executor_id.encode()) - 2**31


def _none_free(slot: int) -> EngineError:
    if slot < 0:
        return EngineError(f"All {SLOTS} slots of workers are held.", "End a worker first.")
    return EngineError(f"Worker {slot} is running already.", "End it first, or start this one in another slot.")


def _said(error: psycopg.Error) -> str:
    """What the driver says, its first line; it holds no password."""
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0]
