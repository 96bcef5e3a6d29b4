"""A call that waits until a budget has room for it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from mohist.gateway.pot import Pair, Pot

Outcome = Literal["filled", "short", "lost"]
"""Whether pots were looked after: they were; nothing is left in one for the present; the database is away."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One call."""

    pots: list[Pot]
    needs: Pair
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Outcome]
    seen: bool = False
    """The database was asked on its behalf."""

    def tell(self, outcome: Outcome) -> None:
        def set_it() -> None:
            if not self.future.done():
                self.future.set_result(outcome)

        with suppress(RuntimeError):  # its loop is closed: nobody waits
            self.loop.call_soon_threadsafe(set_it)
