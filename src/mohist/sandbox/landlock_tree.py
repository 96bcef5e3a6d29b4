"""A running tree under Landlock, ended through its keeper (`landlock_keeper.py`)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress

import anyio

from mohist.sandbox.errors import SandboxError
from mohist.sandbox.process import Exit
from mohist.sandbox.tree import RunningTree, ended, read_all, sign_of


class LandlockProcess(RunningTree):
    """A tree below its keeper.

    Args:
        keeper: the process that ends when nothing of the tree is left.
        main_pid: the command itself.
        said: what was read of the status pipe after the first line.
        changed: names of protected paths that changed since the start.
    """

    def __init__(
        self,
        keeper: subprocess.Popen[bytes],
        main_pid: int,
        output_fd: int,
        status_fd: int,
        control_fd: int,
        said: bytes,
        changed: Callable[[], list[str]],
        *,
        grace_s: float,
    ) -> None:
        super().__init__(keeper, main_pid, output_fd)
        self._status_fd = status_fd
        self._control_fd = control_fd
        self._said = said
        self._changed = changed
        self._grace_s = grace_s

    async def kill(self) -> None:
        """TERM to every process, up to `grace_s`, then KILL; returns when none is left, cancelled or not."""
        if self._settled:
            return
        with anyio.CancelScope(shield=True):
            self._order(b"T")
            with anyio.move_on_after(self._grace_s):
                await ended(self._monitor_fd, lambda: self._settled)
            self._order(b"K")
            await self._reap()

    def _order(self, word: bytes) -> None:
        if not self._settled:
            with suppress(BrokenPipeError):  # the keeper has ended meanwhile
                os.write(self._control_fd, word)

    async def _reap(self) -> None:
        with anyio.CancelScope(shield=True):
            await ended(self._monitor_fd, lambda: self._settled)
            self._settle()

    def _settle(self) -> None:
        if self._settled:
            return
        self._monitor.wait()
        said = self._said + read_all(self._status_fd)
        for fd in (self._monitor_fd, self._status_fd, self._control_fd):
            os.close(fd)
        words = [json.loads(line) for line in said.splitlines() if line]
        codes = [word["code"] for word in words if "code" in word]
        if not codes:
            self._failure = SandboxError(
                "The process that keeps the sandbox was ended from outside.",
                "Something of the command may still run, confined: look for it with `ps`.",
            )
            return
        changed = self._changed()
        denied = f"changed while it ran, and Landlock can't hold it: {', '.join(changed)}" if changed else None
        self._exit = Exit(codes[0], denied=denied or sign_of(codes[0]))
