"""What the commands of a run asked for on a fenced network, summed up from its records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mohist.agent.record import Reached, Record


@dataclass(frozen=True, slots=True)
class Place:
    """One host and port, over a whole run."""

    host: str
    port: int
    outcome: str
    """The most open thing that happened."""
    attempts: int
    refused: int
    sent_bytes: int
    received_bytes: int


def places(records: Iterable[Record]) -> tuple[Place, ...]:
    """What was asked for, those that got through first, then by name; what a killed process let through counts as `asked`."""
    order = ("through", "asked", "failed", "refused")
    found: dict[tuple[str, int], list[Reached]] = {}
    for record in records:
        if isinstance(record, Reached):
            found.setdefault((record.host, record.port), []).append(record)
    rows = []
    for (host, port), all_of in found.items():
        seen = {one.outcome for one in all_of}
        last = max((number for number, one in enumerate(all_of) if one.outcome == "asked"), default=0)
        # What was counted after it says what became of it, a refusal of its address among others.
        if any(one.attempts for one in all_of[last:]):
            seen.discard("asked")
        rows.append(
            Place(
                host,
                port,
                min(seen, key=order.index),
                sum(one.attempts for one in all_of),
                sum(one.attempts for one in all_of if one.outcome == "refused"),
                sum(one.sent_bytes for one in all_of),
                sum(one.received_bytes for one in all_of),
            )
        )
    return tuple(sorted(rows, key=lambda row: (order.index(row.outcome), row.host, row.port)))
