"""A running sandboxed tree: its output, its end, and ending it.

bubblewrap's tree lives in a pid namespace. Its first process (`init`) can't end before all others have, and its death
kills them, so a descriptor of that one process stands for the whole tree.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from mohist.sandbox.errors import SandboxError
from mohist.sandbox.process import Exit

_CHUNK_BYTES = 65536
_DRAIN_S = 2.0
"""How long output is read after the end; only a descriptor that was passed out of the sandbox keeps it open."""
_NOT_STARTED = 127
"""As shells say it (POSIX, 2.8.2 Exit Status for Commands)."""
_SIGNS = {
    signal.SIGXFSZ: "a file grew past the size limit",
    signal.SIGXCPU: "the processor time limit was reached",
    signal.SIGSYS: "a system call that the sandbox does not allow",
}


class RunningTree(ABC):
    """One launched tree, watched by a monitor process. Fills `Process`; leaving it as a context manager kills it."""

    def __init__(self, monitor: subprocess.Popen[bytes], first_pid: int, output_fd: int) -> None:
        self._monitor = monitor
        self._first_pid = first_pid
        self._monitor_fd = os.pidfd_open(monitor.pid)
        self._output_fd = output_fd
        self._exit: Exit | None = None
        self._failure: SandboxError | None = None
        os.set_blocking(output_fd, False)

    @property
    def pid(self) -> int:
        """The tree's first process, as the host numbers it."""
        return self._first_pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()
        self.close_output()

    async def output(self) -> AsyncIterator[bytes]:
        """Chunks of merged stdout and stderr, at most 64 KiB each; one reader, whose end or cancellation gives it up."""
        try:
            while self._output_fd >= 0:
                try:
                    chunk = os.read(self._output_fd, _CHUNK_BYTES)
                except BlockingIOError:
                    if not await self._readable():
                        break
                    continue
                if not chunk:
                    break
                yield chunk
        finally:
            self.close_output()

    async def wait(self) -> Exit:
        """The main process's end. The rest of the tree is gone when this returns."""
        await ended(self._monitor_fd, lambda: self._settled)
        await self._reap()
        if self._failure is not None:
            raise self._failure
        assert self._exit is not None
        return self._exit

    @abstractmethod
    async def kill(self) -> None:
        """TERM to every process, a grace, then KILL; returns when none is left, cancelled or not."""

    @abstractmethod
    async def _reap(self) -> None:
        """Sees the whole tree gone and settles how it ended. Idempotent."""

    def close_output(self) -> None:
        """Gives up the output; a process that still writes gets SIGPIPE."""
        if self._output_fd >= 0:
            os.close(self._output_fd)
            self._output_fd = -1

    @property
    def _settled(self) -> bool:
        return self._exit is not None or self._failure is not None

    async def _readable(self) -> bool:
        """Waits for output or the end; False when the end has come and the drain time is over."""
        if self._settled:
            with anyio.move_on_after(_DRAIN_S):
                await anyio.wait_readable(self._output_fd)
                return True
            return False
        async with anyio.create_task_group() as group:

            async def watch_end() -> None:
                await ended(self._monitor_fd, lambda: self._settled)
                await self._reap()
                group.cancel_scope.cancel()

            group.start_soon(watch_end)
            await anyio.wait_readable(self._output_fd)
            group.cancel_scope.cancel()
        return True


