"""The rules of a delivery's gates, as data: `.mohist/deliver.toml` of the *base* commit, tightened by the company's and the user's.

    four_eyes = "high"                # from which risk on the requester's own approval doesn't count; never, low, medium, high
    escalate = ["@platform"]          # who stands in where a group can't be met by anybody but the requester, or a gate expires
    expires_h = 48                    # a gate that is open for so long is told of, and theirs, too; never approved by itself

    [teams]
    core = ["ann", "bob"]             # written `@core`

    [risk]
    high = ["src/pay/**"]             # globs as in CODEOWNERS on GitHub
    data = ["personal"]               # data classes that make a change one of high risk

    [[gates]]
    id = "payments"
    kind = "review"                   # spec, plan, review, merge, deploy
    paths = ["src/pay/**"]            # each condition that is there must hold
    risk = "medium"                   # at least
    over_lines = 400
    data = ["personal"]
    environments = ["prod*"]
    needs = ["@payments"]             # one of these; `count` of them
    count = 2
    four_eyes = true

    [[waive]]                         # in the project's file only: lets what needs a person by default go on without
    kind = "merge"
    risk = "low"                      # at most

Other tables of the file are other modules'.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mohist.delivery.errors import RuleError
from mohist.delivery.state import Risk

TABLES: Final = frozenset({"four_eyes", "escalate", "teams", "risk", "gates", "waive", "owners", "expires_h"})
"""What of the file is read here."""
RISKS: Final[tuple[Risk, ...]] = ("low", "medium", "high")
_EYES: Final = ("never", "high", "medium", "low")
Kind = Literal["spec", "plan", "review", "merge", "deploy"]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Hours = Annotated[float, Field(ge=0, le=8_760, strict=False, allow_inf_nan=False)]
_Names = Annotated[tuple[_Name, ...], Field(strict=False)]


@dataclass(frozen=True, slots=True)
class GateRule:
    """People that a gate needs, and when."""

    rule_id: str
    kind: Kind
    needs: tuple[str, ...] = ()
    """One group; empty: anybody."""
    count: int = 1
    four_eyes: bool = False
    paths: tuple[str, ...] = ()
    risk: Risk = "low"
    over_lines: int = 0
    data: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    expires_h: float = 0.0
    """After so many hours it is told of, and those of `escalate` may decide, too; 0: as for the others."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """What goes on without a person although by default it would not."""

    kind: Kind
    risk: Risk = "low"
    environments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decides who must decide. Without any: a person approves the spec, the merge into the base branch,
    each thing that can't be taken back, and a deploy to anything that is called production."""

    gates: tuple[GateRule, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    four_eyes: Literal["never", "low", "medium", "high"] = "never"
    escalate: tuple[str, ...] = ()
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By name with `@`."""
    high: tuple[str, ...] = ()
    medium: tuple[str, ...] = ()
    low: tuple[str, ...] = ()
    high_data: tuple[str, ...] = ()
    owners: bool = True
    """Whether CODEOWNERS is heeded."""
    expires_h: float = 0.0
    """Of gates whose rules say nothing of it; 0: never."""

    def teams_of(self, person: str) -> tuple[str, ...]:
        """The teams that a person is in."""
        return tuple(sorted(team for team, people in self.teams.items() if person in people))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Gate(_Part):
    id: _Name = ""
    kind: Kind
    needs: _Names = ()
    count: int = Field(default=1, ge=1, le=20)
    four_eyes: bool = False
    paths: _Names = ()
    risk: Risk = "low"
    over_lines: int = Field(default=0, ge=0)
    data: _Names = ()
    environments: _Names = ()
    expires_h: _Hours = 0.0


class _Waiver(_Part):
    kind: Kind
    risk: Risk = "low"
    environments: _Names = ()


class _Risks(_Part):
    high: _Names = ()
    medium: _Names = ()
    low: _Names = ()
    data: _Names = ()


class _File(_Part):
    four_eyes: Literal["never", "low", "medium", "high"] = "never"
    escalate: _Names = ()
    teams: dict[str, _Names] = Field(default_factory=dict)
    risk: _Risks = _Risks()
    gates: tuple[_Gate, ...] = Field(default=(), strict=False)
    waive: tuple[_Waiver, ...] = Field(default=(), strict=False)
    owners: bool = True
    expires_h: _Hours = 0.0


def load_rules(text: str, origin: str = ".mohist/deliver.toml", *, may_loosen: bool = True) -> Rules:
    """The rules of a file; empty text is no rule.

    Args:
        text: TOML.
        origin: the file's name, for errors.
        may_loosen: False for the company's and the user's file, which only tighten: `waive`, `owners = false` and
            `risk.low` are refused there.

    Raises:
        RuleError: naming the place, and the nearest key where one is not known.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RuleError(
            f"{origin}: not valid TOML: {error}.", "Correct the file; nothing of it is in force."
        ) from error
    try:
        read = _File.model_validate({name: value for name, value in whole.items() if name in TABLES})
    except ValidationError as error:
        raise _told(origin, error) from None
    if not may_loosen and (read.waive or not read.owners or read.risk.low):
        raise RuleError(
            f"{origin}: `waive`, `owners = false` and `risk.low` loosen; this file may only tighten.",
            "Say it in the project's own .mohist/deliver.toml.",
        )
    gates = tuple(
        GateRule(rule.id or f"{origin} gate {number}", **{k: v for k, v in rule.model_dump().items() if k != "id"})
        for number, rule in enumerate(read.gates, 1)
    )
    waivers = tuple(Waiver(rule.kind, rule.risk, rule.environments) for rule in read.waive)
    teams = {"@" + name.removeprefix("@"): people for name, people in read.teams.items()}
    risk = read.risk
    return Rules(
        gates, waivers, read.four_eyes, read.escalate, teams, risk.high, risk.medium, risk.low, risk.data, read.owners,
        read.expires_h,
    )  # fmt: skip


def tighten(project: Rules, over: Rules) -> Rules:
    """The project's rules, tightened by a company's or a user's: more gates, more eyes, more risk. What `over` says of a
    gate's kind can't be waived by the project, and a team that it defines is as it says."""
    asked = {rule.kind for rule in over.gates}
    return dataclasses.replace(
        project,
        gates=(*project.gates, *over.gates),
        waivers=tuple(waiver for waiver in project.waivers if waiver.kind not in asked),
        four_eyes=max(project.four_eyes, over.four_eyes, key=_EYES.index),
        escalate=over.escalate or project.escalate,
        teams={**project.teams, **over.teams},
        high=(*project.high, *over.high),
        medium=(*project.medium, *over.medium),
        high_data=(*project.high_data, *over.high_data),
        owners=project.owners or over.owners,
        expires_h=min(filter(None, (project.expires_h, over.expires_h)), default=0.0),
    )


def _told(origin: str, error: ValidationError) -> RuleError:
    told: list[str] = []
    for problem in error.errors()[:5]:
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(), n=1)
            told.append(f"{place} is not known{f'; did you mean {near[0]!r}?' if near else ''}")
        else:
            told.append(f"{place}: {problem['msg']}")
    return RuleError(f"{origin}: {'; '.join(told)}.", "Correct the file; nothing of it is in force.")


def _known_keys() -> list[str]:
    models: tuple[Any, ...] = (_File, _Gate, _Waiver, _Risks)
    return sorted({name for model in models for name in model.model_fields})


def at_least(risk: Risk, floor: Risk) -> bool:
    """Whether a risk is `floor` or more."""
    return RISKS.index(risk) >= RISKS.index(floor)
