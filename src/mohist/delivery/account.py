"""Everything that a report shows, put together from the book and the diff: values and their words, no markup.

Nothing is said that is not a row in the book or a line of the diff, but where all of it stands in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from mohist.base import MohistError
from mohist.delivery.book import Book
from mohist.delivery.chronicle import ChronicledStore
from mohist.delivery.machine import state_of
from mohist.delivery.owner import path_matches
from mohist.delivery.port import Ground
from mohist.delivery.stage import ask
from mohist.delivery.state import (
    Decision,
    Delivery,
    Evidence,
    Facts,
    Finding,
    Gate,
    Note,
    Plan,
    Release,
    Spec,
    StageRow,
)
from mohist.delivery.verdict import PROBE, MatrixRow, verdict_of

_BLAMED_FILES: Final = 200
"""Whose lines are looked up one by one; a change of more is read by its files."""
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class FileChange:
    """What the change did to one file."""

    path: str
    added: int
    removed: int
    hunks: tuple[str, ...]
    """Line ranges in the new file: `12-18`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the matrix: a criterion, or a check of the project."""

    row: MatrixRow
    text: str
    evidence: tuple[Evidence, ...]
    files: tuple[FileChange, ...]
    """Lines that commits of the tasks that carry this criterion brought; where nobody knows the commits, the files that
    those tasks may touch."""


ORDERS: Final = frozenset(
    {"comment", "paused", "resumed", "taken", "handed-back", "retry", "delegated", "overdue", "budget"}
)
"""Kinds of notes that are no decision, and steer the work all the same."""


@dataclass(frozen=True, slots=True)
class Told:
    """A decision with its gate."""

    gate: Gate
    decision: Decision


@dataclass(frozen=True, slots=True)
class Report:
    """All that is shown."""

    delivery: Delivery
    title: str
    spec: Spec | None
    plan: Plan | None
    lines: tuple[Line, ...]
    checks: tuple[Line, ...]
    stages: tuple[StageRow, ...]
    gates: tuple[Gate, ...]
    findings: tuple[Finding, ...]
    releases: tuple[Release, ...]
    files: tuple[FileChange, ...]
    not_done: tuple[str, ...]
    cost_microusd: int
    tokens: int
    unpriced: int = 0
    """Runs whose price nobody knows, and which `cost_microusd` is without."""
    held_microusd: int = 0
    """What those counted against the bound."""

    ledger: str = ""
    """Where its entries stand in the ledger; empty: there is none."""

    orders: tuple[Note, ...] = ()
    """What people said and ordered beside their decisions at gates, and what waited too long."""

    @property
    def told(self) -> tuple[Told, ...]:
        """Decisions, oldest first."""
        said = [Told(gate, decision) for gate in self.gates for decision in gate.decisions]
        return tuple(sorted(said, key=lambda one: one.decision.at_ms))

    @property
    def verdict(self) -> str:
        """One line for who reads nothing else."""
        held = sum(line.row.holds is True for line in self.lines)
        criteria = f"{held} of {len(self.lines)} criteria hold" if self.lines else "no criteria"
        serving = [release for release in self.releases if release.status == "committed"]
        back = [release for release in self.releases if release.status in ("rolled-back", "failed")]
        where = ", ".join(f"serves in {release.environment}" for release in serving)
        taken = ", ".join(f"{release.status} in {release.environment}" for release in back)
        merged = f"merged as {self.delivery.merged[:12]}" if self.delivery.merged else "not merged"
        return "; ".join(part for part in (criteria, merged, where, taken) if part)


async def gather(book: Book, ground: Ground | None, delivery_id: str, as_of: str = "") -> Report:
    """Reads everything.

    Args:
        book: the tables.
        ground: for the diff; None: the lines are left out.
        delivery_id: the whole id.
        as_of: `report`: said while that stage runs, which is not yet done then.
    """
    facts = await ask(book.facts, delivery_id)
    delivery = facts.delivery
    diff, carried = "", None
    if ground is not None and delivery.commit:
        try:
            diff = await ground.diff(delivery.base_commit, delivery.commit)
            named = [one.path for one in files_of(diff) if one.hunks][:_BLAMED_FILES]
            carried = await ground.carried(delivery.base_commit, delivery.commit, named)
        except MohistError:
            diff = ""  # The objects are gone; the report says which commit it was.
    evidence = await ask(book.evidence, delivery_id)
    findings = await ask(book.findings, delivery_id)
    notes = await ask(book.notes, delivery_id)
    orders = tuple(note for note in notes if note.kind in ORDERS)
    made = replace(report_of(facts, evidence, findings, diff, as_of, carried), orders=orders)
    place = book.chronicle.place if isinstance(book, ChronicledStore) and book.chronicle is not None else None
    return made if place is None else replace(made, ledger=await ask(place, delivery_id))


def report_of(
    facts: Facts,
    evidence: Sequence[Evidence],
    findings: Sequence[Finding],
    diff: str,
    as_of: str = "",
    carried: Mapping[str, Mapping[int, str]] | None = None,
) -> Report:
    """The report of these facts: pure.

    Args:
        carried: of each file the lines that the change brought, with the task whose commit did; None: nobody knows.
    """
    delivery, spec, plan = facts.delivery, facts.spec, facts.plan
    if as_of == "report":
        # What the machine will say once this stage is done.
        failed = next((row for row in state_of(facts).values() if row.status == "failed"), None)
        delivery = replace(delivery, status="failed" if failed else "done", detail=failed.detail if failed else "")
    criteria = spec.criteria if spec else ()
    ids = {one.evidence_id: one for one in evidence}
    newest = _newest(evidence)
    verified = verdict_of(newest, criteria)
    files = files_of(diff)
    texts = {one.criterion_id: one.text for one in criteria}
    lines = [
        Line(
            row,
            texts.get(row.subject, ""),
            tuple(ids[name] for name in row.evidence if name in ids),
            _carried(row.subject, plan, files, carried) if row.criterion else (),
        )
        for row in verified.matrix
    ]
    stages = tuple(sorted(facts.stages, key=lambda row: (row.began_at_ms or 2**62, row.attempt)))
    return Report(
        delivery,
        _title(spec, delivery),
        spec,
        plan,
        tuple(line for line in lines if line.row.criterion),
        tuple(line for line in lines if not line.row.criterion),
        stages,
        facts.gates,
        tuple(findings),
        facts.releases,
        files,
        _not_done(facts, lines, findings, as_of),
        delivery.spent_microusd,
        delivery.spent_tokens,
        delivery.unpriced,
        delivery.held_microusd,
    )


def files_of(diff: str) -> tuple[FileChange, ...]:
    """Files and line ranges of a diff as git writes it."""
    files: list[FileChange] = []
    old = path = ""
    added = removed = 0
    hunks: list[str] = []
    left = [0, 0]

    def close() -> None:
        if path or old:
            files.append(FileChange(path or old, added, removed, tuple(hunks)))

    for line in diff.splitlines():
        if left != [0, 0] and line[:1] in (" ", "+", "-", "\\"):
            # Inside a hunk a line of the text may look like a header.
            added += line[:1] == "+"
            removed += line[:1] == "-"
            left[0] -= line[:1] in (" ", "-")
            left[1] -= line[:1] in (" ", "+")
        elif line.startswith("diff --git "):
            close()
            old, path, added, removed, hunks, left = "", "", 0, 0, [], [0, 0]
        elif line.startswith("--- ") and line != "--- /dev/null":
            old = _path(line[4:])
        elif line.startswith("+++ ") and line != "+++ /dev/null":
            path = _path(line[4:])
        elif found := re.match(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line):
            left = [int(found[2] or 1), int(found[4] or 1)]
            first, count = int(found[3]), left[1]
            hunks.append(f"{first}-{first + count - 1}" if count > 1 else str(first))
    close()
    return tuple(files)


def as_json(report: Report) -> dict[str, Any]:
    """Everything, for programs."""
    told = asdict(report)
    told["verdict"] = report.verdict
    return told


def when(at_ms: int) -> str:
    """UTC to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if at_ms else ""


