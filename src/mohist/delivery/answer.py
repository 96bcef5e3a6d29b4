"""The files that runs leave for a delivery: their form, and what is said about one that can't be used.

A model's answer proposes; it never approves, and never counts as a proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mohist.delivery.prompt import AGAIN, quoted

_ANSWER_CHARS = 20_000

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Question(Answer):
    """One whose answer changes what is built."""

    question: Line
    recommended: Line
    why: Line
    options: tuple[Line, ...] = Field(default=(), max_length=6)


class Understood(Answer):
    """What the analyst leaves."""

    size: Literal["tiny", "small", "large"]
    contradictions: tuple[Line, ...] = Field(default=(), max_length=5)
    questions: tuple[Question, ...] = Field(default=(), max_length=20)


class DraftCriterion(Answer):
    id: Annotated[str, StringConstraints(pattern=r"^AC-[1-9][0-9]{0,3}$")]
    text: Line
    check: Line
    """A command, or `manual`."""
    kind: Literal["behaviour", "quality"] = "behaviour"


class DraftFile(Answer):
    path: Line
    content: Annotated[str, StringConstraints(max_length=100_000)]


class Specified(Answer):
    """What the architect leaves."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    requirement: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
    design: Prose = ""
    non_goals: tuple[Line, ...] = ()
    risks: tuple[Line, ...] = ()
    data_touched: tuple[Line, ...] = ()
    irreversible: tuple[Line, ...] = ()
    criteria: tuple[DraftCriterion, ...] = Field(min_length=1, max_length=30)
    files: tuple[DraftFile, ...] = Field(default=(), max_length=30)


class DraftTask(Answer):
    id: Annotated[str, StringConstraints(pattern=r"^T[1-9][0-9]{0,2}$")]
    title: Line
    text: Prose
    needs: tuple[str, ...] = ()
    may_touch: tuple[Line, ...] = Field(min_length=1, max_length=50)
    criteria: tuple[str, ...] = ()
    cost_microusd: int | None = Field(default=None, gt=0)


class Planned(Answer):
    """What the planner leaves."""

    tasks: tuple[DraftTask, ...] = Field(min_length=1)


class Said(Answer):
    """One finding of a reviewer."""

    id: Annotated[str, StringConstraints(pattern=r"^(F[1-9][0-9]{0,2})?$")] = ""
    """Of an earlier round; empty: a new one."""
    severity: Literal["blocker", "major", "minor", "note"]
    text: Line
    path: Annotated[str, StringConstraints(max_length=500)] = ""
    line: int = Field(default=0, ge=0)
    criterion: Annotated[str, StringConstraints(max_length=20)] = ""


class Reviewed(Answer):
    """What the reviewer leaves."""

    findings: tuple[Said, ...] = Field(default=(), max_length=100)


class Reply(Answer):
    """What the implementer says to a finding."""

    finding: Annotated[str, StringConstraints(pattern=r"^F[1-9][0-9]{0,2}$")]
    fixed: bool
    why: Line


class Replied(Answer):
    """What the implementer leaves after a round of findings."""

    replies: tuple[Reply, ...] = ()


class Ranked(Answer):
    """Which of several changes is the better one, best first."""

    ranking: tuple[Annotated[str, StringConstraints(pattern=r"^C[1-9][0-9]?$")], ...]


def told(task: str, answer: str | None, wrong: Sequence[str]) -> str:
    """The task again, with what was wrong."""
    problems = "\n".join(f"- {one}" for one in wrong)
    return f"{task}\n\n{AGAIN}\n{problems}\n\n{quoted('your answer', (answer or '')[:_ANSWER_CHARS])}"
