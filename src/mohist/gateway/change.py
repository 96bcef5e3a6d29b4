"""Who changed keys, budgets and the register, how and when: one row for each change, written with it or not at all.

A change is numbered by the revision that it makes, so the numbers grow without two alike, whichever process makes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, insert

from mohist.base import Clock, SystemClock
from mohist.gateway.schema import CHANGES

Action = Literal[
    "key.create",
    "key.change",
    "key.rotate",
    "key.revoke",
    "budget.set",
    "budget.remove",
    "register.change",
    "register.propose",
    "register.withdraw",
]


@dataclass(frozen=True, slots=True)
class Author:
    """By whose hand changes are made."""

    user: str = ""
    key_id: str = ""
    """Empty: it was no key, but somebody with access to the database."""
    door: str = "program"
    """What they came in by: `api`, `command`, `program`."""
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Change:
    """One change that was made."""

    number: int
    at_ms: int
    door: str
    key_id: str
    user: str
    action: Action
    subject: str
    """What was changed: `key`, `register`, or whose budget: `key`, `user`, `project`, `team`."""
    name: str
    """Its id or name."""
    detail: Mapping[str, Any]
    """What it is now, or what it was before and after; never a secret."""


Enter = Callable[[Change], object]
"""Enters a change in the ledger before it takes effect; what it raises undoes the change."""


def write_down(
    db: Connection,
    number: int,
    author: Author,
    action: Action,
    subject: str,
    name: str,
    detail: Mapping[str, Any],
    enter: Enter | None = None,
) -> None:
    """In the transaction of the change itself, as the last thing in it: a change that can't be entered is not made."""
    now_ms = author.clock.now_ms()
    row = {"number": number, "at_ms": now_ms, "door": author.door, "key_id": author.key_id}
    row |= {"user": author.user, "action": action, "subject": subject, "name": name}
    db.execute(insert(CHANGES).values(**row, detail=json.dumps(detail, sort_keys=True)))
    if enter is not None:
        enter(Change(number, now_ms, author.door, author.key_id, author.user, action, subject, name, detail))
