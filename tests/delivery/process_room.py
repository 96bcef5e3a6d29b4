"""A host with a process target and users: real processes in the sandbox, a real switch, and what users see of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2
from deploy_room import FolderGround, MemoryBook, delivery, environment

from mohist.base import SystemClock
from mohist.delivery.deploy import deploy
from mohist.delivery.state import Release
from mohist.delivery.target import ReleaseFacts
from mohist.delivery.target.probe import ProbeSpec
from mohist.delivery.target.process import ProcessTarget

_PREFIX = Path(sys.base_prefix).resolve()
PYTHON = str(Path(sys.executable).resolve())
READABLE = () if _PREFIX.is_relative_to("/usr") else (_PREFIX,)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Host:
    """One host with a process target, and releases of the small service."""

    folder: Path
    target: ProcessTarget
    modes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = MemoryBook()
        self.ground = FolderGround(self.folder / "copies", self._fill)
        self.environment = environment(
            target=f'kind = "process"\ncommand = "serve"\nlisten = "{self.target.listen}"',
            probe="successes = 2\ninterval_s = 0.05\nbake_s = 0.3\nwithin_s = 40",
        )

    def _fill(self, folder: Path, commit: str) -> None:
        shutil.copy(Path(__file__).with_name("service.py"), folder)
        (folder / "mode").write_text(self.modes.get(commit, "well"), encoding="utf-8")

    async def deploy(self, commit: str, attempt: int = 1) -> Release:
        return await deploy(
            delivery(attempt=attempt),
            self.environment,
            commit,
            self.book,  # type: ignore[arg-type]
            self.ground,  # type: ignore[arg-type]
            self.target,
            SystemClock(),
        )

    async def facts(self, release_id: str, commit: str) -> ReleaseFacts:
        return ReleaseFacts(release_id, commit, await self.ground.copy(release_id, commit), commit, "staging")


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[Host]:
    """A host; ended with all that it runs."""
    listen = f"127.0.0.1:{free_port()}"
    target = ProcessTarget(
        home=tmp_path / "host",
        command=f"exec {PYTHON} service.py",
        listen=listen,
        probing=ProbeSpec(url=f"http://{listen}/health", version="json:version"),
        readable=READABLE,
        host_env=dict(os.environ),
        drain_s=2,
    )
    yield Host(tmp_path, target)
    with anyio.CancelScope(shield=True):
        await target.end()
        with anyio.fail_after(60):
            while target._kept():  # noqa: ASYNC110 - another process's end
                await anyio.sleep(0.02)


@dataclass
class Seen:
    versions: list[str] = field(default_factory=list)
    """Of the right answers."""
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Versions that gave the wrong answers; connections that failed have none."""
    left: bool = False
    """The users have gone."""


async def users(host: Host, seen: Seen) -> None:
    """One user with a connection for each request and one that keeps theirs, as fast as they get answers."""

    async def new_connections() -> None:
        while not seen.left:
            try:
                async with httpx2.AsyncClient(timeout=5, trust_env=False, verify=False) as client:
                    note(await client.get(host.target.probing.url))
            except httpx2.HTTPError as error:
                seen.failures.append(repr(error))
            await anyio.sleep(0.01)

    async def one_connection() -> None:
        async with httpx2.AsyncClient(timeout=5, trust_env=False, verify=False) as client:
            while not seen.left:
                try:
                    note(await client.get(host.target.probing.url))
                except httpx2.HTTPError as error:
                    seen.failures.append(f"kept: {error!r}")
                await anyio.sleep(0.01)

    def note(answer: httpx2.Response) -> None:
        if answer.status_code != 200:
            seen.failures.append(str(answer.status_code))
            seen.wrong.append(json.loads(answer.content)["version"])
        else:
            seen.versions.append(json.loads(answer.content)["version"])

    async with anyio.create_task_group() as group:
        group.start_soon(new_connections)
        group.start_soon(one_connection)
