"""`mohist deliver triggers`: what begins deliveries, when next, and what last."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.app.office import Office
    from mohist.app.trigger import TriggerState


def triggers(office: Office, args: argparse.Namespace) -> int:
    from mohist.app.trigger import look_at_triggers

    states, listening = look_at_triggers(office)
    if args.json:
        print(json.dumps([_as_json(state) for state in states], indent=2))
        return ExitCode.DONE
    if not states:
        print("no triggers: [trigger.NAME] in deliver.toml of the state folder; see docs/delivery.md")
    for state in states:
        for line in _lines(state, listening):
            print(line)
    return ExitCode.DONE


def _as_json(state: TriggerState) -> dict[str, Any]:
    trigger, last = state.trigger, state.last
    return {
        "name": trigger.name,
        "kind": trigger.kind,
        "repository": str(trigger.repository),
        "requester": trigger.requester,
        "origin": trigger.origin,
        "waits_for": state.waits_for,
        "next_at_ms": state.next_at_ms,
        "under_way": state.under_way,
        "most_open": trigger.most_open,
        "last": last
        and {
            "at_ms": last.claimed_at_ms,
            "due_at_ms": last.due_at_ms,
            "status": last.status,
            "delivery": last.delivery_id,
            "source": last.source,
            "detail": last.detail,
        },
        "told": state.told,
        "told_at_ms": state.told_at_ms,
    }


def _lines(state: TriggerState, listening: str) -> list[str]:
    from mohist.terminal.style import plain

    trigger, last = state.trigger, state.last
    lines = [f"{trigger.name}  {trigger.kind}  {plain(state.waits_for)}"]
    if trigger.kind == "webhook":
        lines.append(
            f"  at {listening}/hooks/{trigger.name}" if listening else "  nothing listens: [webhooks] listen = …"
        )
    lines.append(f"  into {plain(str(trigger.repository))}, asked for by {trigger.requester}; {trigger.origin}")
    if state.next_at_ms:
        lines.append(f"  next {_time(state.next_at_ms)}")
    if last is None:
        lines.append("  never fired")
    else:
        detail = f": {plain(last.detail)[:160]}" if last.detail else ""
        lines.append(f"  last {_time(last.claimed_at_ms)} {last.delivery_id} {last.status}{detail}")
    if state.under_way:
        lines.append(f"  {state.under_way} of at most {trigger.most_open} under way")
    if state.told:
        lines.append(f"  {_time(state.told_at_ms)} {plain(state.told)}")
    return lines


def _time(at_ms: int) -> str:
    """In the zone of whoever reads it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
