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
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mohist.guard.errors import GuardRuleError
from mohist.guard.finding import Finding

_WIDE = {"", "*", "**", "**/*"}


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


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    rule: Annotated[str, Field(min_length=1)] = "*"
    path: Annotated[str, Field(min_length=1)] = "*"
    reason: Annotated[str, Field(min_length=3)]
    owner: Annotated[str, Field(min_length=2)]
    until: dt.date | None = None

    @model_validator(mode="after")
    def _narrow(self) -> Self:
        if self.value is None and self.rule in _WIDE and self.path in _WIDE:
            raise ValueError("it would let everything pass; give a value, a rule or a path")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[_Row, ...] = ()


def read_allowances(text: str, *, where: str) -> tuple[Allowance, ...]:
    """What a file lets pass.

    Args:
        text: TOML.
        where: names the file in errors.

    Raises:
        GuardRuleError: it can't be taken; says what and where.
    """
    try:
        rows = _File.model_validate(tomllib.loads(text)).allow
    except tomllib.TOMLDecodeError as error:
        raise GuardRuleError(f"{where} is no TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise GuardRuleError(f"{where}, {place}: {first['msg']}.") from None
    return tuple(Allowance(row.reason, row.owner, row.until, row.value or "", row.rule, row.path) for row in rows)
