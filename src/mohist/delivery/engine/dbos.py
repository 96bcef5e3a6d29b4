"""Segments on DBOS: a file of SQLite, or PostgreSQL with workers on any machine.

DBOS keeps that a segment is to be run, queues it and gives it to one worker; the journal has its steps. So neither the order
of steps nor a version of the code is pinned by what is under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mohist.base import Clock
from mohist.delivery.book import Book
from mohist.delivery.engine import transact
from mohist.delivery.engine.contract import Json, Segments, SegmentStatus, segment_key
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.lease import AdvisoryLease, FileLease, Lease
from mohist.delivery.engine.runner import Runner, nothing
from mohist.delivery.engine.tender import Tender
from mohist.delivery.errors import EngineError
from mohist.delivery.state import SegmentName
from mohist.gateway.address import Address, file_address

VERSION: Final = "1"
"""Of what DBOS and the journal hold, not of Mohist: two releases with the same one take over from each other at once. Goes up
when a segment's key or the journal's meaning changes; `OLDER` says which ones this release still understands."""
OLDER: Final[Sequence[str]] = ()
TICK_S: Final = 1.0
PATIENCE_S: Final = 2.0
"""How long a worker must be dead until it is taken for dead: one that lost its connection has stopped by then."""
POLL_S: Final = 1.0
"""How often a worker asks for queued segments."""

_one: Final = threading.Lock()


class DbosEngine:
    """Runs segments that DBOS gives to this worker. One in a process: DBOS has one instance there.

    Args:
        address: the database, or the path of a file of SQLite.
        segments: the bodies.
        book: where effects are recorded.
        clock: tells when a segment last changed.
        slot: of this worker; -1: the first that is free.
        workers: bodies that run here at the same time.
        version: see `VERSION`.
        older: versions whose segments are taken over too.
        stopped: called with a segment's key after its body was ended from outside, before anybody else may run it.
        at: see `Runner`.
        tick_s: how often peers are looked at.
        patience_s: see `PATIENCE_S`.
        poll_s: see `POLL_S`.

    Raises:
        EngineError: the database can't be used, the slot is held, or another engine is open in this process.
    """

    def __init__(
        self,
        address: Address | Path,
        segments: Segments,
        book: Book,
        clock: Clock,
        *,
        slot: int = -1,
        workers: int = 4,
        version: str = VERSION,
        older: Sequence[str] = OLDER,
        stopped: Callable[[str], None] = nothing,
        at: Callable[[str], None] = nothing,
        tick_s: float = TICK_S,
        patience_s: float = PATIENCE_S,
        poll_s: float = POLL_S,
    ) -> None:
        where = file_address(address) if isinstance(address, Path) else address
        if not _one.acquire(blocking=False):
            raise EngineError("An engine is open in this process already.", audience="bug")
        self._closed = False
        self._version = version
        self._lease: Lease | None = None
        self._journal: Journal | None = None
        try:
            # First of all: who has the slot has the name under which DBOS looks for what was left.
            self._lease = _lease(where, slot)
            self.executor_id = self._lease.executor_id
            self._journal = Journal(where, clock)  # It also switches the file to a write-ahead log.
            self._journal.prune()
            self._runner = Runner(
                segments, self._journal, book, self.executor_id, stopped=stopped, at=at, watch_s=tick_s
            )
            transact.launch(where, self.executor_id, version, self._runner.run)
            transact.offer(workers, poll_s)
            self._tender = Tender(self._runner, self._lease, self._journal, version, older, tick_s, patience_s)
            self._tender.start()
        except BaseException:
            self._let_go()
            raise

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        key = segment_key(segment, delivery_id, turn)
        transact.enqueue(key, self._version)
        return key

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None:
        assert self._journal is not None
        self._journal.signal(key, signal_id, name, value)

    def cancel(self, key: str) -> None:
        assert self._journal is not None
        # The journal's word is the one that a body obeys; DBOS's keeps one from beginning that has not begun.
        self._journal.cancel(key)
        transact.cancel(key)
        self._runner.end("cancelled", [key])

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        return transact.status(keys)

    def recover(self, executor_id: str) -> Sequence[str]:
        # Whoever has them now, dead or not, is fenced off when another begins them.
        keys = [row.workflow_id for row in transact.unfinished(running=True, executor_id=executor_id)]
        transact.resume(keys)
        return keys

    def close(self, grace_s: float = 10.0) -> None:
        if self._closed:
            return
        self._closed = True
        self._runner.stop(grace_s)
        self._tender.stop()
        self._let_go()

    def _let_go(self) -> None:
        transact.end()
        if self._journal is not None:
            self._journal.close()
        # Last of all: from here on others may take over.
        if self._lease is not None:
            self._lease.close()
        _one.release()


def _lease(where: Address, slot: int) -> Lease:
    if where.path is None:
        return AdvisoryLease(where.url, slot)
    return FileLease(where.path.with_suffix(".workers"), slot)
