"""One road for every side effect.

parse -> access -> policy -> ask -> pre-images -> Intent (on disk) -> run -> Outcome (on disk)

Every call ends in exactly one Outcome, whatever happens; results are logged as they come and shown
to the model in call order. Cancellation waits until the tool has let go of everything.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread

from mohist.agent.caution import Caution
from mohist.agent.content import look
from mohist.agent.log import RunLog
from mohist.agent.record import FileChange, Grant, Intent, Outcome, OutcomeStatus, PreImage
from mohist.agent.schedule import batches
from mohist.agent.tool import Result, Tool, ToolContext
from mohist.agent.tree import Snapshot, TreeWatch
from mohist.base import Clock, MohistError
from mohist.event import ApprovalAsked, ApprovalGiven, EventSink, ToolFinished, ToolProgress, ToolStarted
from mohist.policy import Access, Allow, Deny, Verdict
from mohist.provider.message import ToolCall

Decide = Callable[[str, Access], Verdict]
"""Tool name and access to verdict; grants of this run included."""

Answer = Literal["once", "always", "no"]
Approve = Callable[[ApprovalAsked], Awaitable[Answer]]
"""Asks a person; None in its place: nobody can be asked."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that fits its tool, with what it will touch."""

    call: ToolCall
    tool: Tool[Any]
    args: Any
    access: Access
    title: str


