"""A cancelled delivery leaves nothing outside: its half deploy, its request and its branch go; what is others' stays."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from forge_room import Scene, scene_of
from git_server import TOKEN as GIT_TOKEN
from git_server import GitServer, bare
from ground_room import git
from host import Sshd
from merge_room import BRANCH, Port, port

from fakes.forge import KINDS
from fakes.target import FakeTarget, Killed
from mohist.delivery.environment import load_environments
from mohist.delivery.errors import ForgeError
from mohist.delivery.order import cancel
from mohist.delivery.ship import Ship
from mohist.delivery.state import Release
from mohist.delivery.withdrawal import Withdrawn, reaches_out, withdraw
from mohist.sandbox import Remote

pytestmark = pytest.mark.enable_socket

BECAUSE = "cancelled by ann: not wanted"
NOWHERE: Any = Ship(load_environments(""), lambda _: None, lambda _: ())  # type: ignore[arg-type,return-value]


def cancelled(at: Port) -> None:
    at.book.move("d", lambda facts: cancel(facts, "ann", "not wanted", at.clock.now_ms()))


async def taken_back(scene: Scene, **more: Any) -> Withdrawn:
    given = {"harbour": scene.harbour, "forge": scene.forge} | more
    return await withdraw(
        scene.at.context, NOWHERE, scene.at.ground, lambda: (given["harbour"], given["forge"]), BECAUSE
    )


@pytest.fixture(params=KINDS)
async def every(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    scene = await scene_of(request.param, tmp_path)
    scene.fake.new_checks = {"build": "pending"}
    await scene.merge()
    cancelled(scene.at)
    yield scene
    scene.fake.close()
    assert scene.fake.faults == []


@pytest.fixture
async def scene(tmp_path: Path) -> Any:
    made = await scene_of("github", tmp_path)
    made.fake.new_checks = {"build": "pending"}
    await made.merge()
    cancelled(made.at)
    yield made
    made.fake.close()
    assert made.fake.faults == []


async def test_the_request_is_closed_with_why_and_the_branch_is_gone(every: Scene) -> None:
    told = await taken_back(every)
    assert (len(told.done), told.left, told.stuck, told.later) == (2, (), (), ())
    assert every.fake.pulls[0].state == "closed"
    assert every.fake.pulls[0].comments[0].startswith("Delivery d was cancelled by ann: not wanted\n")
    assert every.fake.git("rev-parse", "--verify", BRANCH) == ""
    assert every.fake.git("rev-parse", "main") == every.at.delivery.base_commit
    assert await taken_back(every) == Withdrawn()
    assert len(every.fake.pulls[0].comments) == 1


class Dying:
    """Passes calls on, and dies like a killed process before or after the one of a number."""

    def __init__(self, inner: Any, count: list[int]) -> None:
        self.inner, self.count = inner, count

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            self.die()
            answer = await getattr(self.inner, name)(*args)
            self.die()
            return answer

        return call

    def die(self) -> None:
        self.count[0] -= 1
        if self.count[0] == 0:
            raise Killed


async def test_killed_at_any_step_it_goes_on_and_does_nothing_twice(scene: Scene) -> None:
    before = (scene.fake.git("rev-parse", BRANCH), dataclasses.replace(scene.fake.pulls[0]))
    survived = 0
    for kill_at in range(1, 20):
        count = [kill_at]
        try:
            await taken_back(scene, harbour=Dying(scene.harbour, count), forge=Dying(scene.forge, count))
            survived = kill_at
        except Killed:
            told = await taken_back(scene)
            assert (told.left, told.stuck, told.later) == ((), (), ())
        assert scene.fake.pulls[0].state == "closed"
        assert len(scene.fake.pulls[0].comments) == 1
        assert scene.fake.git("rev-parse", "--verify", BRANCH) == ""
        if survived:
            break
        scene.fake.git("update-ref", f"refs/heads/{BRANCH}", before[0])
        scene.fake.pulls[0] = dataclasses.replace(before[1], comments=[])
    assert survived > 8


async def test_a_forge_that_is_down_is_asked_later_and_the_branch_waits_for_it(every: Scene) -> None:
    every.fake.down = [(503, {"retry-after": "40"}, b"")]
    told = await taken_back(every)
    assert (len(told.later), told.after_s, told.done) == (1, 40.0, ())
    assert every.fake.git("rev-parse", BRANCH) == every.at.commit
    assert len((await taken_back(every)).done) == 2
    assert every.fake.pulls[0].state == "closed"


async def test_what_somebody_else_pushed_to_the_branch_is_left_and_said(scene: Scene) -> None:
    theirs = scene.fake.git("commit-tree", f"{scene.at.commit}^{{tree}}", "-p", scene.at.commit, "-m", "theirs")
    scene.fake.git("update-ref", f"refs/heads/{BRANCH}", theirs)
    told = await taken_back(scene)
    assert told.left == (f"{BRANCH} holds {theirs[:12]}, which somebody else pushed",)
    assert scene.fake.git("rev-parse", BRANCH) == theirs
    assert scene.fake.pulls[0].state == "closed"


async def test_a_branch_that_we_pushed_for_an_older_attempt_is_ours(scene: Scene) -> None:
    scene.at.book.change("d", lambda row: dataclasses.replace(row, commit="", attempt=2))
    assert len((await taken_back(scene)).done) == 2
    assert scene.fake.git("rev-parse", "--verify", BRANCH) == ""


async def test_a_request_that_was_merged_meanwhile_is_said_and_recorded(every: Scene) -> None:
    await every.forge.merge(1, every.at.commit)
    merged = every.fake.git("rev-parse", "main")
    told = await taken_back(every)
    assert "was merged before" in told.left[0]
    assert f"main holds the change already: {merged[:12]}" in told.left[1]
    assert every.at.delivery.merged == merged
    assert every.fake.pulls[0].comments == []
    assert every.fake.git("rev-parse", "main") == merged


async def test_a_request_whose_making_was_never_recorded_is_found_and_closed(every: Scene) -> None:
    every.at.book._effects["d/request"] = None  # killed between the answer and its record
    assert len((await taken_back(every)).done) == 2
    assert every.fake.pulls[0].state == "closed"


async def test_one_that_can_not_be_closed_is_told_and_keeps_nothing_else(scene: Scene) -> None:
    scene.fake.pulls[0].stays = "the archive is read-only"
    told = await taken_back(scene)
    assert "stays open: the archive is read-only" in told.stuck[0]
    assert scene.fake.git("rev-parse", "--verify", BRANCH) == ""


async def test_settings_that_are_gone_are_told_with_what_they_keep(scene: Scene) -> None:
    def piers() -> Any:
        raise ForgeError("The variable SHOP_TOKEN is not set.")

    told = await withdraw(scene.at.context, NOWHERE, scene.at.ground, piers, BECAUSE)
    assert told.stuck == (f"{BRANCH}, if it was pushed: The variable SHOP_TOKEN is not set.",)


async def test_a_base_that_holds_the_change_already_is_said(scene: Scene) -> None:
    scene.fake.git("update-ref", "refs/heads/main", scene.at.commit)
    told = await taken_back(scene, forge=None)
    assert told.left == (f"main holds the change already: {scene.at.commit[:12]}; revert it there",)
    assert scene.at.delivery.merged == scene.at.commit


async def test_a_branch_left_in_the_users_own_repository_is_removed(tmp_path: Path) -> None:
    at = await port(tmp_path)
    git(at.user, "checkout", "--quiet", "main")
    assert (await at.merge()).status == "waiting"
    assert git(at.user, "rev-parse", BRANCH) == at.commit
    cancelled(at)
    git(at.user, "checkout", "--quiet", BRANCH)
    nowhere = lambda: (None, None)  # noqa: E731
    told = await withdraw(at.context, NOWHERE, at.ground, nowhere, BECAUSE)
    assert "checked out" in told.stuck[0]
    git(at.user, "checkout", "--quiet", "main")
    told = await withdraw(at.context, NOWHERE, at.ground, nowhere, BECAUSE)
    assert told.done == (f"{BRANCH} is removed; it stood on {at.commit[:12]}",)
    assert git(at.user, "branch", "--list", BRANCH) == ""
    assert git(at.user, "status", "--porcelain") == ""
    assert git(at.user, "rev-parse", "main") == at.delivery.base_commit


@pytest.mark.parametrize("over", ["http", "ssh"])
async def test_the_branch_goes_from_a_real_server(tmp_path: Path, over: str) -> None:
    at = await port(tmp_path)
    served = bare(at.user, tmp_path / "served" / "shop.git")
    server = GitServer(tmp_path / "served") if over == "http" else None
    sshd = Sshd(tmp_path / "sshd") if over == "ssh" else None
    try:
        if server:
            remote = Remote(f"{server.url}/shop.git", GIT_TOKEN)
        else:
            assert sshd is not None
            url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{served}"
            remote = Remote(url, key=sshd.key, known_hosts=sshd.known_hosts)
        harbour = at.ground.remote(remote)
        at.book.change("d", lambda row: dataclasses.replace(row, base_branch="mohist/d"))
        await harbour.push(at.commit, BRANCH, "")
        at.book.change("d", lambda row: dataclasses.replace(row, base_branch="main"))
        at.book.put_stage("d", dataclasses.replace(at.book.stages("d")[0], stage="merge", began_at_ms=1))
        cancelled(at)
        if server:
            server.status = 503
            assert len((await withdraw(at.context, NOWHERE, at.ground, lambda: (harbour, None), BECAUSE)).later) == 2
            server.status = 0
        told = await withdraw(at.context, NOWHERE, at.ground, lambda: (harbour, None), BECAUSE)
        assert (len(told.done), told.stuck, told.later) == (1, (), ())
        assert git(served, "branch", "--list", BRANCH) == ""
    finally:
        if server:
            server.close()
        if sshd:
            sshd.stop()


PLAN = load_environments(
    """
