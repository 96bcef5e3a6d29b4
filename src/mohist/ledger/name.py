"""Pseudonyms: what entries call people, and the table that leads back, which is no evidence and may lose rows."""

from __future__ import annotations

import hmac
import logging
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path

from mohist.ledger.errors import LedgerError
from mohist.ledger.vault import derived

_log = logging.getLogger(__name__)
_PURPOSE = b"mohist ledger pseudonyms v1"
ID_DIGITS = 16
"""64 bits: two of a million people share one with a chance of one in 37 million."""
_SCHEMA = "CREATE TABLE IF NOT EXISTS name (pseudonym TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID"


def pseudonym_key(root_key: bytes) -> bytes:
    """What pseudonyms are made with."""
    return derived(root_key, _PURPOSE)


class Names:
    """People and other names, by pseudonym.

    Args:
        path: of the table; made where it is not.
        root_key: 32 bytes; nobody without it can try names.
        key: what is derived from the root key, where that was changed since: pseudonyms stay what they are.

    Raises:
        LedgerError: the table can't be opened.
    """

    def __init__(self, path: Path, root_key: bytes, key: bytes | None = None) -> None:
        self._key = key or pseudonym_key(root_key)
        self._known: dict[tuple[str, str], str] = {}
        self._unwritten: dict[str, str] = {}
        self._lock = threading.Lock()
        """Of what is in memory; never held while the table is written."""
        self._table = threading.Lock()
        """Of the table; taken before the other one."""
        self._writing: threading.Thread | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise LedgerError(f"The table of names {path} can't be opened: {error}.") from error

    def close(self) -> None:
        """Writes what is not written yet, and lets go of the table."""
        with self._lock:
            writing = self._writing
        if writing is not None:
            writing.join()
        self._write()
        self._db.close()

    def pseudonym(self, sort: str, name: str) -> str:
        """What entries call it, "person:4f2a…"; the same one each time.

        Remembered, so that people can look it up, a moment later: no call waits for that, and a kill may lose it until the
        next time.
        """
        if not name:
            return ""
        with self._lock:
            if (known := self._known.get((sort, name))) is not None:
                return known
            made = f"{sort}:{self._digest(sort, name)}"
            self._unwritten[made] = name
            if self._writing is None:
                self._writing = threading.Thread(target=self._remember, name="mohist-names", daemon=True)
                self._writing.start()
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[sort, name] = made
            return made

    def find(self, sort: str, name: str) -> str:
        """What entries call it, without remembering it."""
        return f"{sort}:{self._digest(sort, name)}"

    def name(self, pseudonym: str) -> str | None:
        """Who it is; None: not known, or erased."""
        with self._lock:
            if (name := self._unwritten.get(pseudonym)) is not None:
                return name
        with self._table:
            row = self._db.execute("SELECT name FROM name WHERE pseudonym = ?", (pseudonym,)).fetchone()
        return None if row is None else str(row[0])

    def forget(self, pseudonym: str) -> bool:
        """Erases a name; whether it was there."""
        with self._table:
            with self._lock:
                self._known = {place: known for place, known in self._known.items() if known != pseudonym}
                waited = self._unwritten.pop(pseudonym, None) is not None
            return self._db.execute("DELETE FROM name WHERE pseudonym = ?", (pseudonym,)).rowcount > 0 or waited

    def _remember(self) -> None:
        """Writes until nothing waits; what can't be written waits for the next name."""
        while self._write():
            with self._lock:
                if not self._unwritten:
                    self._writing = None
                    return
        with self._lock:
            self._writing = None

    def _write(self) -> bool:
        with self._table:
            with self._lock:
                rows = dict(self._unwritten)
            if not rows:
                return True
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", rows.items())
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                _log.error("%d names behind pseudonyms can't be remembered: %s", len(rows), error)
                return False
            with self._lock:
                for pseudonym in rows:
                    self._unwritten.pop(pseudonym, None)
            return True

    def _digest(self, sort: str, name: str) -> str:
        text = f"{sort}\0{name}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, sha256).hexdigest()[:ID_DIGITS]


_MAX_KNOWN = 100_000
