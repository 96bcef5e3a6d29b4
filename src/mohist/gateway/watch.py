"""Ends a call from outside: its client hung up, or its key does not hold any more."""

from __future__ import annotations

import asyncio
from typing import Self

from mohist.gateway.asgi import Message, Receive
from mohist.gateway.call import Gatekeeper, Principal, Refusal


class Watch:
    """Cancels the task it was entered in when the client hangs up, or when it is told to.

    A task and a callback instead of a task group: this is on the path of every call.
    """

    def __init__(self, receive: Receive, principal: Principal, patrol: Patrol) -> None:
        self._receive = receive
        self._patrol = patrol
        self.principal = principal
        self.hung_up = False
        self.refusal: Refusal | None = None
        """Why the call was ended; None unless it was."""

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._listener = asyncio.ensure_future(self._receive())
        self._listener.add_done_callback(self._heard)
        self._patrol.watches.add(self)
        return self

    def end(self, refusal: Refusal) -> None:
        """Cancels the call; a second time, or after a hang-up, does nothing."""
        if self._task is not None and not self.hung_up and self.refusal is None:
            self.refusal = refusal
            self._task.cancel()

    def _heard(self, listener: asyncio.Future[Message]) -> None:
        if listener.cancelled() or listener.exception() is not None or self._task is None or self.refusal is not None:
            return
        if listener.result()["type"] == "http.disconnect":
            self.hung_up = True
            self._task.cancel()

    def __exit__(self, *_: object) -> None:
        self._patrol.watches.discard(self)
        self._listener.remove_done_callback(self._heard)
        self._listener.cancel()
        if (self.hung_up or self.refusal is not None) and self._task is not None:
            self._task.uncancel()


class Patrol:
    """Asks again and again whether the keys of the calls under way still hold.

    Args:
        gatekeeper: asked.
        every_s: how often.
    """

    def __init__(self, gatekeeper: Gatekeeper, every_s: float) -> None:
        self._gatekeeper = gatekeeper
        self._every_s = every_s
        self.watches: set[Watch] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            for watch in list(self.watches):
                if (refusal := self._gatekeeper.holds(watch.principal)) is not None:
                    watch.end(refusal)
