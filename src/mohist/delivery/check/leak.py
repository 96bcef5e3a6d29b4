"""What the guard finds in the lines that a change adds: secrets, hidden characters, instructions to a model, personal data.

Only the change is told of: what stood there before is not its doing. A finding names the rule and the place, never the thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mohist.delivery.check.diff import ChangedFile, finding
from mohist.delivery.state import Finding
from mohist.guard import Block, Found

Scan = Callable[[Sequence[Block]], Sequence[Found]]
"""Looks at texts; raises GuardError where it can't."""

SURE = 0.9
"""From here on a finding stops a change by itself; the guard's blocking threshold."""
LIKELY = 0.5
"""Below it a finding is not told: the guard's masking threshold."""
GRAVE = ("secret", "covert", "source", "document")
"""Data classes that don't belong in a repository."""


def leak_findings(files: Sequence[ChangedFile], scan: Scan) -> list[Finding]:
    """One finding for each rule and line.

    Raises:
        GuardError: something could not be looked at.
    """
    changed = [file for file in files if file.after is not None and file.added]
    told = []
    for file, found in zip(
        changed, scan([Block(file.after or "", "file", file.path) for file in changed]), strict=True
    ):
        added = {line.number for line in file.added}
        text = file.after or ""
        for one in found.findings:
            line = text.count("\n", 0, one.start) + 1
            if one.confidence < LIKELY or not added & set(range(line, text.count("\n", 0, one.end) + 2)):
                continue
            grave = one.data_class.startswith(GRAVE)
            severity = "blocker" if grave and one.confidence >= SURE else "major" if grave else "minor"
            words = f"The change adds what looks like {one.data_class} ({one.rule}): {one.shown}."
            told.append(finding("guard", severity, words, file.path, line))  # type: ignore[arg-type]
    return told
