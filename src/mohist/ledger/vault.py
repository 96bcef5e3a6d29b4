"""Contents, sealed: each under a key of its own, that under one of its subject's, those in a file of their own.

Deleting a subject's keys makes all that was kept of it unreadable at once, in every copy of the log; the entries and their
proofs stay good, because they name digests of ciphertext and keyed commitments only. A plain hash would not do: that of a phone
number falls to guessing in under a minute.

The key file is never in a PostgreSQL database (deleted rows stay in its write-ahead log) and has to be left out of backups that
live longer than an erasure may take. It is itself encrypted under a root key, so that blocks which the file system still holds
are worth nothing once the root key is changed.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from mohist.ledger.entry import Content, Sealed
from mohist.ledger.errors import AbsentKeyError, ErasedError, LedgerError, ProofError, RootKeyError
from mohist.ledger.store import SealedContent

KEY_BYTES = 32
NONCE_BYTES = 12
"""AES-GCM's (NIST SP 800-38D); a key encrypts once only, so a random one can't repeat under it."""
_ENCRYPT = b"mohist ledger payload v1 encryption"
_COMMIT = b"mohist ledger payload v1 commitment"
NOBODY = "system"
"""The subject of contents that are nobody's."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS wrapping (
    kid TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    period TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS wrapping_of_subject ON wrapping (subject, period);
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS followed (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    count INTEGER NOT NULL,
    waiting TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS erased (kid TEXT PRIMARY KEY, at_us INTEGER NOT NULL) STRICT;
"""


def derived(key: bytes, purpose: bytes) -> bytes:
    """A key for one purpose out of a content's."""
    return HKDFExpand(hashes.SHA256(), KEY_BYTES, purpose).derive(key)


def commitment(key: bytes, data: bytes) -> str:
    """The keyed commitment to a content, hex."""
    return hmac.new(derived(key, _COMMIT), data, sha256).hexdigest()


def unseal(key: bytes, ciphertext: bytes, sealed_commitment: str) -> bytes:
    """A content out of its ciphertext, with its own key.

    Raises:
        ProofError: it is not what was entered.
    """
    try:
        data = AESGCM(derived(key, _ENCRYPT)).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], None)
    except InvalidTag as error:
        raise ProofError("A content can't be decrypted with its key: one of the two was changed.") from error
    if not hmac.compare_digest(commitment(key, data), sealed_commitment):
        raise ProofError("A content is not the one that its entry commits to.")
    return data


