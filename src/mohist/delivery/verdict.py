"""What the evidence says: pure, by exit codes alone.

check of a criterion   before the change    after it          holds
behaviour              fails or is absent   passes each time  yes
behaviour              passes               whatever          no: it proves nothing
quality                whatever             passes each time  yes
any                    whatever             fails or flaky    no
none (manual)                                                 a person must look

check of the project   after it             before it         holds
                       passes               whatever          yes
                       fails                fails             not the change's doing; said, and a person's to weigh
                       fails                passes, unknown   no
                       flaky                flaky             not the change's doing; said
                       flaky                passes, unknown   no
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mohist.delivery.check.count import count_of
from mohist.delivery.state import Criterion, Evidence

State = Literal["passes", "fails", "flaky", "absent", "not run"]
PROBE = "without-code"
"""Suffix of a criterion's evidence from the base with the change's tests laid over it: `AC-1/without-code`."""
# A shell's codes for a program that can't be run; pytest's for a wrong argument and for no test collected.
_ABSENT = frozenset({126, 127})
_PYTEST_ABSENT = frozenset({4, 5})

_Rows = dict[tuple[str, str], Evidence]
"""By subject and phase."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One criterion or one check of the project."""

    subject: str
    criterion: bool
    command: str
    before: State
    after: State
    holds: bool | None
    """None: the evidence can't tell, a person must look."""
    said: str
    evidence: tuple[str, ...] = ()
    """Ids."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The verdict of stage Verify."""

    ok: bool
    reasons: tuple[str, ...]
    """Why not, a sentence each; empty when `ok`."""
    matrix: tuple[MatrixRow, ...]
    remarks: tuple[str, ...] = ()
    """What a person should weigh although it does not block."""


def verdict_of(evidence: Sequence[Evidence], criteria: Sequence[Criterion]) -> Verified:
    """The verdict that follows from the evidence of one attempt. Of two rows for one run the later one counts."""
    rows: _Rows = {(row.subject, row.phase): row for row in evidence if row.stage == "verify"}
    ids = {criterion.criterion_id for criterion in criteria}
    matrix = [_criterion(criterion, rows) for criterion in criteria]
    subjects = dict.fromkeys(subject for subject, _ in rows)
    matrix += [_project(name, rows) for name in subjects if name.partition("/")[0] not in ids]
    reasons = tuple(f"{row.subject}: {row.said}" for row in matrix if row.holds is False)
    remarks = [f"{row.subject}: {row.said}" for row in matrix if row.holds is None or (row.holds and row.said)]
    if not criteria:
        remarks.append("There are no criteria: only the project's own checks speak.")
    if not any(row.after != "not run" for row in matrix):
        reasons = (*reasons, "Nothing was run, so nothing is proved.")
    return Verified(not reasons, reasons, tuple(matrix), tuple(remarks))


def state_of(row: Evidence | None) -> State:
    """What one row of evidence says of its check."""
    if row is None:
        return "not run"
    if 0 < row.passes < row.runs:
        return "flaky"
    if row.exit_code == 0 and row.passes == row.runs:
        return "passes"
    missing = row.exit_code in _ABSENT or (row.exit_code in _PYTEST_ABSENT and "pytest" in row.command)
    return "absent" if missing else "fails"


def _criterion(criterion: Criterion, rows: _Rows) -> MatrixRow:
    name = criterion.criterion_id
    first, last = rows.get((name, "before")), rows.get((name, "after"))
    bare = rows.get((f"{name}/{PROBE}", "before"))
    before, after = state_of(first), state_of(last)
    ids = tuple(row.evidence_id for row in (first, bare, last) if row is not None)

    def row(holds: bool | None, said: str) -> MatrixRow:
        return MatrixRow(name, True, criterion.check, before, after, holds, said, ids)

    if not criterion.check:
        return row(None, "has no check; a person must look")
    if after != "passes":
        why = {"not run": "its check was not run", "flaky": _flaky(last), "absent": "its check can't be run"}
        return row(False, why.get(after, "its check fails"))
    if criterion.kind != "behaviour":
        return row(True, "")
    if before == "passes":
        return row(False, "its check passes before the change, so it proves nothing")
    if before == "flaky":
        return row(False, "its check passes now and then before the change, so it proves little")
    if before == "not run":
        return row(False, "its check was not run before the change, so it may prove nothing")
    if state_of(bare) in ("passes", "flaky"):
        return row(False, "its check passes with the change's tests alone, without its code, so it proves nothing")
    return row(True, "")


def _project(name: str, rows: _Rows) -> MatrixRow:
    first, last = rows.get((name, "before")), rows.get((name, "after"))
    before, after = state_of(first), state_of(last)
    ids = tuple(row.evidence_id for row in (first, last) if row is not None)
    command = next((row.command for row in (last, first) if row is not None), "")

    def row(holds: bool | None, said: str) -> MatrixRow:
        return MatrixRow(name, False, command, before, after, holds, said, ids)

    if after == "passes":
        return row(True, "")
    if after == "not run":
        return row(False, "was not run")
    if after == "flaky":
        both = before in ("flaky", "fails", "absent")
        return row(None if both else False, _flaky(last) + (", as before the change" if both else ""))
    if after == "absent":
        gone = before in ("passes", "flaky")
        return row(False if gone else None, "can't be run" + ("" if gone else ", nor before the change"))
    if before in ("fails", "absent"):
        more = _more_failures(first, last)
        return row(False if more else None, f"fails, and failed before the change{more}")
    if before == "flaky":
        return row(False, f"fails each time; before the change it was {_flaky(first)}")
    return row(False, "fails" + (", and passed before the change" if before == "passes" else ""))


def _more_failures(first: Evidence | None, last: Evidence | None) -> str:
    counts = [count_of(row.output_tail) if row else None for row in (first, last)]
    before, after = (count.failed if count else None for count in counts)
    if before is None or after is None or after <= before:
        return ""
    return f", but with {before} failing tests and not {after}"


def _flaky(row: Evidence | None) -> str:
    return f"flaky: {row.passes} of {row.runs} runs pass" if row else "flaky"
