"""stdin, stdout and stderr of a client that runs without a terminal: each by a named pipe, so that they stay apart.

The sandbox hands one merged output out. Named pipes in a folder of the run's own, shown to the client read-only, carry
the three streams as they are; a client sees a pipe, as it does without Mohist.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio

from mohist.app.govern.descriptor import give, take

_NAMES: Final = ("in", "out", "err", "on")
# The last one tells that the first three are open: only then may our end of the input be closed.
_OPENER: Final = 'd=$1; shift; exec <"$d/in" >"$d/out" 2>"$d/err" && echo >"$d/on" && unset d && exec "$@"'


class Pipes:
    """The three streams of one run.

    Args:
        folder: is made, and removed at the end; nobody else may look into its parent from then on.
        source: descriptor that the client's input is read from; -1: it has none.
        sink: gets its output.
        errors: gets its errors.
    """

    def __init__(self, folder: Path, source: int, sink: int, errors: int) -> None:
        self.folder = folder
        self._ours = (source, sink, errors)
        self._ends: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.parent.chmod(0o700)
        self.folder.mkdir(mode=0o711)
        # Whoever runs the client must be able to open them, under whatever number; only those who see the folder can.
        for name in _NAMES:
            os.mkfifo(self.folder / name)
            (self.folder / name).chmod(0o666)
        self.folder.chmod(0o711)
        for name in _NAMES:
            # Reading and writing at once, opening never waits; for the outputs that would hide their end.
            flags = os.O_RDWR if name == "in" else os.O_RDONLY
            self._ends[name] = os.open(self.folder / name, flags | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._ends):
            self._close(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wrapped(self, argv: Sequence[str]) -> list[str]:
        """The command with its streams opened before it."""
        return ["/bin/sh", "-c", _OPENER, "sh", str(self.folder), *argv]

    async def carry(self) -> None:
        """Passes everything on until the client's outputs are closed by all who have them."""
        source, sink, errors = self._ours
        async with anyio.create_task_group() as group:
            group.start_soon(self._input, source)
            async with anyio.create_task_group() as outputs:
                outputs.start_soon(self._output, "out", sink)
                outputs.start_soon(self._output, "err", errors)
            group.cancel_scope.cancel()

    async def _output(self, name: str, sink: int) -> None:
        while data := await take(self._ends[name]):
            if sink >= 0 and not await give(sink, data):
                # Nobody reads any more; the client learns it as it would by itself.
                self._close(name)
                return

    async def _input(self, source: int) -> None:
        await take(self._ends["on"])
        try:
            while source >= 0 and (data := await take(source)):
                await give(self._ends["in"], data)
        finally:
            self._close("in")

    def _close(self, name: str) -> None:
        if (fd := self._ends.pop(name, -1)) >= 0:
            os.close(fd)
