"""What is varied around a subject is brought about, and one value at a time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from mohist.vet.behaviour.surroundings import PROXY, Surroundings, standard_factors
from mohist.vet.difference.fact import zone_of

FACTORS = standard_factors("openai-chat")
CLOCK = Path("/somewhere/libfaketime.so.1")


@pytest.mark.parametrize("zone", FACTORS[0].levels)
@pytest.mark.parametrize("date", ["2026-01-15", "2027-03-02"])
def test_a_set_clock_shows_the_same_moment_in_every_zone(zone: str, date: str) -> None:
    """Else every number that is made of the time would seem to hang on the zone."""
    around = Surroundings(FACTORS, {"zone": zone, "date": date}, CLOCK)
    shown = datetime.strptime(around.late["FAKETIME"], "@%Y-%m-%d %H:%M:%S").replace(tzinfo=zone_of(zone))
    assert shown.timestamp() == datetime.fromisoformat(f"{date}T10:20:30+00:00").timestamp()
    facts = around.facts(5.0, 6.0)
    assert (facts.started_s, facts.ended_s) == (shown.timestamp(), shown.timestamp() + 1)


def test_nothing_is_set_where_there_is_no_clock() -> None:
    around = Surroundings(FACTORS, {})
    assert around.late == {}
    assert around.facts(5.0, 6.0).started_s == 5.0


@pytest.mark.parametrize(
    ("factor", "value", "names"),
    [
        ("zone", "Asia/Shanghai", {"TZ"}),
        ("locale", "zh_CN.UTF-8", {"LANG", "LC_ALL", "LANGUAGE"}),
        ("user", "li.wei", {"USER", "LOGNAME"}),
        ("host", "cn-build-07", {"HOSTNAME", "HOST"}),
        ("ci", "true", {"CI", "GITHUB_ACTIONS"}),
        ("proxy", PROXY, {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}),
        ("endpoint", "gateway.example.cn", set()),
        ("remote", "https://gitee.com/example/shop.git", set()),
    ],
)
def test_a_factor_changes_its_own_variables_alone(factor: str, value: str, names: set[str]) -> None:
    plain, varied = Surroundings(FACTORS, {}).env, Surroundings(FACTORS, {factor: value}).env
    assert {name for name in plain.keys() | varied.keys() if plain.get(name) != varied.get(name)} == names


def test_what_ci_says_is_taken_away_where_there_is_none() -> None:
    assert "CI" in Surroundings(FACTORS, {}).absent
    assert Surroundings(FACTORS, {"ci": "true"}).absent == ()


def test_the_endpoint_is_what_the_base_url_names() -> None:
    assert Surroundings(FACTORS, {"endpoint": "gateway.example.cn"}).base_url == "http://gateway.example.cn"
    assert Surroundings(FACTORS, {}, port=8080).base_url == "http://gateway.example.com:8080"