[[environments]]
name = "staging"
target = {kind = "command", activate = "true", rollback = "true"}
probe = {url = "http://127.0.0.1:1/", version = "json:version"}
[[environments]]
name = "production"
target = {kind = "command", activate = "true", rollback = "true"}
probe = {url = "http://127.0.0.1:1/", version = "json:version"}
"""
)


async def test_a_half_deploy_is_taken_back_and_what_serves_is_said(scene: Scene) -> None:
    target = FakeTarget(active="rel-new", owner="rel-new", versions={"rel-new": "new", "rel-old": "old"})
    scene.at.book.put_release("d", Release("rel-stays", "staging", "c", "committed", "rel-old"))
    scene.at.book.put_release("d", Release("rel-new", "production", "c", "activating", "rel-old"))

    async def sleep(seconds: float) -> None:
        scene.at.clock.advance(seconds)

    ship = Ship(PLAN, lambda _: target, lambda _: (), sleep=sleep)  # type: ignore[arg-type,return-value]
    told = await withdraw(scene.at.context, ship, scene.at.ground, lambda: (scene.harbour, scene.forge), BECAUSE)
    assert told.done[0] == "production: rel-new was taken back (rel-old serves)"
    assert told.left == ("staging: rel-stays serves, and stays",)
    assert (target.active, target.owner) == ("rel-old", "")


async def test_a_half_deploy_whose_environment_is_gone_is_told(scene: Scene) -> None:
    scene.at.book.put_release("d", Release("rel-new", "elsewhere", "c", "activating", "rel-old"))
    ship = Ship(PLAN, lambda _: FakeTarget(), lambda _: ())  # type: ignore[arg-type,return-value]
    told = await withdraw(scene.at.context, ship, scene.at.ground, lambda: (scene.harbour, scene.forge), BECAUSE)
    assert "elsewhere: rel-new is activating" in told.stuck[0]
    assert scene.fake.pulls[0].state == "closed"


async def test_nothing_is_asked_of_anybody_where_nothing_went_out(tmp_path: Path) -> None:
    at = await port(tmp_path)
    cancelled(at)
    assert not reaches_out(at.book.facts("d"))
    assert await withdraw(at.context, NOWHERE, at.ground, lambda: 1 / 0, BECAUSE) == Withdrawn()  # type: ignore[arg-type,return-value]
