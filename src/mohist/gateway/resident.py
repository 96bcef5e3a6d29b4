"""The control plane of one process that calls for itself: no virtual key, the same budgets, the same usage.

Whoever can start the process is its user, so nobody is asked for a key. What the process knows of budgets and spending
comes from the database and is read anew whenever a call was written down; so several processes of one home share their
budgets up to the calls under way. It never holds the folder's lock: a server may serve from it at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mohist.base import Clock
from mohist.gateway.budget import Budget, Spend, day_of, period_start, subjects_of, unpriced, used_up
from mohist.gateway.call import CallRecord, Dialect, Principal, Refusal, Reservation
from mohist.gateway.charge import charge, held_for
from mohist.gateway.errors import StoreError
from mohist.gateway.peek import has_budget
from mohist.provider.message import Usage

_GATHER_S: Final = 0.25
"""Calls that end within this are written at once. A killed process loses as much; the run's own log has it still."""

if TYPE_CHECKING:
    from mohist.gateway.store import Store

KEY_ID: Final = "local"
"""What usage says instead of a virtual key's id."""

Dearest = Callable[[Usage], int | None]
"""The most that a usage can cost; None: no price is known."""


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
    """

    def __init__(
        self, home: Path, env: Mapping[str, str], principal: Principal, dearest: Dearest, clock: Clock
    ) -> None:
        self._home = home
        self._env = env
        self._principal = principal
        self._dearest = dearest
        self._clock = clock
        self._lock = threading.Lock()
        self._budgets: list[Budget] = []
        self._spends: list[Spend] = []
        self._open: dict[int, tuple[int, Reservation]] = {}
        """The day each call under way counts on, and what is held for it."""
        self._last_id = 0
        self._rows: list[_Row] = []
        self._poke = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Reads budgets and what was spent; blocks on the disk.

        Raises:
            StoreError: the database can't be used.
        """
        # Where there is no database there is no budget, and no need to make it before a call has been made.
        file = self._home / "gateway.db"
        bound = file.exists() and has_budget(file, subjects_of(self._principal))
        if bound or self._env.get("MOHIST_DATABASE_URL"):
            with self._open_store() as store:
                self._budgets, self._spends = self._looked_up(store)

    @property
    def unwritten(self) -> int:
        """Calls that are not in the database yet."""
        return len(self._rows)

    def stop(self) -> None:
        """Writes down what is left, where that can be done. Blocks on the disk."""
        self._stopping.set()
        if self._thread is not None:
            self._poke.set()
            self._thread.join()

    def identify(self, secret: str) -> Principal | Refusal:  # noqa: ARG002 - what is shown is the upstream's own key
        """The one principal, whatever is shown."""
        return self._principal

    def holds(self, principal: Principal) -> Refusal | None:  # noqa: ARG002
        """Always: there is no key that could be revoked."""
        return None

    def reserve(
        self,
        principal: Principal,
        dialect: Dialect,  # noqa: ARG002
        model: str,
        client: str,  # noqa: ARG002
        prompt_tokens: int,
        max_output_tokens: int,
    ) -> Reservation | Refusal:
        """Room for one call in all budgets, or which of them has none."""
        amount, tokens = held_for(prompt_tokens, max_output_tokens, self._dearest)
        day = day_of(self._clock.now_ms())
        with self._lock:
            if short := self._shortage(day, model, amount):
                return Refusal("budget", 402, short)
            self._last_id += 1
            reservation = Reservation(self._last_id, principal, model, amount or 0, tokens)
            self._open[self._last_id] = (day, reservation)
        return reservation

    def settle(self, reservation: Reservation, record: CallRecord) -> None:
        """Replaces the reservation by what the call cost and has it written down; a second time does nothing."""
        with self._lock:
            held = self._open.pop(reservation.reservation_id, None)
            if held is None:
                return
            amount, tokens = charge(reservation, record)
            self._rows.append(_Row(record, reservation.principal, held[0], amount, tokens))
        self._wake()

    def refused(self, principal: Principal | None, record: CallRecord) -> None:
        """Has a call written down that was not made."""
        with self._lock:
            self._rows.append(_Row(record, principal or self._principal, day_of(record.started_at_ms)))
        self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mohist-usage", daemon=True)
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
            except StoreError:  # tried again with the next call, and at the end
                if store is not None:
                    store.close()
                store = None
        if store is not None:
            store.close()

    def _write(self, store: Store) -> None:
        """Brings the rows into the database and takes over what others spent."""
        with self._lock:
            rows = list(self._rows)
        if not rows:
            return
        from mohist.gateway.usage import UsageRow, flat

        store.add_usage([flat(UsageRow(row.record, row.principal, row.day, row.microusd, row.tokens)) for row in rows])
        spent = self._looked_up(store)
        with self._lock:
            del self._rows[: len(rows)]
            self._budgets, self._spends = spent

    def _open_store(self) -> Store:
        # The database's library takes longer to load than all else of a run's start, so a thread of the start does it.
        from mohist.gateway.address import home_address
        from mohist.gateway.store import Store

        return Store(home_address(self._home, self._env))

    def _looked_up(self, store: Store) -> tuple[list[Budget], list[Spend]]:
        """The principal's budgets and what was spent of them, by other processes too."""
        places = set(subjects_of(self._principal))
        return (
            [budget for budget in store.budgets() if (budget.subject, budget.name) in places],
            [spend for spend in store.spends() if (spend.subject, spend.name) in places],
        )

    def _shortage(self, day: int, model: str, amount: int | None) -> str:
        """Which budget has no room for one more call; empty when all have."""
        held_microusd = sum(reservation.amount_microusd for _, reservation in self._open.values())
        held_tokens = sum(reservation.tokens for _, reservation in self._open.values())
        for budget in self._budgets:
            if budget.limit_microusd is not None and amount is None and not budget.allow_unpriced:
                return unpriced(budget, model)
            start = period_start(budget.period, day)
            used = [
                (spend.microusd, spend.tokens)
                for spend in self._spends
                if (spend.subject, spend.name) == (budget.subject, budget.name) and spend.day >= start
            ]
            used += [(row.microusd, row.tokens) for row in self._rows if row.day >= start]
            microusd, tokens = sum(money for money, _ in used), sum(count for _, count in used)
            if budget.limit_microusd is not None and microusd + held_microusd >= budget.limit_microusd:
                return used_up(budget, day, microusd, held_microusd, budget.limit_microusd, money=True)
            if budget.limit_tokens is not None and tokens + held_tokens >= budget.limit_tokens:
                return used_up(budget, day, tokens, held_tokens, budget.limit_tokens, money=False)
        return ""
