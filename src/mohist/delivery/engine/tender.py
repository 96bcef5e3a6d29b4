"""Looks after what DBOS lets lie, once a second: dead workers' segments, this worker's own that were cut off, older versions'.

lease lost ──> bodies end, their sandboxes with them ──> lease tried again ──> own segments taken up
peer's lock free for as long as the patience lasts ──> its segments are queued again
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from mohist.delivery.engine import transact
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.lease import Lease
from mohist.delivery.engine.runner import Runner
from mohist.delivery.errors import EngineError

_LOG: Final = logging.getLogger(__name__)
_END_S: Final = 30.0


class Tender:
    """The thread that does it.

    Args:
        runner: the bodies of this worker.
        lease: its slot; used by this thread alone from here on.
        journal: tells what was cancelled.
        version: of this worker.
        older: versions whose segments are taken over.
        tick_s: how often it looks.
        patience_s: how long a peer must be dead.
    """

    def __init__(
        self,
        runner: Runner,
        lease: Lease,
        journal: Journal,
        version: str,
        older: Sequence[str],
        tick_s: float,
        patience_s: float,
    ) -> None:
        self._runner = runner
        self._lease = lease
        self._journal = journal
        self._version = version
        self._older = older
        self._tick_s = tick_s
        self._patience_s = patience_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="engine-tender", daemon=True)
        self._dead: dict[str, float] = {}
        """Peers whose lock was free, and since when."""
        self._cut: set[str] = set()
        """Own segments that ran nowhere when last looked."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for its last look to end; where the database is away, not for long."""
        self._stop.set()
        self._thread.join(self._tick_s + 1.0)

    def _loop(self) -> None:
        while not self._stop.wait(self._tick_s):
            try:
                self._tick()
            except EngineError as error:
                _LOG.warning("Looking after segments: %s", error)
            except Exception:  # noqa: BLE001 - the boundary of a loop that must not end while its worker lives
                _LOG.exception("Looking after segments failed")

    def _tick(self) -> None:
        if not self._lease.renew():
            self._runner.holding = False
            self._runner.end("lost")
            if not self._runner.wait(_END_S):
                _LOG.error("Segments %s go on though this worker lost its slot", self._runner.keys)
            return
        self._runner.holding = True
        if self._runner.stopping:
            return
        rows = transact.unfinished(running=not self._older)
        running = [row for row in rows if row.status == "PENDING"]
        current = [row for row in running if row.app_version == self._version]
        self._take_up([row.workflow_id for row in current if row.executor_id == self._lease.executor_id])
        dead = self._gone({row.executor_id or "" for row in running} - {self._lease.executor_id})
        for executor_id in dead:
            with self._lease.taken(executor_id) as free:
                if free:
                    transact.resume([row.workflow_id for row in current if row.executor_id == executor_id])
                    # Should it start again and die before the next look, its patience begins anew.
                    del self._dead[executor_id]
        nobody = {"", self._lease.executor_id, *dead}
        for row in rows:
            waits = row.status == "ENQUEUED" or row.executor_id in nobody
            if row.app_version in self._older and waits and row.workflow_id not in self._runner.keys:
                transact.renew(row.workflow_id, self._version)

    def _take_up(self, keys: Sequence[str]) -> None:
        """Its own that run nowhere, seen twice: what was claimed this moment has not begun yet."""
        cut = set(keys) - set(self._runner.keys)
        again, self._cut = cut & self._cut, cut
        for key in sorted(again):
            if self._journal.standing(key, 0).cancelled:
                transact.cancel(key)
            else:
                transact.resume([key])

    def _gone(self, peers: set[str]) -> Sequence[str]:
        """Those that are dead for long enough."""
        now_s = time.monotonic()
        for peer in sorted(peers):
            with self._lease.taken(peer) as free:
                if free:
                    self._dead.setdefault(peer, now_s)
                else:
                    self._dead.pop(peer, None)
        for peer in self._dead.keys() - peers:
            del self._dead[peer]
        return [peer for peer, since_s in self._dead.items() if now_s - since_s >= self._patience_s]
