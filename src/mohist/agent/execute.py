"""One road for every side effect.

parse -> access -> policy -> ask -> pre-images -> Intent (on disk) -> run -> Outcome (on disk)

Every call ends in exactly one Outcome, whatever happens; results are logged as they come and shown
to the model in call order. Cancellation waits until the tool has let go of everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio

from mohist.agent.log import RunLog
from mohist.agent.record import FileChange, Grant, Intent, Outcome, OutcomeStatus, PreImage
from mohist.agent.schedule import batches
from mohist.agent.tool import Result, Tool, ToolContext
from mohist.agent.tree import TreeWatch
from mohist.base import Clock, MohistError, sha256_hex
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
        try:
            args = tool.parse(call.arguments)
            access = tool.access(args, self.ctx)
        except MohistError as error:
            return Outcome(call.id, call.name, "invalid", str(error), error.what)
        return Planned(call, tool, args, access, tool.title(args))

    async def _clear(self, plan: Planned) -> Allow | Outcome:
        verdict = self.decide(plan.tool.name, plan.access)
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
        if effect:
            images = tuple(self._pre_image(path) for path in sorted(access.writes) if not path.is_dir())
            self.log.append(
                Intent(call.id, plan.tool.name, access.scope or plan.title, access.effect, access.command, images)
            )
        self.emit(ToolStarted(call.id, plan.tool.name, plan.title))
        status: OutcomeStatus
        try:
            result = await plan.tool.run(plan.args, self.ctx, lambda text: self.emit(ToolProgress(call.id, text)))
            status = "done" if result.ok else "failed"
        except MohistError as error:
            result, status = Result(str(error), ok=False, summary=error.what), "failed"
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                changes = await watched.changes(before) if watched and before is not None else ()
                text = "The run was cancelled while this was going on; it may have taken effect in part."
                self._finish(
                    plan, Result(text, ok=False, summary="cancelled"), "cancelled", changes, started_s, rule_id
                )
            raise
        except Exception as error:  # noqa: BLE001 - a tool's bug must not take the run with it
            text = f"The tool itself failed ({type(error).__name__}); this is a bug in Mohist, not in your call."
            result, status = Result(text, ok=False, summary=f"internal error: {error!r}"), "failed"
        changes = await watched.changes(before) if watched and before is not None else ()
        return self._finish(plan, result, status, changes, started_s, rule_id)

    def _finish(
        self,
        plan: Planned,
        result: Result,
        status: OutcomeStatus,
        changes: tuple[FileChange, ...],
        started_s: float,
        rule_id: str,
    ) -> Outcome:
        written = tuple(
            FileChange(str(item.path), item.before_sha256, item.after_sha256, _mode(item.path))
            for item in result.written
        )
        if self.tree is not None:
            for item in result.written:
                self.tree.wrote(item.path, item.after_sha256)
        text = result.text
        if changes:
            names = [Path(change.path).relative_to(self.ctx.workspace).as_posix() for change in changes]
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            text += f"\n[files changed: {shown}]"
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

    def _pre_image(self, path: Path) -> PreImage:
        try:
            content = path.read_bytes()
        except OSError:
            return PreImage(str(path), None)
        return PreImage(str(path), self.log.save_blob(content), _mode(path))


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode & 0o7777
    except OSError:
        return 0


def evidence_of(intent: Intent) -> str:
    """What the files of an interrupted call look like now, for the model."""
    lines = []
    for image in intent.pre_images:
        path = Path(image.path)
        now = sha256_hex(path.read_bytes()) if path.is_file() else None
        state = "unchanged since before the call" if now == image.blob else "changed since before the call"
        lines.append(f"{path.name}: {state}")
    return "; ".join(lines)
