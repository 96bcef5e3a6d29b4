"""The log in SQLite: entries, full tiles and the right edge, written in one transaction and never changed.

One process writes (see `writer`); others may read. The file refuses UPDATE and DELETE of entries and tiles by itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mohist.ledger.entry import Draft, Receipt, Sealed, decode, encode
from mohist.ledger.errors import EntryError, LedgerBusyError, LedgerError, SealedError
from mohist.ledger.pack import Packing, UnpackError
from mohist.ledger.tile import HEIGHT, WIDTH, fold, reader
from mohist.ledger.tree import EMPTY_ROOT, HASH_BYTES, Edge, consistency_proof, inclusion_proof, leaf_hash, range_hash

SCHEMA_VERSION = 2
READ_VERSIONS = ("1", "2")
"""1: all entries as they are. 2: some are packed, which each says itself, so what 1 wrote is gone on with."""
BUSY_TIMEOUT_S = 10.0
KEY_BYTES = 16
"""Of the digest by which a repeated draft is known; 2^64 drafts until two are taken for one by chance."""

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


@dataclass(frozen=True, slots=True)
class SealedContent:
    """A content that is ready to be kept."""

    sealed: Sealed
    wrapped_key: bytes
    """Its key, under the subject's."""
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """A draft whose contents are sealed."""

    draft: Draft
    contents: tuple[SealedContent, ...] = ()
    at_us: int = 0
    """When it happened, by the clock of whoever drafted it; 0: when it is written."""
    retry_key: str = ""
    """Known by it if it comes again, without being entered; for the way to the writer."""


