"""A bare repository of our own over a user's objects: how git is started on it, by one writer at a time."""

# ruff: noqa: ASYNC240 - a look at a few paths beside the start of a process
from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Self, TypedDict, Unpack

import anyio
import anyio.to_thread

from mohist.sandbox.errors import GitError
from mohist.sandbox.hardened import HARMLESS, Hardened
from mohist.sandbox.repository import Repository, find_repository

_LOCK_S = 600.0
_POLL_S = 0.02
_held: ContextVar[int] = ContextVar("held", default=-1)
"""The lock's descriptor in the task that writes; a task that only reads beside it must not hand it on."""


class _Options(TypedDict, total=False):
    users: bool
    at: tuple[Path, Path]
    env: Mapping[str, str]
    settings: Sequence[str]
    accept: Sequence[int]
    given: bytes


class Borrowed:
    """The folder, the lock and the process; what is done with them is `GitStore`'s."""

    def __init__(self, repository: Repository, private: Path, hardened: Hardened) -> None:
        self.repository = repository
        """The user's."""
        self.private = private
        """Git directory of this store."""
        self._git = hardened
        self._settings: tuple[str, ...] = ()
        self._busy = anyio.Lock()

    @classmethod
    async def open(cls, folder: Path, private: Path) -> Self:
        """The store in `private` over the repository that `folder` lies in; made when it is not there.

        Raises GitError: no repository there, or git can't read it.
        """
        repository = find_repository(folder)
        if repository is None:
            raise GitError(
                f"{str(folder)!r} is not in a git repository.", "Run `git init` there, or pass another folder."
            )
        private = private.absolute()
        if private.resolve().is_relative_to(repository.root):
            raise GitError(f"{str(private)!r} lies inside the work tree.", "Keep Mohist's state outside of it.")
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = cls(repository, private.resolve(), Hardened.find(repository.root, private.resolve()))
        async with store._writing():
            await store._prepare()
        return store

    async def _prepare(self) -> None:
        form = (await self._run("rev-parse", "--show-object-format", users=True)).strip()
        if not (self.private / "HEAD").is_file():
            await self._git.run(
                "init", "--quiet", "--bare", f"--object-format={form}", str(self.private), cwd=self.private
            )
        objects = str(self.repository.common_dir / "objects")
        if "\n" in objects or objects.startswith(('"', "#")):
            raise GitError(f"The repository's path {objects!r} can't be used.", "Move it to a plain path.")
        info = self.private / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "alternates").write_text(objects + "\n", errors="surrogateescape", encoding="utf-8")
        for name in ("shallow", "info/exclude"):
            with suppress(FileNotFoundError):
                (self.private / name).parent.mkdir(exist_ok=True)
                (self.private / name).write_bytes((self.repository.common_dir / name).read_bytes())
        rows = await self._git.run(
            "config", "--file", str(self.repository.common_dir / "config"), "--no-includes", "-z", "--get-regexp",
            f"^core\\.({'|'.join(key.removeprefix('core.') for key in HARMLESS)})$", cwd=self.private, accept=(0, 1),
        )  # fmt: skip
        pairs = (row.partition("\n") for row in rows.stdout.decode("utf-8", "surrogateescape").split("\0"))
        self._settings = tuple(f"{key}={value}" for key, value in {k: v for k, _, v in pairs if v}.items())

    async def _new_folder(self, folder: Path) -> Path:
        """An empty folder beside `folder`; what killed tries left there is removed."""
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in folder.parent.glob(f".new-{folder.name}-*"):
            await self._remove(leftover)
        made = folder.parent / f".new-{folder.name}-{secrets.token_hex(4)}"
        made.mkdir(mode=0o700)
        return made

    async def _remove(self, folder: Path) -> None:
        def remove() -> None:
            with suppress(FileNotFoundError):
                shutil.rmtree(folder)

        await anyio.to_thread.run_sync(remove)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        async with self._busy:
            descriptor = os.open(self.private / "mohist.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                try:
                    with anyio.fail_after(_LOCK_S):
                        while not _locked(descriptor):  # noqa: ASYNC110 - flock tells nobody when it is free
                            await anyio.sleep(_POLL_S)
                except TimeoutError:
                    raise GitError("Another process works in this delivery's repository.", "Wait for it.") from None
                token = _held.set(descriptor)
                try:
                    yield
                except OSError as error:
                    # A full disk, mostly. Each step leaves what was before, or a note by which the next call finishes.
                    raise GitError(
                        f"{str(self.private.parent)!r} can't be written: {error.strerror or error}.",
                        "Make room there, then try again; what was there stays.",
                    ) from error
                finally:
                    _held.reset(token)
            finally:
                os.close(descriptor)

    async def _run(self, *args: str, **options: Unpack[_Options]) -> str:
        text = await self._bytes(*args, **options)
        return text.decode("utf-8", "replace" if "-p" in args and "diff-tree" in args else "surrogateescape")

    async def _bytes(self, *args: str, **options: Unpack[_Options]) -> bytes:
        at = options.get("at")
        git_dir = self.repository.git_dir if options.get("users") else at[0] if at else self.private
        held = _held.get()
        done = await self._git.run(
            *args,
            cwd=at[1] if at else self.private,
            where=[f"--git-dir={git_dir}", *([f"--work-tree={at[1]}"] if at else [])],
            settings=(*self._settings, *options.get("settings", ())),
            env=options.get("env"),
            accept=options.get("accept", (0,)),
            given=options.get("given", b""),
            keep_open=(held,) if held >= 0 else (),
        )
        return done.stdout


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
