"""What placeholders of a conversation stand for, where its requests don't carry all of it any more. In memory alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mohist.base import Clock

MAX_SESSIONS: Final = 1_000
MAX_VALUES: Final = 2_000
"""Of one session; the oldest go first."""
TTL_S: Final = 4 * 3_600.0
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Sessions:
    """Remembers; may be used from several threads.

    Args:
        clock: monotonic time.
        max_sessions: more than that are not kept; the one that was used least recently goes first.
        max_values: of one session.
        ttl_s: a session that was not used so long is forgotten.
    """

    def __init__(
        self, clock: Clock, max_sessions: int = MAX_SESSIONS, max_values: int = MAX_VALUES, ttl_s: float = TTL_S
    ) -> None:
        self._clock = clock
        self._max_sessions = max_sessions
        self._max_values = max_values
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[float, Mapping[str, str]]] = OrderedDict()

    def get(self, owner: str, session: str) -> Mapping[str, str]:
        """What stands for what in a session.

        Args:
            owner: whose it is; another's session of the same name is another.
            session: its name; empty: none, nothing is known of it.
        """
        if not session:
            return _NONE
        with self._lock:
            self._expire()
            return self._known.get((owner, session), (0.0, _NONE))[1]

    def put(self, owner: str, session: str, values: Mapping[str, str]) -> None:
        """Adds what was learnt of a session."""
        if not session or not values:
            return
        with self._lock:
            self._expire()
            _, before = self._known.pop((owner, session), (0.0, _NONE))
            joined = {**before, **values}
            for word in list(joined)[: max(0, len(joined) - self._max_values)]:
                del joined[word]
            self._known[owner, session] = self._clock.monotonic_s() + self._ttl_s, MappingProxyType(joined)
            while len(self._known) > self._max_sessions:
                self._known.popitem(last=False)

    def _expire(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._known and next(iter(self._known.values()))[0] <= now_s:
            self._known.popitem(last=False)
