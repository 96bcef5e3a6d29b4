"""The log's tables: read by whoever may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mohist.ledger.entry import Receipt, decode
from mohist.ledger.errors import LedgerError
from mohist.ledger.pack import Packing
from mohist.ledger.postgres import schema
from mohist.ledger.postgres.link import Address
from mohist.ledger.store import Store, mark
from mohist.ledger.tree import leaf_hash

PAGE_ENTRIES = 1024
ENTERED = (
    "SELECT e.mark, e.position, s.name, e.sequence, e.leaf FROM entry e JOIN stream s ON s.number = e.stream "
    "WHERE e.mark = ANY(%s)"
)


class Tables(Store):
    """The log in a database, but for writing.

    Args:
        address: of the database.
        origin: the log's name, as in checkpoints; fixed when the tables are made.
        read_only: never makes tables.

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
        self._open = True
        self.connect()
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

    def connect(self) -> None:
        """Makes a connection, in the place of one that was lost.

        Raises:
            LostError: the database can't be reached.
        """
        self.db = self.address.connect()

    def close(self) -> None:
        self._open = False
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
        return self.receipts(self._all(ENTERED, (list(marks),)))

    def payload(self, digest: str) -> tuple[str, bytes, bytes | None] | None:
        rows = self._all("SELECT kid, wrapped, ciphertext FROM payload WHERE digest = %s", (bytes.fromhex(digest),))
        return rows[0] if rows else None

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
        # What was there is overwritten where its pages are swept; that may take longer than any other statement.
        self._all("SELECT set_config('statement_timeout', '0', false)")
        self._all("VACUUM payload")
        return False

    def receipts(self, rows: Sequence[tuple[Any, ...]]) -> dict[bytes, Receipt]:
        """Those of what `ENTERED` found, by marks."""
        found = {}
        for known, position, stream, sequence, stored in rows:
            leaf = self._leaf(position, stored)
            found[known] = Receipt(position, leaf_hash(leaf), decode(leaf)["at"], stream, sequence)
        return found

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

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self.db.closed and self._open:
            # Lost with whatever was asked then; who asks again, such as a notary that reads now and then, has another one.
            self.connect()
        with self.address.told(self.db):
            cursor = self.db.execute(query, values)
            return cursor.fetchall() if cursor.description else []
