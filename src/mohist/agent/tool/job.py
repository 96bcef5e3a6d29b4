"""Commands that are running, and what they have said so far.

Each job is pumped by a task of the run, so output is never lost and a pipe never fills up while the
model thinks. Memory is bounded: the whole output goes to a spill file, up to a bound, and only its head
and tail are kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from mohist.agent.tool.spill import Spill, SpillStore, SpillWriter
from mohist.base import Clock, MohistError
from mohist.sandbox import Exit, Process, Profile, Sandbox

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
# Past this much a command is stopped: nobody reads it, and the disk is not without end.
OUTPUT_BYTES = 256 * 1024**2
# Exit code of a command whose end nobody could see.
_LOST = 255


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
        self._head = bytearray()
        self._tail = bytearray()

    def take(self, piece: bytes) -> None:
        """Adds output to head and tail."""
        self.size_bytes += len(piece)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += piece[:room]
            piece = piece[room:]
        if piece:
            self._tail += piece
            # Cut only now and then, so that many small pieces cost no copy of the tail each.
            if len(self._tail) > 2 * TAIL_BYTES:
                del self._tail[:-TAIL_BYTES]

    @property
    def output(self) -> bytes:
        """All of it when it is short, else head and tail around a line that says what is missing."""
        return self.output_from(0)

    def output_from(self, start_bytes: int) -> bytes:
        """What came after the first `start_bytes`, of that what is still here."""
        head, tail = bytes(self._head[start_bytes:]), bytes(self._tail[-TAIL_BYTES:])
        tail_start = self.size_bytes - len(tail)
        if start_bytes >= tail_start:
            return tail[start_bytes - tail_start :]
        missing = tail_start - max(start_bytes, len(self._head))
        return head + (b"\n[%d bytes left out]\n" % missing if missing > 0 else b"") + tail


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
        """Takes in the output until the command has ended; whatever happens, `finished` is set and nothing is left."""
        spill = _Put(self._spill)
        try:
            with anyio.move_on_after(self._hard_timeout_s) as limit:
                async for piece in job.process.output():
                    job.take(piece)
                    spill.write(piece)
                    if job.size_bytes > OUTPUT_BYTES:
                        job.stopped_for = job.stopped_for or "output"
                        break
                else:
                    job.exit = await job.process.wait()
            if limit.cancelled_caught:
                job.stopped_for = job.stopped_for or "time"
        except MohistError as error:
            job.exit = Exit(_LOST, str(error))
        finally:
            with anyio.CancelScope(shield=True):
                if job.exit is None:
                    job.exit = await _ended(job.process)
            job.spill = spill.close()
            job.finished.set()


async def _ended(process: Process) -> Exit:
    try:
        await process.kill()
        return await process.wait()
    except MohistError as error:
        return Exit(_LOST, str(error))


class _Put:
    """The spill of one command; a full disk ends the spill, not the command."""

    def __init__(self, store: SpillStore) -> None:
        self._writer: SpillWriter | None = None
        with suppress(MohistError):
            self._writer = store.open("command")

    def write(self, piece: bytes) -> None:
        if self._writer is not None:
            try:
                self._writer.write(piece)
            except MohistError as error:
                # Takes away what was written: it is not whole, and the room is needed.
                self._writer.__exit__(type(error), error, None)
                self._writer = None

    def close(self) -> Spill | None:
        """None when not all of the output is in it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(MohistError):
                return writer.close()
        return None
