"""The clerk: one thread that speaks with the database for a process that takes calls.

It watches for changed keys and budgets, brings usage from the journal, keeps the process's slices of budgets at the right
size and fills one when a call waits for it, says that the process lives, and winds up processes that do so no more. What
fails is tried again with a fresh connection; meanwhile nothing of it is lost, and calls live on what is in memory.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final

from mohist.base import Clock, MohistError
from mohist.gateway import lease
from mohist.gateway.address import Address
from mohist.gateway.errors import EvictedError, HeldError
from mohist.gateway.journal import Orphan, held, orphans
from mohist.gateway.pot import Hold, Pair, Pot, Pots, moving
from mohist.gateway.rate import Rates
from mohist.gateway.store import Store, add_rows
from mohist.gateway.usage import flat, from_lines
from mohist.gateway.waiter import Outcome, Waiter
from mohist.gateway.writer import Writer

_FLUSH_EVERY_S: Final = 0.5
# After a long absence much waits; what else is to be done must not.
_FLUSH_FOR_S: Final = 0.2
_BEAT_EVERY_S: Final = 10.0
_ADOPT_EVERY_S: Final = 2.0
# How soon a call that found nothing left, though others have some free, is looked after again.
_AGAIN_S: Final = 0.05
# A pot that no call asked for so long is given back.
_IDLE_S: Final = 300.0
_BATCH_BYTES: Final = 1 << 20
# A server that hangs keeps a start or a stop so long at most; SQLite's other writers take turns meanwhile.
_BUSY_S: Final = 1.0
# After so long others that keep writing count as a database that is away. A call waits for its own time at most.
_HELD_S: Final = 30.0
# So long a start waits for them.
_START_S: Final = 10.0


class Clerk:
    """Order of use: construct, `start`, then `wait_for_room`, `stop` after the writer's.

    Args:
        address: the database.
        pots: this process's slices; touched under `lock` alone.
        rates: likewise, this process's part of every rate.
        lock: of whoever shares them.
        clock: monotonic time.
        take_over: gets the store when keys or budgets changed, or when it is a new one; their revision.
        tick: called as often as the database is asked.
        poll_s: how often the database is asked.
    """

    def __init__(
        self,
        address: Address,
        pots: Pots,
        rates: Rates,
        lock: threading.Lock,
        clock: Clock,
        take_over: Callable[[Store], int],
        tick: Callable[[], None],
        poll_s: float,
    ) -> None:
        self.instance_id = f"gateway-{secrets.token_hex(8)}"
        self._address = address
        self._pots = pots
        self._rates = rates
        self._used: set[str] = set()
        self._lock = lock
        self._clock = clock
        self._take_over = take_over
        self._tick = tick
        self._poll_s = poll_s
        self._on_server = address.path is None
        self._store: Store | None = None
        self._revision = -1
        self.settled: dict[str, Hold] = {}
        """Calls on their way to the journal or in it; put there and taken out under the lock."""
        self._waiters: list[Waiter] = []
        self._poke = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mohist-database", daemon=True)
        self._writer: Writer | None = None
        self._flushed_s = self._adopted_s = -inf
        self._held_since_s = inf
        self._beat_s = -inf
        self._seen_beats: dict[str, tuple[int, float]] = {}
        self.trouble = ""
        """What fails; empty when all is well."""
        self.seen_s = -inf
        """When the database was last asked, and answered."""

    def start(self, writer: Writer) -> None:
        """Opens the database, winds up what processes that are gone left, reads keys and budgets; blocks.

        Raises:
            StoreError: it can't be used.
        """
        self._writer = writer
        until_s = time.monotonic() + _START_S
        try:
            while True:
                try:
                    self._work()
                    break
                except HeldError:
                    if time.monotonic() >= until_s:
                        raise
        except BaseException:
            self._disconnect()
            raise
        self._thread.start()

    def stop(self) -> int:
        """Brings the rest into the database and gives all slices back; how many calls are in no file."""
        self._stopping = True
        self._poke.set()
        if self._thread.ident is not None:
            self._thread.join()
        assert self._writer is not None
        lost = self._writer.take_unwritten()
        try:
            store = self._connected()
            if lost:
                with store.transaction(write=True) as db:
                    add_rows(db, [flat(row) for row in lost])
                lost = []
            while self._flush(store):
                pass
            with store.transaction(write=True) as db:
                if not self._writer.journal.waiting_bytes:
                    lease.evict(db, self.instance_id)
        except (MohistError, OSError):
            pass  # the next process that starts adopts the journal and ends the slices
        self._disconnect()
        self._writer.journal.close()
        return len(lost)

    def lapsed(self, now_s: float) -> bool:
        """Whether others may take this process for gone, so that its slices are no longer its own."""
        return self._on_server and now_s - self._beat_s > lease.TRUST_S

    @property
    def unsaved(self) -> int:
        """Calls that were settled and are not in the database."""
        return len(self.settled)

    async def wait_for_room(self, pots: list[Pot], needs: Pair, timeout_s: float) -> Outcome:
        """Has pots looked after for one call; "short" after `timeout_s` if others' free rest does not come back."""
        if self.trouble:
            return "lost"
        loop = asyncio.get_running_loop()
        waiter = Waiter(pots, needs, loop, loop.create_future())
        with self._lock:
            self._waiters.append(waiter)
        self._poke.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.future
        except TimeoutError:
            return "short" if waiter.seen and not self.trouble else "lost"
        finally:
            with self._lock, suppress(ValueError):
                self._waiters.remove(waiter)

    # The thread

    def _run(self) -> None:
        while not self._stopping:
            self._poke.wait(_AGAIN_S if self._waiters else self._poll_s)
            self._poke.clear()
            self._tick()
            failed = self._try()
            if failed and not self.trouble:
                # A connection that broke, or whose server took this process for gone: worth one more try at once.
                failed = self._try()
            self.trouble = failed
            if failed:
                self._tell(self._waiting(), "lost")

    def _try(self) -> str:
        """Works; what failed."""
        try:
            self._work()
        except HeldError as error:
            # It works: whoever waits for room goes on waiting, and the connection stays.
            self._held_since_s = min(self._held_since_s, time.monotonic())
            return str(error) if time.monotonic() - self._held_since_s >= _HELD_S else self.trouble
        except Exception as error:  # noqa: BLE001 - the thread's boundary: it goes on with a fresh connection
            self._disconnect()
            return str(error) if isinstance(error, MohistError) else type(error).__name__
        self._held_since_s = inf
        return ""

    def _work(self) -> None:
        """All that is due."""
        asked_s = self._clock.monotonic_s()
        anew = self._store is None
        store = self._connected()
        if anew or store.revision() != self._revision:
            self._revision = self._take_over(store)
        self.seen_s = asked_s
        self._fill(store)
        real_s = time.monotonic()
        if real_s - self._flushed_s >= _FLUSH_EVERY_S:
            more = self._flush(store)
            while more and time.monotonic() - real_s < _FLUSH_FOR_S:
                self._fill(store)
                more = self._flush(store)
            if more:
                self._poke.set()  # the rest soon, but keys, beats and slices first
            else:
                self._flushed_s = real_s
        self._tend(store)
        self._share_rates(store)
        if self._on_server and self._clock.monotonic_s() - self._beat_s >= _BEAT_EVERY_S:
            self._say_alive(store)
        if real_s - self._adopted_s >= _ADOPT_EVERY_S:
            self._adopted_s = real_s
            self._wind_up(store)

    def _connected(self) -> Store:
        if self._store is None:
            store = Store(self._address, busy_s=_BUSY_S)
            try:
                self._enter(store)
            except BaseException:
                store.close()
                raise
            self._store = store
        return self._store

    def _disconnect(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _enter(self, store: Store) -> None:
        """Makes sure that the database knows this process; what others took, or another database lacks, is lost."""
        asked_s = self._clock.monotonic_s()
        # Whoever was seen before the connection broke may have been unable to beat as well.
        self._seen_beats.clear()
        try:
            with store.transaction(write=True) as db:
                lease.beat(db, self.instance_id)
        except EvictedError:
            with store.transaction(write=True) as db:
                lease.register(db, self.instance_id)
            self._used = set()
            with self._lock:
                for pot in self._pots.all():
                    pot.forget()
        self._beat_s = asked_s

    def _say_alive(self, store: Store) -> None:
        asked_s = self._clock.monotonic_s()
        with store.transaction(write=True) as db:
            lease.beat(db, self.instance_id)
        self._beat_s = asked_s

    def _flush(self, store: Store) -> bool:
        """Brings one batch from the journal into the database; False: nothing waited."""
        assert self._writer is not None
        journal = self._writer.journal
        data = journal.peek(_BATCH_BYTES)
        if not data:
            return False
        rows, damaged = from_lines(data)
        with self._lock:
            holds = [hold for row in rows if (hold := self.settled.get(row["call_id"])) is not None]
            moved = moving(holds)
        store.check_file()
        with store.transaction(write=True) as db:
            add_rows(db, rows)
            lease.write(db, self.instance_id, (row for row, _ in moved))
        with self._lock:
            self._pots.saved(holds)
            for row in rows:
                self.settled.pop(row["call_id"], None)
        if damaged:
            _keep(journal.path.with_suffix(".damaged"), data)
        journal.advance(len(data))
        return True

    def _waiting(self) -> list[Waiter]:
        with self._lock:
            return list(self._waiters)

    def _tell(self, waiters: Iterable[Waiter], outcome: Outcome) -> None:
        for waiter in waiters:
            waiter.tell(outcome)

    def _fill(self, store: Store) -> None:
        """Takes what waiting calls need, as far as it is there."""
        waiters = self._waiting()
        if not waiters:
            return
        wanted: dict[Pot, list[Pair]] = {}
        for waiter in waiters:
            for pot in waiter.pots:
                wanted.setdefault(pot, []).append(waiter.needs)
        self._renew(store, wanted)
        for waiter in waiters:
            waiter.seen = True
        with self._lock:
            # Those whose pots hold nothing now, though other processes have some free, wait until it comes back.
            ready = [w for w in waiters if all(pot.empty or not pot.lacks(w.needs) for pot in w.pots)]
        self._tell(ready, "filled")

    def _tend(self, store: Store) -> None:
        """Keeps slices at their size, and gives back what nobody uses."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            pots = self._pots.all()
            idle = [pot for pot in pots if pot.idle and now_s - pot.touched_s > _IDLE_S]
            for pot in idle:
                self._pots.remove(pot)
            gone = [*self._pots.take_retired(), *(pot.place for pot in idle)]
            kept = {pot.place for pot in self._pots.all()}
        gone = [place for place in gone if place not in kept]
        if gone:
            with store.transaction(write=True) as db:
                lease.erase(db, self.instance_id, gone)
        pots = [pot for pot in pots if pot not in idle]
        if not pots:
            return
        with store.transaction(write=False) as db:
            count = lease.processes(db)
            known = lease.look(db, self.instance_id, pots)
        with self._lock:
            due = [pot for pot in pots if pot.propose(known[pot.place], count, (), look=True) is not None]
        if due:
            self._renew(store, {pot: [] for pot in due})

    def _share_rates(self, store: Store) -> None:
        with self._lock:
            used = self._rates.used(self._clock.monotonic_s())
        if used != self._used:
            with store.transaction(write=True) as db:
                lease.use(db, self.instance_id, used - self._used, self._used - used)
            self._used = used
        with store.transaction(write=False) as db:
            count = lease.processes(db)
            users = lease.users(db, used) if used else {}
        with self._lock:
            self._rates.learn(users, count)

    def _renew(self, store: Store, wanted: dict[Pot, list[Pair]]) -> None:
        asked_s = self._clock.monotonic_s()
        pots = list(wanted)
        with store.transaction(write=True) as db:
            lease.beat(db, self.instance_id)
            lease.lock(db, pots)
            count = lease.processes(db)
            known = lease.look(db, self.instance_id, pots)
            with self._lock:
                rows = {pot: pot.propose(known[pot.place], count, wanted[pot]) for pot in pots}
            lease.write(db, self.instance_id, (row for row in rows.values() if row is not None))
        with self._lock:
            for pot, row in rows.items():
                pot.confirm(row)
        self._beat_s = asked_s

    def _wind_up(self, store: Store) -> None:
        """Adopts the journals of processes that are gone, and ends their slices."""
        for orphan in orphans(self._address.journals):
            adopt(store, orphan)
        with store.transaction(write=False) as db:
            beats = lease.beats(db)
        beats.pop(self.instance_id, None)
        if not self._on_server:
            # All processes of a file are on this machine, and a living one has a journal.
            gone = beats.keys() - held(self._address.journals)
        else:
            now_s = self._clock.monotonic_s()
            seen = self._seen_beats
            self._seen_beats = {
                name: seen[name] if name in seen and seen[name][0] == beat else (beat, now_s)
                for name, beat in beats.items()
            }
            gone = {name for name, (_, since_s) in self._seen_beats.items() if now_s - since_s > lease.LEASE_S}
        for name in gone:
            with store.transaction(write=True) as db:
                lease.evict(db, name, beats[name])


def adopt(store: Store, orphan: Orphan) -> int:
    """Brings what a process that is gone left into the database and then ends its slices; how many calls were new.

    Calls the database has already are left alone, so a kill at any moment repeats nothing. Damaged lines are kept aside.
    """
    added = 0
    with orphan.path.open("rb") as file:
        while lines := file.readlines(_BATCH_BYTES):
            rows, damaged = from_lines(b"".join(lines))
            with store.transaction(write=True) as db:
                added += add_rows(db, rows)
            if damaged:
                _keep(orphan.path.with_suffix(".damaged"), b"".join(lines))
    if orphan.instance_id:
        with store.transaction(write=True) as db:
            lease.evict(db, orphan.instance_id)
    orphan.remove()
    return added


def catch_up(address: Address) -> None:
    """Adopts the journals of processes that are gone, for who wants to know of all calls."""
    waiting = orphans(address.journals)
    first = next(waiting, None)
    if first is None:
        return
    with Store(address) as store:
        adopt(store, first)
        for orphan in waiting:
            adopt(store, orphan)


def _keep(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
    path.chmod(0o600)
