"""Decides: a request and facts go in, a verdict comes out. Pure: no I/O, no clock, no environment.

Never inspects data in motion (guard does), never confines (sandbox does). The one file it reads is its own
table of built-in rules; rule files of others come in as text.
"""

from mohist.policy.access import Access, Effect
from mohist.policy.cedar import MINUTE_MS
from mohist.policy.decision import Judgement, decide, judge
from mohist.policy.errors import RuleError
from mohist.policy.explain import Explanation, explain
from mohist.policy.fact import Facts
from mohist.policy.grant import NO_GRANTS, Grants
from mohist.policy.pattern import path_matches
from mohist.policy.question import MODES, Mode, Question
from mohist.policy.reading import describe_call, load_rulebook, read_rulebook
from mohist.policy.rule import Decision, Layer, Rule, RuleSet
from mohist.policy.rulebook import GatewayRule, Memo, Rulebook, Ruling, Trial, deciding
from mohist.policy.source import builtin_rules, parse_rules
from mohist.policy.verdict import Allow, Ask, Deny, Verdict

__all__ = [
    "MINUTE_MS",
    "MODES",
    "NO_GRANTS",
    "Access",
    "Allow",
    "Ask",
    "Decision",
    "Deny",
    "Effect",
    "Explanation",
    "Facts",
    "GatewayRule",
    "Grants",
    "Judgement",
    "Layer",
    "Memo",
    "Mode",
    "Question",
    "Rule",
    "RuleError",
    "RuleSet",
    "Rulebook",
    "Ruling",
    "Trial",
    "Verdict",
    "builtin_rules",
    "decide",
    "deciding",
    "describe_call",
    "explain",
    "judge",
    "load_rulebook",
    "parse_rules",
    "path_matches",
    "read_rulebook",
]
