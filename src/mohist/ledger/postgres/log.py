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

from mohist.ledger.entry import Receipt
from mohist.ledger.errors import LedgerBusyError, LedgerError, LostError, SealedError
from mohist.ledger.postgres.growth import Growth, Stream, open_sizes
from mohist.ledger.postgres.link import LEADER_LOCK, Address
from mohist.ledger.postgres.table import ENTERED, Tables
from mohist.ledger.store import LOOK, Ready
from mohist.ledger.tree import HASH_BYTES, leaf_hash

MAX_STREAMS_KEPT = 100_000
LEADER_IDLE_S = 10.0
"""A leader of whom the database hears nothing for so long is thrown out, and another one elected."""
EXAMINE_S = 300.0
"""Same, while it compares the log with what was signed and witnessed of it."""
LEADER_STUCK_S = 30.0
"""One that has begun to say something and has not ended it for so long is thrown out by the others, since the database waits for the rest."""
KEEP = (
    "INSERT INTO payload SELECT * FROM unnest(%s::bytea[], %s::text[], %s::bytea[], %s::bytea[]) ON CONFLICT DO NOTHING"
)
"""Keeps contents, the columns of `rows_of`."""
_UNSEAT = (
    "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' "
    "AND l.granted AND l.objsubid = 1 AND a.datname = current_database() AND (l.classid::bigint << 32) + l.objid::bigint = %s "
    "AND a.state = 'active' AND a.state_change < now() - make_interval(secs => %s)"
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


class PostgresLog(Tables):
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
        self._lead: _Lead | None = None
        super().__init__(address, origin, read_only=read_only)

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
        super().close()

    def connect(self) -> None:
        # Another session has not the lock.
        self._lead = None
        super().connect()

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

    def unseat(self, stuck_s: float) -> bool:
        """Throws out a leader that stopped in the middle of what it said, where the database itself goes on waiting for it.

        Args:
            stuck_s: for how long nothing came of it.

        Returns:
            Whether there was one.

        Raises:
            LedgerError: the database says no.
        """
        return bool(self._all(_UNSEAT, (LEADER_LOCK, stuck_s)))

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
            self._keep(batch)
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
                head = self.db.execute("SELECT size, hashes, sealed FROM head WHERE term = %s FOR UPDATE", (lead.term,))
                self._still(head.fetchone())
                done = work(growth, self.db.execute(*ask).fetchall() if ask is not None else [])
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
        # Never in pipelines: after one PostgreSQL does not look whether its client is idle until the next statement's end, so
        # that a leader which stops would never be thrown out.
        with self.db.transaction():
            yield
            for grown in made:
                self._put(grown)
                self.db.execute(
                    "UPDATE head SET size = %s, hashes = %s WHERE term = %s",
                    (grown.edge.size, b"".join(grown.edge.hashes), lead.term),
                )

    def _keep(self, batch: Sequence[Ready]) -> None:
        if contents := rows_of(batch):
            self.db.execute(KEEP, tuple(map(list, zip(*contents, strict=True))))

    def _growth(self, lead: _Lead, batch: Sequence[Ready]) -> Growth:
        marks = [mark for ready in batch if (mark := ready.mark) is not None]
        names = {ready.draft.stream for ready in batch} - lead.streams.keys()
        entered = self.receipts(self.db.execute(ENTERED, (marks,)).fetchall()) if marks else {}
        if names:
            for name, number, sequence, position, stored in self.db.execute(_STREAMS, (list(names),)).fetchall():
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

    def _expect(self, idle_s: float, *, within: bool = False) -> None:
        """Has the database throw this session out where it hears nothing for so long (0: never), `within` a transaction as well."""
        names = ["idle_session_timeout", *(["idle_in_transaction_session_timeout"] if within else [])]
        for name in names:
            self._all("SELECT set_config(%s, %s, false)", (name, f"{int(idle_s * 1000)}"))


def rows_of(batch: Sequence[Ready]) -> list[tuple[bytes, str, bytes, bytes | None]]:
    """What is kept of the contents of drafts: digest, key's id, wrapped key, ciphertext."""
    return [
        (
            bytes.fromhex(content.sealed.digest or content.sealed.commitment),
            content.sealed.key_id,
            content.wrapped_key,
            content.ciphertext or None,
        )
        for ready in batch
        for content in ready.contents
    ]
