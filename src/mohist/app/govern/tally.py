"""What a governed client tried to reach, counted by host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mohist.app.govern.client import Residual
from mohist.sandbox.fence import Asked, Attempt

MAX_HOSTS = 1_000
"""Further ones are counted together: a client that makes names up must not fill the memory."""
_OTHERS = "(others)"


def _is_own(row: Reached) -> bool:
    """Whether it was asked for at the fence's own loopback alone, where nobody but the client's own programs can listen."""
    return row.carriers == {"other"} and (row.host.startswith("127.") or row.host in ("::1", "localhost"))


@dataclass(slots=True)
class Reached:
    """One host that was asked for."""

    host: str
    outcomes: Counter[str] = field(default_factory=Counter)
    """`through`, `served`, `refused`, `failed`."""
    codes: Counter[str] = field(default_factory=Counter)
    ports: set[int] = field(default_factory=set)
    carriers: set[str] = field(default_factory=set)
    sent_bytes: int = 0
    received_bytes: int = 0

    @property
    def verdict(self) -> str:
        """The most open thing that happened: one connection that got through counts for the whole."""
        return next((one for one in ("through", "served", "failed", "refused") if self.outcomes[one]), "refused")


class Tally:
    """Takes a fence's attempts.

    Args:
        residual: hosts that the client is known to look for.
        first: told of the first refusal of each host and port, at most `MAX_HOSTS` times.
    """

    def __init__(self, residual: Sequence[Residual], first: Callable[[Attempt], None]) -> None:
        self._residual = residual
        self._first = first
        self._hosts: dict[str, Reached] = {}
        self._told: set[tuple[str, int, str]] = set()
        self.attempts = 0
        self.refused = 0

    def take(self, attempt: Attempt) -> None:
        """Counts one attempt."""
        asked = attempt.asked
        self.attempts += 1
        host = asked.host if asked.host in self._hosts or len(self._hosts) < MAX_HOSTS else _OTHERS
        row = self._hosts.setdefault(host, Reached(host))
        row.outcomes[attempt.outcome] += 1
        row.carriers.add(asked.carrier)
        if asked.port:
            row.ports.add(asked.port)
        if attempt.code:
            row.codes[attempt.code] += 1
        row.sent_bytes += attempt.sent_bytes
        row.received_bytes += attempt.received_bytes
        if attempt.outcome == "refused" and not _is_own(self._hosts[host]):
            self.refused += 1
            self._tell(attempt, asked)

    def _tell(self, attempt: Attempt, asked: Asked) -> None:
        place = (asked.host, asked.port, attempt.code)
        if place not in self._told and len(self._told) < MAX_HOSTS:
            self._told.add(place)
            self._first(attempt)

    def outside(self, gateway: str) -> list[Reached]:
        """Those that are neither the gateway nor the client itself, which may look for servers of its own on loopback."""
        return [row for row in self.hosts() if row.host != gateway and not _is_own(row)]

    def why(self, host: str) -> str:
        """What the client's table says of a host; empty: nothing."""
        for one in self._residual:
            if host == one.host or (one.host.startswith("*.") and host.endswith(one.host[1:])):
                return one.why
        return ""

    def hosts(self) -> list[Reached]:
        """All that were asked for, those that got through first, then by name."""
        order = ("through", "served", "failed", "refused")
        return sorted(self._hosts.values(), key=lambda row: (order.index(row.verdict), row.host))

    def as_json(self) -> list[dict[str, Any]]:
        """For the report."""
        return [
            {
                "host": row.host,
                "verdict": row.verdict,
                "attempts": row.outcomes.total(),
                "outcomes": dict(sorted(row.outcomes.items())),
                "codes": dict(sorted(row.codes.items())),
                "ports": sorted(row.ports),
                "carriers": sorted(row.carriers),
                "sent_bytes": row.sent_bytes,
                "received_bytes": row.received_bytes,
                "known": self.why(row.host),
            }
            for row in self.hosts()
        ]
