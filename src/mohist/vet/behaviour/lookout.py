"""Which processes a tree starts, seen from outside by looking at /proc again and again.

What lives for less than a look's interval can be missed; a process that starts another program keeps its number and is seen as
both if each lived long enough. A better sight would take rights that an ordinary user does not have.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio

LOOK_S = 0.004
"""Between two looks."""
_COMMAND_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Started:
    """A program that ran."""

    pid: int
    parent: int
    argv: tuple[str, ...]
    executable: str
    """As seen inside; empty where it could not be read."""
    at_ms: int
    """When it was first seen, since the look-out began."""


@dataclass(slots=True)
class Lookout:
    """Looks at the tree below one process."""

    pid: int
    seen: list[Started] = field(default_factory=list)
    looks: int = 0
    _known: set[tuple[int, tuple[str, ...]]] = field(default_factory=set)

    async def follow(self) -> None:
        """Until cancelled."""
        began_s = anyio.current_time()
        while True:
            self.look(int((anyio.current_time() - began_s) * 1000))
            await anyio.sleep(LOOK_S)

    def look(self, at_ms: int) -> None:
        """Once."""
        self.looks += 1
        queue = [(self.pid, 0)]
        while queue:
            pid, parent = queue.pop()
            with suppress(OSError, ValueError):
                self._note(pid, parent, at_ms)
                for task in Path(f"/proc/{pid}/task").iterdir():
                    queue += [(int(child), pid) for child in (task / "children").read_text(encoding="utf-8").split()]

    def _note(self, pid: int, parent: int, at_ms: int) -> None:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read(_COMMAND_BYTES)
        argv = tuple(part.decode("utf-8", "replace") for part in line.rstrip(b"\0").split(b"\0"))
        if not line or (pid, argv) in self._known:
            return
        self._known.add((pid, argv))
        executable = ""
        with suppress(OSError):
            executable = str(Path(f"/proc/{pid}/exe").readlink())
        self.seen.append(Started(pid, parent, argv, executable, at_ms))
