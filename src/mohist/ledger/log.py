"""The log in SQLite: entries, full tiles and the right edge, written in one transaction and never changed.

One process writes (see `writer`); others may read. The file refuses UPDATE and DELETE of entries and tiles by itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from mohist.ledger.entry import Receipt, decode, encode
from mohist.ledger.errors import LedgerBusyError, LedgerError
from mohist.ledger.pack import Packing
from mohist.ledger.store import Ready, SealedContent, Store, mark
from mohist.ledger.tile import HEIGHT
from mohist.ledger.tree import Edge, leaf_hash

__all__ = ["BUSY_TIMEOUT_S", "Log", "Ready", "SealedContent"]

SCHEMA_VERSION = 2
READ_VERSIONS = ("1", "2")
"""1: all entries as they are. 2: some are packed, which each says itself, so what 1 wrote is gone on with."""
BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS entry_of_stream ON entry (stream, sequence);
CREATE TABLE IF NOT EXISTS tile (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT;
CREATE TABLE IF NOT EXISTS fold (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mark (key BLOB PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stream (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next INTEGER NOT NULL,
    last BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS edge (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), size INTEGER NOT NULL, hashes BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payload (
    digest BLOB PRIMARY KEY,
    kid TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    ciphertext BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS payload_of_key ON payload (kid);
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS tile_stays BEFORE UPDATE ON tile BEGIN SELECT RAISE(ABORT, 'tiles are never changed'); END;
CREATE TRIGGER IF NOT EXISTS tile_is_kept BEFORE DELETE ON tile BEGIN SELECT RAISE(ABORT, 'tiles are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS fold_stays BEFORE UPDATE ON fold BEGIN SELECT RAISE(ABORT, 'tiles are never changed'); END;
CREATE TRIGGER IF NOT EXISTS fold_is_kept BEFORE DELETE ON fold BEGIN SELECT RAISE(ABORT, 'tiles are never deleted'); END;
"""


