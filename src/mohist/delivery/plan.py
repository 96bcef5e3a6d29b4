"""Stage 3, Plan: the tasks, what each needs and may touch; or one task for all where the short way will do.

What a person made of the spec's file meanwhile is taken up first: it is a new version, and needs its approval anew.
"""

from __future__ import annotations

from typing import Final

from mohist.delivery import desk, prompt
from mohist.delivery.answer import Planned
from mohist.delivery.clarify import clarified
from mohist.delivery.errors import PlanError
from mohist.delivery.port import Job
from mohist.delivery.specify import tried
from mohist.delivery.stage import Context, Ended, ask, bounded, heard, think
from mohist.delivery.state import Delivery, PlanTask, Spec
from mohist.delivery.task import plan_of, render, tasks_of, wrong_with

_STEP: Final = "plan"


@bounded
async def run(context: Context) -> Ended:
    """Makes the plan."""
    facts = await context.facts()
    edited = await ask(desk.take_spec, context.desk, context.book, context.delivery_id)
    if edited is not None:
        passed = await tried(context, edited, facts.delivery.base_commit)
        await context.ground.drop(context.key("specify/base"))
        told = f"; proves nothing, for it passes before the change: {', '.join(passed)}" if passed else ""
        await context.note("spec", f"spec v{edited.version} was edited{told}", passed=list(passed))
        return Ended("pending", f"spec v{edited.version} was edited")
    if facts.spec is None:
        raise PlanError("There is no spec to plan for.", "`mohist deliver retry specify`.")
    short = (await clarified(context)).tiny(facts.delivery)
    step = f"{_STEP}/{facts.spec.digest[:12]}"
    known = await context.known(step)
    if known is None:
        # What a person wrote is the plan; nobody plans over it.
        theirs = await ask(desk.read_plan, context.desk, context.book, context.delivery_id)
        if theirs is not None:
            text = theirs[1]
        else:
            text = render(_one(facts.spec) if short else await _tasks(context, step, facts.delivery, facts.spec))
        after = facts.plan.version if facts.plan else 0
        known = await context.settle(step, {"text": text, "after": after, "edited": theirs is not None})
    await context.ground.drop(context.key(step))
    plan = plan_of(known["text"].encode(), known["after"] + 1)
    if facts.plan is None or facts.plan.version <= known["after"]:
        await ask(context.book.put_plan, context.delivery_id, plan)
        await ask(desk.put_plan, context.desk, known["text"])
    if known["edited"]:
        return Ended("done", f"{len(plan.tasks)} tasks, as edited")
    if short:
        return Ended("skipped", "short way: one task for all criteria")
    return Ended("done", f"{len(plan.tasks)} tasks")


async def _tasks(context: Context, step: str, delivery: Delivery, spec: Spec) -> tuple[PlanTask, ...]:
    most, bound = context.measure.tasks, delivery.bound.cost_microusd
    key = context.key(step)
    folder = await context.ground.worktree(key, delivery.base_commit)
    job = Job(key, "planner", prompt.planner(spec.text, most, await heard(context, "plan")), folder, writes=False)
    answer, _ = await think(
        context, "plan", job, Planned, lambda said: wrong_with(tasks_of(said.tasks), spec.criteria, bound, most)
    )
    return tasks_of(answer.tasks)


def _one(spec: Spec) -> tuple[PlanTask, ...]:
    names = tuple(one.criterion_id for one in spec.criteria)
    return (PlanTask("T1", "Do what the spec says", "", criteria=names),)
