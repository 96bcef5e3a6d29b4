"""A rule for one sort of secret, as the detector uses it."""

from __future__ import annotations

from dataclasses import dataclass, field

from mohist.guard.detector import Pattern
from mohist.guard.secret.anchor import ANCHORS, RARE
from mohist.guard.secret.predicate import NEVER, Predicate

HIGH, MEDIUM, LOW = 0.9, 0.75, 0.3
"""How sure a rule is of itself. High: the format belongs to one vendor; medium: a word beside it says so; low: it names an
account rather than opening it."""

SURE = {"high": HIGH, "medium": MEDIUM, "low": LOW}


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for, what speaks against it, and what proves it."""

    id: str
    """Source and name: "betterleaks.github-pat", "mohist.aliyun-secret", "company.vault"."""
    expression: str
    data_class: str
    confidence: float
    name: str = ""
    """For people."""
    source: str = ""
    licence: str = ""
    ignore_case: bool = False
    keywords: tuple[str, ...] = ()
    width_bytes: int = 1024
    drop: Predicate = field(default=NEVER, compare=False, repr=False)
    """Says of a match that it is none."""
    weak: Predicate = field(default=NEVER, compare=False, repr=False)
    """Says of a match that it is hardly one."""
    filters: str = ""
    """What `drop` and `weak` were made of; stands for them in what names a version of the rules."""
    path: str = ""
    """An expression for the file's path; in texts that have none the rule is less sure of itself."""
    validator: str = ""
    """A name in `validator.VALIDATORS`."""
    strict: bool = False
    """Whether a match counts only where the validator proves it: the shape alone is too common."""
    beside: tuple[str, ...] = ()
    """Rules one of which must have hit nearby."""

    def pattern(self) -> Pattern:
        """For the one pass."""
        return Pattern(
            self.id,
            self.expression,
            self.ignore_case,
            self.keywords,
            self.width_bytes,
            ANCHORS.get(self.id, ""),
            self.id in RARE,
        )
