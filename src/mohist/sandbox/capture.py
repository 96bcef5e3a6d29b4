"""Output of unknown length in bounded memory: head and tail kept, the rest counted, all of it spilled if asked."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from mohist.sandbox.errors import SandboxError


class Capture:
    """Takes chunks; keeps the first and the last half of `limit_bytes`.

    Args:
        limit_bytes: kept in memory, at least 2.
        spill: a file that gets every byte; it must not exist yet. None for no file.
    """

    def __init__(self, limit_bytes: int, spill: Path | None = None) -> None:
        self._head_bytes = limit_bytes // 2
        self._tail_bytes = limit_bytes - self._head_bytes
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._kept_tail_bytes = 0
        self.total_bytes = 0
        self._spill_fd = -1
        if spill is not None:
            try:
                self._spill_fd = os.open(spill, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise SandboxError(f"The output file {str(spill)!r} can't be made: {error.strerror}.") from None

    @property
    def truncated(self) -> bool:
        """Whether bytes between head and tail were dropped."""
        return self.total_bytes > self._head_bytes + self._tail_bytes

    def add(self, chunk: bytes) -> None:
        """Takes the next bytes. A full disk ends the spill file, not the run."""
        self.total_bytes += len(chunk)
        if self._spill_fd >= 0:
            self._write_spill(chunk)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if not chunk:
            return
        self._tail.append(chunk)
        self._kept_tail_bytes += len(chunk)
        while self._kept_tail_bytes - len(self._tail[0]) >= self._tail_bytes:
            self._kept_tail_bytes -= len(self._tail.popleft())

    def close(self) -> None:
        """Closes the spill file."""
        if self._spill_fd >= 0:
            os.close(self._spill_fd)
            self._spill_fd = -1

    def content(self) -> bytes:
        """Head and tail, with a line that says how much is missing between them."""
        tail = b"".join(self._tail)[-self._tail_bytes :]
        if not self.truncated:
            return bytes(self._head) + tail
        missing = self.total_bytes - len(self._head) - len(tail)
        return bytes(self._head) + f"\n[... {missing} bytes not shown ...]\n".encode() + tail

    def _write_spill(self, chunk: bytes) -> None:
        try:
            while chunk:
                chunk = chunk[os.write(self._spill_fd, chunk) :]
        except OSError:
            self.close()
