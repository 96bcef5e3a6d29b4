"""Stage 4, Implement: each task a run in its own worktree, side by side where they may be, merged in the plan's order.

Then the whole is verified, and mended a bounded number of times while something does not hold. Whatever stops it, what was
merged stays collected and what was not is kept: the next attempt goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import anyio

from mohist.base import sha256_hex
from mohist.delivery import desk, prompt
from mohist.delivery.attempt import Made, Stopped, attempt, names_of
from mohist.delivery.build import Build, step_of, told_paths
from mohist.delivery.errors import DeliveryError, PlanError
from mohist.delivery.port import Job
from mohist.delivery.stage import Context, Ended, ask, attempted, bounded, is_out, left_of, opened, side_by_side, work
from mohist.delivery.state import Gate, Plan, PlanTask
from mohist.delivery.task import outside
from mohist.sandbox import GitError

_REWORKED: Final = frozenset({"review", "merge", "irreversible"})
"""Gates at which people decide about the change."""
GRAVE: Final = frozenset({"blocker", "major"})
"""Severities with which nothing is merged unless a person says so."""


@bounded
async def run(context: Context) -> Ended:
    """Makes the change."""
    edited = await ask(desk.take_spec, context.desk, context.book, context.delivery_id)
    if edited is not None:
        raise PlanError(
            f"Spec v{edited.version} was edited after it was planned for.", "`mohist deliver retry plan` plans for it."
        )
    facts = await context.facts()
    build = await Build.open(context, facts)
    asked = any(gate.kind == "plan" and not gate.closed for gate in facts.gates)
    known = facts.plan.version if facts.plan else 0
    await _take_handed_back(build)
    while True:
        plan = await build.plan()
        if asked and plan.version != known:
            # Somebody approved the one before; this one is asked about before anything is done by it.
            return Ended("pending", f"plan v{plan.version} was edited after it was approved")
        merged = await build.merged(plan.tasks)
        ready = [task for task in plan.tasks if task.task_id not in merged and merged.issuperset(task.needs)]
        if not ready:
            break
        ended = await _wave(build, plan, merged, ready)
        if ended is not None:
            return ended
    await _clear(build, plan)
    await _rework(build, plan)
    rounds = await mend(build, plan, "implement")
    await build.set_commit()
    return Ended("done", f"{len(plan.tasks)} tasks merged" + (f", mended {rounds} times" if rounds else ""))


async def fix(build: Build, step: str, text: str, globs: Sequence[str], *, answered: bool = False) -> tuple[str, str]:
    """Has what is collected mended; the head after it, and what the run left as its answer.

    Args:
        build: the change.
        step: of the attempt.
        text: what the run is told.
        globs: what it may touch.
        answered: it is to leave an answer, too.

    Raises:
        RunEndedError: the run did not come to its end.
        DeliveryError: it touched what it may not; nothing of it is taken.
    """
    context = build.context
    known = await context.known(step) or await _fixed(build, step, text, globs, answered)
    await context.ground.drop(context.key(step))
    return known["head"], known["answer"]


async def _fixed(build: Build, step: str, text: str, globs: Sequence[str], answered: bool) -> dict[str, Any]:
    context = build.context
    begun = await context.known(f"{step}/from") or await context.settle(f"{step}/from", {"base": await build.head()})
    key = context.key(step)
    folder = await context.ground.worktree(key, begun["base"])
    output = prompt.ANSWER_FILE if answered else ""
    job = Job(key, "implementer", text, folder, writes=True, output=output, checks=build.commands())
    outcome = await work(context, "review" if step.startswith("review/") else "implement", job)
    # Where a kill left the answer lying it is no part of the change.
    await ask((folder / prompt.ANSWER_FILE).unlink, True)
    commit = await context.ground.commit(folder, f"Mend {build.title}", build.trailers(outcome))
    if stray := await build.stray(begun["base"], commit, globs):
        await build.refuse(step, "the mending run", stray)
        raise DeliveryError(f"The mending run changed what it may not touch: {told_paths(stray)}.")
    await build.take(commit)
    return await context.settle(step, {"head": await build.head(), "answer": outcome.output or ""})


def globs_of(plan: Plan) -> tuple[str, ...]:
    """What any task may touch."""
    return tuple(dict.fromkeys(glob for task in plan.tasks for glob in task.may_touch))


async def _wave(build: Build, plan: Plan, merged: frozenset[str], ready: Sequence[PlanTask]) -> Ended | None:
    """Does tasks side by side and merges them in order; how the stage ends, None: it goes on."""
    context = build.context
    limiter = anyio.CapacityLimiter(max(1, context.measure.parallel))

    async def one(task: PlanTask) -> Made | Stopped:
        with_it = merged | {task.task_id}
        alone = [
            name
            for name in task.criteria
            if with_it.issuperset(other.task_id for other in plan.tasks if name in other.criteria)
        ]
        return await attempt(build, task, alone, limiter)

    done = await side_by_side([partial(one, task) for task in ready])
    for task, made in zip(ready, done, strict=True):
        if isinstance(made, Made):
            paths = await build.add(task, made.commit)
            if paths:
                ended = await _resolve(build, plan, task, made.commit, paths)
                if ended is not None:
                    return ended
    stopped = [row for row in done if isinstance(row, Stopped)]
    if not stopped:
        return None
    what = " ".join(row.what for row in stopped)
    left = left_of(await context.facts(), context.clock.now_ms())
    if any(row.status == "budget" for row in stopped) and is_out(left):
        return Ended("waiting", what)
    return Ended("failed", what)


async def _resolve(build: Build, plan: Plan, task: PlanTask, commit: str, paths: Sequence[str]) -> Ended | None:
    """Has a conflict resolved by a run; else by a person's word to one more; how the stage ends, None: it is merged."""
    context = build.context
    if await _resolved(build, plan, task, commit, paths, "merge"):
        return None
    head = await build.head()
    digest = sha256_hex(f"{head} {commit}".encode())
    facts = {"task": task.task_id, "title": task.title, "paths": list(paths), "merged": head, "commit": commit}
    subject = f"conflict of {task.task_id} in {told_paths(paths)}"
    gate = await opened(context, Gate("", "conflict", "implement", subject, digest, (), False, facts=facts))
    if gate.status != "approved":
        return Ended("waiting", subject)
    if await _resolved(build, plan, task, commit, paths, f"merge/{len(gate.decisions)}"):
        return None
    return Ended("failed", f"{subject}: nobody could resolve it. `mohist deliver take-over`, or retry it anew.")


