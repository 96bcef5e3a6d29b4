"""The stages in which models think, killed at every call to the book, to a run and to the ground; and once on real git."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from thought_room import GOODBYE, PLANNED, Room, real_room, room

from fakes.mind import writes
from mohist.delivery import clarify, implement, plan, review, specify
from mohist.delivery.port import Job
from mohist.sandbox import Bubblewrap

STAGES = (clarify, specify, plan, implement, review)
KILLS = 24
"""Of those that a run of the suite tries, spread over all; with 0 it tries all."""


class Killed(BaseException):
    """Nothing catches this."""


class Fuse:
    """Lets so many calls pass, then kills: before the call is made, or after."""

    def __init__(self, left: int) -> None:
        self.calls = 0
        self._left = left

    def burn(self) -> None:
        self.calls += 1
        if self.calls == self._left:
            raise Killed

    def wired(self, thing: Any) -> Any:
        fuse = self

        class Wired:
            def __getattr__(self, name: str) -> Any:
                call = getattr(thing, name)
                return fuse.around(call) if callable(call) else call

        return Wired()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(call):

            async def slow(*args: Any, **kwargs: Any) -> Any:
                self.burn()
                result = await call(*args, **kwargs)
                self.burn()
                return result

            return slow

        def quick(*args: Any, **kwargs: Any) -> Any:
            self.burn()
            result = call(*args, **kwargs)
            self.burn()
            return result

        return quick


def mends(job: Job) -> None:
    assert "<<<<<<<" in (job.folder / "greet.sh").read_text(encoding="utf-8")
    writes({"greet.sh": GOODBYE, "bye.sh": "echo bye\n"})(job)


SCRIPT: dict[str, Any] = {
    "plan": {"tasks": [PLANNED["tasks"][0], {**PLANNED["tasks"][1], "may_touch": ["greet.sh", "bye.sh"]}]},
    "clarify": {
        "size": "small",
        "questions": [{"question": "Which?", "recommended": "This.", "why": "It differs."}],
    },
    "implement/T1/C1": writes({"greet.sh": GOODBYE}),
    "implement/T2/C1": writes({"greet.sh": "echo hello\necho goodbye now\n", "bye.sh": "echo by\n"}),
    "implement/T2/merge": mends,
    "review/look/1": {"findings": [{"severity": "major", "text": "No end.", "path": "greet.sh", "line": 2}]},
    "review/fix/1": writes(
        {"greet.sh": f"{GOODBYE}echo end\n"}, {"replies": [{"finding": "F1", "fixed": True, "why": "There."}]}
    ),
    "review/look/2": {"findings": []},
}


async def through(at: Room, fuse: Fuse) -> None:
    """Runs the stages that did not end yet."""
    whole = at.context
    at.context = dataclasses.replace(
        whole,
        book=fuse.wired(whole.book),
        mind=fuse.wired(whole.mind),
        ground=fuse.wired(whole.ground),
    )
    ended = {row.stage for row in at.book.stages("d")}
    try:
        for stage in STAGES:
            if stage.__name__.rpartition(".")[2] not in ended:
                await at.stage(stage)
    finally:
        at.context = whole


async def facts(at: Room) -> dict[str, Any]:
    """All that must be the same whatever was killed."""
    delivery = at.book.get("d")
    return {
        "files": {path: await at.ground.show(delivery.commit, path) for path in await at.ground.files(delivery.commit)},
        "spec": at.spec,
        "plan": at.book.plan("d"),
        "spent": (delivery.spent_microusd, delivery.spent_tokens),
        "jobs": sorted((job.key, job.task) for job in at.mind.jobs),
        "findings": [(one.finding_id, one.status) for one in at.book.findings("d")],
        "stages": [(row.stage, row.status, row.detail) for row in at.book.stages("d")],
        "worktrees": at.ground.worktrees,
    }


def started(folder: Path) -> Room:
    return room(folder, SCRIPT, options={"yes": True})


async def test_killed_at_any_call_it_comes_to_the_same(tmp_path: Path) -> None:
    whole, unharmed = started(tmp_path / "whole"), Fuse(-1)
    await through(whole, unharmed)
    wanted = await facts(whole)
    assert wanted["files"]["greet.sh"] == f"{GOODBYE}echo end\n".encode()
    step = max(1, unharmed.calls // KILLS) if KILLS else 1
    for number in range(1, unharmed.calls + 1, step):
        at = started(tmp_path / str(number))
        try:
            await through(at, Fuse(number))
        except* Killed:
            pass
        await through(at, Fuse(-1))
        assert await facts(at) == wanted, number


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=tmp_path_factory.mktemp("state"), grace_s=0.3)
    yield backend
    backend.close()


async def test_on_real_git_in_the_sandbox_it_is_the_same_way(tmp_path: Path, sandbox: Bubblewrap) -> None:
    script = {**SCRIPT, "implement/mend": writes({"bye.sh": "echo bye\n"})}
    at = await real_room(tmp_path, sandbox, script, options={"yes": True})
    await through(at, Fuse(-1))
    commit = at.book.get("d").commit
    assert await at.ground.show(commit, "greet.sh") == f"{GOODBYE}echo end\n".encode()
    assert [(one.finding_id, one.status) for one in at.reviewed] == [("d/1/review/F1", "fixed")]
    assert (tmp_path / "user/greet.sh").read_text(encoding="utf-8") == "echo hello\n"
