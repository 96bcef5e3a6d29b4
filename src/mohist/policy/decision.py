"""From a question to a verdict.

A call is taken apart (`subject`); each part is judged alone; the strictest judgement is the verdict. One part
is judged in this order, and the first step that decides ends it:

1. A matching `deny` of any layer denies; hard ones are named first.
2. Otherwise the layer managed > user > builtin that has a matching rule decides, its strictest rule first.
3. Otherwise the mode's default decides: plan denies, every other mode asks. It never allows.
4. A project's matching rule may raise the outcome, never lower it.
5. What still asks and was granted for the session is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mohist.policy.grant import NO_GRANTS, Grants
from mohist.policy.question import Mode, Question
from mohist.policy.rule import STRICTNESS, Decision, Layer, Rule, RuleSet
from mohist.policy.subject import Subject, subjects_of
from mohist.policy.verdict import Allow, Ask, Deny, Verdict

_LAYERS: tuple[Layer, ...] = ("managed", "user", "builtin")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided about one part of a call, and by what."""

    subject: Subject
    decision: Decision
    rule_id: str
    reason: str
    cover: str
    matched: tuple[Rule, ...]
    """Every rule that is in force and speaks of the subject."""


def decide(question: Question, rules: RuleSet, mode: Mode, grants: Grants = NO_GRANTS) -> Verdict:
    """The verdict on `question`. Pure; never raises for any input.

    `Allow` always names the rules it rests on; `Ask` says what an approval for the session would cover.
    """
    return verdict_of(judge(question, rules, mode, grants))


def judge(question: Question, rules: RuleSet, mode: Mode, grants: Grants = NO_GRANTS) -> tuple[Judgement, ...]:
    """The judgement on each part of `question`; never empty."""
    return tuple(
        _granted(_judge(subject, rules, mode, confined=question.confined), grants) for subject in subjects_of(question)
    )


def verdict_of(judgements: tuple[Judgement, ...]) -> Verdict:
    """The strictest of `judgements` as one verdict."""
    denied = [judgement for judgement in judgements if judgement.decision == "deny"]
    asked = [judgement for judgement in judgements if judgement.decision == "ask"]
    if asked and not denied:
        parts = list(dict.fromkeys(judgement.cover for judgement in asked))
        return Ask(asked[0].rule_id, _reasons(asked), covers="" if "" in parts else "; ".join(parts))
    if not denied and judgements:
        return Allow(",".join(dict.fromkeys(judgement.rule_id for judgement in judgements)), _reasons(judgements))
    first = denied[0] if denied else None
    return Deny(first.rule_id if first else "default.empty", _reasons(denied) or "there is nothing to decide")


def _reasons(judgements: tuple[Judgement, ...] | list[Judgement]) -> str:
    """The parts by reason, so that ten commands asked about for one reason read as one sentence."""
    grouped: dict[str, list[str]] = {}
    for judgement in judgements:
        grouped.setdefault(judgement.reason, []).append(judgement.subject.text)
    return "; ".join(f"{', '.join(dict.fromkeys(texts))}: {reason}" for reason, texts in grouped.items())


def _judge(subject: Subject, rules: RuleSet, mode: Mode, *, confined: bool) -> Judgement:
    matched = tuple(
        rule for rule in rules.about(subject) if rule.holds(subject, mode, confined=confined) and rule.matches(subject)
    )
    denials = sorted((rule for rule in matched if rule.decision == "deny"), key=lambda rule: not rule.hard)
    if denials:
        return _by(denials[0], subject, matched)
    base = _default(subject, mode, matched, confined=confined)
    for layer in _LAYERS:
        if own := [rule for rule in matched if rule.layer == layer]:
            decided = _by(_strictest(own), subject, matched)
            # In plan mode an effect is never merely asked about.
            if not (base.decision == "deny" and decided.decision == "ask"):
                base = decided
            break
    if own := [rule for rule in matched if rule.layer == "project"]:
        raised = _strictest(own)
        if STRICTNESS[raised.decision] > STRICTNESS[base.decision]:
            return _by(raised, subject, matched)
    return base


def _strictest(rules: list[Rule]) -> Rule:
    # Among equals one whose approval does not generalise comes first, then the file's order.
    return max(rules, key=lambda rule: (STRICTNESS[rule.decision], rule.once))


def _by(rule: Rule, subject: Subject, matched: tuple[Rule, ...]) -> Judgement:
    # A stricter layer decides what is asked; `once` of any matching rule still keeps the approval to one call.
    once = any(other.once for other in matched)
    return Judgement(subject, rule.decision, rule.id, rule.reason, "" if once else subject.cover, matched)


def _default(subject: Subject, mode: Mode, matched: tuple[Rule, ...], *, confined: bool) -> Judgement:
    if mode == "plan" and subject.kind != "read":
        reason = "plan mode only looks, and this is not known to change nothing"
        return Judgement(subject, "deny", "default.plan", reason, "", matched)
    if subject.kind == "opaque":
        return Judgement(subject, "ask", "default.opaque", "what it would do can't be told beforehand", "", matched)
    if subject.in_shell and not confined:
        reason = "no sandbox is in force, and this is not known to only look"
    elif subject.kind == "command":
        reason = f"no rule for {mode} mode knows this command"
    else:
        reason = f"{mode} mode asks before this"
    return Judgement(subject, "ask", f"default.{mode}", reason, subject.cover, matched)


def _granted(judgement: Judgement, grants: Grants) -> Judgement:
    if judgement.decision != "ask" or not grants.covers(judgement.subject.tool, judgement.cover):
        return judgement
    reason = f"`{judgement.cover}` was allowed for this session"
    return Judgement(judgement.subject, "allow", "grant", reason, judgement.cover, judgement.matched)
