"""The control plane of one process that calls for itself: no virtual key, the same budgets, the same usage.

Whoever can start the process is its user, so nobody is asked for a key. Where a budget binds that user or project, calls
go by a `keeper.Keeper` as a server's do, which shares the budget with all other processes. Where none does, calls are
only written down, and the database's library, which takes longer to load than everything else of a start, is loaded
after the first of them; a budget that came meanwhile binds from then on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mohist.base import Clock
from mohist.gateway.budget import day_of, subjects_of
from mohist.gateway.call import CallRecord, Dialect, Principal, Refusal, Reservation, Wait
from mohist.gateway.charge import charge, held_for
from mohist.gateway.errors import StoreError
from mohist.gateway.peek import has_budget
from mohist.provider.message import Usage

if TYPE_CHECKING:
    from mohist.gateway.address import Address
    from mohist.gateway.keeper import Keeper, OnLoss
    from mohist.gateway.store import Store
    from mohist.gateway.usage import UsageRow

KEY_ID: Final = "local"
"""What usage says instead of a virtual key's id."""

Dearest = Callable[[Usage], int | None]
"""The most that a usage can cost; None: no price is known."""

_GATHER_S: Final = 0.25
"""Calls that end within this are written at once. A killed process loses as much; the run's own log has it still."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A call on its way to the database."""

    record: CallRecord
    principal: Principal
    day: int
    microusd: int = 0
    tokens: int = 0


