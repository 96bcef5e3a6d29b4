"""Which gates a delivery must pass, with whom."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mohist.delivery.consent import entitled
from mohist.delivery.errors import RuleError
from mohist.delivery.gate import Change, Place, Ruling, gates_for, is_production, required, risk_of, why_skip
from mohist.delivery.owner import read_owners
from mohist.delivery.rule import Rules, load_rules, tighten
from mohist.delivery.state import Delivery, Facts, Gate, Plan, Release, Spec

SMALL = Change(("src/a.py",), 10)


def facts(**changes: Any) -> Facts:
    delivery = Delivery("delivery-1", "/r", "…", "text", "ann", "b", "main", "m", "working", "plan", 1, 0, 0)
    delivery = dataclasses.replace(delivery, commit="c1", merged="m1")
    return dataclasses.replace(Facts(delivery, spec=Spec(2, "s2", "", ()), plan=Plan(1, "p1", ())), **changes)


def ruled(text: str = "", owners: str = "", places: tuple[Place, ...] = ()) -> Ruling:
    return Ruling(load_rules(text), read_owners(owners, "github") if owners else None, places)


def asked(stage: Any, change: Change | None, ruling: Ruling, known: Facts | None = None) -> list[Gate]:
    return list(gates_for(stage, known or facts(), change, ruling))


def test_without_rules_people_approve_spec_and_merge_and_a_deploy_to_production() -> None:
    ruling = ruled(places=(Place("test"), Place("production")))
    gates = required(facts(), SMALL, ruling)
    assert [(gate.kind, gate.digest) for gate in gates["plan"]] == [("spec", "s2")]
    assert [(gate.kind, gate.digest) for gate in gates["merge"]] == [("spec", "s2"), ("merge", "c1")]
    assert gates["deploy"] == ()
    there = facts(releases=(Release("r", "test", "m1", "committed", ""),))
    assert [(gate.subject, gate.digest) for gate in asked("deploy", SMALL, ruling, there)] == [
        ("deploy to production", "m1")
    ]
    everywhere = facts(releases=(*there.releases, Release("r", "production", "m1", "committed", "")))
    assert asked("deploy", SMALL, ruling, everywhere) == []


@pytest.mark.parametrize("name", ["production", "prod", "prod-eu", "eu.prod", "PROD2", "live", "pre-prod"])
def test_a_name_of_production_is_known(name: str) -> None:
    assert is_production(name)


@pytest.mark.parametrize("name", ["products", "reproduction", "staging", "test", "delivery", "alive"])
def test_another_name_is_not(name: str) -> None:
    assert not is_production(name)


@pytest.mark.parametrize(
    ("change", "risk"),
    [
        (Change(("src/a.py",), 10), "low"),
        (Change(("src/a.py",), 51), "medium"),
        (Change(("src/a.py", "src/b.py"), 2), "medium"),
        (Change(("docs/a.md", "README.md"), 300), "low"),
        (Change(("docs/a.md",), 401), "medium"),
        (Change(("docs/a.md", "uv.lock"), 2), "medium"),
        (Change((".github/workflows/ci.yml",), 1), "high"),
        (Change((".mohist/deliver.toml",), 1), "high"),
        (Change(("app/migrations/1.py",), 1), "high"),
        (Change(("docs/a.md",), 1, irreversible=("drops x",)), "high"),
        (Change(("docs/a.md",), 1, data=("personal",)), "low"),
    ],
)
def test_risk_is_told_by_paths_size_and_what_cannot_be_taken_back(change: Change, risk: str) -> None:
    found, reasons = risk_of(change, Rules())
    assert found == risk
    assert reasons


def test_a_project_says_which_of_its_paths_and_data_are_of_which_risk() -> None:
    rules = load_rules('[risk]\nhigh = ["src/pay/**"]\nlow = ["*.sql"]\ndata = ["personal"]\n')
    assert risk_of(Change(("src/pay/a.py",), 1), rules) == ("high", ("src/pay/a.py (src/pay/**)",))
    assert risk_of(Change(("x.sql",), 1), rules)[0] == "low"
    assert risk_of(Change(("x.sql",), 1, data=("personal",)), rules)[0] == "high"


def test_owners_of_what_is_touched_review_it_and_that_lets_it_in() -> None:
    gates = asked("merge", SMALL, ruled(owners="*.py @bob @cleo\n*.c @dan\n"))
    assert [(gate.kind, gate.needs) for gate in gates] == [("spec", ()), ("review", (("bob", "cleo"),))]
    assert entitled("cleo", (), gates[1], "ann")
    assert not entitled("dan", (), gates[1], "ann")


def test_a_rule_asks_only_where_all_its_conditions_hold() -> None:
    text = (
        '[[gates]]\nid = "pay"\nkind = "merge"\npaths = ["src/pay/**"]\nover_lines = 5\nneeds = ["@pay"]\ncount = 2\n'
        '[teams]\npay = ["bob", "cleo", "dan"]\n'
    )
    assert asked("merge", Change(("src/pay/a",), 5), ruled(text))[1].needs == ()
    gate = asked("merge", Change(("src/pay/a",), 6), ruled(text))[1]
    assert (gate.needs, gate.facts["rules"]) == ((("@pay",), ("@pay",)), ["pay"])
    assert asked("merge", None, ruled(text))[1].needs == (("@pay",), ("@pay",))


def test_an_environment_names_its_own_people() -> None:
    place = Place("staging", (("@ops",),), True, True)
    gate = asked("deploy", SMALL, ruled(places=(place,)))[0]
    assert (gate.needs, gate.four_eyes) == ((("@ops",),), True)
    assert asked("deploy", SMALL, ruled(places=(Place("staging"),))) == []
    assert asked("deploy", SMALL, ruled(places=(Place("staging", gated=True),)))[0].needs == ()


def test_what_cannot_be_taken_back_is_asked_one_by_one_and_never_waived() -> None:
    known = facts(spec=Spec(2, "s2", "", (), ("drops x", "publishes y")))
    waived = ruled('[[waive]]\nkind = "merge"\nrisk = "high"\n[[waive]]\nkind = "spec"\nrisk = "high"\n')
    gates = asked("merge", SMALL, waived, known)
    assert [(gate.kind, gate.subject) for gate in gates] == [
        ("irreversible", "drops x"),
        ("irreversible", "publishes y"),
    ]


def test_a_waiver_lets_low_risk_go_on_alone_but_nothing_above_and_no_rule_or_owner() -> None:
    text = '[[waive]]\nkind = "merge"\nrisk = "low"\n[[waive]]\nkind = "spec"\nrisk = "low"\n'
    assert asked("merge", SMALL, ruled(text)) == []
    assert [gate.kind for gate in asked("merge", Change(("uv.lock",), 1), ruled(text))] == ["spec", "merge"]
    assert [gate.kind for gate in asked("merge", None, ruled(text))] == ["spec", "merge"]
    assert [gate.kind for gate in asked("merge", SMALL, ruled(text, owners="* @bob"))] == ["review"]
    assert [gate.kind for gate in asked("merge", SMALL, ruled('four_eyes = "low"\n' + text))] == ["spec", "merge"]


def test_from_a_risk_on_it_takes_a_second_person() -> None:
    ruling = ruled('four_eyes = "medium"')
    assert not asked("merge", SMALL, ruling)[1].four_eyes
    gate = asked("merge", Change(("uv.lock",), 1), ruling)[1]
    assert gate.four_eyes
    assert (entitled("ann", (), gate, "ann"), entitled("bob", (), gate, "ann")) == (False, True)


def test_a_group_that_the_requester_cannot_stand_for_alone_is_met_by_others() -> None:
    text = '[[gates]]\nkind = "merge"\nfour_eyes = true\nneeds = ["ann", "bob"]\ncount = 2\n'
    gate = asked("merge", SMALL, ruled(text))[1]
    assert gate.needs == (("ann", "bob"), ("*",))
    assert gate.facts["instead"] == ["1 of ann, bob: * instead"]
    led = asked("merge", SMALL, ruled('escalate = ["@lead"]\n' + text))[1]
    assert led.needs == (("ann", "bob"), ("@lead",))


def test_a_company_tightens_and_never_loosens() -> None:
    project = load_rules(
        'four_eyes = "high"\nowners = false\n[[waive]]\nkind = "merge"\nrisk = "high"\n[risk]\nlow = ["x"]'
    )
    company = load_rules(
        '[[gates]]\nkind = "merge"\nneeds = ["@sec"]\n[teams]\nsec = ["eve"]\n', "managed", may_loosen=False
    )
    both = tighten(project, company)
    assert (both.owners, both.waivers, both.four_eyes, both.teams_of("eve")) == (True, (), "high", ("@sec",))
    assert asked("merge", SMALL, Ruling(both))[1].needs == (("@sec",),)
    assert tighten(Rules(), load_rules('four_eyes = "low"')).four_eyes == "low"
    assert tighten(load_rules('four_eyes = "low"'), load_rules('four_eyes = "high"')).four_eyes == "low"
    for text in ('[[waive]]\nkind = "merge"', "owners = false", '[risk]\nlow = ["x"]'):
        with pytest.raises(RuleError, match="tighten"):
            load_rules(text, "managed", may_loosen=False)


def test_a_file_that_is_not_understood_is_refused_with_the_nearest_key() -> None:
    with pytest.raises(RuleError, match=r"gates\.0\.path is not known; did you mean 'paths'"):
        load_rules('[[gates]]\nkind = "merge"\npath = ["x"]\n')
    with pytest.raises(RuleError, match="not valid TOML"):
        load_rules("[[")
    with pytest.raises(RuleError, match=r"kind"):
        load_rules('[[gates]]\nkind = "ship"\n')
    assert load_rules('[[environments]]\nname = "x"\n') == Rules()


def test_a_stage_that_adds_nothing_is_skipped_with_a_reason() -> None:
    assert why_skip("deploy", ruled()) == "no environment is named"
    assert why_skip("deploy", ruled(places=(Place("test"),))) == ""
    assert why_skip("review", ruled()) == ""
