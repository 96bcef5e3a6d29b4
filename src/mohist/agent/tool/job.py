"""Commands that are running, and what they have said so far.

Each job is pumped by a task of the run, so output is never lost and a pipe never fills up while the
model thinks. Memory is bounded: the whole output goes to a spill file, up to a bound, and only its head
and tail are kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from mohist.agent.tool.spill import Spill, SpillStore
from mohist.base import Clock
from mohist.sandbox import Exit, Process, Profile, Sandbox

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
# Past this much a command is stopped: nobody reads it, and the disk is not without end.
OUTPUT_BYTES = 256 * 1024**2


class Job:
    """One command. `finished` is set when it has ended and its output is whole."""

    def __init__(self, job_id: str, command: str, process: Process, started_s: float) -> None:
        self.job_id = job_id
        self.command = command
        self.process = process
        self.started_s = started_s
        self.finished = anyio.Event()
        self.exit: Exit | None = None
        self.stopped_for = ""
        """Why Mohist ended it, when it did: `time`, `output`, `asked`."""
        self.size_bytes = 0
        self.spill: Spill | None = None
        self.shown_bytes = 0
        """How much of the output the model has been told about."""
        self._head = b""
        self._tail = b""

    def take(self, piece: bytes) -> None:
        """Adds output to head and tail."""
        self.size_bytes += len(piece)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail = (self._tail + piece)[-TAIL_BYTES:]

    @property
    def output(self) -> bytes:
        """All of it when it is short, else head and tail around a line that says what is missing."""
        missing = self.size_bytes - len(self._head) - len(self._tail)
        if missing <= 0:
            return self._head + self._tail
        return self._head + b"\n[%d bytes left out]\n" % missing + self._tail


class Jobs:
    """The running commands of one run; leaving the owner's task group kills them all."""

    def __init__(
        self, group: TaskGroup, sandbox: Sandbox, spill: SpillStore, clock: Clock, hard_timeout_s: float
    ) -> None:
        self._group = group
        self._sandbox = sandbox
        self._spill = spill
        self._clock = clock
        self._hard_timeout_s = hard_timeout_s
        self._jobs: dict[str, Job] = {}

    async def start(self, argv: Sequence[str], command: str, cwd: Path, profile: Profile) -> Job:
        """Starts `argv` confined; raises SandboxError."""
        process = await self._sandbox.launch(argv, cwd=cwd, profile=profile)
        job = Job(f"j{len(self._jobs) + 1}", command, process, self._clock.monotonic_s())
        self._jobs[job.job_id] = job
        self._group.start_soon(self._pump, job)
        return job

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def running(self) -> list[Job]:
        """Those that have not ended."""
        return [job for job in self._jobs.values() if not job.finished.is_set()]

    async def stop(self, job: Job, why: str) -> None:
        """Kills the whole tree of `job` and waits until its output is whole."""
        job.stopped_for = job.stopped_for or why
        await job.process.kill()
        await job.finished.wait()

    async def _pump(self, job: Job) -> None:
        with self._spill.open("command") as spill:
            try:
                with anyio.move_on_after(self._hard_timeout_s) as limit:
                    async for piece in job.process.output():
                        job.take(piece)
                        spill.write(piece)
                        if job.size_bytes > OUTPUT_BYTES:
                            job.stopped_for = "output"
                            break
                    else:
                        job.exit = await job.process.wait()
                if limit.cancelled_caught:
                    job.stopped_for = "time"
            finally:
                with anyio.CancelScope(shield=True):
                    if job.exit is None:
                        await job.process.kill()
                        job.exit = await job.process.wait()
                job.spill = spill.close()
                job.finished.set()
