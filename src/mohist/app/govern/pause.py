"""A client that stops itself at Ctrl-Z, as clients with a screen do: Mohist stops with it, and both go on together.

The client's stop is no signal to Mohist, whose terminal it has; without this the person would sit before a screen that is dead.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from mohist.app.govern.terminal import Terminal

_KEYS: Final = (b"\x1a", b"\x1b[122;5u", b"\x1b[27;5;122~")
"""Ctrl-Z as terminals send it: plain, and in the two extended forms (kitty's keyboard protocol, xterm's modifyOtherKeys)."""
_LOOK_S: Final = 0.1
_LOOKS: Final = 20
"""A client takes a moment to put its screen away before it stops."""


def asks_to_pause(data: bytes) -> bool:
    """Whether Ctrl-Z is among these keys. What a client makes of it is its own matter."""
    return any(key in data for key in _KEYS)


class Pause:
    """Watches one tree.

    Args:
        terminal: is given back to the person while they do something else.
        first_pid: of the tree, as the host numbers it.
    """

    def __init__(self, terminal: Terminal, first_pid: int) -> None:
        self._terminal = terminal
        self._first_pid = first_pid

    async def follow(self) -> None:
        """After Ctrl-Z: where the client stopped, stops as well, until somebody lets it go on."""
        for _ in range(_LOOKS):
            await anyio.sleep(_LOOK_S)
            if found := stopped(self._first_pid):
                self._stop()
                for pid in found:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGCONT)
                return

    def _stop(self) -> None:
        self._terminal.restore()
        # The whole job, as the terminal itself would have done; where there is no shell to go on from, nobody stops.
        os.kill(0, signal.SIGTSTP)
        self._terminal.raw()
        self._terminal.resize()


def stopped(first_pid: int) -> list[int]:
    """The processes of a tree that are stopped."""
    found, queue = [], [first_pid]
    while queue:
        pid = queue.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += [int(part) for part in (task / "children").read_text(encoding="ascii").split()]
            # The name before it may hold anything, brackets included.
            state = (
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            )
            if state == "T":
                found.append(pid)
    return found
