"""Usage journals: append-only files that hold finished calls until the database has them.

Each process has one of its own and holds a lock on it, which the kernel drops when the process dies; a journal without
a lock is adopted by whoever finds it. What `append` has returned for survives kill -9 and power loss.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mohist.gateway.errors import StoreError

SUFFIX: Final = ".journal"
# Room for some 1,500 calls that ended after the disk was full.
_SPARE_BYTES: Final = 1 << 20


class Journal:
    """This process's own journal. One thread appends, another reads and clears."""

    def __init__(self, folder: Path, instance_id: str) -> None:
        """Makes the file, locked."""
        self.path = folder / f"{instance_id}{SUFFIX}"
        self._spare = folder / f"{instance_id}.spare"
        self._lock = threading.Lock()
        self.size_bytes = 0
        """All that was appended since it was empty."""
        self._read_bytes = 0
        try:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            while True:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX)
                if _same(self._file, self.path):
                    break
                os.close(self._file)  # somebody adopted it before it was locked
        except OSError as error:
            raise StoreError(f"Can't open the usage journal {str(self.path)!r}: {error.strerror}.") from error
        self._keep_spare()

    def close(self) -> None:
        """Lets it go; when the database has all of it, it is removed."""
        with suppress(OSError):
            self._spare.unlink(missing_ok=True)
            if self.size_bytes == 0:
                self.path.unlink(missing_ok=True)
        os.close(self._file)

    @property
    def waiting_bytes(self) -> int:
        """What the database does not have."""
        return self.size_bytes - self._read_bytes

    def append(self, data: bytes) -> None:
        """Writes `data` and syncs it; after an OSError the journal is as it was before."""
        with self._lock:
            try:
                self._write(data)
            except OSError as error:
                if error.errno != errno.ENOSPC or not self._spare.exists():
                    raise
                self._spare.unlink()
                self._write(data)

    def peek(self, limit_bytes: int) -> bytes:
        """The lines that wait for the database, oldest first; at least one, if any waits."""
        count = min(limit_bytes, self.waiting_bytes)
        data = os.pread(self._file, count, self._read_bytes)
        if count == self.waiting_bytes or data.endswith(b"\n"):
            return data
        end = data.rfind(b"\n") + 1
        return data[:end] if end else os.pread(self._file, self.waiting_bytes, self._read_bytes)

    def advance(self, count_bytes: int) -> None:
        """The database has what was peeked; an OSError leaves lines in the file, which are known when they come again."""
        with self._lock:
            self._read_bytes += count_bytes
            if self._read_bytes == self.size_bytes and self.size_bytes:
                os.ftruncate(self._file, 0)
                self.size_bytes = self._read_bytes = 0
                self._keep_spare()

    def _write(self, data: bytes) -> None:
        if not _same(self._file, self.path):
            self._restore()
        offset = self.size_bytes
        try:
            left = memoryview(data)
            while left:
                count = os.pwrite(self._file, left, offset)
                offset += count
                left = left[count:]
            os.fsync(self._file)
        except OSError:
            # The next append overwrites what was written by halves; a kill before it leaves a torn line, which replay knows.
            os.ftruncate(self._file, self.size_bytes)
            raise
        self.size_bytes = offset

    def _restore(self) -> None:
        """Somebody removed the file; what it holds is still to be had."""
        self.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        data = os.pread(self._file, self.size_bytes, 0)
        fresh = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fresh, fcntl.LOCK_EX)
        os.pwrite(fresh, data, 0)
        # Under the old number, so that a reader of the other thread never sees a closed file.
        os.dup2(fresh, self._file, inheritable=False)
        os.close(fresh)

    def _keep_spare(self) -> None:
        """Room that is given up when the disk is full; a full disk has none."""
        if self._spare.exists():
            return
        with suppress(OSError):
            file = os.open(self._spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, _SPARE_BYTES)
            finally:
                os.close(file)


@dataclass(frozen=True, slots=True)
class Orphan:
    """The journal of a process that is gone, locked."""

    instance_id: str
    path: Path

    def remove(self) -> None:
        """The database has all of it."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".spare").unlink(missing_ok=True)


def orphans(folder: Path) -> Iterator[Orphan]:
    """The journals that nobody holds, each locked until the next is asked for."""
    paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    for path in paths:
        with _locked(path, path) as free:
            if free:
                yield Orphan(path.stem, path)
    # Before processes had journals of their own there was one beside the database, with a lock beside it.
    old = folder.with_name("gateway.journal")
    if old.exists():
        with _locked(old.with_suffix(".lock"), old) as free:
            if free:
                yield Orphan("", old)


def held(folder: Path) -> set[str]:
    """The processes whose journals are there."""
    return {path.stem for path in folder.glob(f"*{SUFFIX}")} if folder.is_dir() else set()


@contextmanager
def _locked(lock: Path, path: Path) -> Iterator[bool]:
    try:
        file = os.open(lock, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if lock != path else 0), 0o600)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists() and _same(file, lock)
    except BlockingIOError:
        yield False
    finally:
        os.close(file)


def _same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
