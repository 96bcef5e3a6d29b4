"""The door every process goes through: the contract that backends fill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from mohist.sandbox.fence import Fence

Network = Literal["none", "full"]
"""Of commands that somebody else's settings start."""
Way = Literal["none", "full", "fenced"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one launched tree; 0 means no bound of that kind."""

    memory_bytes: int = 4 * 1024**3
    processes: int = 512
    file_bytes: int = 2 * 1024**3
    open_files: int = 4096
    cpu_s: int = 3600


@dataclass(frozen=True, slots=True)
class Profile:
    """What a launched tree may see and change. All paths absolute; anything not named is not there or read-only."""

    workspace: Path
    """Mounted read-write at its own path (read-only if `writable` is False), `.git/hooks`, `.git/config`,
    `.mohist` and agent configuration read-only within it."""
    writable: bool = True
    extra_writable: tuple[Path, ...] = ()
    extra_readable: tuple[Path, ...] = ()
    """E.g. a virtual environment or a spill folder outside the workspace."""
    network: Way = "none"
    """`fenced`: the only way out is `fence`, whose `env` is set as well."""
    fence: Fence | None = None
    """Opened (`async with`) by its owner, who leaves it after the tree has ended."""
    home: Path | None = None
    """A folder of one's own, writable, as HOME; None: an empty one that ends with the tree."""
    terminal: int | None = None
    """A terminal's descriptor (the slave of a pty) that becomes stdin, stdout, stderr and controlling terminal of the
    tree; the caller keeps it and closes it. None: stdin is empty, output is read by `Process.output`."""
    git_writable: bool = True
    """False: nothing in `.git` of a writable workspace can be changed, index, references and objects included."""
    hidden: tuple[str, ...] = ()
    """Paths below a writable workspace that are there and must not be seen: a folder is shown empty, a file without
    content (`{}` where it is JSON or YAML by its name). Neither can be changed."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the built-up environment (PATH, HOME, LANG, TERM=dumb, CI=1, NO_COLOR, PAGER=cat)."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a launched tree ended."""

    code: int
    """Exit status; 128 + N when signal N ended it."""
    denied: str | None = None
    """What the sandbox refused, when that can be told from the outside."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that was waited for."""

    exit: Exit
    output: bytes
    """stdout and stderr as they came, head and tail when cut."""
    truncated: bool
    timed_out: bool
    duration_ms: int


class Process(Protocol):
    """A running tree. Its owner must `kill` or `wait` it; leaving the owning context kills it."""

    @property
    def pid(self) -> int: ...

    def output(self) -> AsyncIterator[bytes]:
        """Chunks of merged stdout and stderr until the main process has ended and its pipe was drained (bounded)."""
        ...

    async def wait(self) -> Exit:
        """Waits for the main process, not for end of output: a grandchild holding the pipe can't hang it."""
        ...

    async def kill(self) -> None:
        """TERM, a short grace, KILL to the whole tree; returns when no process of it is left. Idempotent."""
        ...


class Sandbox(Protocol):
    """One way to confine processes."""

    @property
    def name(self) -> str: ...

    async def launch(self, argv: Sequence[str], *, cwd: Path, profile: Profile) -> Process:
        """Starts `argv` confined; stdin is null, no descriptor is inherited. Raises SandboxError, never runs unconfined."""
        ...
