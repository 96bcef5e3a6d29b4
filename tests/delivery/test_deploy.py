"""A deploy goes on after a kill at any boundary, and takes back what is sick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from deploy_room import NEW, OLD, FolderGround, MemoryBook, delivery, environment, sleeper

from fakes.clock import FakeClock
from fakes.target import FakeTarget, Killed
from mohist.delivery.deploy import OPEN, deploy, release_id, take_back
from mohist.delivery.environment import BuildSpec
from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.state import Release
from mohist.delivery.target import Answer

WELL = Answer(ok=True, latency_ms=1.0)
NEW_ID = release_id(delivery(), "staging", NEW)


def sick(version: str) -> Answer:
    return replace(WELL, version=version) if version == OLD else Answer(ok=False, error="it answers 500")


class Scene:
    """An environment in which OLD serves already."""

    def __init__(self, tmp_path: Path, **more: object) -> None:
        self.clock = FakeClock()
        self.book = MemoryBook()
        self.ground = FolderGround(tmp_path)
        self.environment = environment(**{key: str(value) for key, value in more.items()})
        self.target = FakeTarget(active="rel-old", versions={"rel-old": OLD})
        self.book.put_release("del-0", Release("rel-old", "staging", OLD, "committed", ""))
        self.book.history.clear()

    async def deploy(self, commit: str = NEW, **more: object) -> Release:
        return await deploy(
            delivery(),
            self.environment,
            commit,
            self.book,  # type: ignore[arg-type]
            self.ground,  # type: ignore[arg-type]
            self.target,
            self.clock,
            sleep=sleeper(self.clock),
            **more,  # type: ignore[arg-type]
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_a_good_release_is_committed_and_names_what_was_before(scene: Scene) -> None:
    row = await scene.deploy()
    assert (row.status, row.previous, scene.target.active) == ("committed", "rel-old", NEW_ID)
    assert scene.book.history == ["prepared", "activating", "baking", "committed"]
    assert scene.target.done == ["prepare", "activate 100", "commit"]


async def test_the_previous_release_is_on_record_before_activation(scene: Scene) -> None:
    on_record: list[str] = []
    scene.target._die = lambda: on_record.append(scene.book.rows[NEW_ID][1].previous)  # type: ignore[method-assign]
    await scene.deploy()
    assert set(on_record) == {"rel-old"}


async def test_a_sick_release_is_taken_back_and_what_was_before_is_asked(scene: Scene) -> None:
    scene.target.answers = sick
    row = await scene.deploy()
    assert (row.status, scene.target.active) == ("rolled-back", "rel-old")
    assert "it answers 500" in row.detail
    assert [note.kind for note in scene.book.told] == ["rollback"]


async def test_where_answers_name_no_version_a_healthy_one_will_do(scene: Scene) -> None:
    probe = scene.environment.probe.model_copy(update={"version": ""})
    scene.environment = scene.environment.model_copy(update={"probe": probe})
    scene.target.answers = lambda _version: WELL
    assert (await scene.deploy()).status == "committed"
    del scene.book.rows["rel-old"]
    scene.target.answers = lambda version: WELL if scene.target.active == NEW_ID else Answer(ok=False)
    assert (await scene.deploy(commit=OLD)).status == "rolled-back"


async def test_after_a_rollback_the_version_before_must_answer(scene: Scene) -> None:
    """Also where the book does not know what was before: then the new one must be gone."""
    scene.target.answers = lambda _version: replace(WELL, version="e" * 40)
    assert (await scene.deploy()).status == "failed"
    del scene.book.rows["rel-old"]
    scene.target.active = "rel-old"
    assert (await scene.deploy(turn=1)).status == "rolled-back"


async def test_a_release_that_ended_is_not_deployed_again(scene: Scene) -> None:
    first = await scene.deploy()
    scene.target.done.clear()
    assert await scene.deploy() == first
    assert scene.target.done == []


@pytest.mark.parametrize("well", [True, False], ids=["good release", "sick release"])
async def test_killed_at_any_boundary_it_goes_on_to_the_same_end(tmp_path: Path, well: bool) -> None:
    count = 0
    while True:
        scene = Scene(tmp_path / str(count))
        if not well:
            scene.target.answers = sick
        point = iter(range(10_000))

        def kill(point: object = point, at: int = count) -> None:
            if next(point) == at:  # type: ignore[call-overload]
                raise Killed

        scene.book.kill = kill
        scene.target._die = kill  # type: ignore[method-assign]
        try:
            row = await scene.deploy()
        except Killed:
            scene.book.kill = scene.target._die = lambda: None  # type: ignore[method-assign]
            row = await scene.deploy()
        else:
            break
        finally:
            count += 1
        expected = ("committed", NEW_ID) if well else ("rolled-back", "rel-old")
        assert (row.status, scene.target.active) == expected, f"killed at {count - 1}"
        assert scene.target.owner == ""
        assert row.previous == "rel-old"
        assert [note.kind for note in scene.book.told] == ["deploy" if well else "rollback"], f"killed at {count - 1}"
    assert count > 12


async def test_a_rollback_that_fails_alarms(scene: Scene) -> None:
    scene.target.answers = sick
    scene.target.errors["rollback"] = [TargetError("the host is on fire")]
    row = await scene.deploy()
    assert row.status == "failed"
    assert [note.kind for note in scene.book.told] == ["alarm"]
    assert "on fire" in scene.book.told[0].text


async def test_a_rollback_after_which_nothing_answers_alarms(scene: Scene) -> None:
    scene.target.answers = lambda _version: Answer(ok=False, error="no answer")
    row = await scene.deploy()
    assert row.status == "failed"
    assert "not well after the rollback" in scene.book.told[-1].text


async def test_what_cannot_be_taken_back_is_not_taken_back_by_itself(scene: Scene) -> None:
    scene.target.answers = sick
    row = await scene.deploy(irreversible=("schema: drops column age",))
    assert (row.status, scene.target.active) == ("failed", NEW_ID)
    assert "rollback" not in scene.target.done
    assert [note.kind for note in scene.book.told] == ["alarm"]


async def test_a_person_can_take_it_back_all_the_same(scene: Scene) -> None:
    scene.target.answers = sick
    row = await scene.deploy(irreversible=("schema",))
    back = await take_back(
        delivery(),
        scene.environment,
        row,
        scene.book,
        scene.target,
        scene.clock,
        "ops says so",
        sleep=sleeper(scene.clock),  # type: ignore[arg-type]
    )
    assert (back.status, scene.target.active) == ("rolled-back", "rel-old")


async def test_an_unreachable_host_is_tried_again_and_then_given_up(scene: Scene) -> None:
    scene.target.errors["activate"] = [UnreachableError("no route")] * 3
    assert (await scene.deploy()).status == "committed"
    scene.target.errors["activate"] = [UnreachableError("no route")] * 1000
    scene.target.active = "rel-old"
    row = await scene.deploy(turn=1)
    assert (row.status, scene.target.active) == ("rolled-back", "rel-old")


async def test_a_release_that_cannot_be_prepared_never_serves(scene: Scene) -> None:
    scene.target.errors["prepare"] = [TargetError("no space left on the host")]
    row = await scene.deploy()
    assert (row.status, scene.target.active) == ("rolled-back", "rel-old")
    assert "activate 100" not in scene.target.done


async def test_it_waits_for_another_release_and_then_gives_up(scene: Scene) -> None:
    scene.book.put_release("del-9", Release("rel-other", "staging", NEW, "baking", ""))
    with pytest.raises(BusyError, match="rel-other"):
        await scene.deploy()
    assert scene.target.done == []
    assert scene.clock.monotonic_s() >= scene.environment.busy_s


async def test_who_gets_the_target_second_goes_back_to_what_the_first_left(scene: Scene) -> None:
    scene.target.owner = "rel-first"
    waits = 0
    wait = sleeper(scene.clock)

    async def sleep(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            scene.target.owner, scene.target.active = "", "rel-first"
            scene.target.versions["rel-first"] = OLD
        await wait(seconds)

    row = await deploy(
        delivery(),
        scene.environment,
        NEW,
        scene.book,
        scene.ground,
        scene.target,
        scene.clock,
        sleep=sleep,  # type: ignore[arg-type]
    )
    assert (row.status, row.previous) == ("committed", "rel-first")


async def test_beside_a_switch_a_sick_release_never_serves(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.target.strategies = frozenset({"blue-green"})
    scene.target.answers = sick
    row = await scene.deploy()
    assert row.status == "rolled-back"
    assert not any(step.startswith("activate") for step in scene.target.done)


async def test_a_canary_goes_up_by_its_weights(tmp_path: Path) -> None:
    target = 'kind = "process"\ncommand = "serve"\nlisten = "127.0.0.1:1"'
    scene = Scene(tmp_path, more='strategy = "canary"\nweights = [10, 50]', target=target)
    scene.target.strategies = frozenset({"blue-green", "canary"})
    assert (await scene.deploy()).status == "committed"
    assert scene.target.done == ["prepare", "activate 10", "activate 50", "activate 100", "commit"]


async def test_the_artefact_is_built_once_for_all_environments(scene: Scene) -> None:
    build = BuildSpec(command="make dist")
    await scene.deploy(build=build)
    await scene.deploy(build=build, turn=1)
    assert scene.ground.builds == ["make dist"]


async def test_a_build_that_fails_touches_nothing(scene: Scene) -> None:
    scene.ground.exit_code = 2
    with pytest.raises(TargetError, match="ended with 2"):
        await scene.deploy(build=BuildSpec(command="make dist"))
    assert scene.target.done == []
    assert not any(row.status in OPEN for row in scene.book.releases())
