"""Has the log's size and root signed and witnessed, again and again, and notices when somebody contradicts it."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mohist.ledger import note
from mohist.ledger.errors import LedgerBusyError, LedgerError, ProofError, SealedError
from mohist.ledger.store import Store
from mohist.ledger.witness import Other, Witness

_log = logging.getLogger(__name__)

DEFAULT_INTERVAL_S = 10.0
"""Between two checkpoints while entries come; each costs one request a witness."""
DEFAULT_HEARTBEAT_S = 60.0
"""Between two cosignatures while nothing comes: silence has to be visible as such."""
DAY_S = 86_400.0
MAX_TRIES = 3
"""Of one checkpoint at one witness in a row, where the witness knew another size than we believed."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoint (
    size INTEGER PRIMARY KEY,
    signed_s INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS seen (witness TEXT PRIMARY KEY, size INTEGER NOT NULL, at_s INTEGER NOT NULL) STRICT;
"""


class AnySigner(Protocol):
    """A signer, here or in another process."""

    def sign(self, checkpoint: note.Checkpoint, old: int, proof: Sequence[bytes]) -> note.Signature:
        """See `signer.Signer.sign`."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the log is signed and witnessed."""

    size: int
    signed_size: int
    witnessed: dict[str, int]
    """The newest size that each witness has cosigned."""
    unwitnessed_s: float | None
    """How long the oldest entry that not enough witnesses have seen has been waiting; None: none waits, or none is asked for."""


