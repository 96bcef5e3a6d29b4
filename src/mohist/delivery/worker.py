"""Brings the book and the engine together: what the book says is to run is started, what has ended is told to the book.

    book.running() ──> engine.start ──> … ──> engine.status: ended ──> machine.ended ──> the next segment, a gate, or the end

One question to the book a round, whose answer holds only what runs: a delivery that waits for people costs nothing here. The
engine may forget everything; what the book says is to run is started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
from anyio import to_thread

from mohist.base import Clock, MohistError
from mohist.delivery.book import Book
from mohist.delivery.engine.contract import ENDED, Engine, SegmentStatus, segment_key
from mohist.delivery.machine import OVER, Required, advance, ended, left, then
from mohist.delivery.state import Facts, Move

ROUND_S: Final = 1.0
GRACE_S: Final = 10.0
WAKE_S: Final = 10.0
"""How often those that look again at something outside are looked through: one question to the book."""
_LOG: Final = logging.getLogger(__name__)


def nothing() -> None:
    """What is done where an engine costs nothing while it is idle."""


def nobody(_: Facts) -> Required:
    """Where no stage needs anybody's approval."""
    return {}


async def run_worker(
    engine: Engine,
    book: Book,
    clock: Clock,
    *,
    stop: anyio.Event,
    required: Callable[[Facts], Required] = nobody,
    round_s: float = ROUND_S,
    grace_s: float = GRACE_S,
    wakes: bool = True,
    idle: Callable[[], None] = nothing,
) -> None:
    """Works until `stop` is set, and then closes the engine: steps under way may end within the grace, the rest is handed back.

    Where the database is away it goes on asking. A second worker on the same book does no harm.

    Args:
        engine: closed at the end.
        book: what is true.
        clock: for what is written into the book.
        stop: set by whoever gets the signal to end.
        required: the gates that the rules demand, as `machine.next_step` takes them.
        round_s: how often it asks.
        grace_s: for steps under way.
        wakes: enters stages again that look at something outside, such as a forge, once it is time.
        idle: called in each round in which nothing is to run, in a thread.
    """
    woken_at_s = clock.monotonic_s() - WAKE_S
    try:
        while not stop.is_set():
            try:
                if wakes and clock.monotonic_s() >= woken_at_s + WAKE_S:
                    woken_at_s = clock.monotonic_s()
                    await to_thread.run_sync(wake, book, clock, required, abandon_on_cancel=True)
                if not await to_thread.run_sync(sweep, engine, book, clock, required, abandon_on_cancel=True):
                    await to_thread.run_sync(idle)
            except MohistError as error:
                _LOG.warning("A round of the worker failed: %s", error)
            with anyio.move_on_after(round_s):
                await stop.wait()
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(engine.close, grace_s)


def sweep(engine: Engine, book: Book, clock: Clock, required: Callable[[Facts], Required] = nobody) -> bool:
    """One round; the arguments are those of `run_worker`. Whether there was anything to run."""
    running = {segment_key(one.segment, one.delivery_id, one.turn): one for one in book.running() if one.segment}
    statuses = engine.status(list(running)) if running else {}
    for key, delivery in running.items():
        status = statuses[key]
        if delivery.status == "cancelled" and status.state not in ENDED:
            engine.cancel(key)
            if status.state == "unknown":
                status = replace(status, state="cancelled")
        if status.state in ENDED:
            book.move(
                delivery.delivery_id,
                partial(settled, turn=delivery.turn, status=status, clock=clock, required=required),
            )
        elif status.state == "unknown" and delivery.segment:
            engine.start(delivery.segment, delivery.delivery_id, delivery.turn)
    return bool(running)


def wake(book: Book, clock: Clock, required: Callable[[Facts], Required] = nobody) -> None:
    """Enters stages again whose time to look has come."""
    for delivery_id in book.due(clock.now_ms()):
        book.move(delivery_id, lambda facts: advance(facts, clock.now_ms(), required(facts)))


def settled(
    facts: Facts, turn: int, status: SegmentStatus, clock: Clock, required: Callable[[Facts], Required] = nobody
) -> Move:
    """A segment is over. One that failed is its stage's failure: else the same would be started again."""
    delivery, now_ms = facts.delivery, clock.now_ms()
    if delivery.turn != turn or not delivery.segment:
        return Move(delivery)
    if status.state == "failed" and delivery.status not in OVER:
        move = left(facts, delivery.attempt, delivery.stage, "failed", now_ms, status.error)
        return then(move, facts, lambda after: ended(after, turn, now_ms, required(after)))
    return ended(facts, turn, now_ms, required(facts))