class Resident:
    """Fulfils `Gatekeeper` for one principal.

    Order of use: construct, `start`, calls…, `stop`.

    Args:
        home: the state folder.
        env: may name another database.
        principal: whose calls these are.
        dearest: the largest cost of a call.
        clock: for periods.
        on_loss: what budgets do while the database is away.
    """

    def __init__(
        self,
        home: Path,
        env: Mapping[str, str],
        principal: Principal,
        dearest: Dearest,
        clock: Clock,
        *,
        on_loss: OnLoss = "closed",
    ) -> None:
        self._home = home
        self._env = env
        self._principal = principal
        self._dearest = dearest
        self._clock = clock
        self._on_loss = on_loss
        self._keeper: Keeper | None = None
        """Once a budget binds."""
        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, Reservation]] = {}
        """The calls under way that began while no budget did, and the day each counts on."""
        self._last_id = 0
        self._rows: list[_Row] = []
        self._lost = 0
        self._poke = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Sees whether a budget binds, and takes part in it if so; blocks on the disk.

        Raises:
            StoreError: the database can't be used.
        """
        if self._env.get("MOHIST_DATABASE_URL"):
            with self._open_store() as store:
                bound = self._is_bound(store)
        else:
            # Where there is no database there is no budget, and no need to make it before a call has been made.
            file = self._home / "gateway.db"
            bound = file.exists() and has_budget(file, subjects_of(self._principal))
        if bound:
            self._hand_over()

    @property
    def unwritten(self) -> int:
        """Calls that are neither in the database nor in a journal."""
        return len(self._rows) + self._lost

    def stop(self) -> None:
        """Writes down what is left: into the database, else into a journal. Blocks on the disk."""
        self._stopping.set()
        if self._thread is not None:
            self._poke.set()
            self._thread.join()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            self._lost = keeper.stop()

    def identify(self, secret: str) -> Principal | Refusal:  # noqa: ARG002 - what is shown is the upstream's own key
        """The one principal, whatever is shown."""
        return self._principal

    def holds(self, principal: Principal) -> Refusal | None:  # noqa: ARG002
        """Always: there is no key that could be revoked."""
        return None

    def lists(self, principal: Principal, dialect: Dialect, model: str) -> bool:  # noqa: ARG002
        """Always: there is no key that could be for some models alone."""
        return True

    def reserve(
        self,
        principal: Principal,
        dialect: Dialect,
        model: str,
        client: str,
        prompt_tokens: int,
        max_output_tokens: int,
    ) -> Reservation | Refusal | Wait:
        """Room for one call in all budgets, or which of them has none."""
        if self._keeper is not None:
            return self._keeper.reserve(principal, dialect, model, client, prompt_tokens, max_output_tokens)
        amount, tokens = held_for(prompt_tokens, max_output_tokens, self._dearest)
        with self._lock:
            self._last_id -= 1  # a keeper counts upwards
            reservation = Reservation(self._last_id, principal, model, amount or 0, tokens)
            self._open[self._last_id] = (day_of(self._clock.now_ms()), reservation)
        return reservation

    def settle(self, reservation: Reservation, record: CallRecord) -> None:
        """Replaces the reservation by what the call cost and has it written down; a second time does nothing."""
        if reservation.reservation_id > 0:
            if self._keeper is not None:
                self._keeper.settle(reservation, record)
            return
        with self._lock:
            held = self._open.pop(reservation.reservation_id, None)
            if held is None:
                return
            amount, tokens = charge(reservation, record)
            self._rows.append(_Row(record, reservation.principal, held[0], amount, tokens))
        self._wake()

    def refused(self, principal: Principal | None, record: CallRecord) -> None:
        """Has a call written down that was not made."""
        if self._keeper is not None:
            self._keeper.refused(principal or self._principal, record)
            return
        with self._lock:
            self._rows.append(_Row(record, principal or self._principal, day_of(record.started_at_ms)))
        self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mohist-run-usage", daemon=True)
            self._thread.start()
        self._poke.set()

    def _run(self) -> None:
        store: Store | None = None
        last = False
        while not last:
            self._poke.wait()
            self._stopping.wait(_GATHER_S)
            self._poke.clear()
            last = self._stopping.is_set()
            try:
                store = store or self._open_store()
                self._write(store)
                if self._keeper is None and not last and self._is_bound(store):
                    self._hand_over()
            except StoreError:  # tried again with the next call, and at the end
                if store is not None:
                    store.close()
                store = None
        if store is not None:
            store.close()
        if self._rows:
            self._put_aside()

    def _write(self, store: Store) -> None:
        """Brings the rows into the database."""
        from mohist.gateway.usage import flat

        if rows := self._waiting():
            store.add_usage([flat(row) for row in rows])
            with self._lock:
                del self._rows[: len(rows)]

    def _put_aside(self) -> None:
        """Leaves the rows in a journal, for the next process that has the database."""
        from mohist.gateway.journal import Journal
        from mohist.gateway.usage import flat, to_line

        try:
            journal = Journal(self._address().journals, f"run-{os.urandom(8).hex()}")
            try:
                journal.append(b"".join(to_line(flat(row)) for row in self._waiting()))
                self._rows.clear()
            finally:
                journal.close()
        except (StoreError, OSError):
            pass  # `unwritten` says it

    def _waiting(self) -> list[UsageRow]:
        from mohist.gateway.usage import UsageRow

        with self._lock:
            rows = list(self._rows)
        return [UsageRow(row.record, row.principal, row.day, row.microusd, row.tokens) for row in rows]

    def _hand_over(self) -> None:
        """From the next call on a keeper holds the budgets."""
        from mohist.gateway.keeper import Keeper

        keeper = Keeper(
            self._address(),
            lambda _model, usage: self._dearest(usage),
            self._clock,
            on_loss=self._on_loss,
            local=self._principal,
        )
        keeper.start()
        self._keeper = keeper

    def _address(self) -> Address:
        from mohist.gateway.address import home_address

        return home_address(self._home, self._env)

    def _open_store(self) -> Store:
        # The database's library takes longer to load than all else of a run's start, so a thread of the start does it.
        from mohist.gateway.store import Store

        return Store(self._address())

    def _is_bound(self, store: Store) -> bool:
        """Whether a budget binds the principal."""
        places = set(subjects_of(self._principal))
        return any((budget.subject, budget.name) in places for budget in store.budgets())