class Log(Store):
    """The file.

    Args:
        path: of the database; made where it is not.
        origin: the log's name, as in checkpoints; fixed when the file is made.
        read_only: open for reading beside another process that writes.

    Raises:
        LedgerError: the file is of another log or version, or can't be opened.
        SealedError: its right edge does not fit its entries.
    """

    one_machine = True
    _unreadable: ClassVar = (sqlite3.Error, UnicodeDecodeError)

    def __init__(self, path: Path, origin: str = "", *, read_only: bool = False) -> None:
        self.path = path
        self.shown = str(path)
        self._streams: dict[str, tuple[int, int, bytes]] = {}
        self._packing = Packing()
        try:
            if read_only:
                self._db = sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False
                )
            else:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
                self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
            self._db.isolation_level = None
            if not read_only:
                self._db.execute("PRAGMA journal_mode = WAL")
                # A receipt says durable: the log is flushed at each commit, power cuts included.
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.executescript(_SCHEMA)
            self.origin = self._identity(origin, read_only)
            self.edge = self._load()
        # SQLite's own messages quote what is in the file; flipped bits in that need not be text.
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise LedgerError(
                f"The ledger at {path} can't be opened: {error}.", "Check that it is a ledger, and whose it is."
            ) from error

    def close(self) -> None:
        self._db.close()

    def refresh(self) -> None:
        self.edge = self._load()

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        edge = Edge(self.edge.size, self.edge.hashes)
        streams: dict[str, tuple[int, int, bytes]] = {}
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                receipts = [self._enter(ready, edge, streams) for ready in batch]
                self._db.executemany(
                    "UPDATE stream SET next = ?, last = ? WHERE number = ?",
                    [(following, last, number) for number, following, last in streams.values()],
                )
                self._db.execute("INSERT OR REPLACE INTO edge VALUES (1, ?, ?)", (edge.size, b"".join(edge.hashes)))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise LedgerBusyError(f"Another process writes to the ledger at {self.path}.") from error
            raise LedgerError(
                f"The ledger at {self.path} could not be written: {error}.", "Nothing was entered."
            ) from error
        except sqlite3.Error as error:
            raise LedgerError(
                f"The ledger at {self.path} could not be written: {error}.", "Nothing was entered."
            ) from error
        self.edge = edge
        self._streams.update(streams)
        if len(self._streams) > _MAX_STREAMS_KEPT:
            self._streams = dict(streams)
        return receipts

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        for position, stored in self._db.execute(
            "SELECT position, leaf FROM entry WHERE position >= ? AND position < ? ORDER BY position", (start, end)
        ):
            yield self._leaf(position, stored)

    def stream(self, name: str) -> Iterator[tuple[int, bytes]]:
        for position, stored in self._db.execute(
            "SELECT position, leaf FROM entry WHERE stream = (SELECT number FROM stream WHERE name = ?) ORDER BY sequence",
            (name,),
        ):
            yield position, self._leaf(position, stored)

    def find(self, key: str) -> int | None:
        row = self._db.execute("SELECT position FROM mark WHERE key = ?", (mark(key),)).fetchone()
        return None if row is None else row[0]

    def payload(self, digest: str) -> tuple[str, bytes, bytes | None] | None:
        row: tuple[str, bytes, bytes | None] | None = self._db.execute(
            "SELECT kid, wrapped, ciphertext FROM payload WHERE digest = ?", (bytes.fromhex(digest),)
        ).fetchone()
        return row

    def _stored(self, level: int, position: int) -> bytes:
        row = self._db.execute("SELECT hashes FROM tile WHERE level = ? AND position = ?", (level, position)).fetchone()
        return b"" if row is None else bytes(row[0])

    def _folds(self, level: int, start: int, end: int) -> bytes:
        rows = self._db.execute(
            "SELECT hash FROM fold WHERE level = ? AND position >= ? AND position < ? ORDER BY position",
            (level, start, end),
        )
        return b"".join(node for (node,) in rows)

    def _counted(self) -> int:
        (count,) = self._db.execute("SELECT coalesce(max(position) + 1, 0) FROM entry").fetchone()
        return int(count)

    def _rows(self) -> Iterator[tuple[int, bytes, int, str]]:
        rows = "SELECT position, leaf, sequence, (SELECT name FROM stream WHERE number = entry.stream) FROM entry ORDER BY 1"
        for position, stored, sequence, stream in self._db.execute(rows):
            yield position, self._leaf(position, stored), sequence, stream

    def _identity(self, origin: str, read_only: bool) -> str:
        known = dict(self._db.execute("SELECT name, value FROM about"))
        if not known and not read_only:
            if not origin or any(c.isspace() or c == "+" for c in origin):
                raise LedgerError(
                    f"A log can't be named {origin!r}.",
                    "Give a name without spaces and plus signs, such as example.com/mohist.",
                )
            self._db.executemany(
                "INSERT INTO about VALUES (?, ?)", [("origin", origin), ("schema", str(SCHEMA_VERSION))]
            )
            return origin
        if known.get("schema") not in READ_VERSIONS:
            raise LedgerError(
                f"The ledger at {self.path} has schema {known.get('schema')}, not {SCHEMA_VERSION}.",
                "Open it with the Mohist that wrote it.",
            )
        if origin and origin != known["origin"]:
            raise LedgerError(
                f"The ledger at {self.path} is of {known['origin']}, not of {origin}.",
                "One file holds one log; name another file.",
            )
        if not read_only and known["schema"] != str(SCHEMA_VERSION):
            # Earlier versions refuse the file from now on, rather than hand packed entries out as they are.
            self._db.execute("UPDATE about SET value = ? WHERE name = 'schema'", (str(SCHEMA_VERSION),))
        return str(known["origin"])

    def _load(self) -> Edge:
        row = self._db.execute("SELECT size, hashes FROM edge").fetchone()
        return self._edge(*row) if row is not None else Edge()

    def _enter(self, ready: Ready, edge: Edge, streams: dict[str, tuple[int, int, bytes]]) -> Receipt:
        draft = ready.draft
        known = ready.mark
        if known is not None:
            row = self._db.execute("SELECT position FROM mark WHERE key = ?", (known,)).fetchone()
            if row is not None:
                return self._again(row[0])
        number, sequence, last = streams.get(draft.stream) or self._stream(draft.stream)
        at_us = ready.at_us or time.time_ns() // 1000
        leaf = encode(
            draft,
            at_us=at_us,
            log=self.origin,
            sequence=sequence,
            previous=last.hex(),
            sealed=[content.sealed for content in ready.contents],
        )
        position, node = edge.size, leaf_hash(leaf)
        packed = self._packing.pack(leaf)
        self._db.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", (position, number, sequence, packed))
        for content in ready.contents:
            self._db.execute(
                "INSERT OR IGNORE INTO payload VALUES (?, ?, ?, ?)",
                (
                    bytes.fromhex(content.sealed.digest or content.sealed.commitment),
                    content.sealed.key_id,
                    content.wrapped_key,
                    content.ciphertext or None,
                ),
            )
        if known is not None:
            self._db.execute("INSERT INTO mark VALUES (?, ?)", (known, position))
        for level, index, whole in edge.append(node):
            if level and level % HEIGHT == 0:
                place = (level // HEIGHT - 1, index)
                self._db.execute("INSERT INTO tile VALUES (?, ?, ?)", (*place, self._made(*place)))
                self._db.execute("INSERT INTO fold VALUES (?, ?, ?)", (*place, whole))
        streams[draft.stream] = (number, sequence + 1, node)
        return Receipt(position, node, at_us, draft.stream, sequence)

    def _stream(self, name: str) -> tuple[int, int, bytes]:
        if (kept := self._streams.get(name)) is not None:
            return kept
        self._db.execute("INSERT OR IGNORE INTO stream (name, next, last) VALUES (?, 0, x'')", (name,))
        number, sequence, last = self._db.execute(
            "SELECT number, next, last FROM stream WHERE name = ?", (name,)
        ).fetchone()
        return number, sequence, bytes(last)

    def _again(self, position: int) -> Receipt:
        stored, stream, sequence = self._db.execute(
            "SELECT leaf, (SELECT name FROM stream WHERE number = entry.stream), sequence FROM entry WHERE position = ?",
            (position,),
        ).fetchone()
        leaf = self._leaf(position, stored)
        return Receipt(position, leaf_hash(leaf), decode(leaf)["at"], stream, sequence)


_MAX_STREAMS_KEPT = 100_000