class BubblewrapProcess(RunningTree):
    """A tree in a pid namespace of its own."""

    def __init__(
        self,
        monitor: subprocess.Popen[bytes],
        init_pid: int,
        output_fd: int,
        status_fd: int,
        release: Callable[[], list[str]],
        *,
        grace_s: float,
    ) -> None:
        super().__init__(monitor, init_pid, output_fd)
        self._init_fd = _pidfd(init_pid)
        self._status_fd = status_fd
        self._release = release
        self._grace_s = grace_s
        self.admitted = False
        """Whether set-up was over, so that what can still fail is the start of the command itself."""
        self._killed = False
        self.lift: Callable[[], None] | None = None
        """Takes the fence down."""

    async def kill(self) -> None:
        """TERM to every process, up to `grace_s`, then KILL; returns when none is left, cancelled or not."""
        if self._settled:
            return
        self._killed = True
        with anyio.CancelScope(shield=True):
            if self.admitted:
                for pid in _descendants(self._first_pid):
                    _signal_inside(pid, signal.SIGTERM)
                with anyio.move_on_after(self._grace_s):
                    await ended(self._monitor_fd, lambda: self._settled)
            else:  # bwrap's parts are not tied to each other yet, but all are in its process group
                with suppress(ProcessLookupError):
                    os.killpg(self._monitor.pid, signal.SIGKILL)
            await self._reap()

    async def _reap(self) -> None:
        with anyio.CancelScope(shield=True):
            if self._settled:
                return
            for fd in (self._init_fd, self._monitor_fd):
                if fd >= 0:
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(fd, signal.SIGKILL)
            await ended(self._init_fd, lambda: self._settled)
            await ended(self._monitor_fd, lambda: self._settled)
            self._settle()

    def _settle(self) -> None:
        if self._settled:
            return
        self._monitor.wait()
        if self._init_fd < 0:
            with suppress(ChildProcessError):  # a part that outlived bwrap before it was made known
                os.waitpid(-self._monitor.pid, os.WNOHANG)
        else:
            with suppress(ChildProcessError):  # the system's first process was faster
                os.waitid(os.P_PIDFD, self._init_fd, os.WEXITED | os.WNOHANG)
        status = read_all(self._status_fd)
        for fd in (self._init_fd, self._monitor_fd, self._status_fd):
            if fd >= 0:
                os.close(fd)
        if self.lift is not None:
            self.lift()
        planted = self._release()
        found = re.search(rb'"exit-code"\s*:\s*(\d+)', status)
        if found is None and self.admitted and not self._killed:
            self._exit = Exit(_NOT_STARTED, denied="the command could not be started")
        elif found is not None or self._killed:
            code = int(found[1]) if found else 128 + signal.SIGKILL
            self._exit = Exit(code, denied=_denied(code, planted))
        else:
            self._failure = SandboxError(
                "The sandbox ended before the command was started.", "`mohist doctor` says what this machine lacks."
            )


def _denied(code: int, planted: list[str]) -> str | None:
    if planted:
        return f"left in the workspace and removed: {', '.join(planted)}"
    return sign_of(code)


def sign_of(code: int) -> str | None:
    """What the exit status says of a limit or of the filter."""
    return _SIGNS.get(signal.Signals(code - 128)) if code - 128 in _SIGNS else None


async def ended(fd: int, settled: Callable[[], bool]) -> None:
    """Waits for a process by a copy of its descriptor, since one descriptor takes one waiter."""
    if fd < 0 or settled():
        return
    own = os.dup(fd)
    try:
        await anyio.wait_readable(own)
    finally:
        os.close(own)


def _pidfd(pid: int) -> int:
    if not pid:
        return -1
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def read_all(fd: int) -> bytes:
    """What is there now."""
    os.set_blocking(fd, False)
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(fd, 4096):
            parts.append(part)
    return b"".join(parts)


def _descendants(pid: int) -> list[int]:
    """All processes below `pid`; orphans of a pid namespace hang below its first process, so none is missed."""
    found: list[int] = []
    queue = [pid]
    while queue:
        current = queue.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{current}/task").iterdir():
                children = [int(part) for part in (task / "children").read_text(encoding="utf-8").split()]
                found += children
                queue += children
    return found


def _signal_inside(pid: int, number: signal.Signals) -> None:
    """Signals `pid` if it is still a process of a nested pid namespace; its number may have been reused meanwhile."""
    with suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            nested = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
            if len(nested.split()) > 2:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
