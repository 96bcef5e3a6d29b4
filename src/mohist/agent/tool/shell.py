"""The `shell` and `job` tools: commands in the sandbox, and those that take longer.

Each command is a fresh process: `cd` and variables do not carry over. Past the soft time-out the model
gets a handle and goes on; past the hard one the tree is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import anyio

from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.gate import gate
from mohist.agent.tool.job import Job, Jobs
from mohist.agent.tool.place import find
from mohist.agent.tool.spec import Result, ToolContext
from mohist.base import Clock
from mohist.policy import Access
from mohist.sandbox import Profile


@dataclass(frozen=True, slots=True)
class ShellArgs:
    command: str
    cwd: str
    timeout_s: int
    """0: the run's soft time-out."""


class ShellTool:
    """Runs one command line with bash (sh where there is none)."""

    name = "shell"
    description = (
        "Run a command line in the sandbox, in a fresh process from the workspace root. stdin is empty. "
        "After timeout_s it goes on as a job you can poll."
    )
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "command": {"type": "string"},
            "cwd": {"type": "string"},
            "timeout_s": {"type": "integer"},
        },
        "required": ["command"],
    }

    def __init__(
        self, jobs: Callable[[], Jobs], clock: Clock, soft_timeout_s: float, shell: str, harmless: Callable[[str], bool]
    ) -> None:
        """
        Args:
            jobs: gives the run's running commands; asked at each call.
            clock: for durations.
            soft_timeout_s: after which a handle is returned.
            shell: path of the shell inside the sandbox.
            harmless: whether a command line only looks; such commands run side by side.
        """
        self._jobs = jobs
        self._clock = clock
        self._soft_timeout_s = soft_timeout_s
        self._shell = shell
        self._harmless = harmless

    def parse(self, arguments: str) -> ShellArgs:
        fields = Fields.of(self.name, arguments)
        args = ShellArgs(fields.text("command"), fields.text("cwd", "."), fields.number("timeout_s", 0))
        fields.done()
        if not args.command.strip():
            raise ToolError("The command is empty.")
        if "\0" in args.command:
            raise ToolError("The command holds a NUL character.")
        return args

    def access(self, args: ShellArgs, ctx: ToolContext) -> Access:
        find(ctx, args.cwd)
        looks = self._harmless(args.command)
        return Access(
            reads=frozenset({ctx.workspace}),
            writes=frozenset() if looks else frozenset({ctx.workspace}),
            effect="none" if looks else "unknown",
            scope=f"shell {args.command}",
            idempotent=looks,
            command=args.command,
        )

    def title(self, args: ShellArgs) -> str:
        return f"$ {args.command}" if args.cwd == "." else f"{args.cwd}$ {args.command}"

    async def run(self, args: ShellArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:
        profile = _profile(ctx)
        job = await self._jobs().start(
            [self._shell, "-c", args.command], args.command, find(ctx, args.cwd).path, profile
        )
        return await wait_for(job, self._jobs(), args.timeout_s or self._soft_timeout_s, ctx, self._clock, progress)


@dataclass(frozen=True, slots=True)
class JobArgs:
    job_id: str
    action: Literal["poll", "kill"]
    wait_s: int


class JobTool:
    """Looks at a command that is still running, or ends it."""

    name = "job"
    description = "Wait for a running command and see its new output, or kill it."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "action": {"enum": ["poll", "kill"]},
            "wait_s": {"type": "integer"},
        },
        "required": ["id"],
    }

    def __init__(self, jobs: Callable[[], Jobs], clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock

    def parse(self, arguments: str) -> JobArgs:
        fields = Fields.of(self.name, arguments)
        action: Literal["poll", "kill"] = (
            "kill" if fields.choice("action", ("poll", "kill"), "poll") == "kill" else "poll"
        )
        args = JobArgs(fields.text("id"), action, fields.number("wait_s", 30))
        fields.done()
        return args

    def access(self, args: JobArgs, ctx: ToolContext) -> Access:  # noqa: ARG002
        return Access(scope=f"job {args.job_id}", polls=True)

    def title(self, args: JobArgs) -> str:
        return f"{args.action} job {args.job_id}"

    async def run(self, args: JobArgs, ctx: ToolContext, progress: Callable[[str], None]) -> Result:
        job = self._jobs().get(args.job_id)
        if job is None:
            known = ", ".join(item.job_id for item in self._jobs().running()) or "none"
            raise ToolError(f"There is no job {args.job_id!r}; running: {known}.")
        if args.action == "kill":
            await self._jobs().stop(job, "asked")
        return await wait_for(job, self._jobs(), args.wait_s, ctx, self._clock, progress, owned=False)


async def wait_for(
    job: Job,
    jobs: Jobs,
    timeout_s: float,
    ctx: ToolContext,
    clock: Clock,
    progress: Callable[[str], None],
    *,
    owned: bool = True,
) -> Result:
    """Waits until `job` ends or `timeout_s` is over; a cancelled wait kills a command it owns."""
    try:
        with anyio.move_on_after(timeout_s):
            while not job.finished.is_set():
                with anyio.move_on_after(2):
                    await job.finished.wait()
                if not job.finished.is_set():
                    progress(f"{clock.monotonic_s() - job.started_s:.0f} s, {job.size_bytes} bytes of output")
    except anyio.get_cancelled_exc_class():
        if owned:
            with anyio.CancelScope(shield=True):
                await jobs.stop(job, "cancelled")
        raise
    return _result(job, ctx, clock)


def _result(job: Job, ctx: ToolContext, clock: Clock) -> Result:
    output = job.output
    elapsed_s = clock.monotonic_s() - job.started_s
    if job.exit is None:
        new = output[-(job.size_bytes - job.shown_bytes) :] if job.size_bytes > job.shown_bytes else b""
        job.shown_bytes = job.size_bytes
        gated = gate(_readable(new), ctx.spill, ctx.limits, kind="command", raw=new)
        text = f"{gated.text}\n[still running as job {job.job_id}; poll or kill it with the tool job]".lstrip("\n")
        return Result(text, True, f"still running after {elapsed_s:.0f} s as job {job.job_id}", spilled=gated.spilled)
    gated = gate(_readable(output), ctx.spill, ctx.limits, kind="command", raw=output)
    code = job.exit.code
    notes = [f"exit code {code}"]
    if job.stopped_for == "time":
        notes.append("killed: it ran longer than shell_hard_timeout_s")
    elif job.stopped_for == "output":
        notes.append("killed: it wrote more than any reader needs")
    elif job.stopped_for == "asked":
        notes.append("killed as asked")
    if job.exit.denied:
        notes.append(f"the sandbox refused: {job.exit.denied}")
    text = f"{gated.text.rstrip()}\n[{'; '.join(notes)}]".lstrip("\n")
    return Result(text, code == 0, "; ".join(notes), spilled=gated.spilled)


def _readable(output: bytes) -> str:
    """Text without terminal escapes: they could hide words from a person who reads the log."""
    text = output.decode("utf-8", "replace").replace("\r\n", "\n")
    return "".join(char if char in "\n\t" or (char >= " " and char != "\x7f") else "�" for char in text)


def _profile(ctx: ToolContext) -> Profile:
    if ctx.profile is None:
        raise ToolError("Commands can't run here: no sandbox is in force.", "Say so in your result.")
    return ctx.profile
