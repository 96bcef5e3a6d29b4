"""Where a change is collected: one worktree per spec, into which the work of tasks and of menders is merged in order.

Its head is how far the change is, whatever attempt it was made in: a retry goes on from there, and another spec begins anew
from the base. Who merges has checked before what files were touched: nothing outside the plan's globs comes in here, and the
spec's folder is nobody's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mohist.base import canonical_json, sha256_hex
from mohist.delivery import desk
from mohist.delivery.errors import DeliveryError, PlanError
from mohist.delivery.port import Outcome
from mohist.delivery.spec import SPEC_FILE, folder_of
from mohist.delivery.stage import Context, ask
from mohist.delivery.state import Delivery, Facts, Finding, Plan, PlanTask, Spec
from mohist.delivery.task import outside
from mohist.delivery.verdict import Verified

_OURS = ".mohist/"
"""Rules, specs and environments: people change these, never a run."""
_TOLD_PATHS = 10
_TAIL_CHARS = 1_500


@dataclass(frozen=True, slots=True)
class Build:
    """The change of one spec, as far as it is."""

    context: Context
    delivery: Delivery
    spec: Spec
    folder: Path
    """The worktree in which it is collected."""

    @classmethod
    async def open(cls, context: Context, facts: Facts) -> Build:
        """Goes on with what there is; else begins with the spec's own commit on the base.

        Raises:
            PlanError: there is no spec or no plan.
        """
        delivery, spec = facts.delivery, facts.spec
        if spec is None or facts.plan is None:
            raise PlanError("There is no spec or no plan to work on.", "`mohist deliver retry specify`.")
        folder = await context.ground.worktree(f"{delivery.delivery_id}/collect/{spec.digest}", delivery.base_commit)
        build = cls(context, delivery, spec, folder)
        if await build.head() == delivery.base_commit:
            await ask(desk.lay_out, folder, delivery.delivery_id, spec)
            head = await context.ground.commit(folder, f"Specify: {build.title}", build.trailers())
            if await context.ground.show(head, f"{folder_of(delivery.delivery_id)}/{SPEC_FILE}") is None:
                raise DeliveryError(
                    "The repository ignores `.mohist/deliveries`, so its checks can't go with the change.",
                    "Add a line `!.mohist/deliveries/` to its .gitignore.",
                )
        return build

    @property
    def title(self) -> str:
        return self.spec.text.partition("\n")[0].lstrip("# ").strip() or "change"

    async def head(self) -> str:
        return await self.context.ground.head(self.folder)

    async def plan(self) -> Plan:
        """The plan as it is now; what a person made of it since is taken up.

        Raises:
            PlanError: theirs can't be used.
        """
        before = await ask(self.context.book.plan, self.context.delivery_id)
        if before is None:
            raise PlanError("There is no plan to work on.", "`mohist deliver retry plan`.")
        merged = await self.merged(before.tasks)
        begun = [task.task_id for task in before.tasks if task.task_id in merged or await self.begun(task)]
        book, context = self.context.book, self.context
        taken = await ask(partial(desk.take_plan, context.desk, book, context.delivery_id, begun))
        if taken is not None:
            await context.note("plan", f"plan v{taken.version} was edited")
        return taken or before

    async def merged(self, tasks: Sequence[PlanTask]) -> frozenset[str]:
        """Ids of the tasks whose work is collected."""
        rows = [(task, await ask(self.context.book.effect, self._mark(task), "merge")) for task in tasks]
        return frozenset(task.task_id for task, known in rows if known is not None)

    async def begun(self, task: PlanTask) -> bool:
        """Whether somebody works on the task in this attempt."""
        return await ask(self.context.book.begun, self.context.key(f"{step_of(task)}/begun"))

    async def add(self, task: PlanTask, commit: str) -> Sequence[str]:
        """Merges a task's work; paths in conflict, and nothing is merged then."""
        paths = await self.context.ground.merge(self.folder, commit, f"Merge {task.task_id}: {task.title}")
        if not paths:
            await ask(self.context.book.done, self._mark(task), {"commit": commit})
        return paths

    async def take(self, commit: str) -> None:
        """Merges what was made on top of the head.

        Raises:
            DeliveryError: it was made on something else, and conflicts.
        """
        paths = await self.context.ground.merge(self.folder, commit, f"Merge work on {self.title}")
        if paths:
            raise DeliveryError(f"It conflicts with what was collected: {told_paths(paths)}.")

    async def stray(self, base: str, commit: str, globs: Sequence[str]) -> tuple[str, ...]:
        """Paths that were changed between two commits and may not be."""
        paths = await self.context.ground.changed(base, commit)
        return tuple(path for path in paths if path.startswith(_OURS) or outside([path], globs))

    async def refuse(self, step: str, who: str, paths: Sequence[str]) -> None:
        """Puts on record that work was refused, for it touched what it may not."""
        for path in paths[:_TOLD_PATHS]:
            text = f"{who} changed {path}, which it may not touch; its work was refused."
            finding = Finding(f"{self.context.key(step)}/{path}", "major", text, path, by="plan", status="fixed")
            await ask(self.context.book.put_finding, self.context.delivery_id, finding)

    async def set_commit(self) -> str:
        """Makes the head what the delivery is to be verified, reviewed and merged by; the head."""
        head, attempt = await self.head(), self.context.attempt

        def change(row: Delivery) -> Delivery:
            return dataclasses.replace(row, commit=head) if row.attempt == attempt else row

        await ask(self.context.book.change, self.context.delivery_id, change)
        return head

    async def verified(self) -> Verified:
        """What the change as it is is worth by exit codes."""
        delivery = dataclasses.replace(self.delivery, commit=await self.head(), attempt=self.context.attempt)
        return await self.context.verify(delivery, self.spec.criteria)

    async def wrong(self, verified: Verified) -> tuple[str, ...]:
        """What does not hold, with the end of what the commands wrote."""
        rows = await ask(self.context.book.evidence, self.context.delivery_id, self.context.attempt)
        tails = {row.evidence_id: row for row in rows if row.phase == "after" and row.exit_code != 0}
        told = list(verified.reasons)
        for line in verified.matrix:
            if line.holds is False:
                ran = [tails[name] for name in line.evidence if name in tails]
                told += [f"`{row.command}` wrote:\n{row.output_tail[-_TAIL_CHARS:].strip()}" for row in ran]
        return tuple(told)

    def commands(self, names: Sequence[str] | None = None) -> tuple[str, ...]:
        """The checks of criteria; of all without `names`."""
        return tuple(
            one.check for one in self.spec.criteria if one.check and (names is None or one.criterion_id in names)
        )

    def trailers(self, outcome: Outcome | None = None, task: PlanTask | None = None) -> Mapping[str, str]:
        """What a commit says of where it comes from."""
        said = {"Mohist-Delivery": self.context.delivery_id}
        if task is not None:
            said["Mohist-Task"] = task.task_id
        if outcome is not None:
            said |= {"Mohist-Run": outcome.run_id, "Mohist-Model": outcome.model}
        return said

    def _mark(self, task: PlanTask) -> str:
        return f"{self.context.delivery_id}/collected/{self.spec.digest[:12]}/{task.task_id}/{digest_of(task)}"


def digest_of(task: PlanTask) -> str:
    """Of what a task says."""
    return sha256_hex(canonical_json(dataclasses.asdict(task)))[:12]


def step_of(task: PlanTask) -> str:
    """The step that works on a task."""
    return f"implement/{task.task_id}/{digest_of(task)}"


def told_paths(paths: Sequence[str]) -> str:
    more = len(paths) - _TOLD_PATHS
    return ", ".join(paths[:_TOLD_PATHS]) + (f" and {more} more" if more > 0 else "")
