"""The one thread that writes to a log: it commits whatever queued up while the last commit was flushed.

No timer: a lone caller waits for one flush, and many callers share one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from mohist.ledger.entry import Content, Draft, Receipt
from mohist.ledger.errors import EntryError, LedgerBusyError, LedgerError, LostError
from mohist.ledger.store import Ready, SealedContent

MAX_BATCH_ENTRIES = 4096
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of contents in one transaction; a larger single draft makes a batch of its own."""
MAX_QUEUED = 65_536
"""Drafts that wait; beyond it callers are refused, which stops what depends on them."""

_log = logging.getLogger(__name__)


class Book(Protocol):
    """What a queue of entries is written into."""

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        """See `store.Store.write`."""
        ...

    def close(self) -> None:
        """Lets go of it."""
        ...


class Sealer(Protocol):
    """Turns contents into what may be kept."""

    def seal(self, content: Content) -> SealedContent:
        """Encrypts a content under a key of its own.

        Raises:
            LedgerError: there is no key for it.
        """
        ...


@dataclass(slots=True)
class _Waiting:
    drafts: list[Ready]
    size_bytes: int
    done: Future[list[Receipt]] = field(default_factory=Future)


class Writer:
    """Appends to a log.

    Args:
        log: open for writing; only this writer uses it.
        sealer: for contents; None: drafts with contents are refused.
    """

    def __init__(self, log: Book, sealer: Sealer | None = None) -> None:
        self._log = log
        self._sealer = sealer
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._wake = threading.Condition()
        self._closing = False
        self._failed: LedgerError | None = None
        self._thread = threading.Thread(target=self._work, name="mohist-ledger", daemon=True)
        self._thread.start()

    def submit(self, draft: Draft) -> Future[Receipt]:
        """See `port.Ledger`."""
        try:
            return first_of(self._put([self.ready(draft)]))
        except LedgerError as error:
            refused: Future[Receipt] = Future()
            refused.set_exception(error)
            return refused

    def append(self, draft: Draft) -> Receipt:
        """See `port.Ledger`."""
        return self.extend([draft])[0]

    def extend(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """See `port.Ledger`."""
        if not drafts:
            return []
        return self._put([self.ready(draft) for draft in drafts]).result()

    def enter(self, drafts: list[Ready]) -> Future[list[Receipt]]:
        """Enters drafts that are sealed already, all or none."""
        return self._put(drafts)

    def ready(self, draft: Draft, *, at_us: int = 0, retry_key: str = "") -> Ready:
        """A draft with its contents sealed and its time taken.

        Raises:
            LedgerError: its contents can't be sealed.
        """
        if draft.contents and self._sealer is None:
            raise EntryError(
                f"An entry of kind {draft.kind} has contents, and this ledger keeps none.", audience="operator"
            )
        contents = tuple(self._sealer.seal(content) for content in draft.contents) if self._sealer else ()
        return Ready(draft, contents, at_us or time.time_ns() // 1000, retry_key)

    def close(self) -> None:
        """Writes what is queued and lets go of the log."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._log.close()

    def _put(self, drafts: list[Ready]) -> Future[list[Receipt]]:
        waiting = _Waiting(drafts, sum(len(content.ciphertext) for ready in drafts for content in ready.contents))
        with self._wake:
            if self._failed is not None:
                raise self._failed
            if self._closing:
                raise LedgerBusyError("The ledger is being closed.")
            if self._queued + len(drafts) > MAX_QUEUED:
                raise LedgerBusyError(
                    f"{self._queued} entries wait for the ledger.", "Its disk is too slow for what is asked of it."
                )
            self._queue.append(waiting)
            self._queued += len(drafts)
            self._wake.notify()
        return waiting.done

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                batch = self._batch()
            self._commit(batch)

    def _batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        entries = size_bytes = 0
        while self._queue:
            first = self._queue[0]
            if batch and (
                entries + len(first.drafts) > MAX_BATCH_ENTRIES or size_bytes + first.size_bytes > MAX_BATCH_BYTES
            ):
                break
            batch.append(self._queue.popleft())
            entries += len(first.drafts)
            size_bytes += first.size_bytes
        self._queued -= entries
        return batch

    def _commit(self, batch: list[_Waiting]) -> None:
        """Writes a batch; where it is refused, each of it alone, so that one bad draft costs only its own caller."""
        try:
            receipts = self._log.write([ready for waiting in batch for ready in waiting.drafts])
        except LedgerError as error:
            # Where nobody is there to write, each of it alone would wait for the same.
            if len(batch) > 1 and not isinstance(error, LedgerBusyError | LostError):
                for waiting in batch:
                    self._commit([waiting])
            else:
                for waiting in batch:
                    waiting.done.set_exception(error)
            return
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever fails stops the ledger, not silently
            _log.exception("the ledger's writer failed")
            self._failed = LedgerError(
                f"The ledger failed: {type(error).__name__}.", "Nothing is entered any more; restart Mohist."
            )
            for waiting in batch:
                waiting.done.set_exception(self._failed)
            return
        at = 0
        for waiting in batch:
            waiting.done.set_result(receipts[at : at + len(waiting.drafts)])
            at += len(waiting.drafts)


def first_of(entered: Future[list[Receipt]]) -> Future[Receipt]:
    """The receipt of a batch of one."""
    one: Future[Receipt] = Future()

    def pass_on(done: Future[list[Receipt]]) -> None:
        error = done.exception()
        if error is not None:
            one.set_exception(error)
        else:
            one.set_result(done.result()[0])

    entered.add_done_callback(pass_on)
    return one
