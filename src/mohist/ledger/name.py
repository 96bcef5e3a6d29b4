"""Pseudonyms: what entries call people, and the table that leads back, which is no evidence and may lose rows."""

from __future__ import annotations

import hmac
import sqlite3
import threading
from hashlib import sha256
from pathlib import Path

from mohist.ledger.errors import LedgerError
from mohist.ledger.vault import derived

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
        self._lock = threading.Lock()
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
        """Lets go of the table."""
        self._db.close()

    def pseudonym(self, sort: str, name: str) -> str:
        """What entries call it, "person:4f2a…"; the same one each time. Remembered, so that people can look it up.

        Raises:
            LedgerError: it can't be remembered.
        """
        if not name:
            return ""
        with self._lock:
            if (known := self._known.get((sort, name))) is not None:
                return known
            made = f"{sort}:{self._digest(sort, name)}"
            try:
                self._db.execute("INSERT OR IGNORE INTO name VALUES (?, ?)", (made, name))
            except sqlite3.Error as error:
                raise LedgerError(f"A name can't be remembered: {error}.") from error
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
            row = self._db.execute("SELECT name FROM name WHERE pseudonym = ?", (pseudonym,)).fetchone()
        return None if row is None else str(row[0])

    def forget(self, pseudonym: str) -> bool:
        """Erases a name; whether it was there."""
        with self._lock:
            self._known = {place: known for place, known in self._known.items() if known != pseudonym}
            return self._db.execute("DELETE FROM name WHERE pseudonym = ?", (pseudonym,)).rowcount > 0

    def _digest(self, sort: str, name: str) -> str:
        text = f"{sort}\0{name}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, sha256).hexdigest()[:ID_DIGITS]


_MAX_KNOWN = 100_000
