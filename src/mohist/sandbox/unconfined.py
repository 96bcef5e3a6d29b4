"""`--sandbox off`: no confinement at all, for the user who asks for exactly that.

Nothing in Mohist chooses this by itself. Processes get their own session and a fresh environment, and are killed as a
process group; one that leaves its session survives. Front ends show `name` for as long as it is in use.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

from mohist.sandbox.errors import RefusedError, SandboxError
from mohist.sandbox.process import Exit, Profile
from mohist.sandbox.selftest import Guarantee


class Unconfined:
    """Fills `Sandbox` without being one.

    Args:
        accepted: the user's own words, `"off"`; anything else is refused, so that no default can lead here.
        env: what commands see besides the profile's own; the caller picks it.
    """

    def __init__(self, *, accepted: str, env: dict[str, str], grace_s: float = 2.0) -> None:
        if accepted != "off":
            raise RefusedError(
                "Running without a sandbox was not asked for.", "Pass `--sandbox off` to run unconfined."
            )
        self._env = dict(env)
        self._grace_s = grace_s

    @property
    def name(self) -> str:
        return "OFF: commands can read and change everything you can"

    async def report(self) -> list[Guarantee]:
        """One line that says it all."""
        return [Guarantee("sandbox", "no", self.name)]

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> UnconfinedProcess:
        """Starts `argv` with the user's rights. Raises SandboxError when it can't be started."""
        read, write = os.pipe()
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - the fork is all that is waited for
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                cwd=cwd,
                env={**self._env, **profile.env},
                start_new_session=True,
            )
        except OSError as error:
            os.close(read)
            raise SandboxError(f"{argv[0]!r} could not be started: {error.strerror}.") from None
        finally:
            os.close(write)
        return UnconfinedProcess(child, read, self._grace_s)


class UnconfinedProcess:
    """A process group with the user's rights."""

    def __init__(self, child: subprocess.Popen[bytes], output_fd: int, grace_s: float) -> None:
        self._child = child
        self._output_fd = output_fd
        self._grace_s = grace_s
        os.set_blocking(output_fd, False)

    @property
    def pid(self) -> int:
        return self._child.pid

    async def output(self) -> AsyncIterator[bytes]:
        """Chunks until the main process has ended and nothing more is there."""
        while self._output_fd >= 0:
            ended = self._child.poll() is not None
            try:
                chunk = os.read(self._output_fd, 65536)
            except BlockingIOError:
                if ended:
                    break
                with anyio.move_on_after(0.05):  # the end of the process does not wake a reader whose pipe is held
                    await anyio.wait_readable(self._output_fd)
                continue
            if not chunk:
                break
            yield chunk
        self._close()

    async def wait(self) -> Exit:
        """The main process's end; its group is killed then."""
        while self._child.poll() is None:  # noqa: ASYNC110 - macOS has no descriptor of a process to wait for
            await anyio.sleep(0.02)
        self._signal(signal.SIGKILL)
        code = self._child.returncode
        return Exit(code if code >= 0 else 128 - code)

    async def kill(self) -> None:
        """TERM, grace, KILL to the group."""
        with anyio.CancelScope(shield=True):
            if self._child.poll() is None:
                self._signal(signal.SIGTERM)
                with anyio.move_on_after(self._grace_s):
                    await self.wait()
            self._signal(signal.SIGKILL)
            await self.wait()
            self._close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _close(self) -> None:
        if self._output_fd >= 0:
            os.close(self._output_fd)
            self._output_fd = -1
