"""Rules about model calls: what they decide, and which files are refused."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohist.policy import Facts, Memo, Rulebook, RuleError, describe_call, load_rulebook, read_rulebook
from mohist.policy.cedar import Engine, parse_policy
from mohist.policy.fact import version_number

OLD_CLIENT = """
[[rule]]
id = "old-client"
reason = "Update Claude Code."
cedar = '''forbid(principal, action, resource) when {
  context.client.name == "claude-cli" && context.client.version < version("2.1.330") };'''
examples = [
  {expect = "deny", client = "claude-cli/2.1.329"},
  {expect = "allow", client = "claude-cli/2.1.330"},
]
"""
REGION = """
[[rule]]
id = "payroll"
reason = "Payroll stays in the EU."
cedar = '''forbid(principal in Project::"payroll", action, resource) unless { resource.region == "eu" };'''
examples = [
  {expect = "deny", project = "payroll", upstream = {region = "us"}},
  {expect = "allow", project = "payroll", upstream = {region = "eu"}},
]
"""
TOOL = """
[[rule]]
id = "no-search"
reason = "No web search."
cedar = '''forbid(principal, action, resource) when { context.tools.contains("web_search") };'''
examples = [{expect = "deny", tools = ["Web_Search", "bash"]}, {expect = "allow", tools = ["bash"]}]
"""
HOURS = """
[[rule]]
id = "hours"
reason = "Opus in working hours."
cedar = '''forbid(principal, action, resource) when { context.model like "*opus*" && context.at > datetime("2020-01-01") }
unless { context.hour >= 8 && context.hour < 18 && !["sat", "sun"].contains(context.weekday) };'''
examples = [
  {expect = "deny", model = "Opus", at = "2026-11-22T10:00Z"},
  {expect = "allow", model = "opus", at = "2026-11-23T07:00Z"},
  {expect = "deny", model = "opus", at = 2026-11-23T17:00:00Z},
]
"""
RULES = [OLD_CLIENT, REGION, TOOL, HOURS]
PERMIT = """
[[rule]]
id = "core-team"
reason = "The core team may."
cedar = 'permit(principal in Team::"core", action, resource);'
examples = [{expect = "allow", team = "core"}, {expect = "deny", team = "other"}]
"""
ALLOW, DENY = 'default = "allow"\ntimezone = "Europe/Berlin"\n', 'default = "deny"\n'

NAMES = st.sampled_from(["", "eu", "us", "core", "payroll", "opus", "claude-cli/2.1.3", "x/9", "web_search", "mon"])
ANY_TEXT = st.one_of(NAMES, st.text(st.characters(), max_size=20))


def facts_of(texts):
    """Facts whose texts are drawn from `texts`."""
    drawn = {
        field.name: {
            "str": texts,
            "bool": st.booleans(),
            "int": st.integers(),
            "tuple[str, ...]": st.lists(texts, max_size=4).map(tuple),
        }[str(field.type)]
        for field in fields(Facts)
    }
    return st.builds(Facts, **drawn)


@cache
def book(*rules: str, head: str = ALLOW) -> Rulebook:
    return load_rulebook(head + "".join(rules), "rules.toml")


@pytest.mark.parametrize(
    ("call", "ids"),
    [
        ({"client": "claude-cli/2.0"}, ("old-client",)),
        ({"client": "Claude-CLI/2.1.330-beta.1"}, ("old-client",)),
        ({"client": "claude-cli"}, ("old-client",)),
        ({"client": "codex/0.1"}, ("default",)),
        ({"project": "payroll"}, ("payroll",)),
        ({"project": "payroll", "tools": ["web_search"]}, ("payroll", "no-search")),
        ({"project": "payroll", "upstream": {"region": "eu"}}, ("default",)),
        ({"model": "claude-OPUS-9", "at": "2026-11-23T06:59Z"}, ("hours",)),
        ({"model": "claude-OPUS-9", "at": "2026-11-23T08:00+01:00"}, ("default",)),
    ],
)
def test_the_rules_that_speak_of_a_call_decide_it(call, ids):
    ruling = book(*RULES).decide(describe_call(call, "call"))
    assert ruling.rule_ids == ids
    assert ruling.allowed == (ids == ("default",))


def test_where_the_file_denies_by_default_only_what_is_permitted_passes_and_a_forbid_still_wins():
    rules = book(PERMIT, OLD_CLIENT.replace('"allow"', '"allow", team = "core"'), head=DENY)
    core = Facts(user="ann", team="core", client="claude-cli/3.0")
    assert rules.decide(core).rule_ids == ("core-team",)
    assert rules.decide(core).allowed
    unpermitted = rules.decide(replace(core, team="other"))
    assert (unpermitted.allowed, unpermitted.rule_ids) == (False, ("default",))
    assert "permits" in unpermitted.reason
    old = rules.decide(replace(core, client="claude-cli/1.0"))
    assert (old.allowed, old.rule_ids, old.reason) == (False, ("old-client",), "Update Claude Code.")


def test_what_the_engine_can_not_decide_is_refused():
    rules = read_rulebook(
        ALLOW
        + """
