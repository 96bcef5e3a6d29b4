"""A delivery whose change goes through a forge; its git server is a bare repository, by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from git_server import bare
from ground_room import git
from merge_room import Port, port

from fakes.forge import PROJECT, TOKEN, FakeForge
from mohist.delivery.forge.gitea import Gitea
from mohist.delivery.forge.github import GitHub
from mohist.delivery.forge.gitlab import GitLab
from mohist.delivery.stage import Ended
from mohist.sandbox import Remote

MADE: dict[str, Any] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


class Scene:
    """A delivery that goes through a forge; the server is a bare repository by its path."""

    def __init__(self, at: Port, fake: FakeForge) -> None:
        self.at, self.fake = at, fake
        self.harbour = at.ground.remote(Remote(str(fake.bare)))
        self.forge = MADE[fake.kind].made(fake.api, PROJECT, TOKEN, "merge", at.clock)

    async def merge(self, **more: Any) -> Ended:
        return await self.at.merge(**{"harbour": self.harbour, "forge": self.forge} | more)

    async def again(self) -> Ended:
        """The next look, when its time has come."""
        self.at.wakes()
        return await self.merge()

    def elsewhere(self, files: dict[str, str | None]) -> str:
        """Somebody merges something else at the forge."""
        tip = self.at.on_main(files)
        git(self.at.user, "push", "--quiet", str(self.fake.bare), "main")
        git(self.at.user, "branch", "--force", "main", self.at.delivery.base_commit)
        return tip


async def scene_of(kind: Any, tmp_path: Path) -> Scene:
    at = await port(tmp_path)
    return Scene(at, FakeForge(kind, bare(at.user, tmp_path / "bare.git")))
