"""A decision is a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may run."""

    rule_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person decides; where nobody can be asked, this is a denial."""

    rule_id: str
    reason: str
    covers: str = ""
    """What "always allow" would cover, e.g. `git status`; empty when it can't be generalised."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The call may not run."""

    rule_id: str
    reason: str


Verdict = Allow | Ask | Deny
