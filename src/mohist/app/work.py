"""Runs deliveries: one in the foreground until it stands, or all of them until somebody ends the worker."""

from __future__ import annotations

import logging
import signal
import tomllib
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Literal

import anyio
from anyio import to_thread

from mohist.app.clearing import clearing
from mohist.app.closing import close_ended
from mohist.app.expiry import expiring
from mohist.app.office import HeldStore, Office
from mohist.app.ruling import COMPANY_FILE, USER_FILE, read_text
from mohist.app.segment import segments
from mohist.base import MohistError
from mohist.delivery.chronicle import ChronicledStore
from mohist.delivery.consent import by_yes
from mohist.delivery.engine import Engine
from mohist.delivery.engine.doze import DozingEngine
from mohist.delivery.engine.journal import Journal
from mohist.delivery.engine.plain import PlainEngine
from mohist.delivery.errors import RuleError
from mohist.delivery.lane import KEPT_MS
from mohist.delivery.machine import LOOK, advance
from mohist.delivery.stage import ask
from mohist.delivery.state import Delivery, Facts, Move, Note
from mohist.delivery.store import Store, delivery_address
from mohist.delivery.worker import ROUND_S, nothing, run_worker
from mohist.gateway.address import file_address

LOOK_S: Final = 0.2
GRACE_S: Final = 1.0
FAREWELL_S: Final = 5.0
_LOG: Final = logging.getLogger(__name__)
SOON_S: Final = 5.0
SKEW_MS: Final = 60_000
"""How far the clock of a machine that moves a delivery may be behind."""
ALL_MS: Final = 600_000
"""How often every delivery that waits is looked at all the same."""
ENGINE_FILE: Final = "engine.db"
EngineName = Literal["plain", "dbos"]
Watch = Callable[[Delivery, Sequence[Note]], None]
Beside = Callable[[anyio.Event], Coroutine[Any, Any, None]]


async def go_on(office: Office, delivery_id: str, watch: Watch, after: int = 0) -> tuple[Delivery, bool]:
    """Works on one delivery until nothing of it runs.

    Where another process works on it, it only watches. A signal ends this: what was done is kept, and the delivery goes on
    with the next worker.

    Args:
        office: what it is made of.
        delivery_id: the whole id.
        watch: told of each note, and how the delivery is then.
        after: number of the last note that was told before.

    Returns:
        The delivery, and whether it stands (False: a signal ended this).
    """
    stop = anyio.Event()
    notifier = office.notifier(0)
    await to_thread.run_sync(close_ended, office)
    book, engine = await to_thread.run_sync(_engine, office, delivery_id)
    delivery = await ask(office.book.get, delivery_id)
    stood = False
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_until_signal, stop)
            worker = partial(
                run_worker,
                engine,
                book,
                office.clock,
                stop=stop,
                required=office.rulings.required,
                round_s=LOOK_S,
                grace_s=GRACE_S,
                # What it would wake of the others it doesn't run.
                wakes=False,
            )
            group.start_soon(worker)
            group.start_soon(notifier.run, delivery_id)
            while not stop.is_set():
                delivery = await ask(office.book.get, delivery_id)
                notes = await ask(office.book.notes, delivery_id, after)
                after = notes[-1].number if notes else after
                watch(delivery, notes)
                if (
                    stands(delivery)
                    and not notes
                    and not _soon(office, delivery)
                    and not await to_thread.run_sync(say_yes, office, delivery)
                ):
                    stood = True
                    break
                with anyio.move_on_after(LOOK_S):
                    await stop.wait()
            stop.set()
            group.cancel_scope.cancel()
        # What was noted last; what a receiver does not take now, a worker tells it later.
        with anyio.move_on_after(FAREWELL_S):
            await notifier.round(delivery_id)
    finally:
        book.close()
    return delivery, stood


async def work(office: Office, told: Callable[[str], None], beside: Beside | None = None) -> None:
    """Works on whatever is to be done until a signal comes.

    Args:
        office: what it is made of.
        told: told what it does.
        beside: what else it does until the event it is given is set.
    """
    stop = anyio.Event()
    notifier = office.notifier(KEPT_MS)
    await to_thread.run_sync(close_ended, office)
    book, engine = await to_thread.run_sync(_engine, office, "")
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_until_signal, stop)
            group.start_soon(consenting, office, stop)
            group.start_soon(clearing, office, stop)
            group.start_soon(expiring, office, stop)
            group.start_soon(notifier.run)
            if beside is not None:
                group.start_soon(beside, stop)
            told(f"works on deliveries as {engine.executor_id}; end it with Ctrl-C")
            await run_worker(
                engine,
                book,
                office.clock,
                stop=stop,
                required=office.rulings.required,
                grace_s=GRACE_S * 10,
                idle=engine.rest if isinstance(engine, DozingEngine) else nothing,
            )
            group.cancel_scope.cancel()
    finally:
        book.close()


