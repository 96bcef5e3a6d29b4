"""Environments are read strictly, and an error names the place and the nearest key."""

from __future__ import annotations

import pytest

from mohist.delivery.environment import STRATEGIES, load_environments
from mohist.delivery.errors import EnvironmentsError
from mohist.delivery.health import HealthRule

GOOD = """
four_eyes = "high"

[build]
command = "make dist"
artefact = "dist"

[[environments]]
name = "staging"
target = {kind = "process", command = "serve", listen = "127.0.0.1:8080"}
probe = {url = "http://127.0.0.1:8080/health", version = "json:version", bake_s = 5}
strategy = "canary"
weights = [10, 50]

[[environments]]
name = "production"
needs = [["@ops", "ann"], ["bob"]]
four_eyes = true
[environments.target]
kind = "ssh"
host = "web-1"
path = "/srv/shop"
restart = "systemctl --user restart shop"
[environments.probe]
command = "cat VERSION"
"""


def test_environments_come_in_their_order_with_all_that_they_say() -> None:
    plan = load_environments(GOOD)
    staging, production = plan.environments
    assert (plan.build.command, staging.how, staging.weights, staging.gated) == ("make dist", "canary", (10, 50), False)
    assert staging.probe.rule == HealthRule(bake_s=5)
    assert (production.how, production.gated, production.needs) == ("in-place", True, (("@ops", "ann"), ("bob",)))
    assert plan.get("production") is production


def test_an_empty_file_declares_nothing() -> None:
    assert load_environments("").environments == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('host = "web-1"', 'hots = "web-1"', "'environments.production.target.hots' is not known. Did you mean 'host'"),
        ("bake_s = 5", "bake = 5", "'environments.staging.probe.bake' is not known. Did you mean 'bake_s'"),
        ("needs =", "need =", "'environments.production.need' is not known. Did you mean 'needs'"),
        ("[build]", "[biuld]", "'biuld' is not known. Did you mean 'build'"),
        ('artefact = "dist"', 'artifact = "dist"', "'build.artifact' is not known. Did you mean 'artefact'"),
        ('kind = "ssh"', 'kind = "shs"', "'environments.production.target'"),
        ('host = "web-1"', "", "'environments.production.target.host' is missing"),
        ('path = "/srv/shop"', 'path = "/srv/$(id)"', "'environments.production.target.path'"),
        ("weights = [10, 50]", "weights = [50, 10]", "percents between 1 and 99 that rise"),
        ("weights = [10, 50]", "", "'canary' and weights belong together"),
        ("four_eyes = true", 'four_eyes = true\nstrategy = "blue-green"', "a ssh target can't do 'blue-green'"),
        ('command = "cat VERSION"', "", "name either url or command"),
        ('name = "production"', 'name = "staging"', "two environments are called 'staging'"),
        ('name = "production"', 'name = "Prod/1"', "'environments.Prod/1.name'"),
        ('version = "json:version"', 'version = "jsn:version"', "'environments.staging.probe.version'"),
        ('version = "json:version"', 'version = "regexp:("', "not a regular expression"),
        ('version = "json:version"', 'expect = "{tag}"', "{tag} is not known; there are {commit}"),
        ("[build]", "[build", "is not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(EnvironmentsError) as caught:
        load_environments(GOOD.replace(old, new))
    assert told in str(caught.value)


def test_an_environment_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(EnvironmentsError, match="Did you mean 'production'"):
        load_environments(GOOD).get("prodution")


def test_only_who_owns_a_switch_can_do_more_than_in_place() -> None:
    assert {kind for kind, able in STRATEGIES.items() if able - {"in-place"}} == {"process"}
