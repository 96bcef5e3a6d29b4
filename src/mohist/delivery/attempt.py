"""One task's work: a run in a worktree of its own, or several apart from each other, of which the best is kept.

What counts is what the checks say, then what a reviewer says, then how small the change is; never what a run says of itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from mohist.base import MohistError
from mohist.delivery import prompt
from mohist.delivery.answer import Ranked
from mohist.delivery.build import Build, step_of, told_paths
from mohist.delivery.errors import BookError, DeliveryError
from mohist.delivery.port import Job, Outcome
from mohist.delivery.stage import attempted, heard, side_by_side, think
from mohist.delivery.state import PlanTask

MOST_CANDIDATES: Final = 8


@dataclass(frozen=True, slots=True)
class Made:
    """Work that touches only what it may."""

    name: str
    base: str
    commit: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Work that did not come to its end, or is refused; what there is of it is kept."""

    status: str
    """Of the run; `refused-paths` where it touched what it may not."""
    what: str


async def attempt(build: Build, task: PlanTask, alone: Sequence[str], limiter: anyio.CapacityLimiter) -> Made | Stopped:
    """Has a task done, as often as the delivery asks for, and keeps the best.

    Args:
        build: the change so far.
        task: the task.
        alone: ids of the criteria that must hold with this task's work; others need tasks that are not merged.
        limiter: of runs at one time.
    """
    context = build.context
    chosen = await context.known(f"{step_of(task)}/chosen")
    if chosen is None:
        best = await _chosen(build, task, alone, limiter)
        if isinstance(best, Stopped):
            return best
        chosen = await context.settle(f"{step_of(task)}/chosen", dataclasses.asdict(best))
    for name in (*names_of(build), "rank"):
        if name != chosen["name"]:
            await context.ground.drop(context.key(f"{step_of(task)}/{name}"))
    return Made(chosen["name"], chosen["base"], chosen["commit"])


async def _chosen(build: Build, task: PlanTask, alone: Sequence[str], limiter: anyio.CapacityLimiter) -> Made | Stopped:
    async def one(name: str) -> Made | Stopped:
        async with limiter:
            try:
                return await _Work(build, task, alone, name).do()
            except BookError:
                raise
            except MohistError as error:
                if error.audience == "bug":
                    raise
                return Stopped("failed", f"{task.task_id}: {error}")

    done = await side_by_side([partial(one, name) for name in names_of(build)])
    made = [row for row in done if isinstance(row, Made)]
    if not made:
        return next(row for row in done if isinstance(row, Stopped))
    return await _best(build, task, alone, made) if len(made) > 1 else made[0]


def names_of(build: Build) -> tuple[str, ...]:
    """Of the attempts at each task."""
    asked = int(build.delivery.options.get("candidates") or 1)
    return tuple(f"C{number}" for number in range(1, min(max(asked, 1), MOST_CANDIDATES) + 1))


