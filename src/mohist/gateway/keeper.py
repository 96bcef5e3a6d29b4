"""The control plane: who may call, whether there is room, and what it cost.

Every method of the call's path touches memory alone; a call waits for the database only when this process's slice of a
budget has no room for it. Two threads stand behind it: the writer takes usage down, the clerk speaks with the database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Final, Literal, Self

from mohist.base import Clock
from mohist.gateway.address import Address, file_address
from mohist.gateway.budget import day_of
from mohist.gateway.call import CallRecord, Dialect, Principal, Refusal, Reservation, Wait
from mohist.gateway.charge import charge, held_for
from mohist.gateway.clerk import Clerk
from mohist.gateway.key import Key, KeySecret, Scope, secret_hash
from mohist.gateway.pot import Hold, Pot, Pots
from mohist.gateway.rate import Bucket, Rates
from mohist.gateway.store import Store, database_path
from mohist.gateway.usage import UsageRow
from mohist.gateway.writer import Writer
from mohist.provider.message import Usage

_log = logging.getLogger(__name__)

PriceOf = Callable[[str, Usage], int | None]
"""What a call of this model costs in millionths of a US dollar, at its dearest; None: no price is known."""

OnLoss = Literal["closed", "open"]
"""While the database is away: budgets let pass what this process has room for, or everything."""

POLL_S: Final = 0.25
STALE_S: Final = 300.0
"""So long keys are taken as they were last read while the database is away; with "open", without end."""
RESERVATION_S: Final = 3_600.0
"""Room of a call that was not settled so long is given back; it is charged all the same if it ends later."""
WAIT_S: Final = 2.0
"""So long a call waits for what other processes hold and don't need."""
_FORGET_S: Final = 86_400.0
_RETRY_S: Final = 5.0
# Calls without a valid key that are written down: enough to see an attack, too few to fill a disk with it.
_STRANGERS_PER_MINUTE: Final = 600


@dataclass(frozen=True, slots=True)
class _Policy:
    """Keys as of one revision; replaced as a whole."""

    revision: int
    by_hash: dict[bytes, tuple[Key, KeySecret]]
    by_id: dict[str, tuple[Key, Scope]]


@dataclass(slots=True)
class _Asked:
    """A call that wants room."""

    key: Key
    model: str
    amount: int | None
    tokens: int
    billed: bool


@dataclass(slots=True)
class _Open:
    """A call under way."""

    hold: Hold
    by_tokens: Bucket | None
    since_s: float


