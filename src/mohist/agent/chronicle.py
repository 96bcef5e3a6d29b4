"""Enters a run in the ledger, record by record: what it was asked, what it is about to do, what came of it, which lines it wrote.

An intent is durable in the ledger before its effect starts. Where nothing can be entered, the run can't go on: `LedgerError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from mohist.agent.attribution import WHOLE, blob_id, encoded, trace_record, written_lines
from mohist.agent.errors import LogError
from mohist.agent.log import Entry, RunLog
from mohist.agent.record import (
    Assistant,
    Check,
    Ended,
    FileChange,
    Grant,
    Header,
    Intent,
    Outcome,
    Reached,
    Undone,
    User,
)
from mohist.base import sha256_hex
from mohist.ledger import Content, Draft, Receipt, Value

MAX_RANGES = 100
"""In an entry itself; all of them stand in its content."""
MAX_WORD_CHARS = 300


class Witness(Protocol):
    """What a run needs of the ledger."""

    def submit(self, draft: Draft) -> Future[Receipt]:
        """See `mohist.ledger.Ledger`."""
        ...

    def append(self, draft: Draft) -> Receipt:
        """See `mohist.ledger.Ledger`."""
        ...


class RunChronicle:
    """One run's, or one sub-agent's.

    Args:
        ledger: takes the entries.
        name: (sort, name) -> pseudonym.
        log: the run's; heard from now on.
        person: whose run it is.
        keep: whether prompts, commands and changes are kept, or only committed to.
        delivery: whose run it is part of; empty: of none.
        configuration: digests of what is in force, by what they are of; empty: not known.

    Raises:
        LedgerError: from here and from every append to the log: nothing can be entered.
    """

    def __init__(
        self,
        ledger: Witness,
        name: Callable[[str, str], str],
        log: RunLog,
        *,
        person: str,
        keep: bool,
        delivery: str = "",
        configuration: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        header = log.header
        self._ledger = ledger
        self._log = log
        self._keep = keep
        self._stream = f"run:{header.run_id}" + (f"/{log.folder.name}" if header.parent_run else "")
        self._person = name("person", person)
        self._about = {"run": header.run_id, **({"delivery": delivery} if delivery else {})}
        self._model = header.model
        self._prompt: Receipt | None = None
        self._pending: list[Future[Receipt]] = []
        self._tools: dict[str, str] = {}
        for entry in log.entries:
            # A run that is resumed is entered from its start; what was entered before is known by its key.
            self._hear(entry)
        if configuration:
            # A run that is resumed under other settings says so; under the same ones this is the same entry.
            key = f"{self._stream}/configuration/{'/'.join(configuration.values())}"
            self._later(self._draft("configuration", key, data=dict(configuration)))
        log.heard = self._hear

    def _hear(self, entry: Entry) -> None:
        record, key = entry.record, f"{self._stream}/{entry.seq}"
        self._settle(wait=False)
        match record:
            case Header():
                self._later(self._opening(record, key))
            case User():
                content = Content(
                    "prompt", "text/plain", record.text.encode("utf-8", "replace"), self._person, self._keep
                )
                self._prompt = self._ledger.append(self._draft("run.prompt", key, contents=(content,)))
            case Intent():
                self._tools[record.call_id] = key
                words = Content(
                    "command",
                    "text/plain",
                    (record.command or record.scope).encode("utf-8", "replace"),
                    self._person,
                    self._keep,
                )
                data: dict[str, Value] = {"tool": record.tool, "effect": record.effect, "call": record.call_id}
                self._ledger.append(self._draft("tool.intent", key, data=data, contents=(words,)))
            case Outcome():
                self._outcome(record, key)
            case Assistant() if record.usage is not None:
                # The call itself is the gateway's to enter; this ties its cost to the run.
                self._later(self._draft("budget", key, data=_spent(record)))
            case Grant():
                self._later(
                    self._draft("approval", key, data={"tool": record.tool, "covers": record.covers[:MAX_WORD_CHARS]})
                )
            case Check():
                data = {
                    "check": record.command[:MAX_WORD_CHARS],
                    "exit_code": record.exit_code,
                    "output": record.output_sha256,
                    "change": record.change_sha256,
                    "where": record.where,
                }
                self._later(self._draft("verdict", key, data=data))
            case Reached():
                self._later(self._reach(record, key))
            case Undone():
                self._later(
                    self._draft("attribution", key, data={"undone": len(record.restored), "kept": len(record.kept)})
                )
            case Ended():
                self._later(self._draft("run.close", key, data={"status": record.status, "records": entry.seq + 1}))
                # With its count, so that the run can be shown complete; one that is resumed is closed again.
                self._later(self._draft("stream.close", f"{key}/closed"))
                self._settle(wait=True)
            case _:
                return

    def _outcome(self, record: Outcome, key: str) -> None:
        intent = self._tools.pop(record.call_id, "")
        data: dict[str, Value] = {
            "tool": record.tool,
            "status": record.status,
            "rule": record.rule_id,
            "ms": record.duration_ms,
            "files": len(record.written),
        }
        about = {"intent": intent} if intent else {}
        text = Content("result", "text/plain", record.text.encode("utf-8", "replace"), self._person, keep=False)
        # What only looks has no intent; what was refused never became a tool call.
        kind = "verdict" if record.status == "denied" else "tool.result"
        self._later(self._draft(kind, key, about=about, data=data, contents=(text,)))
        # A sub-agent's writes are in its own stream.
        if record.status == "done" and record.tool != "task":
            for number, change in enumerate(record.written):
                self._later(self._attribution(change, record, f"{key}/{number}", intent))

    def _attribution(self, change: FileChange, record: Outcome, key: str, intent: str) -> Draft:
        workspace = Path(self._log.header.workspace)
        path = Path(change.path)
        name = path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else path.name
        before, after = self._content(change.before, path), self._content(change.after, path)
        about = {"prompt": str(self._prompt.index) if self._prompt else "", **({"intent": intent} if intent else {})}
        blobs = (blob_id(before) if before is not None else "", blob_id(after) if after is not None else "")
        data: dict[str, Value] = {
            "path": name,
            "model": self._model,
            "tool": record.tool,
            "before": blobs[0],
            "after": blobs[1],
        }
        if change.after is None:
            return self._draft("attribution", key, about=about, data={**data, "deleted": True})
        lines = (
            written_lines(before, after) if after is not None and (before is not None or not change.before) else WHOLE
        )
        data |= {
            "lines": len(lines.numbers),
            "removed": lines.removed,
            "whole": lines.whole,
            "ranges": [list(one) for one in lines.ranges[:MAX_RANGES]],
        }
        at = datetime.fromtimestamp(self._log.entries[-1].at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        trace = trace_record(
            name,
            lines,
            model=self._model,
            tool=record.tool,
            conversation=f"urn:mohist:{self._stream}:{about['prompt']}",
            at=at,
            base_commit=self._log.header.base_commit,
            blobs=blobs,
        )
        # Code is not a person's: it stays when its author is erased, and it is what the trace is made of, so it is always kept.
        content = Content("trace", "application/json", encoded(trace), subject="repository")
        return self._draft("attribution", key, about=about, data=data, contents=(content,))

    def _content(self, sha256: str | None, path: Path) -> bytes | None:
        """A file as it was, where that is still known."""
        if not sha256:
            return None
        try:
            return self._log.load_blob(sha256)
        except LogError:
            # What an edit left behind is not stored, since it is in the file.
            try:
                content = path.read_bytes()
            except OSError:
                return None
            return content if sha256_hex(content) == sha256 else None

    def _opening(self, header: Header, key: str) -> Draft:
        data: dict[str, Value] = {
            "model": header.model,
            "mode": header.mode,
            "sandbox": header.sandbox,
            "network": header.network,
            "base": header.base_commit,
        }
        about = {"parent": header.parent_run} if header.parent_run else {}
        return self._draft("run.open", key, about=about, data=data)

    def _reach(self, record: Reached, key: str) -> Draft:
        verdict = "deny" if record.outcome == "refused" else "allow"
        data: dict[str, Value] = {"verdict": verdict, "what": "network", "outcome": record.outcome, "code": record.code}
        data |= {"port": record.port, "attempts": record.attempts}
        data |= {"sent_bytes": record.sent_bytes, "received_bytes": record.received_bytes}
        # A name can be made to hold anything, so it stands in no entry itself.
        host = Content("asked", "text/plain", record.host.encode("utf-8", "replace"), self._person, self._keep)
        return self._draft("verdict", key, data=data, contents=(host,))

    def _draft(
        self,
        kind: str,
        key: str,
        *,
        about: dict[str, str] | None = None,
        data: dict[str, Value] | None = None,
        contents: tuple[Content, ...] = (),
    ) -> Draft:
        return Draft(
            kind,  # type: ignore[arg-type]  # checked when it is encoded
            self._stream,
            f"model:{self._model}",
            on_behalf_of=self._person,
            about={**self._about, **(about or {})},
            data=data or {},
            contents=contents,
            key=key,
        )

    def _later(self, draft: Draft) -> None:
        self._pending.append(self._ledger.submit(draft))

    def _settle(self, *, wait: bool) -> None:
        """Finds out what became of entries that nothing waited for.

        Raises:
            LedgerError: one was not entered.
        """
        left = []
        for future in self._pending:
            if wait or future.done():
                future.result()
            else:
                left.append(future)
        self._pending = left


def _spent(record: Assistant) -> dict[str, Value]:
    assert record.usage is not None
    return {
        "turn": record.turn,
        "model": record.model,
        "input_tokens": record.usage.input_tokens,
        "output_tokens": record.usage.output_tokens,
        "cost_microusd": record.cost_microusd,
    }
