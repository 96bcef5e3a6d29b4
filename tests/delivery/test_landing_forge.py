"""The merge through a forge: pushed, asked for once, waited for without a process, merged at the commit that was approved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from forge_room import Scene, scene_of
from git_server import pushes
from merge_room import BRANCH

from fakes.forge import KINDS
from mohist.delivery.machine import LOOK

pytestmark = pytest.mark.enable_socket


@pytest.fixture(params=KINDS)
async def every(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    scene = await scene_of(request.param, tmp_path)
    yield scene
    scene.fake.close()
    assert scene.fake.faults == []


@pytest.fixture
async def scene(tmp_path: Path) -> Any:
    made = await scene_of("github", tmp_path)
    yield made
    made.fake.close()
    assert made.fake.faults == []


async def test_a_change_goes_through_a_request(every: Scene) -> None:
    every.fake.new_checks = {"build": "pending"}
    assert (await every.merge()).status == "waiting"
    assert (every.at.delivery.status, every.at.delivery.segment) == ("waiting", "")
    assert (len(every.fake.pulls), every.fake.pulls[0].title) == (1, "Say bye.")
    every.fake.pulls[0].checks = {"build": "passed"}
    assert (await every.again()).status == "done"
    merged = every.fake.git("rev-parse", "main")
    assert every.at.delivery.merged == merged != every.at.commit
    assert every.fake.git("rev-parse", "main^2") == every.at.commit
    assert await every.at.ground.contains(merged, every.at.commit)  # it is here, to be deployed
    assert len(every.fake.pulls) == 1
    assert pushes(every.fake.bare) == [f"refs/heads/{BRANCH} {every.at.commit}"]


async def test_what_is_missing_is_told_while_it_waits(scene: Scene) -> None:
    scene.fake.new_checks = {"build": "pending", "lint": "failed"}
    detail = (await scene.merge()).detail
    assert "running: build" in detail
    assert "failed: lint" in detail
    scene.fake.pulls[0].checks = {"build": "passed"}
    scene.fake.pulls[0].blocked = True
    assert "protection" in (await scene.again()).detail
    scene.fake.pulls[0].blocked = False
    scene.fake.pulls[0].objecting = "bob"
    assert "changes asked for by bob" in (await scene.again()).detail
    scene.fake.pulls[0].objecting = ""
    assert (await scene.again()).status == "done"


async def test_ci_that_has_not_begun_yet_is_given_time_to(scene: Scene) -> None:
    scene.fake.new_checks = {}
    assert "may still begin" in (await scene.merge()).detail
    assert scene.at.delivery.options[LOOK]["at_ms"] - scene.at.clock.now_ms() == 30_000
    scene.fake.pulls[0].checks = {"build": "pending"}
    assert "running: build" in (await scene.again()).detail
    scene.fake.pulls[0].checks = {}
    scene.at.clock.advance(60)
    assert (await scene.again()).status == "done"


async def test_a_forge_that_is_down_loses_nothing_and_is_asked_when_it_said(every: Scene) -> None:
    every.fake.down = [(503, {"retry-after": "120"}, b"")]
    assert (await every.merge()).status == "waiting"
    assert every.at.delivery.options[LOOK]["at_ms"] - every.at.clock.now_ms() == 120_000
    every.fake.lose = {"POST"}
    assert (await every.again()).status == "waiting"
    ended = await every.again()
    while ended.status == "waiting":
        ended = await every.again()
    assert ended.status == "done"
    assert len(every.fake.pulls) == 1
    assert len(pushes(every.fake.bare)) == 1


async def test_a_merge_whose_answer_was_lost_is_found_merged(scene: Scene) -> None:
    scene.fake.lose = {"PUT"}
    assert (await scene.merge()).status == "waiting"
    merged = scene.fake.git("rev-parse", "main")
    assert merged != scene.at.delivery.base_commit
    assert (await scene.again()).status == "done"
    assert scene.fake.git("rev-parse", "main") == scene.at.delivery.merged == merged


async def test_a_request_that_a_person_merged_is_merged_though_the_branch_is_gone(every: Scene) -> None:
    every.fake.new_checks = {"build": "pending"}
    await every.merge()
    await every.forge.merge(1, every.at.commit)
    merged = every.fake.git("rev-parse", "main")
    every.fake.git("update-ref", "-d", f"refs/heads/{BRANCH}")
    later = every.fake.git("commit-tree", "main^{tree}", "-p", merged, "-m", "later")
    every.fake.git("update-ref", "refs/heads/main", later)
    assert (await every.again()).status == "done"
    assert every.at.delivery.merged == merged
    assert every.fake.git("rev-parse", BRANCH) == ""


async def test_a_change_that_reached_the_base_without_its_request_is_merged(scene: Scene) -> None:
    scene.fake.new_checks = {"build": "pending"}
    await scene.merge()
    scene.fake.git("update-ref", "refs/heads/main", scene.at.commit)
    assert (await scene.again()).status == "done"
    assert scene.at.delivery.merged == scene.at.commit


async def test_a_request_that_a_person_closed_ends_the_stage(scene: Scene) -> None:
    scene.fake.new_checks = {"build": "pending"}
    await scene.merge()
    scene.fake.pulls[0].state = "closed"
    ended = await scene.again()
    assert ended.status == "failed"
    assert "closed without a merge" in ended.detail


async def test_what_somebody_else_pushed_to_the_branch_is_not_overwritten_nor_merged(scene: Scene) -> None:
    scene.fake.new_checks = {"build": "pending"}
    await scene.merge()
    theirs = scene.fake.git("commit-tree", f"{scene.at.commit}^{{tree}}", "-p", scene.at.commit, "-m", "theirs")
    scene.fake.git("update-ref", f"refs/heads/{BRANCH}", theirs)
    scene.fake.pulls[0].checks = {"build": "passed"}
    ended = await scene.again()
    assert ended.status == "failed"
    assert "Somebody pushed" in ended.detail
    assert scene.fake.git("rev-parse", BRANCH) == theirs
    assert scene.fake.pulls[0].state == "open"


async def test_a_base_that_went_on_is_the_forges_to_merge_unless_it_conflicts(scene: Scene) -> None:
    tip = scene.elsewhere({"other.sh": "echo more\n"})
    assert (await scene.merge()).status == "done"
    assert scene.fake.git("rev-parse", "main^1") == tip


async def test_a_conflict_at_the_forge_is_asked_about(every: Scene) -> None:
    every.fake.new_checks = {"build": "pending"}
    await every.merge()
    tip = every.elsewhere({"greet.sh": "echo good day\n"})
    assert (await every.again()).status == "waiting"
    gate = every.at.book.gates("d")[-1]
    assert (gate.kind, gate.digest, gate.facts["paths"]) == ("conflict", tip, ["greet.sh"])


async def test_what_was_made_anew_takes_the_place_of_what_we_pushed(scene: Scene) -> None:
    scene.fake.new_checks = {"build": "pending"}
    await scene.merge()
    folder = await scene.at.ground.worktree("anew", scene.at.delivery.base_commit)
    (folder / "bye.sh").write_text("echo bye\n", encoding="utf-8")
    commit = await scene.at.ground.commit(folder, "Say bye, otherwise", {})
    scene.at.book.change("d", lambda row: dataclasses.replace(row, commit=commit))
    await scene.again()
    assert scene.fake.git("rev-parse", BRANCH) == commit
    scene.fake.pulls[0].checks = {"build": "passed"}
    assert (await scene.again()).status == "done"
    assert (len(scene.fake.pulls), scene.fake.git("rev-parse", "main^2")) == (1, commit)
