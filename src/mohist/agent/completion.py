"""The completion gate: before "done", the checks run in a clean copy of the change.

The copy holds the base commit and the change, nothing else: a file that was never added, a leftover
build, an ignored setting can't make a check pass. What was run, with which result, is the evidence.
Steps:

1. collect the checks: the agreed ones, then those the model names and the policy allows
2. copy base commit and change into a fresh folder outside the workspace
3. run each check there, in the sandbox, without network unless the run has it
4. log a Check for each; any exit code but 0 is an objection
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from mohist.agent.caution import Caution
from mohist.agent.execute import Decide
from mohist.agent.log import RunLog
from mohist.agent.record import Check
from mohist.agent.tool import ToolContext, tokens_of
from mohist.base import sha256_hex
from mohist.event import CheckFinished, EventSink, Note
from mohist.policy import Access, Allow
from mohist.sandbox import Profile, run

MakeCopy = Callable[[Path], Awaitable[str]]
"""Makes a folder with base commit and change; returns the sha256 of the change's diff."""

_TAIL_CHARS = 4000


@dataclass(slots=True)
class CompletionGate:
    """Runs checks for one run."""

    log: RunLog
    ctx: ToolContext
    decide: Decide
    emit: EventSink
    make_copy: MakeCopy
    agreed: tuple[str, ...]
    shell: str
    timeout_s: float
    scratch: Path
    """An empty place for copies, outside the workspace."""
    caution: Caution | None = None
    """Looks where the words of a check come from; None: nobody does."""

    async def __call__(self, named: Sequence[str], progress: Callable[[str], None]) -> str:
        """ "" when all checks hold (or there are none); else what failed, for the model."""
        commands = list(self.agreed)
        unasked: list[str] = []
        for command in named:
            if command in commands:
                continue
            access = Access(
                effect="unknown", writes=frozenset({self.ctx.workspace}), command=command, scope=f"check {command}"
            )
            verdict = self.decide("shell", access)
            if self.caution is not None:
                verdict = self.caution.judge(verdict, access, json.dumps({"command": command}))
            if isinstance(verdict, Allow):
                commands.append(command)
            else:
                unasked.append(command)
                self.emit(Note(f"check not run, it would need approval: {command}"))
        if unasked:
            # To pass over them in silence would let the model claim what nobody has seen.
            return (
                "Not done: the policy does not let these checks run by themselves: " + "; ".join(unasked) + ". "
                "Call done with checks that may run, or with none and say in the summary what was not checked."
            )
        if not commands or self.ctx.sandbox is None or self.ctx.profile is None:
            return ""
        copy = self.scratch / f"check-{len(self.log.entries)}"
        await _remove(copy)
        self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            change = await self.make_copy(copy)
            objections = []
            for command in commands:
                progress(f"checking: {command}")
                check = await self._run(command, copy, change, self.ctx.profile)
                if check.exit_code != 0:
                    objections.append(f"$ {command}\n{check.output_tail}\n[exit code {check.exit_code}]")
        finally:
            with anyio.CancelScope(shield=True):
                await _remove(copy)
        if not objections:
            return ""
        return (
            "Not done: in a clean copy of your change (base commit plus what you changed; ignored files are not in it) "
            "these checks fail:\n\n" + "\n\n".join(objections)
        )

    async def _run(self, command: str, copy: Path, change: str, profile: Profile) -> Check:
        assert self.ctx.sandbox is not None
        completed = await run(
            self.ctx.sandbox,
            [self.shell, "-c", command],
            cwd=copy,
            profile=replace(profile, workspace=copy, writable=True),
            timeout_s=self.timeout_s,
        )
        text = completed.output.decode("utf-8", "replace")
        if completed.timed_out:
            text += f"\n[killed after {self.timeout_s:.0f} s]"
        check = Check(
            command,
            completed.exit.code or (1 if completed.timed_out else 0),
            sha256_hex(completed.output),
            text[-_TAIL_CHARS:] if tokens_of(text) > _TAIL_CHARS // 4 else text,
            completed.duration_ms,
            "clean copy",
            change,
        )
        self.log.append(check)
        self.emit(CheckFinished(command, check.exit_code, check.duration_ms, check.output_sha256, check.where))
        return check


async def _remove(folder: Path) -> None:
    """A large tree takes long; the run's other tasks go on meanwhile."""
    await anyio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
