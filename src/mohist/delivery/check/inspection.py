"""Everything that is found by looking at a change, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mohist.delivery.check.count import Count
from mohist.delivery.check.dependency import dependency_findings
from mohist.delivery.check.diff import ChangedFile, finding
from mohist.delivery.check.evasion import evasions
from mohist.delivery.check.licence import LicenceRule, header_findings
from mohist.delivery.check.shelf import Shelf
from mohist.delivery.check.weaken import weakened
from mohist.delivery.state import Finding


def inspect(
    files: Sequence[ChangedFile], others: Mapping[str, str], rule: LicenceRule, shelf: Shelf | None = None
) -> list[Finding]:
    """What a change does to its checks, dependencies and licences; the worst first, then by file and line."""
    found = [
        *weakened(files),
        *evasions(files),
        *dependency_findings(files, rule, shelf),
        *header_findings(files, others, rule),
    ]
    order = ("blocker", "major", "minor", "note")
    unique = {row.finding_id: row for row in found}
    return sorted(unique.values(), key=lambda row: (order.index(row.severity), row.path, row.line, row.finding_id))


def fewer(check: str, before: Count | None, after: Count | None) -> list[Finding]:
    """What the numbers of a runner say: tests that ran before and do not now."""
    if before is None:
        return []
    if after is None:
        text = f"{check}: its runner told of {before.ran} tests before the change, and tells of none now."
        return [finding("fewer-tests", "major", text)]
    if after.ran < before.ran:
        text = f"{check}: {after.ran} tests ran, and {before.ran} before the change ({after}; before: {before})."
        return [finding("fewer-tests", "major", text)]
    if after.skipped > before.skipped:
        text = f"{check}: {after.skipped} tests are skipped, and {before.skipped} before the change."
        return [finding("more-skipped", "minor", text)]
    return []
