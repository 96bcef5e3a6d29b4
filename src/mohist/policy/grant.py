"""What a person allowed for the rest of a session."""

from __future__ import annotations

from dataclasses import dataclass

from mohist.policy.question import Question
from mohist.policy.verdict import Ask


@dataclass(frozen=True, slots=True)
class Grants:
    """Pairs of tool and what was allowed of it, e.g. `("shell", "git add")`. Never lifts a denial."""

    pairs: frozenset[tuple[str, str]] = frozenset()

    def plus(self, question: Question, answer: Ask) -> Grants:
        """With what `answer.covers` says; unchanged when that is empty, because then it was for one call."""
        parts = [part for part in answer.covers.split("; ") if part]
        return Grants(self.pairs | {(question.tool, part) for part in parts})

    def covers(self, tool: str, part: str) -> bool:
        """True when this part was allowed for this tool."""
        return bool(part) and (tool, part) in self.pairs

    def allows(self, question: Question, answer: Ask) -> bool:
        """True when everything that `answer` asks about was allowed before; `answer` comes from `decide`."""
        parts = answer.covers.split("; ")
        return all(self.covers(question.tool, part) for part in parts)


NO_GRANTS = Grants()
