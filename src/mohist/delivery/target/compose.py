"""A Compose project: new images by digest (or built) and `up --wait`; the file of the release before for the way back.

Through the program and not the SDK: `compose` exists only as a program, and what it does is what people can repeat. The
file that goes into effect is kept resolved (`config --resolve-image-digests`): tags may move, and the way back must not
depend on where one points by then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from anyio import to_thread

from mohist.delivery.errors import TargetError
from mohist.delivery.target.command import Shell, free_lock, read_mark, tail, take_lock, write_mark
from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy
from mohist.delivery.target.probe import ProbeSpec, ask

_ID = re.compile(r"rel-[a-z0-9-]{1,60}")


@dataclass(frozen=True, slots=True)
class ComposeTarget:
    """Fills `Target`. Compose files may use `${MOHIST_VERSION}`, `${MOHIST_COMMIT}` and `${MOHIST_RELEASE}`."""

    shell: Shell
    program: str
    project: str
    file: str
    probing: ProbeSpec
    build: bool = False
    wait_s: int = 120

    kind: ClassVar[str] = "compose"
    strategies: ClassVar[frozenset[Strategy]] = frozenset({"in-place"})

    def plan(self, release: ReleaseFacts) -> Sequence[str]:  # noqa: ARG002 - the same for every one
        return [
            f"{'build' if self.build else 'pull'} the images of {self.file}",
            f"{self.program} compose up, project {self.project}, wait up to {self.wait_s} s for health",
        ]

    async def prepare(self, release: ReleaseFacts) -> None:
        await to_thread.run_sync(take_lock, self._folder, release.release_id)
        source = release.folder / self.file
        base = ["--project-directory", str(release.folder), "-f", str(source)]
        if self.build:
            await self._compose(release, *base, "build")
            resolved = await self._compose(release, *base, "config")
        else:
            await self._compose(release, *base, "pull", "--quiet")
            resolved = await self._compose(release, *base, "config", "--resolve-image-digests")
        await to_thread.run_sync(write_mark, self._kept(release.release_id), resolved.decode("utf-8"))

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:  # noqa: ARG002 - has no switch
        await to_thread.run_sync(write_mark, self._mark("touched"), release.release_id)
        await self._up(release, release.release_id)
        await to_thread.run_sync(write_mark, self._mark("active"), release.release_id)

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:  # noqa: ARG002 - nothing beside
        async def runs(command: str) -> tuple[int | None, bytes]:
            return await self.shell.run(["sh", "-c", command], None, release.env())

        return await ask(self.probing, runs=runs)

    async def commit(self, release: ReleaseFacts) -> None:
        # Images that nobody uses are the host's to prune, and the way back needs some.
        await to_thread.run_sync(free_lock, self._folder, release.release_id)

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        await to_thread.run_sync(take_lock, self._folder, release.release_id)
        touched = await to_thread.run_sync(read_mark, self._mark("touched"))
        if touched == release.release_id:
            if previous:
                if not await to_thread.run_sync(self._kept(previous).exists):
                    raise TargetError(f"The file of {previous!r} is not kept.", "Deploy its commit again.")
                await self._up(release, previous)
            else:
                await self._compose(release, "-f", str(self._kept(release.release_id)), "down", "--remove-orphans")
            await to_thread.run_sync(write_mark, self._mark("active"), previous)
            await to_thread.run_sync(write_mark, self._mark("touched"), previous)
        await to_thread.run_sync(free_lock, self._folder, release.release_id)

    async def status(self) -> Standing:
        active = await to_thread.run_sync(read_mark, self._mark("active"))
        kept = await to_thread.run_sync(lambda: sorted(path.stem for path in self.shell.home.glob("rel-*.yaml")))
        return Standing(active, tuple(kept))

    async def _up(self, release: ReleaseFacts, release_id: str) -> None:
        # --no-build, --pull missing: what was prepared and nothing else; an image gone since is fetched by its digest.
        await self._compose(
            release,
            *("-f", str(self._kept(release_id)), "up", "--detach", "--no-build", "--remove-orphans"),
            *("--wait", "--wait-timeout", str(self.wait_s)),
        )

    async def _compose(self, release: ReleaseFacts, *arguments: str) -> bytes:
        argv = [self.program, "compose", "--project-name", self.project, *arguments]
        exit_code, output = await self.shell.run(argv, release.folder, release.env())
        if exit_code != 0:
            how = "took too long" if exit_code is None else f"ended with {exit_code}"
            step = next(word for word in arguments if word in ("build", "config", "pull", "up", "down"))
            raise TargetError(f"`{self.program} compose {step}` {how}.", tail(output))
        return output

    def _kept(self, release_id: str) -> Path:
        assert _ID.fullmatch(release_id), release_id
        return self.shell.home / f"{release_id}.yaml"

    @property
    def _folder(self) -> Path:
        return self.shell.home.parent

    def _mark(self, what: str) -> Path:
        return self._folder / what
