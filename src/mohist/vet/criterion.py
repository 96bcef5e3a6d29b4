"""The written criteria by which a disposition is recommended. A person decides; this says what the evidence amounts to.

Each criterion is one sentence that anybody can check against the findings. The strictest one that is met gives the
recommendation; where steps were not done, or something grave was not looked at, "allowed" is never recommended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mohist.vet.dossier import Record
from mohist.vet.finding import CERTAINTIES, SEVERITIES, Certainty, Finding, Severity, Step

Disposition = Literal["allowed", "restricted", "banned"]
_STRICTNESS: Final[tuple[Disposition, ...]] = ("allowed", "restricted", "banned")

NEEDED: Final[tuple[Step, ...]] = ("acquire", "static", "behave", "differ", "repository")
"""Steps without which nothing is known to be harmless. `compare` needs an earlier version and is never missing."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One sentence, what it leads to, and when it is met."""

    criterion_id: str
    sentence: str
    leads_to: Disposition
    condition: str
    """What use is to be tied to where the disposition is "restricted"."""
    meets: Callable[[Finding], bool]


@dataclass(frozen=True, slots=True)
class Met:
    """A criterion with the findings that meet it."""

    criterion: Criterion
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is recommended, and why."""

    disposition: Disposition
    met: tuple[Met, ...]
    """The strictest first."""
    missing: tuple[Step, ...]
    """Steps that were not done; each keeps "allowed" from being recommended."""
    unread: int
    """Things that a step could not look at."""
    conditions: tuple[str, ...]


def _is(steps: Iterable[Step], severity: Severity, certainty: Certainty = "possible") -> Callable[[Finding], bool]:
    """Of one of the steps, as grave as that or graver, as sure as that or surer."""
    wanted = frozenset(steps)
    gravest, surest = SEVERITIES.index(severity), CERTAINTIES.index(certainty)
    return lambda one: (
        one.step in wanted and SEVERITIES.index(one.severity) >= gravest and CERTAINTIES.index(one.certainty) <= surest
    )


GOVERNED: Final = (
    "only started by `mohist govern`, so that model traffic takes the gateway and other traffic is refused"
)
CRITERIA: Final[tuple[Criterion, ...]] = (  # the strictest first: a finding counts for the first that it meets
    Criterion(
        "D1",
        "A model request was seen to carry something about its user or machine that the request doesn't state openly.",
        "banned",
        "",
        _is(("differ",), "high", "observed"),
    ),
    Criterion(
        "D2",
        "A decoy credential or file was seen to leave in a request or a connection.",
        "banned",
        "",
        lambda one: one.rule.startswith("behave/decoy-sent") and one.certainty == "observed",
    ),
    Criterion(
        "R1",
        "Something else that weighs high was observed while it ran.",
        "restricted",
        GOVERNED,
        _is(("behave",), "high"),
    ),
    Criterion(
        "R2",
        "A repository made it run something or speak to another address before anybody agreed.",
        "restricted",
        "not on repositories that nobody has read",
        _is(("repository",), "medium", "likely"),
    ),
    Criterion(
        "R3",
        "A dependence of model requests on a fact of the machine is likely, or of middle weight.",
        "restricted",
        GOVERNED,
        _is(("differ",), "medium"),
    ),
    Criterion(
        "R4",
        "Its files hold something encoded or hidden that weighs high, whatever runs have shown of it.",
        "restricted",
        GOVERNED,
        _is(("acquire", "static"), "high", "likely"),
    ),
    Criterion(
        "R5",
        "It tried to reach other addresses than its model's, or read files outside the project, without being told to.",
        "restricted",
        GOVERNED,
        _is(("behave",), "medium", "likely"),
    ),
    Criterion(
        "R6",
        "It differs from the version that was vetted before in a way that its notes don't name, and that weighs high.",
        "restricted",
        "until somebody has read the difference",
        _is(("compare",), "high"),
    ),
)
INCOMPLETE: Final = "until the steps that are missing have been done"


def propose(records: Sequence[Record]) -> Proposal:
    """What the findings of these steps amount to by the written criteria."""
    left = [finding for record in records for finding in record.findings]
    met: list[Met] = []
    for criterion in CRITERIA:
        own = tuple(finding for finding in left if criterion.meets(finding))
        if own:
            met.append(Met(criterion, own))
            left = [finding for finding in left if finding not in own]
    done = {record.step for record in records}
    missing = tuple(step for step in NEEDED if step not in done)
    disposition: Disposition = "restricted" if missing else "allowed"
    for one in met:
        disposition = max(disposition, one.criterion.leads_to, key=_STRICTNESS.index)
    conditions: tuple[str, ...] = ()
    if disposition == "restricted":
        asked = [one.criterion.condition for one in met] + ([INCOMPLETE, GOVERNED] if missing else [])
        conditions = tuple(dict.fromkeys(filter(None, asked)))
    return Proposal(disposition, tuple(met), missing, sum(len(record.unread) for record in records), conditions)
