"""The contract of every target: plan, prepare, activate, probe, commit or rollback, status.

    prepare(release) ── activate(release) ── probe ... ── commit(release)
                                        └── rollback(release, previous) ── probe ...

Each step is idempotent on the release id and may be repeated after a kill at any point, by another process. The caller
records what `status` says is active before it calls `activate`; a target never has to remember what was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Strategy = Literal["in-place", "blue-green", "canary"]


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What is released."""

    release_id: str
    commit: str
    folder: Path
    """The artefact: a folder that no target changes. Empty of meaning in `rollback` after the folder is gone."""
    version: str
    """What the right answer to a probe names."""
    environment: str

    def env(self) -> dict[str, str]:
        """How commands and services learn of it."""
        return {
            "MOHIST_RELEASE": self.release_id,
            "MOHIST_COMMIT": self.commit,
            "MOHIST_VERSION": self.version,
            "MOHIST_ENVIRONMENT": self.environment,
            "MOHIST_ARTEFACT": str(self.folder),
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """What a target says of itself."""

    active: str
    """Id of the release that it serves; empty: none that it knows of."""
    kept: tuple[str, ...] = ()
    """Releases that `rollback` can make active again without their artefact."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One observation."""

    ok: bool
    """It answered, and as a healthy one does."""
    version: str = ""
    """What it named; empty: nothing."""
    latency_ms: float = 0.0
    error: str = ""


class Target(Protocol):
    """One place where releases run. Steps raise TargetError, or UnreachableError where trying again may help."""

    @property
    def kind(self) -> str: ...

    @property
    def strategies(self) -> frozenset[Strategy]:
        """What it can do; `blue-green` and `canary` need a switch that it owns."""
        ...

    def plan(self, release: ReleaseFacts) -> Sequence[str]:
        """What the steps would do, for people; touches nothing."""
        ...

    async def prepare(self, release: ReleaseFacts) -> None:
        """Everything that users can't notice. Raises BusyError while another release is under way here."""
        ...

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:
        """Lets it serve: all, or `weight` percent where the target can do canaries."""
        ...

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:
        """Asks once; never raises for a sick service.

        Args:
            beside: asks the prepared release at its own address, where the strategy gives it one.
        """
        ...

    async def commit(self, release: ReleaseFacts) -> None:
        """It stays: what only a rollback of an earlier one would need may go, and others may have the target.

        Raises BusyError where another has it: then this release was committed before.
        """
        ...

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        """Makes `previous` active again, and takes away what `release` left running. Empty: there was none, stop it.

        Where `activate` never began for this release, what serves is not disturbed.
        """
        ...

    async def status(self) -> Standing: ...
