"""Made-up clients, without processes: what hides facts is found and named, what is merely lively is not accused."""

from __future__ import annotations

import pytest

from fakes.client.made_up import HIDING, HONEST
from fakes.laboratory import MemoryLaboratory
from mohist.vet.behaviour.surroundings import PROXY, standard_factors
from mohist.vet.difference.account import facts, findings, unread
from mohist.vet.difference.experiment import Experiment, Plan, Result
from mohist.vet.finding import Finding

FACTORS = standard_factors("anthropic-messages")
CHINA, NEUTRAL_CN, LAB = ("zone", "Asia/Shanghai"), ("endpoint", "gateway.example.cn"), ("endpoint", "api.deepseek.com")
EXPECTED = {
    "published": {("date form", CHINA), ("look-alike", NEUTRAL_CN), ("look-alike", LAB)},
    "zero-width": {("invisible", CHINA)},
    "key-order": {("order", NEUTRAL_CN), ("order", LAB)},
    "tool-order": {("order", CHINA)},
    "float-form": {("number", ("locale", "zh_CN.UTF-8"))},
    "header-case": {("case", CHINA)},
    "header-order": {("order", ("remote", "https://gitee.com/example/shop.git"))},
    "delay": {("delay", NEUTRAL_CN), ("delay", LAB)},
    "pair": {("spacing", ("proxy", PROXY), CHINA)},
    "within-an-id": {("coded", NEUTRAL_CN), ("coded", LAB)},
    "escape-form": {("escape", ("user", "li.wei"))},
    "coded": {("coded", NEUTRAL_CN), ("coded", LAB), ("coded", ("endpoint", "api.anthropic.com"))},
    "look-alike": {("look-alike", ("host", "cn-build-07"))},
    "from-a-date-on": {("spacing", ("date", "2027-03-02"))},
}


async def examined(name: str, seed: int) -> tuple[Result, tuple[Finding, ...]]:
    result = await Experiment(MemoryLaboratory(name, FACTORS, seed), FACTORS, Plan(seed=seed)).run()
    assert result is not None
    return result, findings(result, FACTORS, "again")


def accusations(found: tuple[Finding, ...]) -> list[str]:
    return [f"{one.severity} {one.rule}: {one.what}" for one in found if one.severity in ("medium", "high")]


@pytest.mark.parametrize("name", [kind.name for kind in HIDING])
async def test_a_client_that_hides_facts_is_found_with_sort_and_cause(name: str) -> None:
    result, found = await examined(name, 11)
    grave = {
        (one.reading.sort, *sorted(one.cause))
        for one in result.confirmed
        if one.reading.severity({f for f, _ in one.cause}) == "high"
    }
    assert grave == EXPECTED[name]
    assert {one.severity for one in found if one.rule != "differ/stated"} <= {"high", "low"}


@pytest.mark.parametrize("seed", [11])
@pytest.mark.parametrize("name", [kind.name for kind in HONEST])
async def test_a_lively_client_is_not_accused(name: str, seed: int) -> None:
    _, found = await examined(name, seed)
    assert accusations(found) == []


async def test_evidence_names_run_request_place_and_code_points() -> None:
    _, found = await examined("published", 11)
    apostrophe = next(one for one in found if "U+02BC" in one.what)
    assert apostrophe.rule == "differ/look-alike"
    first = apostrophe.evidence[0]
    assert first.where.startswith("run ")
    assert first.where.endswith("request 1, body $.system")
    assert first.offset > 0
    assert dict(first.facts)["code points"] == "U+0027 -> U+02BC"
    assert dict(first.facts)["host of the base URL"] == "gateway.example.cn"
    assert "\\u02bc" in first.excerpt


async def test_facts_said_openly_are_told_and_weigh_little() -> None:
    _, found = await examined("open", 11)
    assert accusations(found) == []
    stated = {one.what.split(" is stated")[0]: one.severity for one in found if one.rule == "differ/stated"}
    assert {"The time zone", "The locale", "The user name", "The host name", "The git remote"} <= stated.keys()
    assert set(stated.values()) <= {"low", "info"}


async def test_a_host_that_only_the_client_knows_is_tried_when_it_is_named() -> None:
    more = standard_factors("anthropic-messages", hosts=("relay.example",))
    result = await Experiment(MemoryLaboratory("published", more, 5), more, Plan(seed=5)).run()
    assert result is not None
    assert ("endpoint", "relay.example") in {item for one in result.confirmed for item in one.cause}


async def test_the_inventory_can_be_written_down() -> None:
    from mohist.base import canonical_json

    result, _ = await examined("ids", 11)
    assert canonical_json(facts(result, FACTORS, 11))
    assert any("x-session-id" in place for place in facts(result, FACTORS, 11)["varies_by_itself"])
    assert unread(result, FACTORS) == ()


async def test_no_finding_comes_of_runs_that_nobody_can_compare() -> None:
    class Silent(MemoryLaboratory):
        async def run(self, assignment):
            from dataclasses import replace

            return replace(await super().run(assignment), failure="no request reached the model")

    assert await Experiment(Silent("plain", FACTORS, 1), FACTORS, Plan()).run() is None
