"""Takes findings down beside the calls, and knows what was let pass.

`take` touches memory alone. A thread brings what came to the database and reads the releases, about once a second. What the
database can't take waits, up to a bound; beyond it findings are counted and lost, and the calls go on: what stops a leak is
the rule, not its record. So with what one key brings beyond a bound.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mohist.base import Clock, MohistError
from mohist.gateway.screen.note import Noted, Take

if TYPE_CHECKING:
    from mohist.gateway.screen.archive import Archive, Release

_log = logging.getLogger(__name__)

POLL_S: Final = 0.5
MAX_WAITING: Final = 20_000
"""Findings in memory."""
MAX_OF_KEY: Final = 5_000
"""Findings of one key that are written down in a turn of `TURN_S`: whoever has calls stopped over and over fills no disk and no log."""
TURN_S: Final = 3_600.0
MAX_SEEN: Final = 50_000
"""Findings of which it is known that they were taken down already."""
KEEP_DAYS: Final = 90
_BATCH: Final = 500
_TIDY_S: Final = 3_600.0
_DAY_MS: Final = 86_400_000
_AGAIN: Final = frozenset({"block", "ask"})
"""Each time that a call is stopped is worth a row."""

Place = tuple[str, ...]
Counted = tuple[str, str, str, str, str]
"""Direction, data class, action, mode, and whether it is an alarm."""


class Book:
    """Order of use: construct, `start`, then `take` and `released`, `stop`.

    Args:
        open_archive: opens the database, in the thread that will use it.
        clock: time.
        file: a database of SQLite whose releases are read at the start without the library that all else needs, and nothing is
            opened before something was found; None: the database is opened at the start.
        keep_days: how long findings are kept.
        poll_s: how often releases are read.
        enter: enters findings in the ledger, before they go into the database; the same ones may come again. None: there is none.
    """

    def __init__(
        self,
        open_archive: Callable[[], Archive],
        clock: Clock,
        *,
        file: Path | None = None,
        keep_days: int = KEEP_DAYS,
        poll_s: float = POLL_S,
        enter: Take | None = None,
    ) -> None:
        self._open_archive = open_archive
        self._clock = clock
        self._file = file
        self._keep_days = keep_days
        self._poll_s = poll_s
        self._enter = enter
        self._lock = threading.Lock()
        self._waiting: list[Noted] = []
        self._seen: OrderedDict[Place, None] = OrderedDict()
        self._releases: Mapping[str, Sequence[tuple[str, int | None, str]]] = {}
        """By digest: rule, until when, who."""
        self._poke = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._archive: Archive | None = None
        self._tidied_s = float("-inf")
        self._of_key: dict[str, int] = {}
        self._turn_ends_s = float("-inf")
        self._counts: dict[Counted, int] = {}
        self.lost = 0
        """Findings that are counted, but in no database and never will be: of too many, or while it was away."""
        self.trouble = ""
        """What fails; empty when all is well."""

    def start(self) -> None:
        """Reads the releases; blocks on the disk.

        Raises:
            StoreError: the database can't be used.
        """
        if self._file is not None:
            self._releases = _by_digest(_peeked(self._file, self._clock.now_ms()))
            return
        with self._open_archive() as archive:
            self._releases = _by_digest(_held(archive.releases(self._clock.now_ms())))
        self._begin()

    def stop(self) -> None:
        """Writes down what waits; blocks on the disk."""
        self._stopping.set()
        self._poke.set()
        if self._thread is not None:
            self._thread.join()
        if self._waiting:
            self.lost += len(self._waiting)
            _log.error("%d findings of the guard are lost: the database could not be written", len(self._waiting))

    def take(self, noted: Sequence[Noted]) -> None:
        """Puts findings on their way to the database: each once for a session, a destination and what became of it."""
        if not noted:
            return
        with self._lock:
            self._turn()
            for one in noted:
                counted = (one.direction, one.data_class, one.action, one.mode, str(int(one.alarm)))
                self._counts[counted] = self._counts.get(counted, 0) + 1
                place = (one.key_id, one.session_id, one.digest, one.rule, one.direction, one.action, one.upstream)
                if one.action not in _AGAIN and place in self._seen:
                    self._seen.move_to_end(place)
                    continue
                written = self._of_key.get(one.key_id, 0)
                if written >= MAX_OF_KEY:
                    if written == MAX_OF_KEY:
                        self._of_key[one.key_id] = written + 1
                        _log.warning("more findings of the guard in calls by key %s than are written down", one.key_id)
                    self.lost += 1
                    continue
                self._of_key[one.key_id] = written + 1
                self._seen[place] = None
                if one.alarm:
                    said = (one.direction, one.data_class, one.rule, one.call_id, one.place)
                    _log.warning("alarm of the guard (%s): %s, found by %s in call %s: %s", *said)
                if len(self._waiting) < MAX_WAITING:
                    self._waiting.append(one)
                else:
                    self.lost += 1
            while len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)
            begun = self._thread is not None
            if not begun:
                self._begin()
        self._poke.set()

    def _turn(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._turn_ends_s:
            self._turn_ends_s = now_s + TURN_S
            self._of_key.clear()

    def released(self, digest: str, rule: str) -> str:
        """Who let a value pass for now; empty: nobody."""
        for of_rule, until_ms, user in self._releases.get(digest, ()):
            if of_rule in ("", rule) and (until_ms is None or self._clock.now_ms() < until_ms):
                return user
        return ""

    def counted(self) -> dict[Counted, int]:
        """All findings so far, those too that were not taken down again."""
        with self._lock:
            return dict(self._counts)

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was taken is in the database, at most `timeout_s`; whether it is."""
        end = threading.Event()
        until_s = self._clock.monotonic_s() + timeout_s
        while self._waiting and self._clock.monotonic_s() < until_s:
            self._poke.set()
            end.wait(0.01)
        return not self._waiting

    def _begin(self) -> None:
        if not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name="mohist-guard-book", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        last = False
        while not last:
            self._poke.wait(self._poll_s)
            last = self._stopping.is_set()
            self._poke.clear()
            try:
                self._work()
                self.trouble = ""
            except MohistError as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - the thread's boundary: it goes on with a fresh connection
                self._fail(type(error).__name__)
            if not last:
                # Calls come in bursts: what one second brings is written at once.
                self._stopping.wait(self._poll_s)
        self._close()

    def _work(self) -> None:
        if self._archive is None:
            self._archive = self._open_archive()
        archive = self._archive
        archive.check_file()
        while batch := self._waiting[:_BATCH]:
            if self._enter is not None:
                self._enter(batch)
            archive.add(batch)
            with self._lock:
                del self._waiting[: len(batch)]
        self._releases = _by_digest(_held(archive.releases(self._clock.now_ms())))
        now_s = self._clock.monotonic_s()
        if now_s - self._tidied_s >= _TIDY_S:
            archive.forget(self._clock.now_ms() - self._keep_days * _DAY_MS)
            self._tidied_s = now_s

    def _fail(self, what: str) -> None:
        self.trouble = what
        self._close()

    def _close(self) -> None:
        archive, self._archive = self._archive, None
        if archive is not None:
            archive.close()


def _held(releases: Sequence[Release]) -> list[tuple[str, str, int | None, str]]:
    return [(one.digest, one.rule, one.until_ms, one.user) for one in releases]


def _by_digest(
    rows: Sequence[tuple[str, str, int | None, str]],
) -> Mapping[str, Sequence[tuple[str, int | None, str]]]:
    found: dict[str, list[tuple[str, int | None, str]]] = {}
    for digest, rule, until_ms, user in rows:
        found.setdefault(digest, []).append((rule, until_ms, user))
    return found


def _peeked(file: Path, now_ms: int) -> list[tuple[str, str, int | None, str]]:
    """The releases that hold, asked of the file itself; none where it has none to tell."""
    if not file.exists():
        return []
    query = (
        "SELECT digest, rule, until_ms, user FROM guard_releases "
        "WHERE ended_at_ms IS NULL AND (until_ms IS NULL OR until_ms > ?)"
    )
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
            return list(db.execute(query, (now_ms,)))
    except sqlite3.Error:
        return []  # an older schema, or no database: nothing was let pass there, and the thread looks again
