"""Where a subject is run: the same folders each time, filled anew, in the fence, with the scripted model behind every name."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from mohist.sandbox import Limits, Profile, Sandbox
from mohist.sandbox.fence import Asked, Attempt, Authority, Decision, Fence, FenceLimits, Refuse, Serve
from mohist.sandbox.inotify import FileWatch, Touched
from mohist.vet.behaviour.decoy import Decoy
from mohist.vet.behaviour.lookout import Lookout, Started
from mohist.vet.behaviour.model import Model
from mohist.vet.behaviour.project import FILES, make_project
from mohist.vet.behaviour.recipe import Recipe
from mohist.vet.behaviour.script import Script
from mohist.vet.behaviour.surroundings import Surroundings
from mohist.vet.difference.sent import Sent

_OUTPUT_BYTES = 64 * 1024
_PORTS = (22, 80, 443, 4318, 8080, 8443, 9418)
"""Where what does not use the proxy is listened for; others are only seen."""
_PROXY_VARIABLES = tuple(
    name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for name in (upper, upper.lower())
)


@dataclass(frozen=True, slots=True)
class Stay:
    """What a run is to be, besides its surroundings."""

    files: Mapping[str, str] = field(default_factory=lambda: FILES)
    """Of the project."""
    git_config: str = ""
    hooks: Mapping[str, str] = field(default_factory=dict)
    """Name below .git -> text of a program."""
    decoys: Sequence[Decoy] = ()
    open: bool = False
    """Whether others than the model are listened to, by somebody who knows nothing; else they are refused."""
    watched: bool = False
    """Whether files and processes are looked at."""
    terminal: int | None = None
    """Of a pty; None: a run without a terminal."""
    limit_s: float = 120.0


@dataclass(slots=True)
class Seen:
    """What came of a run."""

    code: int = -1
    timed_out: bool = False
    output: str = ""
    duration_ms: int = 0
    started_s: float = 0.0
    ended_s: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    strayed: list[Sent] = field(default_factory=list)
    garbled: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    """Every name and connection that was decided on, but for those of the model."""
    attempts: list[Attempt] = field(default_factory=list)
    touched: list[Touched] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    lost: bool = False
    """Whether some of what was done to files could not be kept."""


class Bench:
    """Runs one subject again and again, one run at a time. An async context manager.

    Args:
        sandbox: starts it.
        folder: of its own; emptied before each run.
        recipe: how the subject is run.
        limits: on each run.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, recipe: Recipe, limits: Limits | None = None) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._recipe = recipe
        self._limits = limits or Limits()
        self._stack = AsyncExitStack()
        self._fence: Fence
        self._model: Model | None = None
        self._seen = Seen()
        self._host = ""
        self._open = False

    @property
    def home(self) -> Path:
        """HOME, as it lies outside."""
        return self._folder / "home"

    @property
    def project(self) -> Path:
        """The subject's working folder; it sees it at this path."""
        return self._folder / "work" / "shop"

    @property
    def beside(self) -> Path:
        """A folder beside the project that the subject can read."""
        return self._folder / "work" / "other"

    async def __aenter__(self) -> Self:
        limits = FenceLimits(ports=_PORTS)
        self._fence = await self._stack.enter_async_context(
            Fence(self._decide, self._record, authority=Authority(), limits=limits)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def run(self, around: Surroundings, stay: Stay) -> Seen:
        """One run from the same beginning; the tree is gone when this returns.

        Raises:
            SandboxError: it could not be started.
        """
        self._lay_out(around, stay)
        self._seen = seen = Seen()
        self._host, self._open = around.endpoint, stay.open
        self._model = model = Model(Script(str(self.project / "README.md")))
        argv, env = self._command(around)
        profile = Profile(
            workspace=self.project,
            extra_readable=(*self._recipe.readable, self.beside),
            network="fenced",
            fence=self._fence,
            home=self.home,
            terminal=stay.terminal,
            env=env,
            limits=self._limits,
        )
        seen.started_s = time.time()
        began_s = anyio.current_time()
        model.begin()
        with FileWatch(*((self.home, self.beside, self.project) if stay.watched else ())) as watch:
            await self._let_run(argv, profile, stay, watch)
            watch.collect()
        seen.duration_ms = int((anyio.current_time() - began_s) * 1000)
        seen.ended_s = time.time()
        seen.sent, seen.strayed, seen.garbled = model.sent, model.strayed, model.garbled
        seen.touched, seen.lost = watch.seen, watch.lost
        return seen

    async def _let_run(self, argv: list[str], profile: Profile, stay: Stay, watch: FileWatch) -> None:
        seen = self._seen
        output = bytearray()
        process = await self._sandbox.launch(argv, cwd=self.project, profile=profile)
        lookout = Lookout(process.pid)
        try:
            async with anyio.create_task_group() as group:
                if stay.watched:
                    group.start_soon(watch.follow)
                    group.start_soon(lookout.follow)
                with anyio.move_on_after(stay.limit_s) as scope:
                    async for chunk in process.output():
                        output += chunk[: max(_OUTPUT_BYTES - len(output), 0)]
                    await process.wait()
                seen.timed_out = scope.cancelled_caught
                await process.kill()
                group.cancel_scope.cancel()
        finally:
            await process.kill()
        seen.code = (await process.wait()).code
        seen.output = output.decode("utf-8", "replace")
        seen.started = lookout.seen

    def _command(self, around: Surroundings) -> tuple[list[str], dict[str, str]]:
        """Variables that must not be there can only be taken away inside."""
        base_url = around.base_url
        env = self._recipe.variables(base_url) | around.env
        away = [*around.absent, *(name for name in _PROXY_VARIABLES if name not in env)]
        unset = [word for name in away if name not in env for word in ("-u", name)]
        late = [f"{name}={value}" for name, value in around.late.items()]
        return ["/usr/bin/env", *unset, *late, *self._recipe.words(base_url)], env

    def _lay_out(self, around: Surroundings, stay: Stay) -> None:
        for folder in (self.home, self.project.parent):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for folder in (self.project, self.beside):
            folder.mkdir()
        make_project(self.project, around.remote, stay.files, stay.git_config)
        for name, text in stay.hooks.items():
            path = self.project / ".git" / name
            _put(path, text)
            path.chmod(0o755)
        for decoy in stay.decoys:
            place = (
                self.beside / decoy.path.removeprefix("../") if decoy.path.startswith("../") else self.home / decoy.path
            )
            _put(place, decoy.text)
        for name, text in self._recipe.texts(around.base_url).items():
            _put(self.home / name, text)

    def _decide(self, asked: Asked) -> Decision:
        model = self._model
        if model is not None and asked.host == self._host:
            return Serve(model.serve, tls=True)
        self._seen.asked.append(asked)
        if model is not None and self._open and asked.carrier != "other":
            return Serve(model.sink, tls=True)
        return Refuse("not-listed", "Nothing but the scripted model can be reached.")

    def _record(self, attempt: Attempt) -> None:
        self._seen.attempts.append(attempt)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