@dataclass(slots=True)
class Executor:
    """Runs the calls of an answer. Holds what a run's calls share."""

    log: RunLog
    ctx: ToolContext
    tools: Mapping[str, Tool[Any]]
    decide: Decide
    approve: Approve | None
    emit: EventSink
    clock: Clock
    tree: TreeWatch | None
    width: int = 8
    granted: Callable[[str, str], None] | None = None
    """Told of each "always" so that `decide` knows."""
    caution: Caution | None = None
    """Looks at what comes in; None: nobody does."""

    async def execute(self, calls: Sequence[ToolCall], refusal: str = "") -> list[Outcome]:
        """One outcome per call, in call order.

        Args:
            calls: of one whole answer.
            refusal: when not empty no call runs and each gets this text (a cut-off answer).
        """
        outcomes: dict[int, Outcome] = {}
        planned: list[tuple[int, Planned]] = []
        for position, call in enumerate(calls):
            plan = self._plan(call, refusal)
            if isinstance(plan, Outcome):
                outcomes[position] = self._close(plan)
            else:
                planned.append((position, plan))
        for group in batches([plan.access for _, plan in planned], self.width):
            members = [planned[index] for index in group]
            # Questions come one at a time, before anything of the group starts.
            cleared: list[tuple[int, Planned, str]] = []
            for position, plan in members:
                verdict = await self._clear(plan)
                if isinstance(verdict, Outcome):
                    outcomes[position] = self._close(verdict)
                else:
                    cleared.append((position, plan, verdict.rule_id))

            async def one(position: int, plan: Planned, rule_id: str) -> None:
                outcomes[position] = await self._run(plan, rule_id)

            async with anyio.create_task_group() as group_tasks:
                for position, plan, rule_id in cleared:
                    group_tasks.start_soon(one, position, plan, rule_id)
        return [outcomes[position] for position in range(len(calls))]

    def _plan(self, call: ToolCall, refusal: str) -> Planned | Outcome:
        if refusal:
            return Outcome(call.id, call.name, "invalid", refusal, "not run: the answer was cut off")
        tool = self.tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self.tools))
            return Outcome(
                call.id,
                call.name,
                "invalid",
                f"There is no tool {call.name!r}. The tools are: {known}.",
                "unknown tool",
            )
        status: OutcomeStatus = "invalid"
        try:
            args = tool.parse(call.arguments)
            # A call that is well formed but names a place it may not touch is no malformed one.
            status = "failed"
            return Planned(call, tool, args, tool.access(args, self.ctx), tool.title(args))
        except MohistError as error:
            return Outcome(call.id, call.name, status, str(error), error.what)
        except Exception as error:  # noqa: BLE001 - whatever a model writes must not take the run with it
            text = f"{call.name} can't take these arguments ({type(error).__name__}). Send simpler ones."
            return Outcome(call.id, call.name, "invalid", text, f"arguments not understood: {error!r}")

    async def _clear(self, plan: Planned) -> Allow | Outcome:
        verdict = self.decide(plan.tool.name, plan.access)
        if self.caution is not None:
            verdict = self.caution.judge(verdict, plan.access, plan.call.arguments)
        if isinstance(verdict, Allow):
            return verdict
        if isinstance(verdict, Deny):
            return self._denied(plan, verdict.rule_id, f"Refused by policy ({verdict.rule_id}): {verdict.reason}")
        question = ApprovalAsked(
            plan.call.id, plan.tool.name, plan.access.scope or plan.title, verdict.reason, verdict.covers
        )
        self.emit(question)
        if self.approve is None:
            self.emit(ApprovalGiven(plan.call.id, False, "nobody to ask"))
            return self._denied(
                plan,
                verdict.rule_id,
                f"This needs a person's approval ({verdict.rule_id}: {verdict.reason}) and nobody can be asked in this run. "
                "Find a way that needs none, or say in your result what you could not do.",
            )
        answer = await self.approve(question)
        self.emit(ApprovalGiven(plan.call.id, answer != "no", "person"))
        if answer == "no":
            return self._denied(
                plan, verdict.rule_id, "The user said no. Don't try the same by another way; ask or go on without it."
            )
        if self.caution is not None:
            self.caution.spread(plan.call.arguments)
        if answer == "always" and verdict.covers:
            self.log.append(Grant(plan.tool.name, verdict.covers))
            if self.granted is not None:
                self.granted(plan.tool.name, verdict.covers)
        return Allow(verdict.rule_id, "approved by a person")

    def _denied(self, plan: Planned, rule_id: str, text: str) -> Outcome:
        return Outcome(plan.call.id, plan.tool.name, "denied", text, f"denied: {plan.title}", rule_id=rule_id)

    async def _run(self, plan: Planned, rule_id: str) -> Outcome:
        call, access = plan.call, plan.access
        started_s = self.clock.monotonic_s()
        effect = access.effect != "none" or bool(access.writes)
        watched = self.tree if effect and access.effect != "local" else None
        before = await watched.snapshot() if watched else None
        images: tuple[PreImage, ...] = ()
        if effect:
            images = await anyio.to_thread.run_sync(self._pre_images, sorted(access.writes))
            self.log.append(
                Intent(call.id, plan.tool.name, access.scope or plan.title, access.effect, access.command, images)
            )
        self.emit(ToolStarted(call.id, plan.tool.name, plan.title))
        status: OutcomeStatus
        whole = False
        try:
            result = await plan.tool.run(plan.args, self.ctx, lambda text: self.emit(ToolProgress(call.id, text)))
            status = "done" if result.ok else "failed"
            whole = True
        except MohistError as error:
            result, status = Result(str(error), ok=False, summary=error.what), "failed"
        except anyio.get_cancelled_exc_class():
            text = "The run was cancelled while this was going on; it may have taken effect in part."
            cancelled = Result(text, ok=False, summary="cancelled")
            with anyio.CancelScope(shield=True):
                changes = await self._changes(before, images)
                self._finish(plan, cancelled, "cancelled", changes, images, started_s, rule_id)
            raise
        except Exception as error:  # noqa: BLE001 - a tool's bug must not take the run with it
            text = f"The tool itself failed ({type(error).__name__}); this is a bug in Mohist, not in your call."
            result, status = Result(text, ok=False, summary=f"internal error: {error!r}"), "failed"
        # Cancelled here, a call that has ended would be taken for one that was cut off.
        with anyio.CancelScope(shield=True):
            changes = await self._changes(before, () if whole else images)
        return self._finish(plan, result, status, changes, images, started_s, rule_id)

    async def _changes(self, before: Snapshot | None, images: tuple[PreImage, ...]) -> tuple[FileChange, ...]:
        """What a call changed that it did not tell of itself: seen by the watch, or by looking at its files again."""
        if self.tree is not None and before is not None:
            return await self.tree.changes(before)
        return await anyio.to_thread.run_sync(self._since, images) if images else ()

    def _finish(
        self,
        plan: Planned,
        result: Result,
        status: OutcomeStatus,
        changes: tuple[FileChange, ...],
        images: tuple[PreImage, ...],
        started_s: float,
        rule_id: str,
    ) -> Outcome:
        modes = {image.path: image.mode for image in images}
        written = tuple(
            FileChange(
                str(item.path), item.before_sha256, item.after_sha256, modes.get(str(item.path), _mode(item.path))
            )
            for item in result.written
        )
        if self.tree is not None:
            for item in result.written:
                self.tree.wrote(item.path, item.after_sha256)
        text = result.text
        if changes:
            names = [Path(os.path.relpath(change.path, self.ctx.workspace)).as_posix() for change in changes]
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            text += f"\n[files changed: {shown}]"
        if self.caution is not None:
            text = self.caution.hear(plan.tool.name, text, plan.access.scope or plan.title)
        return self._close(
            Outcome(
                plan.call.id,
                plan.tool.name,
                status,
                text,
                result.summary or plan.title,
                result.diff,
                written + changes,
                result.spilled,
                round((self.clock.monotonic_s() - started_s) * 1000),
                rule_id,
            )
        )

    def _close(self, outcome: Outcome) -> Outcome:
        self.log.append(outcome)
        self.emit(
            ToolFinished(
                outcome.call_id,
                outcome.tool,
                outcome.status == "done",
                outcome.summary,
                outcome.duration_ms,
                outcome.diff,
            )
        )
        return outcome

    def _pre_images(self, paths: Sequence[Path]) -> tuple[PreImage, ...]:
        """What the files hold before the call. Folders, devices and what is too large for any tool have none."""
        images = []
        for path in paths:
            content = look(self.ctx.workspace, path, self.ctx.limits.max_file_bytes, larger=False)
            if content is None:
                images.append(PreImage(str(path), None))
            elif content.data is not None:
                images.append(PreImage(str(path), self.log.save_blob(content.data), content.mode))
        return tuple(images)

    def _since(self, images: Sequence[PreImage]) -> tuple[FileChange, ...]:
        found = []
        for image in images:
            content = look(self.ctx.workspace, Path(image.path), 0)
            now = content.sha256 if content else None
            if now != image.blob:
                found.append(FileChange(image.path, image.blob, now, image.mode))
        return tuple(found)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode & 0o7777
    except OSError:
        return 0
