"""Ends a call from outside: its client hung up, or its key does not hold any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, Self

from mohist.gateway.asgi import Message, Receive
from mohist.gateway.call import Gatekeeper, Principal, Refusal

LINE = "mohist.line"
"""Where a scope holds the `Line`; a server need not have one."""


class Line(Protocol):
    """The connection that a request came by. A server that shows it spares every call a task that listens."""

    loop: asyncio.AbstractEventLoop
    """That it lives in; to look for it takes a call of the system."""

    @property
    def has_whole_body(self) -> bool:
        """The request's body has come, so that `receive` gives it without waiting."""
        ...

    def listen(self, tell: Callable[[], None]) -> None:
        """Has `tell` called when it closes; at once if it is closed."""
        ...

    def leave(self, tell: Callable[[], None]) -> None:
        """Ends that."""
        ...


class Watch:
    """Cancels the task it was entered in when the client hangs up, or when it is told to.

    A callback instead of a task group: this is on the path of every call.
    """

    def __init__(self, receive: Receive, line: Line | None, principal: Principal, patrol: Patrol) -> None:
        self._receive = receive
        self._line = line
        self._listener: asyncio.Future[Message] | None = None
        self._patrol = patrol
        self.principal = principal
        self.hung_up = False
        self.refusal: Refusal | None = None
        """Why the call was ended; None unless it was."""

    def __enter__(self) -> Self:
        self._task = asyncio.current_task(self._line.loop if self._line is not None else None)
        if self._line is None:
            self._listener = asyncio.ensure_future(self._receive())
            self._listener.add_done_callback(self._heard)
        else:
            self._line.listen(self._hang_up)
        self._patrol.watches.add(self)
        return self

    def end(self, refusal: Refusal) -> None:
        """Cancels the call; a second time, or after a hang-up, does nothing."""
        if self._task is not None and not self.hung_up and self.refusal is None:
            self.refusal = refusal
            self._task.cancel()

    def _heard(self, listener: asyncio.Future[Message]) -> None:
        if not listener.cancelled() and listener.exception() is None and listener.result()["type"] == "http.disconnect":
            self._hang_up()

    def _hang_up(self) -> None:
        if self._task is not None and self.refusal is None:
            self.hung_up = True
            self._task.cancel()

    def __exit__(self, *_: object) -> None:
        self._patrol.watches.discard(self)
        if self._line is not None:
            self._line.leave(self._hang_up)
        if self._listener is not None:
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
