"""Where sessions live: the upstream that keeps a session's cache warm, and the account that signed its thinking."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mohist.gateway.thinking import MAX_MARKS

MAX_SESSIONS = 10_000


@dataclass(slots=True)
class Home:
    """One session's."""

    upstream: str
    payer: str
    """The account that answered last; it signed what nobody in `signers` did."""
    signers: dict[bytes, str] = field(default_factory=dict)
    """Mark of a thinking block -> account; empty until the session changes its account."""


class Homes:
    """The sessions seen last."""

    def __init__(self) -> None:
        self._homes: OrderedDict[str, Home] = OrderedDict()

    def get(self, session_id: str) -> Home | None:
        """The session's; None when it is new, forgotten or unnamed."""
        return self._homes.get(session_id) if session_id else None

    def settle(self, session_id: str, upstream: str, payer: str, before: str, marks: Iterable[bytes]) -> None:
        """The session was answered by `upstream`; `marks` were in its history and signed by account `before`."""
        if not session_id:
            return
        home = self._homes.get(session_id)
        if home is None:
            home = self._homes[session_id] = Home(upstream, payer)
            if len(self._homes) > MAX_SESSIONS:
                self._homes.popitem(last=False)
        else:
            self._homes.move_to_end(session_id)
        home.upstream, home.payer = upstream, payer
        for mark in marks:
            home.signers.setdefault(mark, before)
        while len(home.signers) > MAX_MARKS:
            del home.signers[next(iter(home.signers))]
