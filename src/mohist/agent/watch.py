"""Notices a run that goes in circles: the same call with the same result, again and again.

The result counts, not the call alone: polling a job that makes progress is no loop, and calls that
poll by design are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mohist.agent.record import Assistant, Outcome, Record
from mohist.base import sha256_hex
from mohist.provider.message import ToolCall

POLLING = frozenset({"job"})
"""Tools that are asked again and again by design."""


def repeats(records: Sequence[Record]) -> int:
    """How often the most frequent of the newest answer's calls has come with the same result since the user last spoke."""
    calls: dict[str, ToolCall] = {}
    seen: Counter[str] = Counter()
    newest: set[str] = set()
    for record in records:
        if isinstance(record, Assistant) and not record.failure:
            newest = set()
            calls.update({part.id: part for part in record.parts if isinstance(part, ToolCall)})
        elif isinstance(record, Outcome) and record.call_id in calls and record.tool not in POLLING:
            call = calls[record.call_id]
            key = sha256_hex(f"{call.name}\0{call.arguments}\0{record.text}".encode("utf-8", "surrogatepass"))
            seen[key] += 1
            newest.add(key)
    return max((seen[key] for key in newest), default=0)


def format_errors(records: Sequence[Record]) -> int:
    """Answers in a row, the newest included, all of whose calls were malformed."""
    count = 0
    statuses: list[str] = []
    for record in reversed(records):
        if isinstance(record, Outcome):
            statuses.append(record.status)
        elif isinstance(record, Assistant) and not record.failure:
            if not statuses or any(status != "invalid" for status in statuses):
                break
            count += 1
            statuses = []
    return count
