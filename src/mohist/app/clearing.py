"""Leaves nothing of a cancelled delivery: what is outside is taken back, then its folders here go.

`order.cancel` records what is owed; whoever cancels does it at once, and workers do what a killed process or a forge that
was down left over. Done again, it finds what is done.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

import anyio
from anyio import to_thread

from mohist.agent.errors import TreeBusyError
from mohist.agent.log import hold_lock
from mohist.app.office import Office
from mohist.base import MohistError
from mohist.delivery.errors import StateError, UnknownDeliveryError
from mohist.delivery.machine import changed, is_due
from mohist.delivery.order import OWED
from mohist.delivery.stage import ask
from mohist.delivery.state import Delivery, Facts, Move
from mohist.delivery.withdrawal import Withdrawn, reaches_out, withdraw

FIRST_S: Final = 10.0
LONGEST_S: Final = 300.0
PATIENCE_S: Final = 24 * 3600.0
"""What does not answer for so long is a person's to look at."""
ROUND_S: Final = 10.0
FOLDERS_S: Final = 600.0
"""How often a worker looks for folders of deliveries that were cancelled from another machine."""
_LOG: Final = logging.getLogger(__name__)


async def clear(office: Office, delivery_id: str) -> Withdrawn:
    """Takes back what a cancelled delivery left outside, and removes its folders here; nothing where nothing is owed.

    What became of it is noted: kind `cleared`, and `alarm` for what a person must do.

    Raises:
        StateError: it was not cancelled, or its segment has not ended yet.
        TreeBusyError: another process is at it.
    """
    delivery = await ask(office.book.get, delivery_id)
    if delivery.status != "cancelled" or delivery.segment:
        raise StateError(f"Delivery {delivery_id!r} is {delivery.segment or delivery.status}; it can't be cleared yet.")
    with hold_lock(office.folder(delivery_id) / "clear.lock", "Another process clears it."):
        facts = await ask(office.book.facts, delivery_id)
        is_owed = OWED in facts.delivery.options and reaches_out(facts)
        told = await _outside(office, delivery) if is_owed else Withdrawn()
        now_ms = office.clock.now_ms()
        after = await ask(office.book.move, delivery_id, partial(cleared, told=told, now_ms=now_ms))
        # Its objects tell whose commits are whose, as long as there is something to try again.
        await to_thread.run_sync(office.clear, delivery_id, OWED in after.options)
    return told


def cleared(facts: Facts, told: Withdrawn, now_ms: int) -> Move:
    """What is owed yet, and notes of what became of the rest."""
    delivery = facts.delivery
    owed = delivery.options.get(OWED) or {}
    since_ms, before = int(owed.get("since_ms", now_ms)), tuple(owed.get("later", ()))
    options = {name: value for name, value in delivery.options.items() if name != OWED}
    stuck = told.stuck
    waited_s = (now_ms - since_ms) / 1000
    at_ms = 0
    if told.later and waited_s < PATIENCE_S:
        pause_s = max(told.after_s, min(LONGEST_S, max(FIRST_S, waited_s / 4)))
        at_ms = now_ms + int(pause_s * 1000)
    else:
        stuck += told.later
    if at_ms or stuck:
        options[OWED] = {"since_ms": since_ms, "at_ms": at_ms, "later": list(told.later), "stuck": list(stuck)}
    notes: list[tuple[str, str, dict[str, Any]]] = []
    if told.done or told.left:
        notes.append(("cleared", "; ".join((*told.done, *told.left)), {"done": told.done, "left": told.left}))
    if at_ms and told.later != before:
        notes.append(("cleared", f"to be tried again: {'; '.join(told.later)}", {"later": told.later}))
    if stuck and stuck != tuple(owed.get("stuck", ())):
        notes.append(("alarm", f"cancelled, and not taken back: {'; '.join(stuck)}", {"stuck": stuck}))
    return Move(changed(delivery, now_ms, options=options), notes=tuple(notes))


async def _outside(office: Office, delivery: Delivery) -> Withdrawn:
    try:
        async with office.study(delivery) as study:
            return await withdraw(study.context, study.ship, study.ground, study.shore, delivery.detail)
    except MohistError as error:
        return Withdrawn(stuck=(f"what it left outside ({delivery.branch}, its request, its releases): {error}",))


async def clearing(office: Office, stop: anyio.Event) -> None:
    """Does what others left owing, until `stop` is set; for workers."""
    looked_at_s = -FOLDERS_S
    while not stop.is_set():
        try:
            await clear_owed(office)
            if office.clock.monotonic_s() - looked_at_s >= FOLDERS_S:
                looked_at_s = office.clock.monotonic_s()
                await to_thread.run_sync(clear_folders, office)
        except MohistError as error:
            _LOG.warning("Cancelled deliveries could not be cleared: %s", error)
        with anyio.move_on_after(ROUND_S):
            await stop.wait()


async def clear_owed(office: Office) -> None:
    """One round over the cancelled deliveries that owe something and whose time has come."""
    for delivery in await ask(office.book.owing, OWED):
        at_ms = int(delivery.options[OWED]["at_ms"])
        if delivery.segment or not at_ms or not is_due(at_ms, office.clock.now_ms()):
            continue  # 0: only a person's cancel tries it again
        try:
            await clear(office, delivery.delivery_id)
        except TreeBusyError:
            continue


def clear_folders(office: Office) -> None:
    """Removes folders here of deliveries that were cancelled elsewhere, and of those that are done: of these the objects
    stay, which the report is made of."""
    for folder in (office.paths.home / "deliveries").glob("*/ground"):
        try:
            delivery = office.book.get(folder.parent.name)
        except UnknownDeliveryError:
            continue
        if delivery.segment:
            continue
        if delivery.status == "done":
            office.clear(delivery.delivery_id, objects=True)
        elif delivery.status == "cancelled" and OWED not in delivery.options:
            office.clear(delivery.delivery_id)
