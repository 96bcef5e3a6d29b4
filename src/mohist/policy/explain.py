"""Why a verdict came out as it did, for people."""

from __future__ import annotations

from dataclasses import dataclass

from mohist.policy.decision import Judgement, judge, verdict_of
from mohist.policy.grant import NO_GRANTS, Grants
from mohist.policy.question import Mode, Question
from mohist.policy.rule import RuleSet
from mohist.policy.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict and how each part of the call was judged; `str()` is the text for a person."""

    verdict: Verdict
    mode: Mode
    judgements: tuple[Judgement, ...]

    def __str__(self) -> str:
        lines = [f"{type(self.verdict).__name__.lower()} in {self.mode} mode: {self.verdict.reason}"]
        for judgement in self.judgements:
            lines.append(f"  {judgement.subject.text}")
            lines.append(f"    -> {judgement.decision} by {judgement.rule_id}: {judgement.reason}")
            lines += [
                f"    {'*' if rule.id == judgement.rule_id else '-'} {rule.layer} rule {rule.id} says {rule.decision}: {rule.reason}"
                for rule in judgement.matched
            ]
            if not judgement.matched:
                lines.append("    no rule speaks of it")
        return "\n".join(lines)


def explain(question: Question, rules: RuleSet, mode: Mode, grants: Grants = NO_GRANTS) -> Explanation:
    """Every part of `question`, every rule that matched it, and which one decided. Pure."""
    judgements = judge(question, rules, mode, grants)
    return Explanation(verdict_of(judgements), mode, judgements)