class Archive:
    """The checkpoints so far.

    Args:
        path: of their database.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise LedgerError(f"The checkpoints at {path} can't be opened: {error}.") from error

    def close(self) -> None:
        """Lets go of the database."""
        self._db.close()

    def newest(self) -> note.SignedCheckpoint | None:
        """What was signed last."""
        row = self._db.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        return note.parse(row[0]) if row else None

    def every(self, up_to: int) -> list[note.SignedCheckpoint]:
        """All up to a size, the oldest first."""
        rows = self._db.execute("SELECT note FROM checkpoint WHERE size <= ? ORDER BY size", (up_to,))
        return [note.parse(text) for (text,) in rows]

    def covering(self, index: int, most: int) -> list[note.SignedCheckpoint]:
        """The first checkpoints that an entry is in, at most so many, and the newest one."""
        rows = self._db.execute(
            "SELECT note FROM (SELECT size, note FROM checkpoint WHERE size > ? ORDER BY size LIMIT ?)"
            " UNION SELECT note FROM (SELECT size, note FROM checkpoint WHERE size > ? ORDER BY size DESC LIMIT 1)",
            (index, most, index),
        )
        return [note.parse(text) for (text,) in rows]

    def keep(self, signed: note.SignedCheckpoint, at_s: float) -> None:
        """Keeps one; cosignatures of one that is kept already are added to it."""
        size = signed.checkpoint.size
        row = self._db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).fetchone()
        if row:
            signed = note.parse(row[0]).with_signatures(signed.signatures)
        self._db.execute(
            "INSERT INTO checkpoint VALUES (?, ?, ?) ON CONFLICT (size) DO UPDATE SET note = excluded.note",
            (size, int(at_s), str(signed)),
        )

    def saw(self, witness: str, size: int, at_s: float) -> None:
        """A witness has cosigned a size."""
        self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (witness, size, int(at_s)))

    def seen(self) -> dict[str, tuple[int, int]]:
        """What each witness cosigned last, and when, in seconds since 1970."""
        return {name: (size, at_s) for name, size, at_s in self._db.execute("SELECT witness, size, at_s FROM seen")}

    def first_after(self, size: int) -> int | None:
        """When the first checkpoint beyond a size was signed, in seconds since 1970."""
        row = self._db.execute(
            "SELECT signed_s FROM checkpoint WHERE size > ? ORDER BY size LIMIT 1", (size,)
        ).fetchone()
        return None if row is None else int(row[0])


class Notary:
    """Signs and witnesses one log.

    Args:
        log: opened for reading by this notary alone.
        archive: where checkpoints are kept.
        signer: signs.
        witnesses: cosign.
        quorum: how many of them make a checkpoint a witnessed one.
        alarm: is told what must not be: a contradiction. The caller stops the writer.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        log: Store,
        archive: Archive,
        signer: AnySigner,
        witnesses: Sequence[Witness] = (),
        *,
        quorum: int = 0,
        alarm: Callable[[SealedError], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._archive = archive
        self._signer = signer
        self._witnesses = witnesses
        self._quorum = quorum
        self._alarm = alarm
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._tried_s = 0.0
        self._active: Callable[[], bool] = lambda: True
        self._signs: Callable[[], bool] = lambda: True
        self._beat: Callable[[], object] | None = None
        self._daily: Callable[[], object] | None = None
        self._daily_s = 0.0

    def checkpoint(self) -> note.SignedCheckpoint:
        """Signs the log as it is now, and asks every witness once.

        Raises:
            SealedError: the log contradicts what was signed or witnessed; the alarm is told first.
            LedgerError: the signer does not answer. Witnesses that don't are only noted.
        """
        with self._lock:
            try:
                signed = self._signed()
                for witness in self._witnesses:
                    signed = self._witness(witness, signed)
            except SealedError as error:
                self._alarm(error)
                raise
            self._tried_s = self._clock()
            return signed

    def standing(self) -> Standing:
        """How things are; asks nobody."""
        with self._lock:
            self._log.refresh()
            newest, seen = self._archive.newest(), self._archive.seen()
            witnessed = {witness.key.name: seen.get(witness.key.name, (0, 0))[0] for witness in self._witnesses}
            waiting: float | None = None
            if self._quorum:
                enough = (
                    sorted(witnessed.values(), reverse=True)[self._quorum - 1] if len(witnessed) >= self._quorum else 0
                )
                since = self._archive.first_after(enough)
                if enough < self._log.size:
                    waiting = max(self._clock() - since, 0.0) if since is not None else 0.0
            return Standing(self._log.size, newest.checkpoint.size if newest else 0, witnessed, waiting)

    def start(
        self,
        interval_s: float = DEFAULT_INTERVAL_S,
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        active: Callable[[], bool] = lambda: True,
        beat: Callable[[], object] | None = None,
        daily: Callable[[], object] | None = None,
        signs: Callable[[], bool] = lambda: True,
    ) -> None:
        """Goes on by itself, in a thread, until `close`.

        Args:
            interval_s: between two looks at the log.
            heartbeat_s: between two cosignatures where nothing comes.
            active: whether it is this one's turn; asked each time.
            daily: what is due once a day; an error of the ledger is noted, and it is tried again the next day.
            signs: whether the log is signed here; asked each time.
            beat: enters that the log is alive, where nothing came for `heartbeat_s`; None: nothing is entered then.
        """
        self._active = active
        self._signs = signs
        self._beat = beat
        self._daily = daily
        self._thread = threading.Thread(
            target=self._work, args=(interval_s, heartbeat_s), name="mohist-notary", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Makes a last checkpoint where it went on by itself, and lets go of everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            if self._active() and self._here():
                self._once()
        for witness in self._witnesses:
            witness.close()
        self._log.close()
        self._archive.close()

    def _work(self, interval_s: float, heartbeat_s: float) -> None:
        while not self._stop.wait(interval_s):
            if not self._active():
                continue
            self._day()
            if not self._here():
                continue
            try:
                standing = self.standing()
            except LedgerError as error:
                _log.warning("how the log stands can't be seen: %s", error)
                continue
            behind = standing.signed_size < standing.size or any(
                size < standing.size for size in standing.witnessed.values()
            )
            idle = not behind and self._clock() - self._tried_s >= heartbeat_s
            if idle:
                self._alive()
            if (behind or idle) and not self._once():
                return

    def _here(self) -> bool:
        try:
            return self._signs()
        except LedgerError as error:
            _log.warning("who signs the log can't be told: %s", error)
            return False

    def _day(self) -> None:
        if self._daily is None or self._clock() - self._daily_s < DAY_S:
            return
        self._daily_s = self._clock()
        try:
            self._daily()
        except LedgerError as error:
            _log.error("what is due once a day was not done: %s", error)

    def _alive(self) -> None:
        """That nothing happened is entered as well: else silence and a cut-off end look alike."""
        if self._beat is not None:
            try:
                self._beat()
            except LedgerError as error:
                _log.warning("no heartbeat was entered: %s", error)

    def _once(self) -> bool:
        try:
            self.checkpoint()
        except SealedError as error:
            _log.critical("the ledger is sealed: %s", error)
            return False
        except LedgerError as error:
            _log.warning("no checkpoint was made: %s", error)
        return True

    def _signed(self) -> note.SignedCheckpoint:
        self._log.refresh()
        newest = self._archive.newest()
        size = self._log.size
        checkpoint = note.Checkpoint(self._log.origin, size, self._log.root(size))
        if newest is not None and newest.checkpoint == checkpoint:
            return newest
        old = newest.checkpoint.size if newest else 0
        try:
            signature = self._sign(checkpoint, old)
        except LedgerBusyError:
            # The signer remembers a checkpoint that never reached the archive: a crash came between.
            last = getattr(self._signer, "last_size", None)
            signature = self._sign(checkpoint, last() if last else old)
        signed = note.SignedCheckpoint(checkpoint, (signature,))
        self._archive.keep(signed, self._clock())
        return signed

    def _sign(self, checkpoint: note.Checkpoint, old: int) -> note.Signature:
        if old > checkpoint.size:
            raise SealedError(
                f"The log {checkpoint.origin} has {checkpoint.size} entries and was signed with {old}: its end is missing.",
                "Restore the whole log, or begin a new one that names this one's end: `mohist ledger check`.",
            )
        try:
            return self._signer.sign(checkpoint, old, self._log.consistency(old, checkpoint.size))
        except ProofError as error:
            raise SealedError(f"The signer refused: {error}", _RESTORE) from error

    def _witness(self, witness: Witness, signed: note.SignedCheckpoint) -> note.SignedCheckpoint:
        old = self._archive.seen().get(witness.key.name, (0, 0))[0]
        size = signed.checkpoint.size
        for _ in range(MAX_TRIES):
            if old > size:
                raise SealedError(
                    f"The witness {witness.key.name} has seen {old} entries of {signed.checkpoint.origin}, and there are {size}.",
                    "The end of the log is missing: it was cut, or an old copy was restored. `mohist ledger check` compares.",
                )
            try:
                line = witness.cosign(signed, old, self._log.consistency(old, size))
            except Other as other:
                old = other.size
            except SealedError:
                raise
            except LedgerError as error:
                _log.warning("no cosignature: %s", error)
                return signed
            else:
                signed = signed.with_signatures([line])
                self._archive.keep(signed, self._clock())
                self._archive.saw(witness.key.name, size, self._clock())
                return signed
        _log.warning("no cosignature: the witness %s keeps naming other sizes", witness.key.name)
        return signed


def examine(log: Store, archive: Archive, log_key: note.VerifierKey, witnesses: Sequence[Witness] = ()) -> list[str]:
    """Compares a log with what was signed and witnessed of it, as is due before anything is added to it.

    Args:
        log: opened.
        archive: its checkpoints.
        log_key: what its checkpoints are verified with.
        witnesses: each is asked for the newest that it saw.

    Returns:
        What could not be compared, for people.

    Raises:
        SealedError: it is shorter than, or other than, what was signed or witnessed.
    """
    log.recompute()
    left_out = []
    newest = archive.newest()
    if newest is not None:
        if not newest.signed_by(log_key):
            raise SealedError(f"The newest checkpoint of {log.origin} does not bear its key's signature.", _RESTORE)
        holds(log, newest.checkpoint, "was signed")
    for witness in witnesses:
        try:
            seen = witness.newest(log.origin, log_key)
        except LedgerError as error:
            left_out.append(str(error))
            continue
        if seen is not None:
            holds(log, seen.checkpoint, f"was cosigned by {witness.key.name}")
    return left_out


_RESTORE = (
    "Nothing is entered until a person has looked at it: restore the log, or begin a new one that names this one's end."
)


def holds(log: Store, checkpoint: note.Checkpoint, how: str) -> None:
    """That a log goes on from a checkpoint of it.

    Raises:
        SealedError: it is shorter, or other.
    """
    if log.size < checkpoint.size:
        raise SealedError(f"The log {log.origin} has {log.size} entries; one with {checkpoint.size} {how}.", _RESTORE)
    if log.root(checkpoint.size) != checkpoint.root:
        raise SealedError(
            f"The first {checkpoint.size} entries of {log.origin} are not those of the log that {how}.", _RESTORE
        )