[[rule]]
id = "sum"
reason = "Too large."
cedar = 'forbid(principal, action, resource) when { context.prompt_tokens * 9223372036854775807 < 0 };'
examples = [{expect = "allow", prompt_tokens = 1}, {expect = "deny", prompt_tokens = 2}]
""",
        "rules.toml",
    )
    assert rules.decide(Facts(prompt_tokens=1)).allowed
    ruling = rules.decide(Facts(prompt_tokens=2))
    assert (ruling.allowed, ruling.rule_ids) == (False, ("error",))


@settings(max_examples=60, deadline=None)
@given(facts=facts_of(NAMES), seed=st.integers(0, 1000))
def test_the_order_of_rules_decides_nothing(facts, seed):
    shuffled = random.Random(seed).sample(RULES, len(RULES))
    here, there = book(*RULES).decide(facts), read_rulebook(ALLOW + "".join(shuffled), "r").decide(facts)
    assert here.allowed == there.allowed
    assert set(here.rule_ids) == set(there.rule_ids)


@settings(max_examples=100, deadline=None)
@given(facts=facts_of(NAMES))
def test_a_call_is_refused_when_any_one_forbid_alone_refuses_it(facts):
    alone = [book(rule).decide(facts).allowed for rule in RULES]
    assert book(*RULES).decide(facts).allowed == all(alone)


EVERYTHING = """
[[rule]]
id = "all"
reason = "It reads every fact there is."
cedar = '''forbid(principal, action, resource) when { principal.key == "k" || resource.vendor == "v" || resource.region == "r"
|| resource.data_class == "d" || resource.self_hosted || resource.model == "m" || resource == Upstream::"u" || principal == User::"x"
|| context.client.name == "c" || context.client.version == version("9.9") || context.dialect == "d" || context.model == "m"
|| context.tools.contains("t") || context.vendor_tools.contains("v") || (context.stream && context.prompt_tokens == 77)
|| context.session == "s" || context.at == datetime("2020-01-01") || context.hour == 3 || context.minute == 7 || context.weekday == "sun" };'''
examples = [{expect = "deny", key = "k"}, {expect = "allow"}]
"""


@settings(max_examples=300, deadline=None)
@given(facts=facts_of(ANY_TEXT))
def test_no_facts_can_raise(facts):
    ruling = book(*RULES, EVERYTHING).decide(facts)
    assert ruling.rule_ids
    assert ruling.allowed or ruling.reason


@settings(max_examples=150, deadline=None)
@given(calls=st.lists(facts_of(NAMES), min_size=1, max_size=30), limit=st.integers(1, 4))
def test_a_remembered_ruling_is_the_one_that_would_be_made(calls, limit):
    rules = book(*RULES)
    memo = Memo(rules, limit)
    for facts in [*calls, *calls]:
        assert memo.decide(facts) == rules.decide(facts)
    assert len(memo) <= limit


PARTS = st.sampled_from(
    [
        'principal == User::"us"',
        'principal in Team::"core"',
        'principal in [Team::"eu", Team::"core"]',
        'User::"us" in Team::"core"',
        'principal.key == "mon"',
        'principal["key"] == "opus"',
        "principal has key",
        'User::"us".key == "mon"',
        'Upstream::"us".self_hosted',
        "principal is User",
        'resource == Upstream::"us"',
        "resource.region == resource.vendor",
        '(if context.stream then resource else Upstream::"eu").region == "eu"',
        "resource.self_hosted",
        'resource.model like "*o*"',
        'context.client.name == "x"',
        'context["client"]["version"] > 3',
        "context has client && context has client.version",
        'context.tools.containsAny(["core", "web_search"])',
        "context.tools.containsAll(context.vendor_tools)",
        "context.vendor_tools.isEmpty()",
        "context.prompt_tokens > context.hour",
        "context.session == context.dialect",
        'context.at.toTime() < duration("12h")',
        'context.weekday == "thu" || context.minute < 30',
        "context == context",
        '{a: context.model}.a == "opus"',
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(PARTS, min_size=1, max_size=4),
    scope=st.booleans(),
    sign=st.sampled_from(["&&", "||"]),
    facts=facts_of(NAMES),
)
def test_facts_that_no_rule_reads_change_no_decision(parts, scope, sign, facts):
    """The engine is told only what the rules were found to read; told everything, it decides the same."""
    who = 'principal in Project::"payroll"' if scope else "principal"
    policy = parse_policy(
        f"forbid({who}, action, resource) when {{ {f' {sign} '.join(f'({part})' for part in parts)} }};"
    )
    told_less = Engine({"r": policy}, permit_all=True, zone=ZoneInfo("UTC"))
    told_all = Engine(
        {"r": replace(policy, uses=frozenset(field.name for field in fields(Facts)))},
        permit_all=True,
        zone=ZoneInfo("UTC"),
    )
    facts = replace(
        facts, prompt_tokens=facts.prompt_tokens % 100
    )  # what Cedar has no number for is refused when it is told
    less, everything = told_less.decide(facts), told_all.decide(facts)
    assert (less.allowed, less.ids) == (everything.allowed, everything.ids)


@pytest.mark.parametrize(
    "condition", ['User::"ann".key == "k"', 'Upstream::"us".self_hosted', 'User::"ann" in Team::"core"']
)
def test_a_rule_that_names_someone_outright_is_told_who_it_is(condition):
    policy = parse_policy(f"forbid(principal, action, resource) when {{ {condition} }};")
    engine = Engine({"r": policy}, permit_all=True, zone=ZoneInfo("UTC"))
    facts = Facts(user="ann", team="core", key_id="k", upstream="us", self_hosted=True)
    assert engine.decide(facts).ids == {"r"}


def test_only_facts_that_some_rule_reads_are_told_apart():
    memo = Memo(book(REGION))
    for number in range(50):
        memo.decide(Facts(user="ann", region="eu", model=f"m{number}", at_ms=number * 3_600_000, session=str(number)))
    assert len(memo) == 1


def test_time_counts_by_the_minute_where_a_rule_reads_it():
    memo = Memo(book(HOURS))
    for at_ms in (0, 59_999, 60_000):
        memo.decide(Facts(at_ms=at_ms))
    assert len(memo) == 2


@pytest.mark.parametrize(
    "ordered",
    [
        [
            "",
            "0.0.1-rc1",
            "0.0.1",
            "0.1",
            "1-alpha",
            "1",
            "1.0.1",
            "1.2",
            "1.10.0",
            "2.1.329",
            "2.1.330-beta",
            "2.1.330",
        ],
        ["nonsense", "v2.1.330b1", "2.1.330.64a", "2.1.331", "10", "20261122.1.1", "20261122.1.2"],
    ],
)
def test_versions_are_ordered_as_people_mean_them(ordered):
    numbers = [version_number(text) for text in ordered]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(numbers) or "20261122.1.1" in ordered
    assert max(numbers) < 2**63


@given(st.text(max_size=40))
def test_no_version_is_too_odd(text):
    assert 0 <= version_number(text) < 2**63
    assert 0 <= version_number("9" * 5000 + text) < 2**63


def test_parts_that_are_left_out_are_zero():
    assert version_number("2") == version_number("2.0") == version_number("v2.0.0") == version_number("2.0.0+build")


RULE = """
[[rule]]
id = "r"
reason = "R."
cedar = '''{cedar}'''
examples = [{{expect = "deny", model = "x"}}, {{expect = "allow", model = "y"}}]
"""


def with_cedar(cedar: str) -> str:
    return ALLOW + RULE.format(cedar=cedar)


GOOD = with_cedar('forbid(principal, action, resource) when { context.model == "x" };')
WHEN = "forbid(principal, action, resource) when "


def test_the_rule_from_which_bad_ones_are_made_is_good():
    assert load_rulebook(GOOD, "f").decide(Facts(model="X")).rule_ids == ("r",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule = 3", "default"),
        (GOOD.replace('default = "allow"', 'default = "maybe"'), "default"),
        (GOOD.replace("timezone", "timezoen"), "'timezone'"),
        (GOOD.replace("Europe/Berlin", "Europe/Utopia"), "Europe/Utopia"),
        (GOOD.replace("reason", "raeson"), "Did you mean 'reason'?"),
        (GOOD.replace('reason = "R."', 'reason = " "'), "reason"),
        (GOOD.replace('id = "r"', 'id = "Not An Id"'), "id"),
        (GOOD.replace('id = "r"', 'id = "default"'), "taken"),
        (GOOD + GOOD.partition("\n\n")[2], "two rules"),
        (GOOD.replace('model = "y"', 'modle = "y"'), "Did you mean 'model'?"),
        (GOOD.replace('model = "y"', "model = 3"), "a text"),
        (GOOD.replace('model = "y"', 'at = "2026-11-22T10:00"'), "offset"),
        (GOOD.replace('model = "y"', "upstream = {regoin = 'eu'}"), "Did you mean 'region'?"),
        (GOOD.replace('model = "y"', "prompt_tokens = true"), "whole number"),
        (GOOD.replace('model = "y"', "tools = [1]"), "list of texts"),
        (GOOD.replace('expect = "allow"', 'expect = "yes"'), "expect"),
        (GOOD.replace('{expect = "allow", model = "y"}', ""), "'allow'"),
        (GOOD.replace('{expect = "deny", model = "x"},', ""), "'deny'"),
        (GOOD.replace('model = "y"', 'model = "x"'), "rule 'r', example 2 (model=x) expects allow"),
        (with_cedar("permit(principal, action, resource);"), 'default = "deny"'),
        (with_cedar("forbid(principal, action, resource) when {"), "is not Cedar"),
        (with_cedar(""), "cedar"),
        (with_cedar("// nothing"), "exactly one"),
        (with_cedar("forbid(principal, action, resource);" * 2), "exactly one"),
        (with_cedar("forbid(principal == ?principal, action, resource);"), "exactly one"),
        (with_cedar(WHEN + '{ context.modle == "x" };'), "modle"),
        (with_cedar(WHEN + '{ resource.regoin == "x" };'), "regoin"),
        (with_cedar(WHEN + "{ context.model == 3 };"), "not compatible"),
        (with_cedar('forbid(principal == Usr::"x", action, resource);'), "Usr"),
        (with_cedar(WHEN + '{ context.model == "Opus" };'), "'Opus'"),
        (with_cedar(WHEN + '{ context.model like "Opus*" };'), "'Opus*'"),
        (with_cedar(WHEN + '{ context.tools.containsAny(["Bash"]) };'), "'Bash'"),
        (with_cedar(WHEN + '{ context.client.version < version("new") };'), "'new'"),
        (with_cedar(WHEN + "{ " + "(" * 20_000 + "true" + ")" * 20_000 + " };"), "rule 'r'"),
        (with_cedar(WHEN + "{ " + "!" * 5_000 + "true };"), "rule 'r'"),
        (with_cedar(WHEN + "{ " + "[" * 3_000 + "]" * 3_000 + ".isEmpty() };"), "rule 'r'"),
        (with_cedar(WHEN + "{ " + "true && " * 3_000 + "true };"), "rule 'r'"),
        (with_cedar(WHEN + "{ " + "if true then true else " * 300 + "true };"), "rule 'r'"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_and_the_message_names_what(text, said):
    with pytest.raises(RuleError) as refused:
        load_rulebook(text, "rules.toml")
    assert said in str(refused.value)
    assert str(refused.value).startswith("rules.toml: ")


def test_an_example_must_be_decided_by_its_own_rule():
    both = GOOD + GOOD.partition("\n\n")[2].replace('id = "r"', 'id = "s"').replace('== "x"', '== "z"')
    with pytest.raises(RuleError, match=r"rule 's', example 1 .* but not by this rule \(by r\)"):
        load_rulebook(both, "f")


def test_an_example_on_which_a_permit_is_overruled_shows_nothing_of_it():
    overruled = PERMIT.replace('{expect = "deny", team = "other"}', '{expect = "deny", team = "core", model = "x"}')
    with pytest.raises(RuleError, match="overruled"):
        load_rulebook(DENY + overruled + GOOD.partition("\n\n")[2].replace('"allow"', '"allow", team = "core"'), "f")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_means_what_it_says(data):
    """Whatever is cut out of a file or put into it: no other error than a refusal."""
    text = GOOD
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 30)))
    text = text[:at] + data.draw(st.text(max_size=5)) + text[end:]
    try:
        rules = load_rulebook(text, "f")
    except RuleError:
        return
    assert all(not trial.fault for trial in rules.trials())


def test_the_schema_names_no_fact_that_a_rule_can_not_read():
    assert book(EVERYTHING).uses == {field.name for field in fields(Facts)}


def test_policy_does_not_load_the_engine_before_a_rule_needs_it():
    source = Path(__import__("mohist.policy", fromlist=["x"]).__file__).parent
    for name in ("cedar.py", "rulebook.py", "reading.py"):
        assert not any(
            line.startswith(("import cedarpy", "from cedarpy"))
            for line in (source / name).read_text(encoding="utf-8").split("\n")
        )
