"""Notices that a client hung up while its call runs."""

from __future__ import annotations

import asyncio
from typing import Self

from mohist.gateway.asgi import Message, Receive


class Watch:
    """Cancels the task it was entered in when the client hangs up.

    A task and a callback instead of a task group: this is on the path of every call.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.hung_up = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._listener = asyncio.ensure_future(self._receive())
        self._listener.add_done_callback(self._heard)
        return self

    def _heard(self, listener: asyncio.Future[Message]) -> None:
        if listener.cancelled() or listener.exception() is not None or self._task is None:
            return
        if listener.result()["type"] == "http.disconnect":
            self.hung_up = True
            self._task.cancel()

    def __exit__(self, *_: object) -> None:
        self._listener.remove_done_callback(self._heard)
        self._listener.cancel()
        if self.hung_up and self._task is not None:
            self._task.uncancel()
