"""What a delivery needs from the outside; the composition root fulfils it.

`Mind` is the only way to a model, `Ground` the only way to the repository, and both run everything they run in the
sandbox. Each call carries a key `delivery/attempt/step`: asked twice with one key, it is done once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

Role = Literal["analyst", "architect", "planner", "implementer", "reviewer", "mender"]


@dataclass(frozen=True, slots=True)
class Job:
    """One agent run."""

    key: str
    role: Role
    task: str
    """All that the run is told; roles have no hidden memory of each other."""
    folder: Path
    """A worktree of its own."""
    writes: bool
    """False: it only looks, and writes `output`."""
    output: str = ""
    """File below `folder` that the run must leave; read and removed before anything is committed. Empty: none."""
    checks: tuple[str, ...] = ()
    """What must pass before the run may say it is done."""
    cost_microusd: int | None = None
    tokens: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    run_id: str
    status: Literal["done", "failed", "budget", "refused", "no_model", "cancelled", "waiting"]
    summary: str
    model: str
    cost_microusd: int | None
    tokens: int
    output: str | None
    """Text of `Job.output`; None: it was not left."""


class Mind(Protocol):
    """Agent runs."""

    async def run(self, job: Job) -> Outcome:
        """Runs, resumes, or gives the recorded outcome of `job.key`; cancellation leaves no process."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    exit_code: int | None
    """None: killed, or it could not be started."""
    output: bytes
    """Head and tail where there was more than is kept."""
    duration_ms: int
    timed_out: bool = False
    output_sha256: str = ""
    """Of all that it wrote, kept or not."""


class Ground(Protocol):
    """The repository and what is run on it; git through the hardened door, commands in the sandbox."""

    async def resolve(self, revision: str) -> str:
        """The commit of a revision."""
        ...

    async def worktree(self, key: str, commit: str) -> Path:
        """A worktree of the user's repository's objects at `commit`, made once per key; its own refs and index."""
        ...

    async def drop(self, key: str) -> None:
        """Removes a worktree; nothing when there is none."""
        ...

    async def commit(self, folder: Path, message: str, trailers: Mapping[str, str]) -> str:
        """Commits everything in a worktree; the same tree gives the same commit. Returns the commit."""
        ...

    async def head(self, folder: Path) -> str:
        """The commit that a worktree stands on."""
        ...

    async def merge(
        self,
        folder: Path,
        commit: str,
        message: str,
        trailers: Mapping[str, str] = MappingProxyType({}),
        *,
        leave: bool = False,
    ) -> Sequence[str]:
        """Merges into a worktree; returns paths in conflict, empty when there are none.

        Where there are some the worktree is as it was, unless `leave`: then they stand in it with markers, and the next
        `commit` (refused while a marker is left) makes the merge; `undo` gives it up.
        """
        ...

    async def undo(self, folder: Path) -> None:
        """Puts a worktree back to its commit."""
        ...

    async def diff(self, base: str, commit: str) -> str: ...

    async def changed(self, base: str, commit: str) -> Sequence[str]: ...

    async def carried(self, base: str, commit: str, paths: Sequence[str]) -> Mapping[str, Mapping[int, str]]:
        """Of each file the lines that the change brought, with the task whose commit did; empty: a mend's, or a person's."""
        ...

    async def show(self, commit: str, path: str) -> bytes | None: ...

    async def files(self, commit: str) -> Sequence[str]: ...

    async def copy(self, key: str, commit: str) -> Path:
        """A clean copy of a commit without history, for verification."""
        ...

    async def run(self, folder: Path, command: str, timeout_s: float, network: bool = False) -> Ran:
        """Runs a command in the sandbox with `folder` writable."""
        ...