class Keeper:
    """Fulfils `Gatekeeper`; any number of processes may on one database.

    Order of use: construct, `start`, calls…, `stop`; or as a context manager.
    """

    def __init__(
        self,
        database: Address | Path,
        price: PriceOf,
        clock: Clock,
        *,
        on_loss: OnLoss = "closed",
        poll_s: float = POLL_S,
        local: Principal | None = None,
    ) -> None:
        """Touches nothing yet.

        Args:
            database: where it is, or the state folder that holds `gateway.db`.
            price: the largest cost of a call, by model.
            clock: for expiry and periods (wall time), rates and leases (monotonic).
            on_loss: what budgets do while the database is away.
            poll_s: how often the database is asked for changed keys and budgets.
            local: who may reserve without a key; no secret identifies them.
        """
        self._address = file_address(database_path(database)) if isinstance(database, Path) else database
        self._price = price
        self._clock = clock
        self._on_loss = on_loss
        self._poll_s = poll_s
        self._local = Key(local.key_id, local.user, local.project, local.team) if local is not None else None
        self._lock = threading.Lock()
        self._policy = _Policy(-1, {}, {})
        self._pots = Pots()
        self._open: dict[int, _Open] = {}
        self._late: dict[int, _Open] = {}
        self._last_id = 0
        self._rates = Rates()
        self._strangers = Bucket(_STRANGERS_PER_MINUTE, clock.monotonic_s())
        self._clerk = Clerk(
            self._address, self._pots, self._rates, self._lock, clock, self._take_over, self._sweep, poll_s
        )
        self._writer: Writer | None = None

    def start(self) -> None:
        """Winds up processes that are gone, reads keys and budgets, starts the threads; blocks on the disk.

        Raises:
            StoreError: the database or journal can't be used.
        """
        writer = Writer(self._address.journals, self._clerk.instance_id)
        try:
            self._clerk.start(writer)
        except BaseException:
            writer.journal.close()
            raise
        writer.start()
        self._writer = writer

    def stop(self) -> int:
        """Stops the threads and puts all that was settled into the database; the journal keeps what fails.

        Stop serving first: a call that is settled later is not written down.

        Returns:
            How many calls are in neither.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return 0
        writer.stop()
        lost = self._clerk.stop()
        if lost:
            _log.error("usage of %d calls is lost: neither the journal nor the database could be written", lost)
        return lost

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def identify(self, secret: str) -> Principal | Refusal:
        """Who holds this virtual key."""
        closed = self._closed()
        if closed is not None:
            return closed
        # By its hash: what the look-up's time tells is of a SHA-256 that nobody can steer.
        found = self._policy.by_hash.get(secret_hash(secret))
        if found is None:
            return Refusal("auth", 401, "This key is not known here. Ask whoever runs this gateway for one.")
        key, kept = found
        return self._ended(key, kept) or key.principal

    def holds(self, principal: Principal) -> Refusal | None:
        """Why a call under way may not go on: its key was revoked or expired; None when it holds."""
        entry = self._policy.by_id.get(principal.key_id)
        if entry is None:
            return Refusal("auth", 401, "This key is not known here any more.")
        return self._ended(entry[0], None)

    def lists(self, principal: Principal, dialect: Dialect, model: str) -> bool:
        """Whether the model is among those that this caller's key may be used for."""
        entry = self._policy.by_id.get(principal.key_id)
        return entry is not None and entry[1].lists(dialect, model)

    def reserve(
        self,
        principal: Principal,
        dialect: Dialect,
        model: str,
        client: str,
        prompt_tokens: int,
        max_output_tokens: int,
    ) -> Reservation | Refusal | Wait:
        """Room for one call in all budgets and rate limits, or which of them has none.

        Without tokens of either kind the call is one that nobody bills (`count_tokens`): no budget is asked, only the
        requests a minute. Output of 0 for a prompt is taken for no limit, as some upstreams take it.
        """
        closed = self._closed()
        if closed is not None:
            return closed
        entry = self._policy.by_id.get(principal.key_id)
        if entry is None:
            return Refusal("auth", 401, "This key is not known here any more.")
        key, scope = entry
        ended = self._ended(key, None)
        if ended is not None:
            return ended
        outside = scope.refusal(dialect, model, client)
        if outside:
            return Refusal("scope", 403, outside)
        asked = _Asked(key, model, 0, 0, billed=prompt_tokens > 0 or max_output_tokens > 0)
        if asked.billed:
            asked.amount, asked.tokens = held_for(prompt_tokens, max_output_tokens, partial(self._price, model))
        answer = self._try(asked)
        if isinstance(answer, list):
            return Wait(partial(self._wait, asked, answer))
        return answer

    def _try(self, asked: _Asked, *, unlimited: bool = False) -> Reservation | Refusal | list[Pot]:
        """As `reserve`, or the pots that have no room in this process."""
        key = asked.key
        principal, tokens, amount = key.principal, asked.tokens, asked.amount
        day = day_of(self._clock.now_ms())
        now_s = self._clock.monotonic_s()
        with self._lock:
            if asked.billed and not unlimited:
                short = self._pots.lack(principal, day, asked.model, amount, tokens, now_s)
                if isinstance(short, str):
                    if short:
                        return Refusal("budget", 402, short)
                    if self._clerk.lapsed(now_s) and (short := self._pots.of(principal, day)):
                        return short
                else:
                    return short
            requests, by_tokens = self._rates.of(key, now_s)
            if requests is not None and (wait_s := requests.wait_s(1, now_s)) > 0:
                return _too_fast(key, f"{key.requests_per_minute:,} requests", wait_s)
            if by_tokens is not None and (wait_s := by_tokens.wait_s(tokens, now_s)) > 0:
                return _too_fast(key, f"{key.tokens_per_minute:,} tokens", wait_s)
            if requests is not None:
                requests.take(1)
            if by_tokens is not None:
                by_tokens.take(tokens)
            hold = self._pots.hold(principal, day, amount or 0, tokens)
            self._last_id += 1
            self._open[self._last_id] = _Open(hold, by_tokens, now_s)
            return Reservation(self._last_id, principal, asked.model, amount or 0, tokens)

    async def _wait(self, asked: _Asked, pots: list[Pot]) -> Reservation | Refusal:
        """Has this process's slices filled, and tries again."""
        needs = (asked.amount or 0, asked.tokens)
        end_s = self._clock.monotonic_s() + WAIT_S
        while True:
            outcome = await self._clerk.wait_for_room(pots, needs, WAIT_S)
            answer = self._try(asked, unlimited=outcome == "lost" and self._on_loss == "open")
            if not isinstance(answer, list):
                return answer
            if outcome == "lost":
                why = "No call is taken on a budget whose rest is not known: the gateway's database is away."
                return Refusal("unavailable", 503, why, _RETRY_S)
            if outcome == "short" or self._clock.monotonic_s() >= end_s:
                with self._lock:
                    message = self._pots.refusal(answer[0], day_of(self._clock.now_ms()), needs)
                return Refusal("budget", 402, message)
            pots = answer

    def settle(self, reservation: Reservation, record: CallRecord) -> None:
        """Replaces the reservation by what the call cost and puts the record on its way; a second time does nothing.

        A call that an upstream answered without saying what it used is charged what was reserved.
        """
        number = reservation.reservation_id
        with self._lock:
            call = self._open.pop(number, None) or self._late.pop(number, None)
            if call is None:
                return
            amount, tokens = charge(reservation, record)
            call.hold.settle(amount, tokens)
            if call.by_tokens is not None:
                call.by_tokens.give(reservation.tokens - tokens)
            if self._writer is not None:
                self._clerk.settled[record.call_id] = call.hold
                self._writer.put(UsageRow(record, reservation.principal, call.hold.day, amount, tokens))

    def refused(self, principal: Principal | None, record: CallRecord) -> None:
        """Puts a call that was not made on its way to disk; of a flood of unidentified ones only some."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if principal is None:
                if self._strangers.wait_s(1, now_s) > 0:
                    return
                self._strangers.take(1)
            if self._writer is not None:
                self._writer.put_refused(UsageRow(record, principal, day_of(record.started_at_ms)))

    @property
    def trouble(self) -> str:
        """What fails at present, for whoever looks after the gateway; empty when all is well."""
        return self._clerk.trouble or (self._writer.trouble if self._writer is not None else "")

    @property
    def backlog(self) -> int:
        """Finished calls that are not in the database yet."""
        return self._clerk.unsaved

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was settled is in the journal, at most `timeout_s`; whether it is."""
        return self._writer is not None and self._writer.flush(timeout_s)

    def _closed(self) -> Refusal | None:
        """Why no call can be taken at present."""
        writer = self._writer
        if writer is None:
            return Refusal("unavailable", 503, "The gateway is not serving.")
        if self._on_loss == "closed" and self._clock.monotonic_s() - self._clerk.seen_s > STALE_S:
            why = "keys and budgets can't be read from the database"
        elif writer.trouble:
            why = writer.trouble
        elif writer.full:
            why = "usage can't be written to the database"
        else:
            return None
        return Refusal("unavailable", 503, f"No calls are taken while {why}. The operator must mend it.", _RETRY_S)

    def _ended(self, key: Key, kept: KeySecret | None) -> Refusal | None:
        if key.revoked_at_ms is not None:
            return Refusal("auth", 401, f"Key {key.key_id} was revoked at {_moment(key.revoked_at_ms)}.")
        now_ms = self._clock.now_ms()
        if key.expires_at_ms is not None and now_ms >= key.expires_at_ms:
            return Refusal("auth", 401, f"Key {key.key_id} expired at {_moment(key.expires_at_ms)}.")
        if kept is not None and kept.expires_at_ms is not None and now_ms >= kept.expires_at_ms:
            return Refusal("auth", 401, f"Key {key.key_id} was replaced at {_moment(kept.expires_at_ms)}; use the new one.")  # fmt: skip
        return None

    def _take_over(self, store: Store) -> int:
        """Reads keys and budgets; their revision."""
        revision, keys, kept, budgets = store.policy()
        by_key = {key.key_id: key for key in keys}
        by_hash = {secret.hash: (by_key[secret.key_id], secret) for secret in kept}
        if self._local is not None:
            by_key[self._local.key_id] = self._local
        policy = _Policy(revision, by_hash, {key_id: (key, Scope(key)) for key_id, key in by_key.items()})
        with self._lock:
            self._pots.limit(budgets)
            self._policy = policy
        return revision

    def _sweep(self) -> None:
        """Gives back the room of calls that were never settled: what was to do so has failed."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            while self._open:
                number, call = next(iter(self._open.items()))
                if now_s - call.since_s < RESERVATION_S:
                    break
                self._late[number] = self._open.pop(number)
                call.hold.release()
            while self._late:
                number, call = next(iter(self._late.items()))
                if now_s - call.since_s < _FORGET_S:
                    break
                del self._late[number]
                self._pots.drop(call.hold)


def _too_fast(key: Key, limit: str, wait_s: float) -> Refusal:
    shown = f"Key {key.key_id} is limited to {limit} a minute"
    if wait_s == inf:
        return Refusal("rate", 429, f"{shown}.")
    return Refusal("rate", 429, f"{shown}; there is room in {wait_s:.1f} s.", wait_s)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
