"""What was observed of a subject, how sure that is, and how to see it again; never why somebody did it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from mohist.vet.evidence import Evidence

Severity = Literal["info", "low", "medium", "high"]
"""How much it matters if it is so: `info` is inventory, and never weighs in a disposition."""
Certainty = Literal["observed", "likely", "possible"]
"""`observed`: the bytes or the run show it. `likely`: they show it but for a step that was not seen. `possible`: a sign of it."""
Step = Literal["acquire", "static", "behave", "differ", "repository", "compare"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CERTAINTIES: tuple[Certainty, ...] = get_args(Certainty)
STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation."""

    rule: str
    """Stable id, "static/encoded-hosts": the step's name, and what was looked for."""
    title: str
    """One line for a list; the same for every finding of a rule."""
    severity: Severity
    certainty: Certainty
    step: Step
    what: str
    """What was observed, of this subject, in a sentence or two that states facts only."""
    evidence: tuple[Evidence, ...]
    repeat: str
    """How anybody sees it again: a command, or steps."""


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest and surest first; equal ones by rule, place and text, so that two runs say the same."""
    return tuple(sorted(findings, key=_rank))


def _rank(finding: Finding) -> tuple[int, int, str, str, str]:
    return (
        -SEVERITIES.index(finding.severity),
        CERTAINTIES.index(finding.certainty),
        finding.rule,
        finding.evidence[0].where if finding.evidence else "",
        finding.what,
    )
