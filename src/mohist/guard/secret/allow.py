"""What a company has looked at and lets pass: by the value's keyed hash, or by rule and path; each with a reason and an owner.

A file is TOML:

    [[allow]]
    rule = "betterleaks.jwt"          # a glob; or value = "<32 hex digits>", as findings show it
    path = "tests/fixtures/*.json"    # a glob over a file's path
    reason = "signed with the test key"
    owner = "platform team"
    until = 2027-06-30

Marks inside a text ("ignore this line") are never honoured here: whoever writes the text would decide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mohist.guard.finding import Finding


@dataclass(frozen=True, slots=True)
class Allowance:
    """One thing that passes."""

    reason: str
    owner: str
    until: dt.date | None
    """The last day on which it holds; None: no end."""
    value_digest: str = ""
    """Keyed hash; empty where rule and path say it."""
    rule: str = "*"
    path: str = "*"

    def covers(self, finding: Finding, path: str) -> bool:
        """Whether this finding, in a text of that path, is meant; the day is not asked."""
        if self.value_digest and self.value_digest != finding.value_digest:
            return False
        return fnmatchcase(finding.rule, self.rule) and fnmatchcase(path.replace("\\", "/"), self.path)


class Allowances:
    """All of them, on one day."""

    def __init__(self, allowances: Iterable[Allowance], today: dt.date) -> None:
        every = list(allowances)
        self._holding = [one for one in every if one.until is None or today <= one.until]
        self.expired: Sequence[Allowance] = [one for one in every if one not in self._holding]
        """They no longer hold; a person should be told."""

    def why(self, finding: Finding, path: str) -> Allowance | None:
        """The one that lets a finding pass; None: it counts.

        Args:
            finding: what was found.
            path: of the file; empty for a text that is none, which no path but "*" covers.
        """
        return next((one for one in self._holding if one.covers(finding, path)), None)


def read_allowances(text: str, *, where: str) -> tuple[Allowance, ...]:
    """What a file lets pass.

    Args:
        text: TOML.
        where: names the file in errors.

    Raises:
        GuardRuleError: it can't be taken; says what and where.
    """
    from mohist.guard.secret.shape import AllowFile, shaped

    rows = shaped(AllowFile, text, where).allow
    return tuple(Allowance(row.reason, row.owner, row.until, row.value or "", row.rule, row.path) for row in rows)
