"""The control plane: who may call, whether there is room, and what it cost.

Every method of the call's path touches memory alone. Two threads stand behind it: one watches the database for changed
keys and budgets, one takes usage down. When either can't do its work, calls are refused until it can: a key that may
have been revoked and a budget that may be overdrawn are not taken on trust.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from mohist.base import Clock, MohistError
from mohist.gateway.budget import UNLIMITED_OUTPUT_TOKENS, Accounts, Hold, charge, day_of
from mohist.gateway.call import CallRecord, Dialect, Principal, Refusal, Reservation
from mohist.gateway.key import Key, KeySecret, Scope, secret_hash
from mohist.gateway.rate import Bucket
from mohist.gateway.store import Store, database_path
from mohist.gateway.usage import UsageRow
from mohist.gateway.writer import Writer
from mohist.provider.message import Usage

PriceOf = Callable[[str, Usage], int | None]
"""What a call of this model costs in millionths of a US dollar, at its dearest; None: no price is known."""

POLL_S: Final = 0.25
STALE_S: Final = 5.0
# Calls without a valid key that are written down: enough to see an attack, too few to fill a disk with it.
_STRANGERS_PER_MINUTE: Final = 600


@dataclass(frozen=True, slots=True)
class _Policy:
    """Keys as of one revision; replaced as a whole."""

    revision: int
    by_hash: dict[bytes, tuple[Key, KeySecret]]
    by_id: dict[str, tuple[Key, Scope]]


class Keeper:
    """Fulfils `Gatekeeper`.

    Order of use: construct, `start`, calls…, `stop`; or as a context manager. One process serves from a home.
    """

    def __init__(self, home: Path, price: PriceOf, clock: Clock, *, poll_s: float = POLL_S) -> None:
        """Touches nothing yet.

        Args:
            home: the state folder; holds `gateway.db` and `gateway.journal`.
            price: the largest cost of a call, by model.
            clock: for expiry, periods and rates.
            poll_s: how often the database is asked for changed keys and budgets.
        """
        self._home = home
        self._price = price
        self._clock = clock
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._policy = _Policy(-1, {}, {})
        self._accounts = Accounts()
        self._holds: dict[int, tuple[Hold, Bucket | None]] = {}
        self._last_id = 0
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}
        self._strangers = Bucket(_STRANGERS_PER_MINUTE, clock.monotonic_s())
        self._seen_s = 0.0
        self._watch_trouble = ""
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watching, name="mohist-keys", daemon=True)
        self._writer: Writer | None = None

    def start(self) -> None:
        """Replays the journal, reads keys, budgets and what was spent, starts the threads; blocks on the disk.

        Raises:
            BusyError: another process serves from this home.
            StoreError: the database or journal can't be used.
        """
        writer = Writer(self._home)
        try:
            with Store(database_path(self._home)) as store:
                self._accounts.load(store.spends(), day_of(self._clock.now_ms()))
                self._take_over(store, anew=True)
        except BaseException:
            writer.stop()
            raise
        self._writer = writer
        writer.start()
        self._watch.start()

    def stop(self) -> None:
        """Stops the threads and puts all that was settled into the database; the journal keeps what fails.

        Stop serving first: a call that is settled later is not written down.
        """
        self._stopping.set()
        if self._watch.ident is not None:
            self._watch.join()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()

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

    def reserve(
        self,
        principal: Principal,
        dialect: Dialect,
        model: str,
        client: str,
        prompt_tokens: int,
        max_output_tokens: int,
    ) -> Reservation | Refusal:
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
        tokens, amount = 0, None
        billed = prompt_tokens > 0 or max_output_tokens > 0
        if billed:
            output_tokens = max_output_tokens if max_output_tokens > 0 else UNLIMITED_OUTPUT_TOKENS
            tokens = prompt_tokens + output_tokens
            amount = self._largest_cost(model, prompt_tokens, output_tokens)
        day = day_of(self._clock.now_ms())
        now_s = self._clock.monotonic_s()
        with self._lock:
            short = self._accounts.shortage(principal, day, model, amount) if billed else ""
            if short:
                return Refusal("budget", 402, short)
            requests = _bucket(self._requests, key.key_id, key.requests_per_minute, now_s)
            by_tokens = _bucket(self._tokens, key.key_id, key.tokens_per_minute, now_s)
            for bucket, need, noun in ((requests, 1, "requests"), (by_tokens, tokens, "tokens")):
                wait_s = bucket.wait_s(need, now_s) if bucket is not None else 0.0
                if bucket is not None and wait_s > 0:
                    return _too_fast(key, bucket, noun, wait_s)
            if requests is not None:
                requests.take(1)
            if by_tokens is not None:
                by_tokens.take(tokens)
            hold = self._accounts.hold(principal, day, amount or 0, tokens)
            self._last_id += 1
            reservation = Reservation(self._last_id, principal, model, amount or 0, tokens)
            self._holds[self._last_id] = (hold, by_tokens)
        return reservation

    def settle(self, reservation: Reservation, record: CallRecord) -> None:
        """Replaces the reservation by what the call cost and puts the record on its way; a second time does nothing.

        A call that an upstream answered without saying what it used is charged what was reserved.
        """
        with self._lock:
            held = self._holds.pop(reservation.reservation_id, None)
            if held is None:
                return
            hold, by_tokens = held
            amount, tokens = charge(reservation, record)
            hold.settle(amount, tokens)
            if by_tokens is not None:
                by_tokens.give(reservation.tokens - tokens)
            if self._writer is not None:
                self._writer.put(UsageRow(record, reservation.principal, hold.day, amount, tokens))

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
        return self._watch_trouble or (self._writer.trouble if self._writer is not None else "")

    @property
    def backlog(self) -> int:
        """Finished calls that are not in the database yet."""
        return self._writer.waiting if self._writer is not None else 0

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was settled is in the journal, at most `timeout_s`; whether it is."""
        return self._writer is not None and self._writer.flush(timeout_s)

    def _closed(self) -> Refusal | None:
        """Why no call can be taken at present."""
        writer = self._writer
        if writer is None:
            return Refusal("unavailable", 503, "The gateway is not serving.")
        if self._clock.monotonic_s() - self._seen_s > STALE_S:
            why = "keys and budgets can't be read from the database"
        elif writer.trouble:
            why = writer.trouble
        elif writer.full:
            why = "usage can't be written to the database"
        else:
            return None
        return Refusal("unavailable", 503, f"No calls are taken while {why}. The operator must mend it.", STALE_S)

    def _ended(self, key: Key, kept: KeySecret | None) -> Refusal | None:
        if key.revoked_at_ms is not None:
            return Refusal("auth", 401, f"Key {key.key_id} was revoked at {_moment(key.revoked_at_ms)}.")
        now_ms = self._clock.now_ms()
        if key.expires_at_ms is not None and now_ms >= key.expires_at_ms:
            return Refusal("auth", 401, f"Key {key.key_id} expired at {_moment(key.expires_at_ms)}.")
        if kept is not None and kept.expires_at_ms is not None and now_ms >= kept.expires_at_ms:
            return Refusal("auth", 401, f"Key {key.key_id} was replaced at {_moment(kept.expires_at_ms)}; use the new one.")  # fmt: skip
        return None

    def _largest_cost(self, model: str, prompt_tokens: int, output_tokens: int) -> int | None:
        plain = self._price(model, Usage(input_tokens=prompt_tokens, output_tokens=output_tokens))
        if plain is None:
            return None
        # Writing a prompt to a cache can cost more than reading it; how much of it is written nobody knows yet.
        cached = self._price(model, Usage(cache_write_tokens=prompt_tokens, output_tokens=output_tokens))
        return plain if cached is None else max(plain, cached)

    def _watching(self) -> None:
        store: Store | None = None
        while not self._stopping.wait(self._poll_s):
            try:
                anew = store is None
                if store is None:
                    store = Store(database_path(self._home))
                self._take_over(store, anew=anew)
                self._watch_trouble = ""
            except Exception as error:  # noqa: BLE001 - the thread's boundary: it goes on, and _closed sees that it is late
                self._watch_trouble = str(error) if isinstance(error, MohistError) else type(error).__name__
                if store is not None:
                    store.close()
                store = None
        if store is not None:
            store.close()

    def _take_over(self, store: Store, *, anew: bool) -> None:
        """Reads keys and budgets if they changed; in any case from a file opened `anew`, which may be another one."""
        asked_s = self._clock.monotonic_s()
        if anew or store.revision() != self._policy.revision:
            revision, keys, kept, budgets = store.policy()
            by_key = {key.key_id: key for key in keys}
            policy = _Policy(
                revision,
                {secret.hash: (by_key[secret.key_id], secret) for secret in kept},
                {key.key_id: (key, Scope(key)) for key in keys},
            )
            with self._lock:
                self._accounts.limit(budgets)
                self._policy = policy
        self._seen_s = asked_s


def _bucket(buckets: dict[str, Bucket], key_id: str, per_minute: int | None, now_s: float) -> Bucket | None:
    if per_minute is None:
        return None
    bucket = buckets.get(key_id)
    if bucket is None or bucket.per_minute != per_minute:
        bucket = buckets[key_id] = Bucket(per_minute, now_s)
    return bucket


def _too_fast(key: Key, bucket: Bucket, noun: str, wait_s: float) -> Refusal:
    shown = f"{bucket.per_minute:,} {noun} a minute"
    if wait_s == float("inf"):
        return Refusal("rate", 429, f"Key {key.key_id} is limited to {shown}.")
    return Refusal("rate", 429, f"Key {key.key_id} is limited to {shown}; there is room in {wait_s:.1f} s.", wait_s)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