def quarter(time_s: float) -> str:
    """The period of keys: "2026Q4"."""
    moment = time.gmtime(time_s)
    return f"{moment.tm_year}Q{(moment.tm_mon + 2) // 3}"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was made unreadable."""

    subject: str
    key_ids: tuple[str, ...]


class Vault:
    """The subjects' keys.

    Args:
        path: of the key file; made where it is not.
        root_key: 32 bytes; encrypts the file's keys. From a key store, or from a file that is kept apart.
        clock: seconds since 1970.

    Raises:
        LedgerError: the file can't be opened, or is under another root key.
    """

    def __init__(self, path: Path, root_key: bytes, clock: Callable[[], float] = time.time) -> None:
        if len(root_key) != KEY_BYTES:
            raise LedgerError(
                f"A root key has {KEY_BYTES} bytes, not {len(root_key)}.", "Make one with a random generator."
            )
        self._root = root_key
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[str, bytes]] = {}
        self._version = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            # Deleted keys are overwritten, and no second file holds them: with a write-ahead log they would stay in it.
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("PRAGMA synchronous = EXTRA")
            self._db.executescript(_SCHEMA)
            row = self._db.execute("SELECT wrapped FROM wrapping UNION ALL SELECT wrapped FROM kept LIMIT 1").fetchone()
        except sqlite3.Error as error:
            raise LedgerError(f"The key file {path} can't be opened: {error}.") from error
        if row is not None:
            self._unwrapped(row[0])

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def seal(self, content: Content) -> SealedContent:
        """Encrypts a content; a subject's first content of a quarter makes its key.

        Raises:
            LedgerError: the key can't be kept.
        """
        kid, wrapping = self._wrapping(content.subject or NOBODY)
        key, nonce = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
        ciphertext = b""
        if content.keep:
            ciphertext = nonce + AESGCM(derived(key, _ENCRYPT)).encrypt(nonce, content.data, None)
        sealed = Sealed(
            name=content.name,
            media=content.media,
            size_bytes=len(content.data),
            digest=sha256(ciphertext).hexdigest() if content.keep else "",
            commitment=commitment(key, content.data),
            key_id=kid,
        )
        return SealedContent(sealed, aes_key_wrap(wrapping, key), ciphertext)

    def key(self, key_id: str, wrapped_key: bytes) -> bytes:
        """A content's own key, to read it or to hand it to an auditor.

        Raises:
            ErasedError: its subject was erased.
            AbsentKeyError: there never was such a key here.
            LedgerError: it does not fit.
        """
        with self._lock:
            row = self._db.execute("SELECT wrapped FROM wrapping WHERE kid = ?", (key_id,)).fetchone()
            gone = row is None and self._db.execute("SELECT 1 FROM erased WHERE kid = ?", (key_id,)).fetchone()
        if gone:
            raise ErasedError(f"What was kept under the key {key_id} was erased.")
        if row is None:
            raise AbsentKeyError(
                f"The key {key_id} is not in this key file.",
                "It is that of another machine or another log, or this is an older copy.",
            )
        try:
            return aes_key_unwrap(self._unwrapped(row[0]), wrapped_key)
        except InvalidUnwrap as error:
            raise LedgerError(
                f"A content's key does not fit the key {key_id}.", "One of the two was changed."
            ) from error

    def open(self, key_id: str, wrapped_key: bytes, ciphertext: bytes, sealed_commitment: str) -> bytes:
        """A content.

        Raises:
            ErasedError: its subject was erased.
            LedgerError: its key is missing.
            ProofError: it is not what was entered.
        """
        return unseal(self.key(key_id, wrapped_key), ciphertext, sealed_commitment)

    def key_ids(self, subject: str) -> list[str]:
        """Which keys a subject has."""
        with self._lock:
            return [
                kid
                for (kid,) in self._db.execute("SELECT kid FROM wrapping WHERE subject = ? ORDER BY period", (subject,))
            ]

    def subject(self, key_id: str) -> str | None:
        """Whose a key is; None: it is not here, or not any more."""
        with self._lock:
            row = self._db.execute("SELECT subject FROM wrapping WHERE kid = ?", (key_id,)).fetchone()
        return None if row is None else str(row[0])

    def kept(self, name: str) -> bytes | None:
        """A secret that was handed over to `change_root`."""
        with self._lock:
            row = self._db.execute("SELECT wrapped FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else self._unwrapped(row[0])

    def followed(self) -> tuple[int, list[str]]:
        """How many erasures of a log that several machines share were looked at here, and which subjects of them wait for a hold.

        In this file, so that an old copy of it knows less.
        """
        with self._lock:
            row = self._db.execute("SELECT count, waiting FROM followed").fetchone()
        return (row[0], row[1].split()) if row else (0, [])

    def follow(self, count: int, waiting: Sequence[str]) -> None:
        """So many are looked at, and what they ask for is done but for subjects that wait.

        Raises:
            LedgerError: the file could not be written.
        """
        with self._lock:
            try:
                self._db.execute("INSERT OR REPLACE INTO followed VALUES (1, ?, ?)", (count, " ".join(waiting)))
            except sqlite3.Error as error:
                raise LedgerError(f"The key file could not be written: {error}.") from error

    def erase(self, subject: str) -> Erasure:
        """Deletes a subject's keys for good. Enter that it will be done first; doing it again does nothing.

        Raises:
            LedgerError: the file could not be written; nothing was erased.
        """
        key_ids = self.key_ids(subject)
        self.forget(key_ids)
        return Erasure(subject, tuple(key_ids))

    def forget(self, key_ids: list[str]) -> None:
        """Deletes keys by their ids, as after a restored backup, from the log's entries of erasure.

        Raises:
            LedgerError: the file could not be written.
        """
        now_us = int(self._clock() * 1_000_000)
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for kid in key_ids:
                    self._db.execute("DELETE FROM wrapping WHERE kid = ?", (kid,))
                    self._db.execute("INSERT OR IGNORE INTO erased VALUES (?, ?)", (kid, now_us))
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise LedgerError(f"Keys could not be deleted: {error}.", "Nothing was erased; try again.") from error
            gone = set(key_ids)
            self._kept = {place: kept for place, kept in self._kept.items() if kept[0] not in gone}

    def change_root(self, root_key: bytes, keep: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Encrypts all keys under another root key; the old one is worth nothing for this file afterwards.

        Args:
            root_key: 32 bytes.
            keep: secrets of 32 bytes that were derived from the first root key and must outlive it; `kept` gives them back.

        Raises:
            LedgerError: the file could not be written; it is as it was.
        """
        with self._lock:
            rows = self._db.execute("SELECT kid, wrapped FROM wrapping").fetchall()
            fresh = [(aes_key_wrap(root_key, self._unwrapped(wrapped)), kid) for kid, wrapped in rows]
            secrets = dict(keep)
            for name, wrapped in self._db.execute("SELECT name, wrapped FROM kept").fetchall():
                secrets[name] = self._unwrapped(wrapped)
            others = [(name, aes_key_wrap(root_key, secret)) for name, secret in secrets.items()]
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("UPDATE wrapping SET wrapped = ? WHERE kid = ?", fresh)
                self._db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", others)
                self._db.execute("COMMIT")
                self._db.execute("VACUUM")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise LedgerError(f"The key file could not be written: {error}.") from error
            self._root = root_key

    def _wrapping(self, subject: str) -> tuple[str, bytes]:
        place = (subject, quarter(self._clock()))
        with self._lock:
            # Another process may have erased the subject since: nothing more is sealed under a key that is gone.
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version = version
                self._kept.clear()
            if (kept := self._kept.get(place)) is not None:
                return kept
            try:
                self._db.execute("BEGIN IMMEDIATE")
                row = self._db.execute(
                    "SELECT kid, wrapped FROM wrapping WHERE subject = ? AND period = ?", place
                ).fetchone()
                if row is None:
                    fresh = os.urandom(KEY_BYTES)
                    # A random id: one made of the subject's would tell whose key it is after the subject is gone.
                    row = (os.urandom(8).hex(), aes_key_wrap(self._root, fresh))
                    self._db.execute("INSERT INTO wrapping VALUES (?, ?, ?, ?)", (row[0], *place, row[1]))
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise LedgerError(f"No key could be kept for a content: {error}.") from error
            self._kept[place] = (row[0], self._unwrapped(row[1]))
            return self._kept[place]

    def _unwrapped(self, wrapped: bytes) -> bytes:
        try:
            return aes_key_unwrap(self._root, wrapped)
        except InvalidUnwrap as error:
            raise RootKeyError(
                "The key file is under another root key.", "Give the root key that it was made with."
            ) from error
