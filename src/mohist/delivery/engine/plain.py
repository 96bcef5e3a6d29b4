"""The engine without an engine: threads in this process, and no memory of what is to be run.

For one process and for comparison. Steps are recorded by the journal all the same; whoever starts a segment again after the
process died goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mohist.delivery.book import Book
from mohist.delivery.engine.contract import ENDED, Cancelled, Ended, Json, Segments, SegmentStatus, reason, segment_key
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.runner import WATCH_S, Runner, nothing
from mohist.delivery.state import SegmentName


class PlainEngine:
    """Runs segments in threads of this process.

    Args:
        segments: the bodies.
        journal: where steps are recorded; the engine closes it.
        book: where effects are recorded.
        workers: bodies that run at the same time.
        stopped: see `Runner`.
        at: see `Runner`.
        watch_s: see `Runner`.
    """

    executor_id = "plain"

    def __init__(
        self,
        segments: Segments,
        journal: Journal,
        book: Book,
        *,
        workers: int = 4,
        stopped: Callable[[str], None] = nothing,
        at: Callable[[str], None] = nothing,
        watch_s: float = WATCH_S,
    ) -> None:
        self._journal = journal
        self._runner = Runner(segments, journal, book, self.executor_id, stopped=stopped, at=at, watch_s=watch_s)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="segment")
        self._guard = threading.Lock()
        self._status: dict[str, SegmentStatus] = {}

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        key = segment_key(segment, delivery_id, turn)
        with self._guard:
            if key not in self._status:
                self._status[key] = SegmentStatus(key, "queued", self.executor_id)
                self._pool.submit(self._run, key)
        return key

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None:
        self._journal.signal(key, signal_id, name, value)

    def cancel(self, key: str) -> None:
        self._journal.cancel(key)
        self._runner.end("cancelled", [key])

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        with self._guard:
            return {key: self._status.get(key, SegmentStatus(key, "unknown")) for key in keys}

    def recover(self, executor_id: str) -> Sequence[str]:
        del executor_id  # There is one worker, and it is alive.
        return []

    def close(self, grace_s: float = 10.0) -> None:
        self._runner.stop(grace_s)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._journal.close()

    def _run(self, key: str) -> None:
        self._say(key, SegmentStatus(key, "running", self.executor_id))
        status = SegmentStatus(key, "done", self.executor_id)
        try:
            self._say(key, replace(status, result=self._runner.run(key)))
        except Cancelled:
            self._say(key, replace(status, state="cancelled"))
        except Ended:
            with self._guard:
                del self._status[key]
        except Exception as error:  # noqa: BLE001 - the boundary of a segment: whatever its body raised is told
            self._say(key, replace(status, state="failed", error=reason(error)))

    def _say(self, key: str, status: SegmentStatus) -> None:
        with self._guard:
            if key in self._status and self._status[key].state not in ENDED:
                self._status[key] = status