def usd(microusd: int, unpriced: int) -> str:
    """What was paid, and of how many runs nobody knows the price."""
    if unpriced and not microusd:
        return "price unknown"
    more = f" and {unpriced} run{'s' if unpriced > 1 else ''} of unknown price" if unpriced else ""
    return f"${microusd / 1e6:.4f}{more}"


def holds(row: MatrixRow) -> str:
    """In words; what it lacks where it does not hold."""
    if row.holds is None:
        return f"open: {row.said}"
    word = "yes" if row.holds else "no"
    return f"{word}: {row.said}" if row.said else word


def visible(text: str) -> str:
    """Text without controls and without marks that show it in another order than it has (https://trojansource.codes/)."""
    return _UNSEEN.sub("\ufffd", text)


def why(decision: Decision) -> str:
    """The reason and the answers."""
    answers = "; ".join(f"{name}: {text}" for name, text in decision.answers.items() if text)
    return "; ".join(part for part in (decision.because, answers) if part)


def proofs(line: Line) -> str:
    """Exit codes and digests of the evidence."""
    return "; ".join(
        f"{phase_of(one)}: exit {one.exit_code if one.exit_code is not None else 'none'}, "
        f"{one.passes}/{one.runs} pass, sha256 {one.output_sha256[:16]}"
        for one in line.evidence
    )


