"""One run from start to end: builds its parts, owns their lifetimes, gives the result.

Order of a start: workspace -> tree lock -> sandbox self-test -> log (from here on everything is on
the record) -> loop -> ending logged -> result. Whatever way it ends, no process is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from mohist.agent.completion import CompletionGate
from mohist.agent.errors import RunError, UnpricedError
from mohist.agent.execute import Executor
from mohist.agent.log import RunLog
from mohist.agent.loop import Loop
from mohist.agent.prompt import SUB_AGENT, SYSTEM
from mohist.agent.record import Assistant, Ended, Fragment, Grant, Header, Outcome, Record, User
from mohist.agent.repair import repair
from mohist.agent.tool import FileLedger, Result, SpillStore, Tool, ToolContext, Written
from mohist.agent.tool.ask import AskTool
from mohist.agent.tool.done import DoneTool
from mohist.agent.tool.job import Jobs
from mohist.agent.tool.plan import PlanTool
from mohist.agent.tool.shell import JobTool, ShellTool
from mohist.agent.tool.task import TaskTool
from mohist.agent.tree import TreeWatch
from mohist.agent.undo import chains, changed_paths
from mohist.app import child as child_agents
from mohist.app.child import Children
from mohist.app.ending import cancel_on_signal, ending_of
from mohist.app.evidence import enter_run
from mohist.app.machine import Machine
from mohist.app.opening import opening
from mohist.app.outlet import Outlet, network_line, outlet_of
from mohist.app.result import RunResult, conclude
from mohist.app.task import Task
from mohist.app.toolbox import file_tools
from mohist.app.workspace import Workspace, hold_tree
from mohist.base import ExitCode
from mohist.event import Note, RunEnded, RunStarted
from mohist.policy import NO_GRANTS, Access, Allow, Grants, Question, Verdict, builtin_rules, decide, judge
from mohist.provider.message import Usage
from mohist.sandbox import Profile

# `git status` and `git diff` would write the user's index to note file times.
QUIET_GIT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "diff.autoRefreshIndex",
    "GIT_CONFIG_VALUE_0": "false",
}


async def start(machine: Machine, task: Task, workspace: Workspace, branch: str = "") -> RunResult:
    """Runs a new task in `workspace`.

    Raises:
        RunError: the tree is busy, or a budget can't be held because the price is unknown.
        SandboxError: nothing can be confined here.
    """
    if not task.text.strip():
        raise _usage("The task is empty.", 'Say what to do: mohist run "fix the failing test in tests/test_x.py"')
    _price_known(task)
    run_id = machine.ids.new("run")
    with ExitStack() as held:
        held.enter_context(hold_tree(machine.paths, workspace.root))
        folder = machine.paths.runs / run_id
        session = _Session(machine, task, workspace, folder)
        header = Header(
            run_id=run_id,
            task=task.text,
            model=task.provider.name,
            mode=task.mode,
            workspace=str(workspace.root),
            cwd=str(workspace.cwd),
            base_commit=workspace.head,
            system=SYSTEM,
            tools=session.declarations(),
            sandbox=machine.sandbox_line,
            network=task.network,
            checks=task.checks,
            branch=branch,
            allow_hosts=task.allow_hosts,
            allow_private_hosts=task.allow_private_hosts,
        )
        session.log = held.enter_context(RunLog.create(folder, header, machine.clock))
        enter_run(machine.evidence, session.log, task.delivery, task.configuration)
        for record in await session.opening():
            session.log.append(record)
        return await session.work(resumed=False)


async def resume(machine: Machine, task: Task, workspace: Workspace, folder: Path, more: str = "") -> RunResult:
    """Goes on with a run whose process ended; `more` is said to the model as the user's words.

    Effects that may have happened are reported to the model, never repeated blindly.
    """
    _price_known(task)
    with ExitStack() as held:
        held.enter_context(hold_tree(machine.paths, workspace.root))
        log = held.enter_context(RunLog.resume(folder, machine.clock))
        ended = next((record for record in reversed(log.records) if isinstance(record, Ended | User | Assistant)), None)
        if isinstance(ended, Ended) and ended.status == "done" and not more:
            raise _usage(
                f"The run {folder.name!r} is done; there is nothing to go on with.",
                f'Give it more to do: mohist runs resume {folder.name} "…"',
            )
        unknown = repair(log)
        if unknown:
            machine.emit(Note(f"{unknown} call(s) may have taken effect when the run was stopped; the model is told"))
        if more:
            log.append(User(more))
        session = _Session(machine, task, workspace, folder)
        session.log = log
        enter_run(machine.evidence, log, task.delivery, task.configuration)
        session.recall()
        return await session.work(resumed=True)


class _Session:
    """The parts of one run while it works."""

    log: RunLog

    def __init__(
        self, machine: Machine, task: Task, workspace: Workspace, folder: Path, outlet: Outlet | None = None
    ) -> None:
        self.machine = machine
        self.task = task
        self.workspace = workspace
        self.folder = folder
        self.grants: Grants = NO_GRANTS
        self.plan = PlanTool()
        self.children = Children(folder)
        self.jobs: Jobs | None = None
        self.dirty: list[str] | None = None
        """Paths that differed from the base when the run was opened; None: it was resumed, so nobody has looked."""
        self.outlet = outlet or outlet_of(machine, task, workspace.root)
        self.ctx = ToolContext(
            workspace=workspace.root,
            cwd=workspace.root,
            sandbox=machine.sandbox,
            profile=Profile(
                workspace=workspace.root,
                extra_readable=(*workspace.readable, *machine.readable),
                network=task.network,
                fence=self.outlet.fence if self.outlet is not None else None,
                git_writable=task.mode == "full",
                # Compiled files would litter the user's tree and show up as changes.
                env={"PYTHONDONTWRITEBYTECODE": "1", **QUIET_GIT},
            ),
            seen=FileLedger(),
            spill=SpillStore(folder / "spill"),
            limits=task.limits,
        )

    def declarations(self) -> tuple[Mapping[str, Any], ...]:
        """All tools as the model is told of them, sorted by name."""
        tools = self._tools(None, None)
        return tuple(
            {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            for _, tool in sorted(tools.items())
        )

    async def opening(self) -> list[Record]:
        """The records before the first turn."""
        self.dirty = await self.workspace.dirty()
        return opening(self.machine, self.task, self.workspace, self.dirty)

    def recall(self) -> None:
        """Takes from the log what an earlier process knew: grants, plan, the files the model has seen."""
        if self.task.caution is not None:
            self.task.caution.recall(self.log.records)
            self.task.caution.recall(self.children.outcomes())
        for record in self.log.records:
            if isinstance(record, Grant):
                self._grant(record.tool, record.covers)
            elif isinstance(record, Outcome):
                for change in record.written:
                    self.ctx.seen.saw(Path(change.path), change.after)
                if record.tool == "plan" and record.status == "done":
                    self.plan.current = record.summary.partition("\n")[2]

    async def work(self, *, resumed: bool) -> RunResult:
        """The loop until it ends, the ending on the record, the result."""
        machine, header = self.machine, self.log.header
        machine.emit(
            RunStarted(
                header.run_id, header.task, header.model, header.mode, header.workspace, self._sandbox_line(), resumed
            )
        )
        ended = Ended("cancelled", "", "The run was cancelled.")
        try:
            async with AsyncExitStack() as stack:
                if self.outlet is not None:
                    await stack.enter_async_context(self.outlet.open(self.log.append))
                group = await stack.enter_async_context(anyio.create_task_group())
                group.start_soon(cancel_on_signal, group.cancel_scope)
                self.jobs = Jobs(
                    group, machine.sandbox, self.ctx.spill, machine.clock, self.task.settings.shell_hard_timeout_s
                )
                ended = await self._bounded()
                # Jobs that are still running end with the run.
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            ended = ending_of(errors)
        with anyio.CancelScope(shield=True):
            self.log.append(ended)
            stat = await self.workspace.change_stat(changed_paths(self.log.records))
            result = conclude(self.log.records, ended, stat, self._denials())
        machine.emit(RunEnded(result.run_id, result.status, result.summary, result.turns, result.cost_microusd))
        return result

    async def _bounded(self) -> Ended:
        settings = self.task.settings
        with anyio.move_on_after(settings.timeout_s) as limit:
            tree = await self._tree()
            gate = self._gate()
            loop = self._loop(self.log, self._tools(gate, tree), tree, gate)
            return await loop.run()
        assert limit.cancelled_caught
        return Ended("budget", "", f"Stopped after {settings.timeout_s:.0f} s (timeout_s).")

    def _loop(
        self, log: RunLog, tools: Mapping[str, Tool[Any]], tree: TreeWatch | None, gate: CompletionGate | None
    ) -> Loop:
        machine, task = self.machine, self.task
        executor = Executor(
            log=log,
            ctx=self.ctx,
            tools=tools,
            decide=self._decide,
            approve=machine.approve,
            emit=machine.emit,
            clock=machine.clock,
            tree=tree,
            width=task.settings.parallel_calls,
            granted=self._grant,
            caution=task.caution,
        )

        if not log.header.parent_run:
            self.children.adopt(log)

        async def finish(_summary: str) -> str:
            # An answer in plain words ends the run; where files changed, the agreed checks must hold too.
            if gate is None or not chains(log.records):
                return ""
            objection = await gate((), lambda _text: None)
            return task.caution.hear("check", objection) if task.caution is not None else objection

        return Loop(
            log=log,
            provider=task.provider,
            wire_model=task.wire_model,
            executor=executor,
            settings=task.settings,
            emit=machine.emit,
            clock=machine.clock,
            sleep=machine.sleep,
            finish=finish,
            live_state=self._live_state,
            spent_beside=lambda: self.children.spent_beside(log),
        )

    def _tools(self, gate: CompletionGate | None, tree: TreeWatch | None) -> dict[str, Tool[Any]]:
        machine, settings = self.machine, self.task.settings

        async def nothing(_checks: Sequence[str], _progress: Callable[[str], None]) -> str:
            return ""

        async def spawn(prompt: str, write: bool, progress: Callable[[str], None]) -> Result:
            return await self._spawn(prompt, write, progress, tree)

        tools: list[Tool[Any]] = [
            *file_tools(),
            self.plan,
            AskTool(self._reply if machine.reply is not None else None),
            DoneTool(gate or nothing),
            TaskTool(spawn),
            ShellTool(
                self._running,
                machine.clock,
                settings.shell_soft_timeout_s,
                machine.shell,
                self._harmless,
                self._changes_git,
            ),
            JobTool(self._running, machine.clock),
        ]
        return {tool.name: tool for tool in sorted(tools, key=lambda tool: tool.name)}

    async def _reply(self, question: str, recommended: str) -> str:
        assert self.machine.reply is not None, "there is somebody to ask"
        if self.task.caution is not None:
            question = self.task.caution.question(question, recommended)
        return await self.machine.reply(question, recommended)

    def _running(self) -> Jobs:
        assert self.jobs is not None, "tools run only while the session works"
        return self.jobs

    async def _spawn(self, prompt: str, write: bool, progress: Callable[[str], None], tree: TreeWatch | None) -> Result:
        """A sub-agent: its own log and context; the same policy, sandbox and blobs."""
        number, folder = self.children.place()
        own = self.log.header
        offered = child_agents.TOOLS if write else child_agents.LOOKING
        tools = {name: tool for name, tool in self._tools(None, tree).items() if name in offered}
        header = replace(
            own,
            run_id=f"{own.run_id}.{number}",
            task=prompt,
            mode=own.mode if write else "plan",
            system=SUB_AGENT,
            tools=tuple(tool for tool in own.tools if tool["name"] in tools),
            parent_run=own.run_id,
            checks=(),
        )
        child = _Session(
            replace(self.machine, emit=child_agents.as_progress(self.machine.emit, progress)),
            replace(
                self.task,
                mode=self.task.mode if write else "plan",
                settings=replace(self.task.settings, max_turns=child_agents.TURNS),
            ),
            self.workspace,
            self.folder,
            self.outlet,
        )
        child.jobs, child.grants, child.children = self.jobs, self.grants, self.children
        with RunLog.create(folder, header, self.machine.clock, blobs=self.log.blobs) as log:
            child.log = log
            enter_run(self.machine.evidence, log, self.task.delivery)
            log.append(User(prompt))
            may = "You may change files." if write else "You may only look."
            log.append(Fragment("environment", f"Workspace: {self.workspace.root}. {may}", lasting=True))
            self.children.begin(log)
            try:
                ended = await child._loop(log, tools, tree, None).run()
                log.append(ended)
            finally:
                self.children.end(log, number)
            changed = chains(log.records)
        written = tuple(Written(chain.path, chain.before, chain.after) for chain in changed)
        text = ended.summary or f"The sub-agent ended without a result: {ended.detail}"
        if changed:
            text += "\n[it changed: " + ", ".join(chain.path.name for chain in changed) + "]"
        return Result(text, ended.status == "done", f"sub-agent {number}: {ended.status}", written=written)

    async def _tree(self) -> TreeWatch | None:
        workspace = self.workspace
        watch = TreeWatch(workspace.root, self.log, workspace.list_files, workspace.base_content, self.task.settings)
        # A new run has looked for its opening just now; another look is four more starts of git.
        missed = await watch.keep_dirty(await workspace.dirty() if self.dirty is None else self.dirty)
        if missed:
            self.machine.emit(Note(f"can't be kept for undo (links, or too large): {', '.join(missed[:5])}"))
        if await watch.snapshot() is None:
            self.machine.emit(Note("the tree has more files than undo_files: what commands change can't be undone"))
            return None
        return watch

    def _gate(self) -> CompletionGate:
        return CompletionGate(
            log=self.log,
            ctx=self.ctx,
            decide=self._decide,
            emit=self.machine.emit,
            make_copy=self.workspace.copy_change,
            agreed=self.task.checks,
            shell=self.machine.shell,
            timeout_s=self.task.settings.check_timeout_s,
            scratch=self.folder / "copy",
            caution=self.task.caution,
        )

    def _question(self, tool: str, access: Access) -> Question:
        return Question(
            tool,
            access,
            self.workspace.root,
            confined=self.machine.confined,
            network=self.task.network == "full",
            scratch=(self.ctx.spill.folder,),
        )

    def _decide(self, tool: str, access: Access) -> Verdict:
        return decide(self._question(tool, access), self.task.rules, self.task.mode, self.grants)

    def _harmless(self, command: str) -> bool:
        """True for a command that may run even where nothing may be changed."""
        access = Access(effect="unknown", writes=frozenset({self.workspace.root}), command=command)
        return isinstance(decide(self._question("shell", access), self.task.rules, "plan"), Allow)

    def _changes_git(self, command: str) -> bool:
        """True where a part of the command line is git and no rule knows that it only looks."""
        access = Access(effect="unknown", writes=frozenset({self.workspace.root}), command=command)
        parts = judge(self._question("shell", access), builtin_rules(), "auto")
        return any(part.decision != "allow" and part.subject.text.partition(" ")[0] == "git" for part in parts)

    def _grant(self, tool: str, covers: str) -> None:
        pairs = {(tool, part) for part in covers.split("; ") if part}
        self.grants = Grants(self.grants.pairs | pairs)

    def _live_state(self) -> str:
        lines = [f"Plan:\n{self.plan.current}"] if self.plan.current else []
        lines += [f"Running job {job.job_id}: {job.command}" for job in (self.jobs.running() if self.jobs else [])]
        return "\n".join(lines)

    def _denials(self) -> list[str]:
        return [
            record.summary for record in self.log.records if isinstance(record, Outcome) and record.status == "denied"
        ]

    def _sandbox_line(self) -> str:
        return f"{self.machine.sandbox_line}, {network_line(self.task)}"


def _price_known(task: Task) -> None:
    if task.settings.max_cost_microusd is not None and task.provider.cost_microusd(Usage(1000, 0, 0, 1000)) is None:
        error = UnpricedError(
            f"No price is known for {task.provider.name!r}, so --max-cost-usd can't be held.",
            "Leave it out and bound the run by --max-turns and --timeout-s, or set a price in mohist.toml.",
        )
        error.exit_code = ExitCode.USAGE
        raise error


def _usage(what: str, mend: str) -> RunError:
    error = RunError(what, mend)
    error.exit_code = ExitCode.USAGE
    return error
