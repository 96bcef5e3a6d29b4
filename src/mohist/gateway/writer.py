"""Usage on its way to disk: from memory into the journal within a tenth of a second; the clerk takes it from there.

One thread does the writing. The path of a call only appends to a queue; nothing on it waits for a disk.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path
from typing import Final

from mohist.gateway.journal import Journal
from mohist.gateway.usage import UsageRow, flat, to_line

_EVERY_S: Final = 0.1
_BATCH: Final = 2_000
# Rows in memory while the journal can't be written, about 20 MB.
_MAX_WAITING: Final = 20_000
# Rows in the journal while the database is away: half a million calls.
_MAX_JOURNAL_BYTES: Final = 512 << 20


class Writer:
    """Takes finished calls down.

    Order of use: construct, `start`, `put`…, `stop`.
    """

    def __init__(self, folder: Path, instance_id: str) -> None:
        """Makes the journal."""
        self.journal = Journal(folder, instance_id)
        self._queue: deque[UsageRow] = deque()
        self._unwritten: list[UsageRow] = []
        self._put_count = 0
        self._written_count = 0
        self._poke = threading.Event()
        self._progress = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mohist-usage", daemon=True)
        self.trouble = ""
        """Why calls are not taken down at present; empty when all is well."""
        self.dropped = 0
        """Refused calls that found the queue full; calls that were made are never dropped."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left; what the journal does not take stays for `take_unwritten`."""
        self._stopping = True
        self._poke.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def full(self) -> bool:
        """Too much waits in memory or in the journal."""
        return self._in_memory >= _MAX_WAITING or self.journal.waiting_bytes >= _MAX_JOURNAL_BYTES

    def put(self, row: UsageRow) -> None:
        """Takes a call that was made. Callers take turns (the keeper's lock)."""
        self._queue.append(row)
        self._put_count += 1

    def put_refused(self, row: UsageRow) -> None:
        """Takes a call that was refused, while there is room: a flood of bad keys must not fill the memory."""
        if self._in_memory < _MAX_WAITING // 2 and self.journal.waiting_bytes < _MAX_JOURNAL_BYTES // 2:
            self.put(row)
        else:
            self.dropped += 1

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was put is in the journal, at most `timeout_s`; whether it is."""
        goal = self._put_count
        self._poke.set()
        with self._progress:
            return self._progress.wait_for(lambda: self._written_count >= goal, timeout_s)

    def take_unwritten(self) -> list[UsageRow]:
        """After `stop`: the calls that are in no file."""
        rows = [*self._unwritten, *self._queue]
        self._unwritten = []
        self._queue.clear()
        return rows

    @property
    def _in_memory(self) -> int:
        return len(self._queue) + len(self._unwritten)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._poke.wait(_EVERY_S)
                self._poke.clear()
                self._step()
            while self._in_memory and self._step():
                pass
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever stops it must stop calls too
            self.trouble = f"the writer stopped: {type(error).__name__}"

    def _step(self) -> bool:
        """Writes one batch; False when the journal can't be written."""
        while self._queue and len(self._unwritten) < _BATCH:
            self._unwritten.append(self._queue.popleft())
        if self._unwritten:
            try:
                self.journal.append(b"".join(to_line(flat(row)) for row in self._unwritten))
            except OSError as error:
                self.trouble = f"the usage journal can't be written ({error.strerror})"
                return False
            with self._progress:
                self._written_count += len(self._unwritten)
                self._progress.notify_all()
            self._unwritten = []
        self.trouble = ""
        return True