def phase_of(one: Evidence) -> str:
    """When a row of evidence was gathered, in words."""
    return "before, with the new tests" if one.subject.endswith(f"/{PROBE}") else one.phase


def places(files: Sequence[FileChange]) -> str:
    return "; ".join(f"{one.path} {', '.join(one.hunks)}".strip() for one in files)


def _newest(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The rows of the newest commit that was verified, with what was run on the base for it."""
    rows = [one for one in evidence if one.stage == "verify"]
    if not rows:
        return []
    after = [one for one in rows if one.phase == "after"]
    last = max(after or rows, key=lambda one: one.at_ms)
    subjects: dict[tuple[str, str], Evidence] = {}
    for one in sorted(rows, key=lambda one: one.at_ms):
        if one.phase == "before" or one.commit == last.commit:
            subjects[one.subject, one.phase] = one
    return list(subjects.values())


def _carried(
    criterion: str,
    plan: Plan | None,
    files: Sequence[FileChange],
    carried: Mapping[str, Mapping[int, str]] | None,
) -> tuple[FileChange, ...]:
    tasks = [task for task in (plan.tasks if plan else ()) if criterion in task.criteria]
    if carried is not None:
        # Without a plan one task was for all criteria.
        names = (
            {task.task_id for task in tasks} if plan else {t for rows in carried.values() for t in rows.values() if t}
        )
        brought = {path: sorted(n for n, task in lines.items() if task in names) for path, lines in carried.items()}
        return tuple(FileChange(path, len(lines), 0, _ranges(lines)) for path, lines in brought.items() if lines)
    globs = [glob for task in tasks for glob in task.may_touch]
    return tuple(one for one in files if any(glob == "**" or path_matches(f"/{glob}", one.path) for glob in globs))


def _ranges(lines: Sequence[int]) -> tuple[str, ...]:
    spans: list[list[int]] = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return tuple(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def _not_done(facts: Facts, lines: Sequence[Line], findings: Sequence[Finding], as_of: str) -> tuple[str, ...]:
    rows: Mapping[str, StageRow] = {row.stage: row for row in sorted(facts.stages, key=lambda row: row.attempt)}
    told = [
        f"{row.stage} {row.status}: {row.detail}"
        for row in rows.values()
        if row.status in ("skipped", "failed", "pending") and row.stage != as_of
    ]
    told += [f"{line.row.subject}: {line.row.said or 'not proved'}" for line in lines if line.row.holds is not True]
    told += [
        f"finding {one.status}: {one.text}" for one in findings if one.status != "fixed" and one.severity != "note"
    ]
    told += [f"gate {gate.status}: {gate.subject}" for gate in facts.gates if gate.status in ("rejected", "expired")]
    told += [f"can't be taken back: {what}" for what in (facts.spec.irreversible if facts.spec else ())]
    if not facts.delivery.merged:
        told.append("the change is not merged")
    return tuple(told)


def _title(spec: Spec | None, delivery: Delivery) -> str:
    first = spec.text.lstrip().partition("\n")[0].lstrip("# ").strip() if spec else ""
    return first or " ".join(delivery.requirement.split())[:100] or delivery.delivery_id


def _path(text: str) -> str:
    """A path of a diff's header; git quotes strange ones as C does."""
    text = text.rstrip("\t")
    if text.startswith('"'):
        raw = text.strip('"').encode("latin-1", "replace").decode("unicode_escape")
        text = raw.encode("latin-1", "replace").decode("utf-8", "replace")
    return text[2:] if text[:2] in ("a/", "b/") else text
