"""What is written down of a finding: enough to account for it, and never the thing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mohist.base import light_dataclass
from mohist.guard import Finding
from mohist.guard.ruling import Action, Direction, Mode


@light_dataclass(frozen=True, slots=True)
class Noted:
    """One finding in one call, and what became of it."""

    call_id: str
    at_ms: int
    direction: Direction
    mode: Mode
    """In "observe" the action is what would have been done."""
    action: Action
    ruling: str
    """The rule that decided."""
    released: str
    """Who had let it pass; empty: nobody had."""
    alarm: bool
    detector: str
    rule: str
    """Of the detector."""
    data_class: str
    confidence: float
    digest: str
    """Keyed hash of the value."""
    place: str
    """In words; see `place.words`."""
    via: str
    """Encodings that were looked through, outermost first, comma-separated."""
    dialect: str
    client: str
    session_id: str
    model: str
    key_id: str
    user: str
    project: str
    team: str
    upstream: str
    vendor: str
    region: str
    self_hosted: bool


Take = Callable[[Sequence[Noted]], None]
"""Gets what was found in one call; from several threads, takes microseconds."""

Released = Callable[[str, str], str]
"""Told a value's digest and the rule that found it, says who let it pass for now; empty: nobody."""


def nobody(_digest: str, _rule: str) -> str:
    """Nothing is released."""
    return ""


def nothing(_noted: Sequence[Noted]) -> None:
    """Nothing is written down."""


def short(finding: Finding) -> str:
    """How a finding is named to people, for `mohist guard release`."""
    return finding.value_digest[:12]
