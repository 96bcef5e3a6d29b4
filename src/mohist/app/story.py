"""A run's log as lines that a person reads from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from mohist.agent.log import Entry
from mohist.agent.record import (
    Assistant,
    Check,
    Ended,
    Fragment,
    Grant,
    Header,
    Intent,
    Outcome,
    Pruned,
    Reached,
    Summary,
    Undone,
    User,
)
from mohist.provider.message import TextPart, ToolCall


def tell(entries: Sequence[Entry]) -> Iterator[str]:
    """One or more lines a record, each with its number and UTC time."""
    for entry in entries:
        time = datetime.fromtimestamp(entry.at_ms / 1000, UTC).strftime("%H:%M:%S")
        for text in _lines(entry):
            first, *rest = text.splitlines() or [""]
            yield f"{entry.seq:4} {time}  {first}"
            for line in rest:
                yield f"{'':15}{line}"


def _lines(entry: Entry) -> Iterator[str]:
    match entry.record:
        case Header() as header:
            named = ", ".join((*header.allow_hosts, *header.allow_private_hosts))
            network = f"{header.network} ({named})" if named else header.network
            yield f"run {header.run_id}: model {header.model}, mode {header.mode}, network {network}"
            yield f"in {header.workspace} at {header.base_commit[:12] or 'no commit'}; {header.sandbox}"
        case User(text):
            yield f"user: {text}"
        case Fragment(topic, _):
            yield f"told: {topic}"
        case Assistant(failure=failure) if failure:
            told = failure == "summary" or failure.startswith("sub-agent ")
            yield f"tokens of: {failure}" if told else f"model failed: {failure}"
        case Assistant(turn, parts):
            for part in parts:
                if isinstance(part, TextPart):
                    yield f"model: {part.text.strip()}"
                elif isinstance(part, ToolCall):
                    yield f"calls {part.name} {part.arguments[:300]}"
            if not parts:
                yield f"model: (empty answer in turn {turn})"
        case Intent(_, tool, scope):
            yield f"about to: {scope or tool}"
        case Outcome() as outcome:
            yield f"{outcome.status}: {outcome.summary} ({outcome.duration_ms} ms)"
            for change in outcome.written:
                yield f"  changed {change.path}"
        case Pruned(call_ids):
            yield f"{len(call_ids)} old results left out from here on"
        case Summary(text):
            yield f"summarised: {text}"
        case Grant(tool, covers):
            yield f"a person allowed for this run: {tool} {covers}"
        case Check() as check:
            yield f"check in a {check.where}: {check.command} → exit code {check.exit_code}, output {check.output_sha256}"
        case Reached(host, port, outcome, code) as reached:
            place = f"network: {host}:{port}" if port else f"network: {host}"
            counted = f", {reached.attempts} time(s), {reached.sent_bytes} bytes out, {reached.received_bytes} in"
            yield f"{place} {outcome}{f' ({code})' if code else ''}{counted if reached.attempts else ''}"
        case Undone(restored, kept):
            yield f"undone: {len(restored)} file(s) restored, {len(kept)} kept"
        case Ended(status, summary, detail):
            yield f"ended: {status}. {summary} {detail}".rstrip()
