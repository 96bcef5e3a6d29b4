"""Makes a log whole again after its process was killed: no effect is repeated, none is forgotten.

A call with an intent but no outcome may or may not have taken effect; the model is told so, with what
its files look like now. A call without an intent did not start. What a command changed before it was
interrupted is found by `TreeWatch.keep_dirty`, so that undo covers it.
"""

from __future__ import annotations

from pathlib import Path

from mohist.agent.content import look
from mohist.agent.log import RunLog
from mohist.agent.record import Assistant, Intent, Outcome
from mohist.provider.message import AssistantMessage


def repair(log: RunLog) -> int:
    """Appends the missing outcomes; returns how many calls may have taken effect unseen."""
    records = log.records
    outcomes = {record.call_id for record in records if isinstance(record, Outcome)}
    intents = {record.call_id: record for record in records if isinstance(record, Intent)}
    unknown = 0
    for record in records:
        if not isinstance(record, Assistant) or record.failure:
            continue
        for call in AssistantMessage(record.parts).calls:
            if call.id in outcomes:
                continue
            intent = intents.get(call.id)
            if intent is None:
                text = "This call did not start: Mohist was stopped before it. Nothing was done."
                log.append(Outcome(call.id, call.name, "not_started", text, f"not started: {call.name}"))
                continue
            unknown += 1
            evidence = evidence_of(intent, Path(log.header.workspace))
            text = (
                "Unknown whether this ran: Mohist was stopped while it was going on. It may have taken effect wholly, "
                "in part or not at all. Look before you do it again."
            )
            if evidence:
                text += f" Evidence: {evidence}."
            log.append(Outcome(call.id, call.name, "unknown", text, f"unknown whether this ran: {intent.scope}"))
    return unknown


def evidence_of(intent: Intent, workspace: Path) -> str:
    """What the files of an interrupted call look like now, for the model."""
    lines = []
    for image in intent.pre_images:
        path = Path(image.path)
        content = look(workspace, path, 0)
        same = (content.sha256 if content else None) == image.blob
        name = path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else str(path)
        lines.append(f"{name}: {'unchanged' if same else 'changed'} since before the call")
    return "; ".join(lines)
