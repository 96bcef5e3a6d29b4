"""The deploy stage walks the environments in order, each behind its gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deploy_room import NEW, OLD, FolderGround, delivery, sleeper

from fakes.book import FakeBook
from fakes.clock import FakeClock
from fakes.target import FakeTarget, Killed
from mohist.delivery.environment import Environment, load_environments
from mohist.delivery.errors import EnvironmentsError, TargetError
from mohist.delivery.gate import Ruling, gates_for
from mohist.delivery.means import Means, make_target
from mohist.delivery.ship import Ship, environments_of, places_of, roll_back
from mohist.delivery.stage import Context
from mohist.delivery.state import Decision, Facts, Gate, Release, Spec
from mohist.delivery.target import Answer
from mohist.sandbox import Bubblewrap

PLAN = load_environments(
    """
[[environments]]
name = "staging"
target = {kind = "command", activate = "true", rollback = "true"}
probe = {url = "http://127.0.0.1:1/", version = "json:version"}
[[environments]]
name = "production"
needs = [["ops"]]
target = {kind = "command", activate = "true", rollback = "true"}
probe = {url = "http://127.0.0.1:1/", version = "json:version"}
"""
)


class Scene:
    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.book = FakeBook(self.clock.now_ms)
        self.book.create(replace(delivery(), merged=NEW))
        self.targets = {
            name: FakeTarget(active=f"rel-old-{name}", versions={f"rel-old-{name}": OLD})
            for name in ("staging", "production")
        }
        ground: Any = FolderGround(tmp_path / "copies")
        nobody: Any = None
        self.context = Context("del-1", 1, self.book, nobody, ground, self.clock, tmp_path / "desk", nobody)
        self.ship = Ship(PLAN, self.target, self.gates, sleep=sleeper(self.clock))

    def target(self, environment: Environment) -> FakeTarget:
        return self.targets[environment.name]

    def gates(self, facts: Facts) -> tuple[Gate, ...]:
        return gates_for("deploy", facts, None, Ruling(places=places_of(environments_of(PLAN, facts.delivery))))

    def approve(self) -> None:
        gate = next(gate for gate in self.book.gates("del-1") if gate.status == "open")
        self.book.decide(gate.gate_id, Decision("ops", "approve", "", gate.digest, self.clock.now_ms()))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_each_environment_waits_for_its_gate_and_the_one_before(scene: Scene) -> None:
    ended = await scene.ship(scene.context)
    assert (ended.status, ended.detail) == ("waiting", "deploy to production")
    assert scene.targets["staging"].active.startswith("rel-bbbb")
    assert scene.targets["production"].done == []
    assert (await scene.ship(scene.context)).status == "waiting"
    scene.approve()
    ended = await scene.ship(scene.context)
    assert ended.status == "done", ended
    assert scene.targets["production"].active.startswith("rel-bbbb")
    assert scene.targets["staging"].done.count("prepare") == 1


async def test_nothing_goes_on_to_production_from_a_sick_staging(scene: Scene) -> None:
    scene.targets["staging"].answers = lambda version: Answer(ok=version == OLD, version=version)
    ended = await scene.ship(scene.context)
    assert ended.status == "failed"
    assert ended.detail.startswith("staging: rolled-back")
    assert not scene.book.gates("del-1")


async def test_only_the_environments_that_were_asked_for_are_deployed_to(scene: Scene) -> None:
    asked = replace(delivery(), options={"environments": ["staging"]})
    assert [place.name for place in places_of(environments_of(PLAN, asked))] == ["staging"]
    with pytest.raises(EnvironmentsError, match="Did you mean 'staging'"):
        environments_of(PLAN, replace(delivery(), options={"environments": ["stagin"]}))


async def test_a_change_that_is_merged_anew_goes_to_every_environment_again(scene: Scene) -> None:
    await scene.ship(scene.context)
    scene.book.change("del-1", lambda row: replace(row, merged="c" * 40, attempt=2))
    await scene.ship(replace(scene.context, attempt=2))
    assert scene.targets["staging"].active.startswith("rel-cccc")


async def test_a_cancelled_delivery_leaves_nothing_half_deployed(scene: Scene) -> None:
    scene.targets["staging"].kill_at = 3
    with pytest.raises(Killed):
        await scene.ship(scene.context)
    scene.targets["staging"].kill_at = -1
    assert scene.targets["staging"].active.startswith("rel-bbbb")
    ended = await scene.ship.abandon(scene.context, "cancelled by ada")
    assert [row.status for row in ended] == ["rolled-back"]
    assert (scene.targets["staging"].active, scene.targets["staging"].owner) == ("rel-old-staging", "")


async def test_a_person_takes_back_what_serves_and_not_what_no_longer_does(scene: Scene) -> None:
    await scene.ship(scene.context)
    staging, target = PLAN.environments[0], scene.targets["staging"]
    scene.book.create(delivery("del-0"))
    scene.book.put_release("del-0", Release("rel-old-staging", "staging", OLD, "committed", ""))
    row = await roll_back(scene.context, staging, target, "ops says so", sleeper(scene.clock))
    assert (row.status, target.active) == ("rolled-back", "rel-old-staging")
    await scene.ship(scene.context)
    target.active = "rel-later"
    scene.book.put_release("del-1", replace(row, status="committed", at_ms=2**50))
    with pytest.raises(TargetError, match="does not serve"):
        await roll_back(scene.context, staging, target, "again", sleeper(scene.clock))


async def test_what_cannot_be_taken_back_keeps_a_sick_release_and_alarms(scene: Scene) -> None:
    scene.book.put_spec("del-1", Spec(1, "d", "text", (), irreversible=("schema",)))
    scene.targets["staging"].answers = lambda version: Answer(ok=False, version=version)
    ended = await scene.ship(scene.context)
    assert ended.status == "failed"
    assert "can't be: schema" in ended.detail
    assert [note.kind for note in scene.book.notes("del-1")][-1] == "alarm"


@pytest.mark.parametrize(
    "target",
    [
        'kind = "command"\nactivate = "a"\nrollback = "b"\nsecrets = ["KEY"]',
        'kind = "process"\ncommand = "a"\nlisten = "127.0.0.1:1"\nsecrets = ["KEY"]',
        'kind = "ssh"\nhost = "web-1"\npath = "/srv/shop"\nkey = "~/.ssh/id"\npassphrase = "KEY"',
        'kind = "compose"\nproject = "shop"\nsecrets = ["KEY"]',
        'kind = "kubernetes"\nnamespace = "shop"\ncontext = "c"\nworkloads = ["deployment/web"]',
        'kind = "ci"\nforge = "github"\napi = "https://api.github.com"\nproject = "a/b"\nworkflow = "d.yml"\ntoken = "KEY"',
    ],
)
def test_every_kind_is_made_from_the_file_and_a_secret_that_is_not_set_is_named(target: str, tmp_path: Path) -> None:
    text = f'[[environments]]\nname = "x"\nprobe = {{url = "http://h/"}}\n[environments.target]\n{target}\n'
    environment = load_environments(text).get("x")
    sandbox = Bubblewrap(state=tmp_path)
    secret = "s3" + "cret"
    made = make_target(environment, Means(sandbox, tmp_path, {"KEY": secret, "HOME": "/home/ann"}))
    assert made.kind == environment.target.kind
    assert environment.how in made.strategies
    assert secret not in repr(made)
    if "KEY" in target:
        with pytest.raises(EnvironmentsError, match="'KEY' is not set"):
            make_target(environment, Means(sandbox, tmp_path, {}))
    sandbox.close()
