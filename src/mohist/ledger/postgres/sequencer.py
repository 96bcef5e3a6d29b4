"""The one who gives entries their places: elected among all machines that write, it drains the inbox in the order of arrival."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from mohist.ledger.errors import EntryError, LedgerBusyError, LedgerError, LostError, SealedError
from mohist.ledger.form import unpack
from mohist.ledger.postgres.inbox import EVERYONE
from mohist.ledger.postgres.link import ANSWERS, NEW_ENTRIES, Address
from mohist.ledger.postgres.log import LEADER_IDLE_S, LEADER_STUCK_S, Grow, PostgresLog
from mohist.ledger.store import Ready

_log = logging.getLogger(__name__)

_TAKE: Final = (
    "DELETE FROM inbox WHERE number IN (SELECT number FROM inbox ORDER BY number LIMIT %s FOR UPDATE SKIP LOCKED) "
    "RETURNING number, id, body"
)
_WAITING: Final = "SELECT 1 FROM inbox LIMIT 1"
MAX_ROWS: Final = 4096
"""Of the inbox in one transaction."""
POLL_S: Final = 0.25
"""Between two tries to be elected, and between two looks into an inbox of which nothing was told."""
RETRY_S: Final = 1.0
"""After the database was away."""
CHORE_S: Final = 10.0
LOOK_S: Final = 1.0
"""Between two looks at whether the one that leads is stuck."""
REFUSALS_KEPT_S: Final = 86_400
_MESSAGE_BYTES: Final = 7900
"""Of PostgreSQL's 8,000 for one message."""


class Sequencer:
    """A candidate, from its making on, in a thread of its own.

    Args:
        address: of the database, which holds a log.
        examine: compares the log with what was signed and witnessed of it; called once elected, before anything is entered.
        seal: is told what must not be; nothing is entered any more then.
        chore: done now and then, whoever leads, with the log to read from.
        idle_s: a leader of whom the database hears nothing for so long is deposed.
        stuck_s: one that says nothing more in the middle of something is deposed after this time.
    """

    def __init__(
        self,
        address: Address,
        examine: Callable[[], object] = lambda: None,
        seal: Callable[[SealedError], object] = lambda _: None,
        chore: Callable[[PostgresLog], object] = lambda _: None,
        idle_s: float = LEADER_IDLE_S,
        stuck_s: float = LEADER_STUCK_S,
    ) -> None:
        self._address = address
        self._examine = examine
        self._seal = seal
        self._chore = chore
        self._chore_s = 0.0
        self._idle_s = idle_s
        self._stuck_s = stuck_s
        self._looked_s = 0.0
        self._stop = threading.Event()
        self._leads = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mohist-ledger-sequencer", daemon=True)
        self._thread.start()

    @property
    def leads(self) -> bool:
        """Whether it is the elected one."""
        return self._leads.is_set()

    def close(self) -> None:
        """Ends with what it has in hand; another one is elected then."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                log = PostgresLog(self._address)
            except LedgerError as error:
                _log.warning("no sequencer: %s", error)
                self._stop.wait(RETRY_S)
                continue
            try:
                self._serve(log)
            except LostError as error:
                _log.warning("the sequencer lost its database: %s", error)
            except LedgerError as error:
                _log.error("the sequencer can't go on: %s", error)
                self._stop.wait(RETRY_S)
            except Exception:  # noqa: BLE001 - the thread's boundary: it begins anew, on a new connection
                _log.exception("the sequencer failed")
                self._stop.wait(RETRY_S)
            finally:
                self._leads.clear()
                log.close()

    def _serve(self, log: PostgresLog) -> None:
        with self._address.told(log.db):
            log.db.execute(f"LISTEN {NEW_ENTRIES}")
        more = False
        while not self._stop.is_set():
            if time.monotonic() - self._chore_s >= CHORE_S:
                self._chore_s = time.monotonic()
                self._do_chore(log)
            if not log.leads and not self._elected(log):
                self._stop.wait(POLL_S)
                continue
            try:
                # Looked for first: a transaction of the leader's is flushed, if only for the lock on its head.
                more = (more or self._waits(log)) and self._drain(log)
            except LedgerBusyError:
                self._leads.clear()
                continue
            except SealedError as error:
                self._sealed(log, error)
                continue
            if not more:
                self._wait(log)

    def _do_chore(self, log: PostgresLog) -> None:
        try:
            self._chore(log)
        except LedgerError as error:
            # Tried again the next time; entries have no part in it.
            _log.error("what is due now and then was not done: %s", error)

    def _elected(self, log: PostgresLog) -> bool:
        try:
            if not log.elect():
                if time.monotonic() - self._looked_s >= LOOK_S:
                    self._looked_s = time.monotonic()
                    if log.unseat(self._stuck_s):
                        _log.warning("a sequencer that was stuck was thrown out")
                return False
            if log.sealed:
                log.resign()
                self._stop.wait(RETRY_S)
                return False
            self._examine()
        except SealedError as error:
            self._sealed(log, error)
            return False
        except LedgerError:
            log.resign()
            raise
        log.settle(self._idle_s)
        with self._address.told(log.db):
            log.db.execute("DELETE FROM refusal WHERE at < now() - make_interval(secs => %s)", (REFUSALS_KEPT_S,))
        self._leads.set()
        return True

    def _sealed(self, log: PostgresLog, error: SealedError) -> None:
        _log.critical("the ledger is sealed: %s", error)
        self._leads.clear()
        if not log.sealed:
            log.seal(str(error))
            self._seal(error)
        log.resign()
        self._stop.wait(RETRY_S)

    def _drain(self, log: PostgresLog) -> bool:
        """Enters what is there; whether there is more by now."""

        def enter(growth: Grow, taken: list[tuple[Any, ...]]) -> list[bytes]:
            groups: list[list[Ready]] = []
            refused: list[tuple[bytes, str, str, str]] = []
            taken.sort()
            for _, identity, body in taken:
                try:
                    groups.append(unpack(body))
                except EntryError as error:
                    refused.append((identity, type(error).__name__, error.what, error.mend))
                    groups.append([])
            grown = growth([ready for group in groups for ready in group])
            for (_, identity, _), group in zip(taken, groups, strict=True):
                try:
                    grown.enter(group)
                except EntryError as error:
                    refused.append((identity, type(error).__name__, error.what, error.mend))
            for row in refused:
                log.db.execute(
                    "INSERT INTO refusal (id, kind, what, mend) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", row
                )
            return [identity for _, identity, _ in taken]

        names = " ".join(identity.hex() for identity in log.led(enter, (_TAKE, (MAX_ROWS,))))
        message = names if len(names) <= _MESSAGE_BYTES else EVERYONE
        with self._address.told(log.db):
            log.db.execute("SELECT pg_notify(%s, %s)", (ANSWERS, message))
        return self._waits(log)

    def _waits(self, log: PostgresLog) -> bool:
        with self._address.told(log.db):
            return log.db.execute(_WAITING).fetchone() is not None

    def _wait(self, log: PostgresLog) -> None:
        """Until something is told, or for a while."""
        with self._address.told(log.db):
            for _ in log.db.notifies(timeout=POLL_S, stop_after=1):
                pass
            # What else was told meanwhile is drained with it.
            for _ in log.db.notifies(timeout=0):
                pass
