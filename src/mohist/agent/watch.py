"""Notices a run that goes in circles: the same call with the same result, again and again.

The result counts, not the call alone: polling a job that makes progress is no loop, and calls that
poll by design are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mohist.agent.record import Assistant, Ended, Fragment, Outcome, Record, User
from mohist.provider.message import AssistantMessage, ToolCall

NOT_DONE = "not done yet"
"""Topic of the fragment that says why an answer in plain words does not end the run."""

POLLING = frozenset({"job"})
"""Tools that are asked again and again by design."""


def repeats(records: Sequence[Record]) -> int:
    """How often the most frequent of the newest answer's calls has come with the same result.

    Counted since the user last spoke, the run last ended, or a call changed files in a way not seen before:
    a test that fails the same way after each of ten different edits is work, not a circle.
    """
    calls: dict[str, ToolCall] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    changes: set[tuple[str, str, str]] = set()
    newest: set[tuple[str, str, str]] = set()
    for record in records:
        if isinstance(record, Assistant) and not record.failure:
            newest = set()
            calls.update({part.id: part for part in record.parts if isinstance(part, ToolCall)})
        elif isinstance(record, User | Ended):
            seen.clear()
        elif isinstance(record, Outcome) and record.call_id in calls and record.tool not in POLLING:
            call = calls[record.call_id]
            # Strings remember their hash, so this costs no look at a long text twice.
            key = (call.name, call.arguments, record.text)
            if record.written and key not in changes:
                changes.add(key)
                seen.clear()
            seen[key] += 1
            newest.add(key)
    return max((seen[key] for key in newest), default=0)


def format_errors(records: Sequence[Record]) -> int:
    """Answers in a row, the newest included, all of whose calls were malformed; since the user last spoke."""
    count = 0
    statuses: list[str] = []
    for record in reversed(records):
        if isinstance(record, User | Ended):
            break
        if isinstance(record, Outcome):
            statuses.append(record.status)
        elif isinstance(record, Assistant) and not record.failure:
            if not statuses or any(status != "invalid" for status in statuses):
                break
            count += 1
            statuses = []
    return count


def refusals_of_done(records: Sequence[Record]) -> int:
    """How often the completion gate did not hold since the user last spoke."""
    count = 0
    for record in reversed(records):
        if isinstance(record, User | Ended):
            break
        count += isinstance(record, Outcome) and record.tool == "done" and record.status == "failed"
        count += isinstance(record, Fragment) and record.topic == NOT_DONE
    return count


def empty_answers(records: Sequence[Record]) -> int:
    """Answers in a row, the newest included, with neither words nor calls; since the user last spoke."""
    count = 0
    for record in reversed(records):
        if isinstance(record, User | Ended):
            break
        if isinstance(record, Assistant) and not record.failure:
            message = AssistantMessage(record.parts)
            if message.calls or message.text.strip():
                break
            count += 1
    return count
