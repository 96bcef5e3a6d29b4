"""A change as values, without git."""

from __future__ import annotations

import difflib

from mohist.delivery.check.diff import ChangedFile, Line
from mohist.delivery.check.inspection import inspect
from mohist.delivery.check.licence import LicenceRule
from mohist.delivery.state import Finding


def changed(path: str, before: str | None, after: str | None, old_path: str = "") -> ChangedFile:
    old, new = (before or "").splitlines(), (after or "").splitlines()
    added, removed = [], []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            removed += [Line(number + 1, old[number]) for number in range(a, b)]
            added += [Line(number + 1, new[number]) for number in range(c, d)]
    letter = "A" if before is None else "D" if after is None else "R" if old_path else "M"
    return ChangedFile(letter, old_path or path, path, before, after, tuple(added), tuple(removed))


def found_in(
    *files: ChangedFile, rule: LicenceRule | None = None, others: dict[str, str] | None = None
) -> list[Finding]:
    return inspect(files, others or {}, rule or LicenceRule())


def accused(*files: ChangedFile) -> list[tuple[str, str, int]]:
    """Rule, path and line of everything that is more than a note."""
    return [(rule_of(row), row.path, row.line) for row in found_in(*files) if row.severity != "note"]


def rule_of(row: Finding) -> str:
    return row.finding_id.removeprefix("verify-").rpartition("-")[0]
