"""Declared commands, run in the sandbox: for whatever already knows how to deploy itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from anyio import to_thread

from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.target.contract import Answer, ReleaseFacts, Standing, Strategy
from mohist.delivery.target.probe import ProbeSpec, ask
from mohist.sandbox import Network, Profile, Sandbox, SandboxError, run

_TAIL = 400
# sysexits.h, EX_TEMPFAIL: "temporary failure, indicating something that is not really an error"; try again later.
# https://man.freebsd.org/cgi/man.cgi?sysexits
TRY_AGAIN = 75


@dataclass(frozen=True, slots=True)
class Shell:
    """Where and with what rights the commands of a target run."""

    sandbox: Sandbox
    home: Path
    """A folder of the target's own, kept between deploys; commands may write it (`$MOHIST_TARGET`). What the target
    itself remembers lies beside it."""
    network: Network = "none"
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    """Sockets and folders that a command needs, named by a person."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets of this target, by name; never on a command line."""
    timeout_s: float = 600.0

    def _ready(self, folder: Path | None) -> Path | None:
        self.home.mkdir(parents=True, exist_ok=True)
        return folder if folder is not None and folder.is_dir() else None

    async def run(
        self, argv: Sequence[str], folder: Path | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[int | None, bytes]:
        """Runs `argv`; exit code None: the time was over. Raises TargetError where the sandbox can't start it."""
        shown = await to_thread.run_sync(self._ready, folder)
        profile = Profile(
            workspace=self.home,
            extra_readable=(*self.readable, *([shown] if shown else [])),
            extra_writable=self.writable,
            network=self.network,
            env={**self.env, "MOHIST_TARGET": str(self.home), **(env or {})},
        )
        try:
            done = await run(self.sandbox, argv, cwd=shown or self.home, profile=profile, timeout_s=self.timeout_s)
        except SandboxError as error:
            raise TargetError(f"A command of the target can't be started: {error.what}", error.mend) from None
        return (None if done.timed_out else done.exit.code), done.output


@dataclass(frozen=True, slots=True)
class CommandSteps:
    """A command for each step of the contract; empty: nothing to do. Run by `sh -c` in the artefact's folder."""

    activate: str
    rollback: str
    """Gets `$MOHIST_PREVIOUS`; empty there means that nothing was active before."""
    prepare: str = ""
    commit: str = ""
    status: str = ""
    """Prints the id of the active release; without it the target remembers what it was told."""


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """Fills `Target`.

    Commands get `MOHIST_RELEASE`, `_COMMIT`, `_VERSION`, `_ENVIRONMENT`, `_ARTEFACT`, `_TARGET`, and must stand being
    run twice. Exit code 75 says that trying again may help.
    """

    shell: Shell
    steps: CommandSteps
    probing: ProbeSpec

    kind: ClassVar[str] = "command"
    strategies: ClassVar[frozenset[Strategy]] = frozenset({"in-place"})

    def plan(self, release: ReleaseFacts) -> Sequence[str]:
        named = (("prepare", self.steps.prepare), ("activate", self.steps.activate), ("commit", self.steps.commit))
        return [f"{name} {release.release_id}: {command}" for name, command in named if command]

    async def prepare(self, release: ReleaseFacts) -> None:
        await to_thread.run_sync(take_lock, self._folder, release.release_id)
        await self._step("prepare", self.steps.prepare, release)

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:  # noqa: ARG002 - has no switch
        await self._remember("touched", release.release_id)
        await self._step("activate", self.steps.activate, release)
        await self._remember("active", release.release_id)

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:  # noqa: ARG002 - nothing beside
        async def runs(command: str) -> tuple[int | None, bytes]:
            return await self.shell.run(["sh", "-c", command], release.folder, release.env())

        return await ask(self.probing, runs=runs)

    async def commit(self, release: ReleaseFacts) -> None:
        await to_thread.run_sync(take_lock, self._folder, release.release_id)
        await self._step("commit", self.steps.commit, release)
        await to_thread.run_sync(free_lock, self._folder, release.release_id)

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        await to_thread.run_sync(take_lock, self._folder, release.release_id)
        if release.release_id in (await self._recall("touched"), await self._recall("active")):
            await self._step("rollback", self.steps.rollback, release, {"MOHIST_PREVIOUS": previous})
            await self._remember("active", previous)
            await self._remember("touched", previous)
        await to_thread.run_sync(free_lock, self._folder, release.release_id)

    async def status(self) -> Standing:
        if self.steps.status:
            exit_code, output = await self.shell.run(["sh", "-c", self.steps.status])
            if exit_code != 0:
                raise UnreachableError(f"The target's status command ended with {exit_code}.", tail(output))
            return Standing(output.decode("utf-8", "replace").strip())
        return Standing(await self._recall("active"))

    async def _recall(self, what: str) -> str:
        return await to_thread.run_sync(read_mark, self._memory(what))

    async def _remember(self, what: str, release_id: str) -> None:
        await to_thread.run_sync(write_mark, self._memory(what), release_id)

    @property
    def _folder(self) -> Path:
        # Above the folder that the commands may write.
        return self.shell.home.parent

    def _memory(self, what: str) -> Path:
        return self._folder / what

    async def _step(
        self, name: str, command: str, release: ReleaseFacts, more: Mapping[str, str] | None = None
    ) -> None:
        if not command:
            return
        env = {**release.env(), **(more or {})}
        exit_code, output = await self.shell.run(["sh", "-c", command], release.folder, env)
        if exit_code == TRY_AGAIN:
            raise UnreachableError(f"The {name} command asks to be tried again.", tail(output))
        if exit_code != 0:
            how = "took too long" if exit_code is None else f"ended with {exit_code}"
            raise TargetError(f"The {name} command {how}.", tail(output))


def read_mark(path: Path) -> str:
    """What `write_mark` put there; empty: nothing."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def write_mark(path: Path, text: str) -> None:
    """Replaces a small file in one go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def take_lock(folder: Path, release_id: str) -> None:
    """Makes the target this release's; a link, because making one is atomic and says whose it is. It belongs to the
    release and not to the process, so that a killed deploy goes on. Raises BusyError."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "lock").symlink_to(release_id)
    try:
        owner = (folder / "lock").readlink().name
    except FileNotFoundError:  # freed just now
        return take_lock(folder, release_id)
    if owner != release_id:
        raise BusyError(
            f"Release {owner!r} is under way here.", "Wait for it, or cancel its delivery: that takes it back."
        )
    return None


def free_lock(folder: Path, release_id: str) -> None:
    """Lets others; nothing where it is another's."""
    with suppress(FileNotFoundError):
        if (folder / "lock").readlink().name == release_id:
            (folder / "lock").unlink()


def tail(output: bytes) -> str:
    """The end of what a command said, for people."""
    text = output[-_TAIL:].decode("utf-8", "replace").strip()
    return f"It said: {text}" if text else ""
