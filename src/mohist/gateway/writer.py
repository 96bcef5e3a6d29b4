"""Usage on its way to disk: from memory into the journal within a tenth of a second, from there into the database.

One thread does the writing. The path of a call only appends to a queue; nothing on it waits for a disk.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mohist.gateway.errors import BusyError, StoreError
from mohist.gateway.journal import Journal
from mohist.gateway.store import Store, database_path
from mohist.gateway.usage import UsageRow, flat, from_lines, to_line

_JOURNAL_EVERY_S: Final = 0.1
_DATABASE_EVERY_S: Final = 0.5
_BATCH: Final = 2_000
# About 20 MB of rows; at 3,000 calls a second the disk may be away for seven seconds before calls are refused.
_MAX_WAITING: Final = 20_000


def journal_path(home: Path) -> Path:
    """Where calls wait for the database."""
    return home / "gateway.journal"


class Writer:
    """Takes finished calls and sees that each is kept exactly once.

    Order of use: construct (replays what a killed process left behind), `start`, `put`…, `stop`.
    """

    def __init__(self, home: Path) -> None:
        """Opens both files; BusyError when another process holds the journal."""
        self._database = database_path(home)
        self._journal = Journal(journal_path(home))
        try:
            self.replayed = replay(self._journal, self._database)
        except BaseException:
            self._journal.close()
            raise
        self._queue: deque[UsageRow] = deque()
        self._unwritten: list[UsageRow] = []
        self._journaled: list[dict[str, Any]] = []
        self._store: Store | None = None
        self._database_at_s = 0.0
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
        """Writes what is left, into the database if it can be had, and lets the files go."""
        self._stopping = True
        self._poke.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._journal.close()

    @property
    def waiting(self) -> int:
        """Rows in memory."""
        return len(self._queue) + len(self._unwritten) + len(self._journaled)

    @property
    def full(self) -> bool:
        return self.waiting >= _MAX_WAITING

    def put(self, row: UsageRow) -> None:
        """Takes a call that was made. Callers take turns (the keeper's lock)."""
        self._queue.append(row)
        self._put_count += 1

    def put_refused(self, row: UsageRow) -> None:
        """Takes a call that was refused, while there is room: a flood of bad keys must not fill the memory."""
        if self.waiting < _MAX_WAITING // 2:
            self.put(row)
        else:
            self.dropped += 1

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was put is in the journal, at most `timeout_s`; whether it is."""
        goal = self._put_count
        self._poke.set()
        with self._progress:
            return self._progress.wait_for(lambda: self._written_count >= goal, timeout_s)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._poke.wait(_JOURNAL_EVERY_S)
                self._poke.clear()
                self._step()
            while self._queue and self._step():
                pass
            self._step(last=True)
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever stops it must stop calls too
            self.trouble = f"the writer stopped: {type(error).__name__}"
        finally:
            if self._store is not None:
                self._store.close()

    def _step(self, *, last: bool = False) -> bool:
        """Writes one batch; False when the journal can't be written."""
        while self._queue and len(self._unwritten) < _BATCH:
            self._unwritten.append(self._queue.popleft())
        if self._unwritten:
            rows = [flat(row) for row in self._unwritten]
            try:
                self._journal.append(b"".join(map(to_line, rows)))
            except OSError as error:
                self.trouble = f"the usage journal can't be written ({error.strerror})"
                return False
            self._journaled += rows
            self._unwritten = []
            with self._progress:
                self._written_count += len(rows)
                self._progress.notify_all()
        self.trouble = ""
        now_s = time.monotonic()
        if self._journaled and (last or now_s - self._database_at_s >= _DATABASE_EVERY_S):
            self._database_at_s = now_s
            # Else: the rows are safe in the journal; once memory is full, calls are refused.
            with suppress(StoreError, OSError):
                self._save()
        return True

    def _save(self) -> None:
        if self._store is None:
            # Short: the journal waits for this thread, and the rows can go in next time.
            self._store = Store(self._database, busy_s=0.05)
        try:
            self._store.revision()  # fails when the file was replaced
            self._store.add_usage(self._journaled)
        except StoreError:
            self._store.close()
            self._store = None
            raise
        self._journaled = []
        self._journal.clear()


def replay(journal: Journal, database: Path) -> int:
    """Brings what the journal holds into the database and clears it; how many rows were new there.

    Rows the database has already are left alone, so a kill at any moment repeats nothing. Damaged lines are kept in a
    file beside the journal.
    """
    data = journal.read()
    rows, damaged = from_lines(data)
    with Store(database) as store:
        added = store.add_usage(rows)
    if damaged:
        _keep(journal.path.with_suffix(".damaged"), data.splitlines(keepends=True))
    journal.clear()
    return added


def catch_up(home: Path) -> None:
    """Replays what a killed process left behind, unless one serves now and does so itself."""
    if not journal_path(home).exists():
        return
    try:
        journal = Journal(journal_path(home))
    except BusyError:
        return
    try:
        replay(journal, database_path(home))
    finally:
        journal.close()


def _keep(path: Path, lines: Iterable[bytes]) -> None:
    with path.open("ab") as file:
        file.writelines(lines)
    path.chmod(0o600)
