"""The usage journal: an append-only file that holds each finished call until the database has it.

One process at a time may hold it (a lock on a file beside it, which the kernel drops when the process dies). What
`append` has returned for survives kill -9 and power loss.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mohist.gateway.errors import BusyError, StoreError


class Journal:
    """The journal file, open for this process alone."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; BusyError when another process holds it."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"Can't open the usage journal {str(path)!r}: {error.strerror}.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size_bytes = os.fstat(self._file).st_size
        except BlockingIOError:
            os.close(self._lock)
            raise BusyError(
                f"Another process serves from {str(path.parent)!r}.",
                "Stop it first, or set MOHIST_HOME to another folder.",
            ) from None
        except OSError as error:
            os.close(self._lock)
            raise StoreError(f"Can't open the usage journal {str(path)!r}: {error.strerror}.") from error

    def close(self) -> None:
        """Closes it, which releases the lock."""
        os.close(self._file)
        os.close(self._lock)

    def read(self) -> bytes:
        """All that it holds."""
        return self.path.read_bytes()

    def append(self, data: bytes) -> None:
        """Writes `data` and syncs it; after an OSError the journal is as it was before."""
        offset = self._size_bytes
        try:
            left = memoryview(data)
            while left:
                count = os.pwrite(self._file, left, offset)
                offset += count
                left = left[count:]
            os.fsync(self._file)
        except OSError:
            # The next append overwrites what was written by halves; a kill before it leaves a torn line, which replay knows.
            os.ftruncate(self._file, self._size_bytes)
            raise
        self._size_bytes = offset

    def clear(self) -> None:
        """Drops all that it holds, once the database has it."""
        os.ftruncate(self._file, 0)
        self._size_bytes = 0
