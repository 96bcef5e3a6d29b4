"""Which runs' lines a commit brought in, as an entry: by it, what is rebased or cherry-picked later keeps its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from mohist.ledger import Draft
from mohist.report.change import Change
from mohist.report.trace import Traced
from mohist.report.writing import Write

Confidence = Literal["exact", "likely", "none"]
"""exact: each line of a run stands in a file just as that run left it. likely: at least one was found by its own hash. none: no line of
a known run is in it, which is not to say that a person wrote it."""
MAX_RUNS = 100
"""That one entry names; the first of them by the number of lines."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """One commit with its runs."""

    change: Change
    patch_id: str
    lines: Mapping[str, Sequence[Traced]]
    """By path."""

    @property
    def runs(self) -> Counter[str]:
        """Lines by run."""
        return Counter(one.write.run for lines in self.lines.values() for one in lines if one.write is not None)

    @property
    def models(self) -> Counter[str]:
        """Lines by model."""
        return Counter(one.write.model for lines in self.lines.values() for one in lines if one.write is not None)

    @property
    def writes(self) -> dict[int, Write]:
        """The writes that its lines are from, by their entries."""
        found = {one.write.entry: one.write for lines in self.lines.values() for one in lines if one.write is not None}
        return dict(sorted(found.items()))

    @property
    def entries(self) -> list[int]:
        """The entries of those writes."""
        return list(self.writes)

    @property
    def methods(self) -> Counter[str]:
        """Lines by how they were found."""
        return Counter(one.method for lines in self.lines.values() for one in lines)

    @property
    def confidence(self) -> Confidence:
        """How sure the whole is."""
        if not self.runs:
            return "none"
        return "exact" if set(self.methods) <= {"blob", "context", "unknown"} else "likely"

    def draft(self, repository: str) -> Draft:
        """The entry. The same finding is the same entry; another one, when more is known, is one more.

        Args:
            repository: its pseudonym.
        """
        change, runs = self.change, sorted(self.runs.most_common(MAX_RUNS))
        told = f"{change.commit}\n{self.confidence}\n" + "\n".join(f"{run} {count}" for run, count in runs)
        return Draft(
            "attribution.map",
            repository,
            "system:trace",
            about={"commit": change.commit, "tree": change.tree},
            data={
                "commit": change.commit,
                "tree": change.tree,
                "patch_id": self.patch_id,
                "merge": len(change.parents) > 1,
                "runs": [run for run, _ in runs],
                "lines": [count for _, count in runs],
                "methods": dict(sorted(self.methods.items())),
                "confidence": self.confidence,
            },
            key=f"map/{change.commit}/{sha256(told.encode()).hexdigest()[:16]}",
        )