@dataclass(frozen=True, slots=True)
class _Work:
    """One run on one task."""

    build: Build
    task: PlanTask
    alone: Sequence[str]
    name: str

    @property
    def step(self) -> str:
        return f"{step_of(self.task)}/{self.name}"

    async def do(self) -> Made | Stopped:
        build, context, task = self.build, self.build.context, self.task
        begun = await context.known(f"{self.step}/from")
        base = begun["base"] if begun else await build.head()
        folder = await context.ground.worktree(context.key(self.step), base)
        await context.settle(f"{step_of(task)}/begun", {})
        if begun is None:
            earlier = await self._earlier()
            # Where it conflicts with what was merged since, the work begins anew.
            if earlier:
                await context.ground.merge(folder, earlier, f"Take up earlier work on {task.task_id}")
            await context.settle(f"{self.step}/from", {"base": base})
        said = await heard(context, "implement")
        text = prompt.implementer(build.spec.text, task, said)
        checks = build.commands(self.alone)
        job = Job(
            context.key(self.step), "implementer", text, folder, True, checks=checks, cost_microusd=task.cost_microusd
        )
        outcome, commit = await self._run(job)
        if outcome.status != "done":
            return await self._stopped(outcome, commit)
        stray = await build.stray(base, commit, task.may_touch)
        if stray:
            again = dataclasses.replace(job, key=f"{job.key}/inside", task=prompt.outside(text, stray))
            outcome, commit = await self._run(again)
            if outcome.status != "done":
                return await self._stopped(outcome, commit)
            stray = await build.stray(base, commit, task.may_touch)
        if stray:
            await build.refuse(self.step, task.task_id, stray)
            told = f"{task.task_id} changed what it may not touch: {told_paths(stray)}."
            return Stopped("refused-paths", f"{told} Widen `may_touch` in plan.toml, then `mohist deliver retry`.")
        return Made(self.name, base, commit)

    async def _run(self, job: Job) -> tuple[Outcome, str]:
        outcome = await attempted(self.build.context, "implement", job)
        message = f"{self.task.title}\n\nTask {self.task.task_id} of {self.build.title}."
        trailers = self.build.trailers(outcome, self.task)
        return outcome, await self.build.context.ground.commit(job.folder, message, trailers)

    async def _stopped(self, outcome: Outcome, commit: str) -> Stopped:
        """Keeps what there is of the work for the next attempt."""
        await self.build.context.settle(f"{self.step}/kept", {"commit": commit})
        return Stopped(outcome.status, f"{self.task.task_id}: the run ended with {outcome.status!r}; its work is kept.")

    async def _earlier(self) -> str:
        """The commit with what an attempt before left of this task; empty: nothing."""
        for number in range(self.build.context.attempt - 1, 0, -1):
            kept = await self.build.context.known(f"{self.step}/kept", number)
            if kept is not None:
                return str(kept["commit"])
        return ""


async def _best(build: Build, task: PlanTask, alone: Sequence[str], made: Sequence[Made]) -> Made:
    """The best by checks, then by review, then by size of the change."""
    context = build.context
    passes = {row.name: await _passes(build, task, alone, row) for row in made}
    most = max(passes.values())
    equal = [row for row in made if passes[row.name] == most]
    diffs = {row.name: await context.ground.diff(row.base, row.commit) for row in equal}
    ranking: Sequence[str] = await _ranked(build, task, diffs) if len(set(diffs.values())) > 1 else ()
    order = {name: place for place, name in enumerate(ranking)}
    best = min(equal, key=lambda row: (order.get(row.name, len(order)), len(diffs[row.name]), row.name))
    told = ", ".join(f"{row.name} passes {passes[row.name]} of {len(alone)}" for row in made)
    await context.note(
        "candidates", f"{task.task_id}: {best.name} is kept; {told}", passes=passes, ranking=list(ranking)
    )
    return best


async def _passes(build: Build, task: PlanTask, alone: Sequence[str], row: Made) -> int:
    context = build.context
    key = context.key(f"{step_of(task)}/{row.name}/judge")
    copy = await context.ground.copy(key, row.commit)
    ran = [await context.ground.run(copy, check, context.measure.check_timeout_s) for check in build.commands(alone)]
    await context.ground.drop(key)
    return sum(one.exit_code == 0 for one in ran)


async def _ranked(build: Build, task: PlanTask, diffs: dict[str, str]) -> Sequence[str]:
    """A reviewer's order; empty where there is none that can be used."""
    context = build.context
    key = context.key(f"{step_of(task)}/rank")
    folder = await context.ground.worktree(key, await build.head())
    most = context.measure.diff_chars // len(diffs)
    text = prompt.judge(build.spec.text, [(name, diff[:most]) for name, diff in diffs.items()])
    job = Job(key, "reviewer", text, folder, writes=False)
    try:
        answer, _ = await think(
            context,
            "implement",
            job,
            Ranked,
            lambda said: [] if sorted(said.ranking) == sorted(diffs) else [f"rank each of {', '.join(diffs)} once"],
        )
    except DeliveryError as error:
        if error.audience == "bug":
            raise
        return ()
    return answer.ranking