async def _resolved(build: Build, plan: Plan, task: PlanTask, commit: str, paths: Sequence[str], name: str) -> bool:
    context = build.context
    step = f"{step_of(task)}/{name}"
    key = context.key(step)
    begun = await context.known(f"{step}/from") or await context.settle(f"{step}/from", {"base": await build.head()})
    folder = await context.ground.worktree(key, begun["base"])
    if await context.known(f"{step}/left") is None:
        # A kill may have left a merge half begun; nobody worked on it yet.
        await context.ground.undo(folder)
        await context.ground.merge(folder, commit, f"Merge {task.task_id}: {task.title}", leave=True)
        await context.settle(f"{step}/left", {})
    merged = await build.merged(plan.tasks)
    ours = "\n".join(f"{one.title}\n{one.text}" for one in plan.tasks if one.task_id in merged)
    said = await _words(build, commit)
    text = prompt.mender(paths, ours, f"{task.title}\n{task.text}", said)
    outcome = await attempted(context, "implement", Job(key, "mender", text, folder, writes=True))
    if outcome.status != "done":
        return False
    try:
        made = await context.ground.commit(folder, f"Merge {task.task_id}: {task.title}", build.trailers(outcome, task))
    except GitError:
        return False  # A marker is left, whatever the run says.
    strays = outside(await build.stray(begun["base"], made, task.may_touch), paths)
    if strays:
        await build.refuse(step, "the mender", strays)
        return False
    return not await build.add(task, made)


async def _clear(build: Build, plan: Plan) -> None:
    """Removes the worktrees of tasks, for all of them are merged."""
    for number in range(1, build.context.attempt + 1):
        for task in plan.tasks:
            for name in (*names_of(build), "merge", "merge/1"):
                await build.context.ground.drop(build.context.key(f"{step_of(task)}/{name}", number))


async def _words(build: Build, commit: str) -> tuple[str, ...]:
    """What people said at the conflict's gate."""
    gates = await ask(build.context.book.gates, build.context.delivery_id)
    mine = [gate for gate in gates if gate.kind == "conflict" and gate.facts.get("commit") == commit]
    return tuple(decision.because for gate in mine for decision in gate.decisions if decision.because)


async def mend(build: Build, plan: Plan, step: str) -> int:
    """Mends while exit codes say that something does not hold; how often it had to.

    Args:
        build: the change.
        plan: tells what may be touched.
        step: whose it is, `implement` or `review`.

    Raises:
        DeliveryError: it still does not hold.
    """
    context = build.context
    verified = await build.verified()
    for number in range(context.measure.mends):
        if verified.ok:
            return number
        text = prompt.fixer(build.spec.text, globs_of(plan), await build.wrong(verified))
        before = await build.head()
        head, _ = await fix(build, f"{step}/mend/{before[:12]}", text, globs_of(plan))
        await context.note("mended", f"mended, for {'; '.join(verified.reasons)}", head=head)
        if head == before:
            break
        verified = await build.verified()
    if not verified.ok:
        told = "; ".join(verified.reasons)
        raise DeliveryError(f"It does not hold: {told}.", "Its work is kept; `mohist deliver retry` goes on from it.")
    return context.measure.mends


async def _rework(build: Build, plan: Plan) -> None:
    """Mends what people rejected the change for; each rejection once."""
    context = build.context
    facts = await context.facts()
    marks = {f"{context.delivery_id}/reworked/{gate.gate_id}": gate for gate in facts.gates if gate.kind in _REWORKED}
    said = [
        (mark, f"{decision.by} rejected {gate.subject}: {decision.because}")
        for mark, gate in marks.items()
        for decision in gate.decisions
        if decision.verdict == "reject" and await ask(context.book.effect, mark, "rework") is None
    ]
    if not said:
        return
    findings = await ask(context.book.findings, context.delivery_id)
    told = [text for _, text in said]
    told += [f"{one.path}:{one.line}: {one.text}" for one in findings if one.status == "open" and one.severity in GRAVE]
    await fix(build, "implement/rework", prompt.fixer(build.spec.text, globs_of(plan), told), globs_of(plan))
    for mark, _ in said:
        await ask(context.book.done, mark, {"attempt": context.attempt})


async def _take_handed_back(build: Build) -> None:
    """Takes up what a person made in the worktree of this spec's change."""
    context = build.context
    plan = await build.plan()
    if not await build.merged(plan.tasks):
        return
    notes = await ask(context.book.notes, context.delivery_id)
    commits = [str(note.facts.get("commit") or "") for note in notes if note.kind == "handed-back"]
    if commits and commits[-1]:
        await build.take(commits[-1])