def stands(delivery: Delivery) -> bool:
    """Whether nothing of it runs or is about to."""
    return not delivery.segment and delivery.status != "working"


def _soon(office: Office, delivery: Delivery) -> bool:
    """Whether it looks again at something outside so soon that it is worth staying; looks where it is time."""
    look = delivery.options.get(LOOK)
    if delivery.status != "waiting" or not look:
        return False
    left_ms = int(look["at_ms"]) - office.clock.now_ms()
    if left_ms <= 0:
        press_on(office, delivery.delivery_id)
    return left_ms < SOON_S * 1000


def say_yes(office: Office, delivery: Delivery) -> bool:
    """What the requester's `--yes` says at open gates; whether it said anything."""
    if delivery.status != "waiting" or not delivery.options.get("yes"):
        return False
    now_ms = office.clock.now_ms()
    facts = office.book.facts(delivery.delivery_id)
    # Whose teams they are stands in the repository; where no team would help, it need not be opened.
    named = {name for gate in facts.gates for group in gate.needs for name in group if name.startswith("@")}
    if not by_yes(facts, delivery.requested_by, named, now_ms):
        return False
    teams = office.rulings.teams(facts, delivery.requested_by)
    said = by_yes(facts, delivery.requested_by, teams, now_ms)
    for gate_id, decision in said:
        office.book.decide(gate_id, decision, pressing(office) if gate_id == said[-1][0] else None)
    return bool(said)


def press_on(office: Office, delivery_id: str) -> Delivery:
    """Has the machine look what comes next."""
    return office.book.move(delivery_id, pressing(office))


def pressing(office: Office) -> Callable[[Facts], Move]:
    """The transition to what comes next."""

    def move(facts: Facts) -> Move:
        return advance(facts, office.clock.now_ms())

    return move


def _engine(office: Office, only: str) -> tuple[Store, Engine]:
    """The tables and the engine of this process.

    With the plain engine one process runs what it holds the lock of; DBOS gives work out itself, to any worker that lives.
    """
    address = delivery_address(office.paths.home, office.variables)
    if engine_name(office) == "dbos":
        from mohist.delivery.engine.dbos import DbosEngine

        store = office.recorded(ChronicledStore(address, office.clock))
        where = file_address(office.paths.home / ENGINE_FILE) if office.is_file else address
        return store, DozingEngine(lambda: DbosEngine(where, segments(office, store), store, office.clock))
    book = office.recorded(HeldStore(address, office.clock).take(office, only))
    journal = Journal(file_address(office.paths.home / ENGINE_FILE), office.clock)
    return book, PlainEngine(segments(office, book), journal, book)


def engine_name(office: Office) -> EngineName:
    """`engine` in the company's or the user's deliver.toml; else plain where the tables are this machine's file, else DBOS,
    since only that shares work between machines.

    Raises:
        RuleError: it is another word, or plain where the tables are a server's.
    """
    for path in (COMPANY_FILE, office.paths.home / USER_FILE):
        named = tomllib.loads(read_text(path)).get("engine")
        if named is None:
            continue
        if named == "dbos":
            return "dbos"
        if named == "plain" and office.is_file:
            return "plain"
        raise RuleError(
            f"{path}: engine {named!r} can't be used here.", "It is dbos; or plain, where the tables are a file."
        )
    return "plain" if office.is_file else "dbos"


async def consenting(office: Office, stop: anyio.Event, round_s: float = ROUND_S) -> None:
    """Says what `--yes` says of deliveries whose gates opened, until `stop` is set.

    Each is looked at once for each of its revisions. A round asks only for those that were moved a short while ago; all of
    them at the beginning and now and then, since clocks of other machines may be wrong.
    """
    seen: dict[str, int] = {}
    all_at_ms = 0
    while not stop.is_set():
        now_ms = office.clock.now_ms()
        since_ms = now_ms - SKEW_MS if now_ms < all_at_ms else 0
        if not since_ms:
            all_at_ms = now_ms + ALL_MS
        try:
            moved = await ask(office.book.moved_since, "waiting", since_ms)
        except MohistError as error:
            _LOG.warning("Gates could not be looked at: %s", error)
            moved = ()
            all_at_ms = now_ms
        if not since_ms:
            seen = {delivery_id: seen[delivery_id] for delivery_id, _ in moved if delivery_id in seen}
        for delivery_id, revision in moved:
            if seen.get(delivery_id) == revision:
                continue
            seen[delivery_id] = revision
            try:
                await to_thread.run_sync(say_yes, office, await ask(office.book.get, delivery_id))
            except MohistError as error:
                # Its rules, or its repository: the others' gates are looked at all the same.
                _LOG.warning("Gates of %s could not be looked at: %s", delivery_id, error)
                del seen[delivery_id]
        with anyio.move_on_after(round_s):
            await stop.wait()


async def _until_signal(stop: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            stop.set()
            return
