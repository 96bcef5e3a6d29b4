"""The way into the log from any machine: a durable row, then the answer of whoever leads.

A row is known by a number of its own and each draft in it by its mark, so that whatever is sent again, since nobody knows what
became of it, is entered once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mohist.ledger.entry import Receipt, encode
from mohist.ledger.errors import EntryError, LedgerBusyError, LedgerError, LostError, SealedError
from mohist.ledger.form import pack
from mohist.ledger.postgres.link import ANSWERS, NEW_ENTRIES, Address
from mohist.ledger.postgres.log import KEEP, PostgresLog, rows_of
from mohist.ledger.store import Ready
from mohist.ledger.tree import HASH_BYTES

ANSWER_S: Final = 30.0
"""How long entries wait for somebody who gives them their places, or for the database, before their callers are refused."""
AGAIN_S: Final = 2.0
"""Same, where nobody was there for those before them."""
POLL_S: Final = 0.25
"""Between two looks for an answer of which nothing was told."""
RETRY_S: Final = 0.1
EVERYONE: Final = "*"
"""In an answer's message: more were answered than it can name."""
_HAND_IN: Final = "INSERT INTO inbox (id, body) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_HAND_IN_WITH: Final = f"WITH kept AS ({KEEP}) {_HAND_IN}"
_REFUSALS: Final = {kind.__name__: kind for kind in (LedgerError, EntryError, SealedError, LedgerBusyError)}


class Inbox:
    """Enters batches through the database. Used by one thread at a time.

    Args:
        address: of the database, which holds a log.
        answer_s: how long to wait.
        examine: is called with each new connection: whether the log that it leads to may be gone on with.
    """

    def __init__(
        self,
        address: Address,
        answer_s: float = ANSWER_S,
        examine: Callable[[PostgresLog], object] = lambda _: None,
    ) -> None:
        self._address = address
        self._answer_s = answer_s
        self._examine = examine
        self._log: PostgresLog | None = None
        self._well = True
        self._name = os.urandom(6)
        self._count = 0

    def close(self) -> None:
        """Lets go of the connection."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        """See `store.Store.write`; waits for the answer.

        Raises:
            EntryError: one of them has no form; none is entered.
            SealedError: the log is sealed.
            LedgerBusyError: nobody gives entries their places, or the database can't be reached; none is entered.
            LostError: the same, where they may have been entered.
        """
        self._count += 1
        identity = self._name + self._count.to_bytes(4, "big")
        named = [
            ready if ready.mark is not None else replace(ready, retry_key=f"{identity.hex()}/{number}")
            for number, ready in enumerate(batch)
        ]
        until = time.monotonic() + (self._answer_s if self._well else min(self._answer_s, AGAIN_S))
        sent = False
        while True:
            try:
                log = self._linked()
                body = _body(log.origin, named)
                sent = True
                self._send(log, identity, body, named)
                receipts = self._answered(log, identity, named, until)
            except LostError as error:
                self.close()
                if time.monotonic() < until:
                    time.sleep(RETRY_S)
                    continue
                self._well = False
                if sent:
                    raise
                raise LedgerBusyError(error.what, error.mend) from error
            except LedgerBusyError:
                self._well = False
                raise
            self._well = True
            return receipts

    def _linked(self) -> PostgresLog:
        if self._log is None:
            log = PostgresLog(self._address, read_only=True)
            try:
                self._examine(log)
                with self._address.told(log.db):
                    log.db.execute(f"LISTEN {ANSWERS}")
            except BaseException:
                log.close()
                raise
            self._log = log
        return self._log

    def _send(self, log: PostgresLog, identity: bytes, body: bytes, batch: Sequence[Ready]) -> None:
        contents = rows_of(batch)
        with self._address.told(log.db), log.db.pipeline() as way:
            if contents:
                log.db.execute(_HAND_IN_WITH, (*map(list, zip(*contents, strict=True)), identity, body))
            else:
                log.db.execute(_HAND_IN, (identity, body))
            # Told in a transaction of its own, which writes nothing: one that tells and writes holds up all others that tell
            # until it is on the disk.
            way.sync()
            log.db.execute(f"NOTIFY {NEW_ENTRIES}")

    def _answered(self, log: PostgresLog, identity: bytes, batch: Sequence[Ready], until: float) -> list[Receipt]:
        marks = [mark for ready in batch if (mark := ready.mark) is not None]
        error: LedgerError | None = None
        while error is None:
            self._wait(log, identity.hex(), min(POLL_S, max(until - time.monotonic(), 0.0)))
            receipts = log.entered(marks)
            if len(receipts) == len(set(marks)):
                return [receipts[mark] for mark in marks]
            error = self._refusal(log, identity)
            if error is None and time.monotonic() >= until:
                error = LedgerBusyError(
                    f"Nobody gives entries of the ledger at {log.shown} their places: they waited for {self._answer_s:g} s."
                )
        # What is refused must not be entered later. Whoever leads may have it in hand just now: this waits for them.
        with self._address.told(log.db):
            log.db.execute("DELETE FROM inbox WHERE id = %s", (identity,))
        receipts = log.entered(marks)
        if len(receipts) == len(set(marks)):
            return [receipts[mark] for mark in marks]
        raise error

    def _wait(self, log: PostgresLog, identity: str, most_s: float) -> None:
        until = time.monotonic() + most_s
        with self._address.told(log.db):
            while (left_s := until - time.monotonic()) > 0:
                for told in log.db.notifies(timeout=left_s, stop_after=1):
                    if told.payload == EVERYONE or identity in told.payload:
                        return

    def _refusal(self, log: PostgresLog, identity: bytes) -> LedgerError | None:
        with self._address.told(log.db):
            row = log.db.execute(
                "SELECT kind, what, mend FROM refusal WHERE id = %s "
                "UNION ALL SELECT 'SealedError', 'The ledger is sealed: ' || sealed, '' FROM head WHERE sealed <> ''",
                (identity,),
            ).fetchone()
        if row is None:
            return None
        kind, what, mend = row
        return _REFUSALS.get(kind, LedgerError)(what, mend)


def _body(origin: str, batch: Sequence[Ready]) -> bytes:
    """Packed; what can't become an entry is refused here, at its caller's, as far as that can be told without its place.

    Raises:
        EntryError: one can't.
    """
    for ready in batch:
        sealed = [content.sealed for content in ready.contents]
        encode(ready.draft, at_us=ready.at_us, log=origin, sequence=0, previous="0" * 2 * HASH_BYTES, sealed=sealed)
    return pack(batch)
