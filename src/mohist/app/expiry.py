"""Tells of gates that have waited too long; a worker's part."""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

import anyio
from anyio import to_thread

from mohist.app.office import Office
from mohist.app.ruling import COMPANY_FILE, USER_FILE, read_text
from mohist.base import MohistError
from mohist.delivery.deputy import due_at_ms, overdue
from mohist.delivery.rule import load_rules
from mohist.delivery.state import Facts, Move

ROUND_S: Final = 30.0
_LOG: Final = logging.getLogger(__name__)


async def expiring(office: Office, stop: anyio.Event) -> None:
    """Looks through the open gates now and then, until `stop` is set."""
    while not stop.is_set():
        try:
            await to_thread.run_sync(look_for_overdue, office)
        except MohistError as error:
            _LOG.warning("Gates could not be looked through: %s", error)
        with anyio.move_on_after(ROUND_S):
            await stop.wait()


def look_for_overdue(office: Office) -> int:
    """Tells of each open gate whose time is up, once a time; how many.

    What a stage asks by itself (questions, a budget, a conflict) has no rule of the project's; what the company's or the user's
    file says of all gates holds for it.

    Raises:
        RuleError: a file is not as it must be.
        BookError: the tables can't be used.
    """
    usual_h = 0.0
    for path in (COMPANY_FILE, office.paths.home / USER_FILE):
        usual_h = usual_h or load_rules(read_text(path), str(path), may_loosen=False).expires_h
    now_ms, told = office.clock.now_ms(), 0
    for delivery_id, gate in office.book.open_gates():
        due_ms = due_at_ms(gate, usual_h)
        if due_ms and now_ms >= due_ms:
            office.book.move(delivery_id, partial(_overdue, gate_id=gate.gate_id, now_ms=now_ms, usual_h=usual_h))
            told += 1
    return told


def _overdue(facts: Facts, gate_id: str, now_ms: int, usual_h: float) -> Move:
    return overdue(facts, gate_id, now_ms, usual_h)