class Log:
    """The file.

    Args:
        path: of the database; made where it is not.
        origin: the log's name, as in checkpoints; fixed when the file is made.
        read_only: open for reading beside another process that writes.

    Raises:
        LedgerError: the file is of another log or version, or can't be opened.
        SealedError: its right edge does not fit its entries.
    """

    def __init__(self, path: Path, origin: str = "", *, read_only: bool = False) -> None:
        self.path = path
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
        """Lets go of the file."""
        self._db.close()

    @property
    def size(self) -> int:
        """Entries so far."""
        return self.edge.size

    def refresh(self) -> None:
        """Sees what another process has written since."""
        self.edge = self._load()

    def recompute(self) -> None:
        """Builds the right edge anew from the entries and tiles that are stored.

        Raises:
            SealedError: it is not the one that was stored with them.
        """
        try:
            (count,) = self._db.execute("SELECT coalesce(max(position) + 1, 0) FROM entry").fetchone()
            root = self._root_of_tiles(count)
        except (ValueError, sqlite3.Error) as error:
            raise SealedError(f"The ledger at {self.path} lacks part of its tree: {error}.", _LOOK) from error
        if count != self.edge.size or root != self.edge.root():
            raise SealedError(f"The right edge of the ledger at {self.path} is not that of its {count} entries.", _LOOK)

    def scrub(self, tell: Callable[[int, int], None] | None = None) -> None:
        """Hashes every entry again and compares all tiles: what a flipped bit in the file can't survive.

        Raises:
            SealedError: names the first entry or tile that is not what it was.
        """
        try:
            self._scrub(tell)
        except EntryError as error:
            raise SealedError(
                f"An entry of the ledger at {self.path} is not what it was: {error.what}", _LOOK
            ) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise SealedError(f"The ledger at {self.path} can't be read: {error}.", _LOOK) from error

    def _scrub(self, tell: Callable[[int, int], None] | None) -> None:
        edge = Edge()
        # Numbers and names of streams stand beside entries and in them: what is shown as a stream is ordered by the former.
        rows = "SELECT position, leaf, sequence, (SELECT name FROM stream WHERE number = entry.stream) FROM entry ORDER BY 1"
        for position, stored, sequence, stream in self._db.execute(rows):
            if position != edge.size:
                raise SealedError(f"Entry {edge.size} of the ledger at {self.path} is missing.", _LOOK)
            leaf = self._leaf(position, stored)
            if (said := decode(leaf))["seq"] != sequence or said["stream"] != stream:
                raise SealedError(
                    f"Entry {position} of the ledger at {self.path} is not kept in its stream's place.", _LOOK
                )
            for level, index, node in edge.append(leaf_hash(leaf)):
                if level and level % HEIGHT == 0 and not self._holds(level // HEIGHT - 1, index, node):
                    where = f"entries {index << level} to {((index + 1) << level) - 1}"
                    raise SealedError(
                        f"Of {where} of the ledger at {self.path}, one is not what it was, or their tile is not.", _LOOK
                    )
            if tell is not None and edge.size % WIDTH == 0:
                tell(edge.size, self.edge.size)
        if (edge.size, edge.hashes) != (self.edge.size, self.edge.hashes):
            raise SealedError(f"The last entries of the ledger at {self.path} are not what they were.", _LOOK)

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        """Enters a batch in one durable transaction, in its order.

        Raises:
            LedgerError: nothing of it is entered.
        """
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
        """Entries [start, end), as they were stored."""
        for position, stored in self._db.execute(
            "SELECT position, leaf FROM entry WHERE position >= ? AND position < ? ORDER BY position", (start, end)
        ):
            yield self._leaf(position, stored)

    def stream(self, name: str) -> Iterator[tuple[int, bytes]]:
        """A stream's entries in order, each with its index."""
        for position, stored in self._db.execute(
            "SELECT position, leaf FROM entry WHERE stream = (SELECT number FROM stream WHERE name = ?) ORDER BY sequence",
            (name,),
        ):
            yield position, self._leaf(position, stored)

    def find(self, key: str) -> int | None:
        """The index of the entry that was drafted under a key."""
        row = self._db.execute("SELECT position FROM mark WHERE key = ?", (_mark(key),)).fetchone()
        return None if row is None else row[0]

    def payload(self, digest: str) -> tuple[str, bytes, bytes | None] | None:
        """A sealed content by its ciphertext's digest, or by its commitment where it is not kept.

        Returns:
            Its key's id, its wrapped key, the ciphertext unless that is not there.
        """
        row: tuple[str, bytes, bytes | None] | None = self._db.execute(
            "SELECT kid, wrapped, ciphertext FROM payload WHERE digest = ?", (bytes.fromhex(digest),)
        ).fetchone()
        return row

    def tile(self, level: int, position: int) -> bytes:
        """A tile; at the right edge a partial one."""
        return self._stored(level, position) or self._made(level, position)

    def _stored(self, level: int, position: int) -> bytes:
        row = self._db.execute("SELECT hashes FROM tile WHERE level = ? AND position = ?", (level, position)).fetchone()
        return b"" if row is None else bytes(row[0])

    def _made(self, level: int, position: int) -> bytes:
        start = position * WIDTH
        if level == 0:
            return b"".join(leaf_hash(leaf) for leaf in self.leaves(start, start + WIDTH))
        # A tile above begins to exist when a full one below it does. Folded once, when that was full: 255 tiles folded anew
        # for each proof took 37 ms.
        below = self._db.execute(
            "SELECT hash FROM fold WHERE level = ? AND position >= ? AND position < ? ORDER BY position",
            (level - 1, start, start + WIDTH),
        )
        return b"".join(node for (node,) in below)

    def _holds(self, level: int, position: int, node: bytes) -> bool:
        """Whether a full tile is what is below it, and its fold is `node`."""
        stored = self._stored(level, position)
        kept = self._db.execute("SELECT hash FROM fold WHERE level = ? AND position = ?", (level, position)).fetchone()
        return stored == self._made(level, position) and fold(stored) == node and kept == (node,)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path from an entry to the root of the first `size`."""
        return inclusion_proof(index, size, reader(self.tile))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That the first `old` entries are still the first of `new`."""
        return consistency_proof(old, new, reader(self.tile))

    def root(self, size: int) -> bytes:
        """Of the first `size` entries."""
        if size == self.edge.size:
            return self.edge.root()
        return self._root_of_tiles(size)

    def _root_of_tiles(self, size: int) -> bytes:
        return range_hash(0, size, reader(self.tile)) if size else EMPTY_ROOT

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
        size, hashes = row if row is not None else (0, b"")
        if len(hashes) % HASH_BYTES or len(hashes) // HASH_BYTES != size.bit_count():
            raise SealedError(
                f"The ledger at {self.path} has a damaged right edge.", "Check it with `mohist ledger verify`."
            )
        return Edge(size, [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)])

    def _enter(self, ready: Ready, edge: Edge, streams: dict[str, tuple[int, int, bytes]]) -> Receipt:
        draft = ready.draft
        # Who sends again sends the same draft: its own key is enough where it has one.
        key = draft.key or ready.retry_key
        mark = _mark(key) if key else None
        if mark is not None:
            row = self._db.execute("SELECT position FROM mark WHERE key = ?", (mark,)).fetchone()
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
        if mark is not None:
            self._db.execute("INSERT INTO mark VALUES (?, ?)", (mark, position))
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

    def _leaf(self, position: int, stored: bytes) -> bytes:
        try:
            return self._packing.unpack(stored)
        except UnpackError as error:
            raise SealedError(
                f"Entry {position} of the ledger at {self.path} is not what it was: {error.what}.", _LOOK
            ) from error


_MAX_STREAMS_KEPT = 100_000
_LOOK = "Nothing is entered until a person has looked at it; `mohist ledger check` says more."


def _mark(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
