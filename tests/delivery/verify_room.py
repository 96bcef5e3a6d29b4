"""A delivery with a change, verified for real: git, the sandbox and the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ground_room import git, ground_over, repository, write

from fakes.clock import FakeClock
from mohist.delivery.ground import GitGround
from mohist.delivery.state import Criterion, Delivery, Evidence, Finding
from mohist.delivery.store import Store
from mohist.delivery.verdict import Verified
from mohist.delivery.verify import Verify, VerifySettings
from mohist.gateway.address import file_address
from mohist.sandbox import Bubblewrap


@dataclass
class Case:
    """One repository, one delivery."""

    user: Path
    ground: GitGround
    store: Store
    delivery: Delivery

    async def change(self, files: dict[str, str | None], key: str = "change") -> None:
        tree = await self.ground.worktree(f"d/1/{key}", self.delivery.base_commit)
        write(tree, files)
        commit = await self.ground.commit(tree, "Change", {"Delivery": self.delivery.delivery_id})
        self.delivery = dataclasses.replace(self.delivery, commit=commit, attempt=self.delivery.attempt + 1)

    async def verify(self, criteria: Sequence[Criterion] = (), settings: VerifySettings | None = None) -> Verified:
        stage = Verify(self.ground, self.store, FakeClock(), settings or VerifySettings(repeats=2, timeout_s=60))
        return await stage(self.delivery, criteria)

    @property
    def evidence(self) -> list[Evidence]:
        return list(self.store.evidence(self.delivery.delivery_id))

    @property
    def findings(self) -> list[Finding]:
        return [row for row in self.store.findings(self.delivery.delivery_id) if row.status == "open"]

    def accused(self) -> list[Finding]:
        return [row for row in self.findings if row.severity in ("blocker", "major", "minor")]


async def case_of(folder: Path, sandbox: Bubblewrap, files: dict[str, str | None]) -> Case:
    user = repository(folder / "user", files)
    ground = await ground_over(user, folder / "home", sandbox)
    store = Store(file_address(folder / "deliveries.db"), FakeClock())
    base = git(user, "rev-parse", "HEAD")
    delivery = Delivery(
        "d-1", str(user), "Do it", "text", "ann", base, "main", "mohist/d-1", "working", "verify", 0, 1, 1
    )
    store.create(delivery)
    return Case(user, ground, store, delivery)
