"""The log's tables: read by whoever may, written by the one session that leads.

Who leads holds an advisory lock in the very session that its transactions run in, and each of them names the leader's term:
whoever lost the session, or the term, has nothing left to commit with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from mohist.ledger.entry import Receipt, decode
from mohist.ledger.errors import LedgerBusyError, LedgerError, LostError, SealedError
from mohist.ledger.pack import Packing
from mohist.ledger.postgres import schema
from mohist.ledger.postgres.growth import Growth, Stream, open_sizes
from mohist.ledger.postgres.link import LEADER_LOCK, Address
from mohist.ledger.store import LOOK, Ready, Store, mark
from mohist.ledger.tree import HASH_BYTES, leaf_hash

PAGE_ENTRIES = 1024
MAX_STREAMS_KEPT = 100_000
LEADER_IDLE_S = 10.0
"""A leader of whom the database hears nothing for so long is thrown out, and another one elected."""
EXAMINE_S = 300.0
"""Same, while it compares the log with what was signed and witnessed of it."""


_ENTERED = (
    "SELECT e.mark, e.position, s.name, e.sequence, e.leaf FROM entry e JOIN stream s ON s.number = e.stream "
    "WHERE e.mark = ANY(%s)"
)
_STREAMS = (
    "SELECT s.name, s.number, e.sequence, e.position, e.leaf FROM stream s JOIN LATERAL "
    "(SELECT * FROM entry WHERE stream = s.number ORDER BY sequence DESC LIMIT 1) e ON true WHERE s.name = ANY(%s)"
)
Grow = Callable[[Sequence[Ready]], Growth]
Work = Callable[[Grow, list[tuple[Any, ...]]], list[Any]]


@dataclass(slots=True)
class _Lead:
    """What only the leader knows."""

    term: int
    open_tiles: list[bytes]
    next_stream: int
    streams: dict[str, Stream]


class PostgresLog(Store):
    """The log in a database.

    Args:
        address: of the database.
        origin: the log's name, as in checkpoints; fixed when the tables are made.
        read_only: never makes tables, never leads.

    Raises:
        LostError: the database can't be reached.
        LedgerError: there is no log in it, or one of another name or version.
        SealedError: its right edge does not fit its entries.
    """

    def __init__(self, address: Address, origin: str = "", *, read_only: bool = False) -> None:
        self.address = address
        self.shown = address.shown
        self.sealed = ""
        """Why nothing may be entered; empty: it may."""
        self._read_only = read_only
        self._packing = Packing()
        self._lead: _Lead | None = None
        self.db = address.connect()
        try:
            self.origin = self._identity(origin)
            self.refresh()
        except BaseException:
            self.db.close()
            raise

    @staticmethod
    def named(address: Address) -> str:
        """The name of a database's log; empty: there is none.

        Raises:
            LostError: the database can't be reached.
            LedgerError: it can't be read.
        """
        db = address.connect()
        try:
            with address.told(db):
                row = (
                    db.execute("SELECT value FROM about WHERE name = 'origin'").fetchone()
                    if schema.current(db)
                    else None
                )
        finally:
            db.close()
        return str(row[0]) if row else ""

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes, as far as it knows; each transaction makes sure of it."""
        return self._lead is not None

    def close(self) -> None:
        with suppress(psycopg.Error):
            if not self.db.closed and self._lead is not None:
                # Said out loud: a server that is busy sees only later that its client has gone.
                self.db.execute("SELECT pg_advisory_unlock(%s)", (LEADER_LOCK,))
        self._lead = None
        self.db.close()

    def refresh(self) -> None:
        ((size, hashes, self.sealed),) = self._all("SELECT size, hashes, sealed FROM head")
        self.edge = self._edge(size, hashes)

    def seal(self, why: str) -> None:
        """Nothing is entered from now on, by any machine, until a person has looked at it.

        Raises:
            LedgerError: that can't be kept.
        """
        self._all("UPDATE head SET sealed = %s WHERE sealed = ''", (why,))

    def agree(self, name: str, value: str) -> str:
        """What all machines hold to under a name: the first value that was said; empty is only asked.

        Raises:
            LedgerError: it can't be kept.
        """
        if value:
            self._all("INSERT INTO about VALUES (%s, %s) ON CONFLICT DO NOTHING", (name, value))
        rows = self._all("SELECT value FROM about WHERE name = %s", (name,))
        return rows[0][0] if rows else ""

    def elect(self) -> bool:
        """Becomes the leader where nobody is; whether it is that now.

        Raises:
            LedgerError: the database says no.
            SealedError: what is open at the right edge does not fit it.
        """
        if self._lead is not None:
            return True
        ((free,),) = self._all("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,))
        if not free:
            return False
        try:
            self._expect(EXAMINE_S)
            ((size, hashes, self.sealed, term),) = self._all(
                "UPDATE head SET term = term + 1 RETURNING size, hashes, sealed, term"
            )
            self.edge = self._edge(size, hashes)
            ((next_stream,),) = self._all("SELECT coalesce(max(number) + 1, 0) FROM stream")
            tiles = [self._made(level, size >> 8 * (level + 1)) for level in range(len(open_sizes(size)))]
            if [len(one) // HASH_BYTES for one in tiles] != open_sizes(size):
                raise SealedError(f"The ledger at {self.shown} lacks some of its last entries.", LOOK)
        except BaseException:
            self.resign()
            raise
        self._lead = _Lead(term, tiles, next_stream, {})
        return True

    def settle(self, idle_s: float = LEADER_IDLE_S) -> None:
        """To be called once an elected leader has examined the log: from now on it has to be heard of.

        Raises:
            LedgerError: the database says no.
        """
        self._expect(idle_s, within=True)

    def resign(self) -> None:
        """Leads no more."""
        self._lead = None
        with suppress(LedgerError):
            self._expect(0)
            self._all("SELECT pg_advisory_unlock(%s)", (LEADER_LOCK,))

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        """See `Store`; elected where nobody leads.

        Raises:
            LedgerBusyError: another one leads.
            LostError: the connection broke; it is entered or not.
            LedgerError: nothing of it is entered.
        """
        if not self.elect():
            raise LedgerBusyError(f"Another process writes to the ledger at {self.shown}.")

        def enter(growth: Grow, _: list[tuple[Any, ...]]) -> list[Receipt]:
            grown = growth(batch)
            receipts = grown.enter(batch)
            self.put_contents(batch)
            return receipts

        return self.led(enter)

    def led(self, work: Work, ask: tuple[str, Sequence[object]] | None = None) -> list[Any]:
        """Does something in one transaction of the leader's.

        Args:
            work: is given what makes a growth for drafts, and the answer to what was asked; what was entered in the growth is
                written after it.
            ask: a query with its values, on the way that the transaction begins on.

        Returns:
            What `work` does, once it is durable.

        Raises:
            LedgerBusyError: another one leads by now.
            SealedError: the log is sealed, or was changed past the leader.
            LostError: the connection broke; it is entered or not.
            LedgerError: nothing is entered.
        """
        lead = self._lead
        assert lead is not None
        made: list[Growth] = []

        def growth(batch: Sequence[Ready]) -> Growth:
            made.append(self._growth(lead, batch))
            return made[-1]

        try:
            with self.address.told(self.db), self._transaction(lead, made):
                with self.db.pipeline():
                    self.db.execute("BEGIN")
                    head = self.db.execute(
                        "SELECT size, hashes, sealed FROM head WHERE term = %s FOR UPDATE", (lead.term,)
                    )
                    asked = self.db.execute(*ask) if ask is not None else None
                self._still(head.fetchone())
                done = work(growth, asked.fetchall() if asked is not None else [])
        except LostError:
            self._lead = None
            raise
        except LedgerBusyError:
            self.resign()
            raise
        for grown in made:
            self.edge = grown.edge
            lead.open_tiles = [bytes(one) for one in grown.open_tiles]
            lead.next_stream = grown.next_stream
            lead.streams |= grown.streams
            if len(lead.streams) > MAX_STREAMS_KEPT:
                lead.streams = dict(grown.streams)
        return done

    @contextmanager
    def _transaction(self, lead: _Lead, made: Sequence[Growth]) -> Iterator[None]:
        """Ends with what was grown written and durable, or with nothing of it."""
        try:
            yield
            for grown in made:
                self._put(grown)
            with self.db.pipeline():
                for grown in made:
                    self.db.execute(
                        "UPDATE head SET size = %s, hashes = %s WHERE term = %s",
                        (grown.edge.size, b"".join(grown.edge.hashes), lead.term),
                    )
                self.db.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):
                self.db.execute("ROLLBACK")
            raise

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        for first in range(start, end, PAGE_ENTRIES):
            last = min(first + PAGE_ENTRIES, end)
            rows = self._all(
                "SELECT position, leaf FROM entry WHERE position >= %s AND position < %s ORDER BY position",
                (first, last),
            )
            for position, stored in rows:
                yield self._leaf(position, stored)
            if len(rows) < last - first:
                return

    def stream(self, name: str) -> Iterator[tuple[int, bytes]]:
        sequence = 0
        while True:
            rows = self._all(
                "SELECT position, leaf, sequence FROM entry WHERE stream = "
                "(SELECT number FROM stream WHERE name = %s) AND sequence >= %s ORDER BY sequence LIMIT %s",
                (name, sequence, PAGE_ENTRIES),
            )
            for position, stored, at in rows:
                sequence = at + 1
                yield position, self._leaf(position, stored)
            if len(rows) < PAGE_ENTRIES:
                return

    def length(self, name: str) -> int:
        """How many entries a stream has.

        Raises:
            LedgerError: it can't be read.
        """
        ((count,),) = self._all(
            "SELECT coalesce(max(sequence) + 1, 0) FROM entry WHERE stream = (SELECT number FROM stream WHERE name = %s)",
            (name,),
        )
        return int(count)

    def find(self, key: str) -> int | None:
        rows = self._all("SELECT position FROM entry WHERE mark = %s", (mark(key),))
        return rows[0][0] if rows else None

    def entered(self, marks: Sequence[bytes]) -> dict[bytes, Receipt]:
        """The receipts of drafts that were entered, by their marks.

        Raises:
            LedgerError: they can't be read.
        """
        return self._receipts(self._all(_ENTERED, (list(marks),)))

    def _receipts(self, rows: Sequence[tuple[Any, ...]]) -> dict[bytes, Receipt]:
        found = {}
        for known, position, stream, sequence, stored in rows:
            leaf = self._leaf(position, stored)
            found[known] = Receipt(position, leaf_hash(leaf), decode(leaf)["at"], stream, sequence)
        return found

    def payload(self, digest: str) -> tuple[str, bytes, bytes | None] | None:
        rows = self._all("SELECT kid, wrapped, ciphertext FROM payload WHERE digest = %s", (bytes.fromhex(digest),))
        return rows[0] if rows else None

    def put_contents(self, batch: Sequence[Ready]) -> None:
        """Keeps the contents of drafts, in the transaction that is under way."""
        rows = [
            (
                bytes.fromhex(content.sealed.digest or content.sealed.commitment),
                content.sealed.key_id,
                content.wrapped_key,
                content.ciphertext or None,
            )
            for ready in batch
            for content in ready.contents
        ]
        if rows:
            with self.address.told(self.db), self.db.cursor() as cursor:
                cursor.executemany("INSERT INTO payload VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", rows)

    def drop(self, digests: Sequence[str]) -> bool:
        """Deletes contents and their keys.

        Returns:
            False: what was deleted stays in the write-ahead log, and in pages until the database has swept them.

        Raises:
            LedgerError: nothing is deleted.
        """
        for first in range(0, len(digests), PAGE_ENTRIES):
            page = digests[first : first + PAGE_ENTRIES]
            self._all(
                "UPDATE payload SET ciphertext = NULL, wrapped = '' WHERE digest = ANY(%s) AND wrapped <> ''",
                ([bytes.fromhex(digest) for digest in page],),
            )
        self._all("VACUUM payload")
        return False

    def _growth(self, lead: _Lead, batch: Sequence[Ready]) -> Growth:
        marks = [mark for ready in batch if (mark := ready.mark) is not None]
        names = {ready.draft.stream for ready in batch} - lead.streams.keys()
        with self.db.pipeline():
            known = self.db.execute(_ENTERED, (marks,)) if marks else None
            streams = self.db.execute(_STREAMS, (list(names),)) if names else None
        entered = self._receipts(known.fetchall()) if known is not None else {}
        for name, number, sequence, position, stored in streams.fetchall() if streams is not None else ():
            lead.streams[name] = Stream(number, sequence + 1, leaf_hash(self._leaf(position, stored)))
        return Growth(self.origin, self.edge, lead.open_tiles, lead.streams, entered, lead.next_stream)

    def _still(self, row: tuple[Any, ...] | None) -> None:
        """Whether this still leads, by the head that it holds until the transaction's end."""
        if row is None:
            raise LedgerBusyError(f"Another process writes to the ledger at {self.shown} by now.")
        size, hashes, self.sealed = row
        if self.sealed:
            raise SealedError(f"The ledger is sealed: {self.sealed}", LOOK)
        if (size, hashes) != (self.edge.size, b"".join(self.edge.hashes)):
            raise SealedError(f"The ledger at {self.shown} was changed past the process that writes.", LOOK)

    def _put(self, grown: Growth) -> None:
        if not grown.rows:
            return
        with self.db.cursor() as cursor:
            if grown.new_streams:
                cursor.executemany("INSERT INTO stream VALUES (%s, %s)", grown.new_streams)
            with cursor.copy("COPY entry FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "int8", "int8", "bytea", "bytea"])
                for row in grown.rows:
                    copy.write_row((row.position, row.stream, row.sequence, row.mark, self._packing.pack(row.leaf)))
            if grown.tiles:
                cursor.executemany(
                    "INSERT INTO tile VALUES (%s, %s, %s, %s)",
                    [(one.level, one.position, one.fold, one.hashes) for one in grown.tiles],
                )

    def _counted(self) -> int:
        ((size, hashes, count),) = self._all(
            "SELECT size, hashes, (SELECT coalesce(max(position) + 1, 0) FROM entry) FROM head"
        )
        self.edge = self._edge(size, hashes)
        return int(count)

    def _rows(self) -> Iterator[tuple[int, bytes, int, str]]:
        for first in range(0, self.edge.size, PAGE_ENTRIES):
            rows = self._all(
                "SELECT e.position, e.leaf, e.sequence, s.name FROM entry e LEFT JOIN stream s ON s.number = e.stream "
                "WHERE e.position >= %s AND e.position < %s ORDER BY e.position",
                (first, min(first + PAGE_ENTRIES, self.edge.size)),
            )
            for position, stored, sequence, name in rows:
                yield position, self._leaf(position, stored), sequence, name

    def _stored(self, level: int, position: int) -> bytes:
        rows = self._all("SELECT hashes FROM tile WHERE level = %s AND position = %s", (level, position))
        return rows[0][0] if rows else b""

    def _folds(self, level: int, start: int, end: int) -> bytes:
        rows = self._all(
            "SELECT fold FROM tile WHERE level = %s AND position >= %s AND position < %s ORDER BY position",
            (level, start, end),
        )
        return b"".join(node for (node,) in rows)

    def _identity(self, origin: str) -> str:
        with self.address.told(self.db):
            at = schema.current(self.db)
            schema.known(at, self.address)
            if self._read_only:
                if not at:
                    raise LedgerError(f"There is no ledger at {self.shown}.", "It begins with the first run or call.")
            else:
                if not at and (not origin or any(c.isspace() or c == "+" for c in origin)):
                    raise LedgerError(
                        f"A log can't be named {origin!r}.",
                        "Give a name without spaces and plus signs, such as example.com/mohist.",
                    )
                schema.climb(self.db, self.address, origin)
        ((known,),) = self._all("SELECT value FROM about WHERE name = 'origin'")
        if origin and origin != known:
            raise LedgerError(
                f"The ledger at {self.shown} is of {known}, not of {origin}.",
                "One database holds one log; name another.",
            )
        return str(known)

    def _expect(self, idle_s: float, *, within: bool = False) -> None:
        """Has the database throw this session out where it hears nothing for so long (0: never), `within` a transaction as well."""
        names = ["idle_session_timeout", *(["idle_in_transaction_session_timeout"] if within else [])]
        for name in names:
            self._all("SELECT set_config(%s, %s, false)", (name, f"{int(idle_s * 1000)}"))

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.address.told(self.db):
            cursor = self.db.execute(query, values)
            return cursor.fetchall() if cursor.description else []
