"""Enters in the ledger who came to administer, and how many were refused."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import anyio
from anyio import to_thread

from mohist.base import Clock, MohistError
from mohist.gateway.call import Principal, Refusal
from mohist.gateway.entry import Taker, sign_in_draft, sign_in_refused_draft
from mohist.ledger import Draft

_log = logging.getLogger(__name__)

STAY_S: Final = 3_600.0
"""A key shows itself with each request; once in this time is one sign-in."""
REFUSED_EVERY_S: Final = 10.0
"""Refusals come as fast as somebody guesses; so often they are counted into one entry."""
MAX_KEYS: Final = 10_000
_UNENTERED: Final = Refusal(
    "unavailable", 503, "This gateway's ledger can't take entries, and nobody administers without one.", 5.0
)


class Attendance:
    """Asked for each request, before it is worked on.

    Args:
        ledger: takes the entries.
        name: makes pseudonyms.
        clock: monotonic time.
    """

    def __init__(self, ledger: Taker, name: Callable[[str, str], str], clock: Clock) -> None:
        self._ledger = ledger
        self._name = name
        self._clock = clock
        self._lock = anyio.Lock()
        self._came: OrderedDict[str, float] = OrderedDict()
        self._refused = 0
        self._status = 0
        self._told_s = float("-inf")

    async def checked(self, who: Principal | Refusal) -> Principal | Refusal:
        """Who comes in: the same, or a refusal where a sign-in can't be entered."""
        async with self._lock:
            now_s = self._clock.monotonic_s()
            if isinstance(who, Refusal):
                if who.status in (401, 403):
                    self._refused, self._status = self._refused + 1, who.status
                    if now_s - self._told_s >= REFUSED_EVERY_S:
                        self._told_s = now_s
                        await self.close()
                return who
            if now_s - self._came.get(who.key_id, float("-inf")) < STAY_S:
                return who
            if not await self._enter(lambda: sign_in_draft(who, self._name)):
                return _UNENTERED
            self._came[who.key_id] = now_s
            if len(self._came) > MAX_KEYS:
                self._came.popitem(last=False)
            return who

    async def close(self) -> None:
        """Enters refusals that were counted and not entered yet."""
        count, status = self._refused, self._status
        if count and await self._enter(lambda: sign_in_refused_draft(status, count)):
            self._refused -= count

    async def _enter(self, draft: Callable[[], Draft]) -> bool:
        try:
            # Making a pseudonym and opening the ledger touch the disk.
            await to_thread.run_sync(lambda: self._ledger.submit(draft()).result())
        except MohistError as error:
            _log.error("a sign-in is not entered: %s", error)
            return False
        return True
