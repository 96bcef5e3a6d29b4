"""The `shell` and `job` tools: commands in the sandbox, and those that take longer.

Each command is a fresh process: `cd` and variables do not carry over. Past the soft time-out the model
gets a handle and goes on; past the hard one the tree is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import anyio

from mohist.agent.tool.argument import Fields
from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.gate import Gated, clip, gate
from mohist.agent.tool.job import Job, Jobs
from mohist.agent.tool.place import find
from mohist.agent.tool.spec import Result, ToolContext, tokens_of
from mohist.base import Clock
from mohist.policy import Access
from mohist.sandbox import Profile

_STOPPED = {
    "time": "killed: it ran longer than shell_hard_timeout_s",
    "output": "killed: it wrote more than any reader needs",
    "asked": "killed as asked",
}

# C0 and C1 controls but newline and tab, DEL, and the bidirectional marks of
# https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings (CVE-2021-42574).
_CONTROLS = [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)]
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_HIDERS = dict.fromkeys([*_CONTROLS, *_DIRECTIONS], "�")


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
        self,
        jobs: Callable[[], Jobs],
        clock: Clock,
        soft_timeout_s: float,
        shell: str,
        harmless: Callable[[str], bool],
        changes_git: Callable[[str], bool],
    ) -> None:
        """
        Args:
            jobs: gives the run's running commands; asked at each call.
            clock: for durations.
            soft_timeout_s: after which a handle is returned.
            shell: path of the shell inside the sandbox.
            harmless: whether a command line only looks; such commands run side by side.
            changes_git: whether a command line says itself that it changes the repository. Others can't, whatever they run.
        """
        self._jobs = jobs
        self._clock = clock
        self._soft_timeout_s = soft_timeout_s
        self._shell = shell
        self._harmless = harmless
        self._changes_git = changes_git

    def parse(self, arguments: str) -> ShellArgs:
        fields = Fields.of(self.name, arguments)
        args = ShellArgs(fields.text("command"), fields.text("cwd", "."), fields.number("timeout_s", 0))
        fields.done()
        if not args.command.strip():
            raise ToolError("The command is empty.")
        if "\0" in args.command:
            raise ToolError("The command holds a NUL character.")
        try:
            args.command.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ToolError("The command holds half of a surrogate pair, which no program can be given.") from None
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
        if self._changes_git(args.command):
            profile = replace(profile, git_writable=True)
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
    elapsed_s = clock.monotonic_s() - job.started_s
    # What earlier looks have shown is not shown again.
    new = job.output_from(job.shown_bytes)
    first = job.shown_bytes == 0
    job.shown_bytes = job.size_bytes
    text = readable(new)
    if job.exit is None or job.spill is None or not first:
        gated = gate(text, ctx.spill, ctx.limits, kind="command", raw=new)
    elif tokens_of(text) <= ctx.limits.output_tokens and text.count("\n") <= ctx.limits.read_lines:
        gated = Gated(text)
    else:
        # All of it is put aside already, also what is too much to be held here.
        gated = Gated(clip(text, job.spill, ctx.limits.output_tokens, ctx.limits.read_lines), job.spill)
    if job.exit is None:
        text = f"{gated.text}\n[still running as job {job.job_id}; poll or kill it with the tool job]".lstrip("\n")
        return Result(text, True, f"still running after {elapsed_s:.0f} s as job {job.job_id}", spilled=gated.spilled)
    notes = [f"exit code {job.exit.code}"]
    if job.stopped_for in _STOPPED:
        notes.append(_STOPPED[job.stopped_for])
    if job.exit.denied:
        notes.append(f"the sandbox refused: {job.exit.denied}")
    text = f"{gated.text.rstrip()}\n[{'; '.join(notes)}]".lstrip("\n")
    return Result(text, True, "; ".join(notes), spilled=gated.spilled)


def readable(output: bytes) -> str:
    """Text without terminal escapes and without marks that change its direction: they could hide words from a reader."""
    return output.decode("utf-8", "replace").replace("\r\n", "\n").translate(_HIDERS)


def _profile(ctx: ToolContext) -> Profile:
    if ctx.profile is None:
        raise ToolError("Commands can't run here: no sandbox is in force.", "Say so in your result.")
    return ctx.profile
