"""Keys that only the name of their service gives away: masked, never blocked."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

import pytest

from mohist.guard import Block, Hit, Matcher, View
from mohist.guard.keyword import BLOCKING, MASKING
from mohist.guard.matcher import build_matcher
from mohist.guard.secret import SecretDetector, filled, own_rules
from mohist.guard.secret.service import with_services

RULE = "mohist.service-key"
LISTS = tomllib.loads((files("mohist.guard") / "data" / "service.toml").read_text(encoding="utf-8"))
MADE_UP = "abcdef" + "1234567890" + "abcdef" + "1234567890"


@cache
def shipped() -> tuple[SecretDetector, Matcher]:
    detector = SecretDetector([rule for rule in own_rules().rules if rule.id == RULE])
    return detector, build_matcher([detector], engine="re2")


def hits(text: str) -> list[Hit]:
    detector, matcher = shipped()
    view = View(text)
    return list(detector.detect(view, Block(text), matcher.matches(view).get("secret", {})))


def test_each_name_stands_once_and_can_be_searched_for() -> None:
    names = [name for text in LISTS.values() for name in text.split()]
    assert len(names) > 800
    assert [name for name in names if names.count(name) > 1] == []
    assert [name for name in names if name != name.lower()] == []
    for name in names:
        re.compile(name)


@pytest.mark.parametrize("spelling", ["newrelic", "new_relic", "new-relic", "New Relic", "NEW.RELIC", "NewRelic"])
def test_a_name_is_known_however_its_parts_are_joined(spelling: str) -> None:
    [hit] = hits(filled(f"{spelling}_license_key = '{{hex:40}}'"))
    assert hit.rule == RULE


def test_a_value_that_looks_made_up_is_masked_and_not_blocked() -> None:
    [hit] = hits(f"walkscore TOKEN {MADE_UP}")
    assert MASKING <= hit.confidence < BLOCKING
    assert hit.end - hit.start == len(MADE_UP)


@pytest.mark.parametrize(
    "line",
    [
        "unheard_of_token={hex:32}",
        "The GitHub token is read from GITHUB_TOKEN_2 in the environment.",
        "stripe_api_version = '2024-06-20.acacia.preview-12'",
        "slack.access_token_expires_in_seconds_30",
        "line 12 key {hex:32}",
        "openai_api_base=https://api.example.com/v1/models/12",
        "github_api_version: 2022-11-28",
    ],
)
def test_what_is_no_value_or_no_service_is_left_alone(line: str) -> None:
    assert hits(filled(line)) == []


def test_an_expression_without_lists_stays_as_it_is() -> None:
    assert with_services("[a-z]@corp") == "[a-z]@corp"
    assert "@names@" not in with_services("(?:@names@)")
