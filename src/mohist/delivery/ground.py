"""The ground a delivery works on: work trees, merges, clean copies and commands, all below one folder of its own.

    <home>/git/       a repository of our own that borrows the user's objects
    <home>/trees/     work trees, one a key
    <home>/copies/    clean copies, one a key

Each call may be asked for again after a kill and comes to the same result; `mohist.sandbox.store` says how.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType

import anyio.to_thread

from mohist.base import sha256_hex
from mohist.delivery.port import Ran
from mohist.sandbox import Author, Git, GitStore, Limits, Profile, Remote, RemoteStore, Sandbox, SandboxError, run

_KEPT_BYTES = 1024**2
_NAMES_TOLD = 5


@dataclass(frozen=True, slots=True)
class Room:
    """What commands run in."""

    sandbox: Sandbox
    readable: tuple[Path, ...] = ()
    """Toolchains outside the system's folders."""
    shell: str = "/bin/sh"
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the user's repository is when a delivery begins."""

    commit: str
    """What the delivery is based on: HEAD, whatever else lies in the work tree."""
    branch: str
    """Empty: the head is detached."""
    files: int
    dirty: tuple[str, ...]
    """Paths that differ from HEAD; they are no part of the delivery."""
    submodules: tuple[str, ...]
    large: tuple[str, ...]
    """Patterns that Git LFS keeps elsewhere: what is checked out are pointers."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know before it begins, a sentence each."""
        told = []
        if not self.branch:
            told.append(
                f"The head is detached at {self.commit[:12]}: there is no branch to merge into but a named one."
            )
        if self.dirty:
            told.append(f"Not committed, so no part of the delivery: {_names(self.dirty)}.")
        if self.submodules:
            told.append(
                f"Submodules stay as they are, and are empty in work trees and copies: {_names(self.submodules)}."
            )
        if self.large:
            told.append(f"Files in Git LFS are there as pointers only: {_names(self.large)}.")
        return tuple(told)


Trailers = Callable[[Mapping[str, str]], Mapping[str, str]]
"""What a commit is to say, by what its maker would have it say."""


class GitGround:
    """Fulfils `port.Ground` for one delivery. Made with `GitGround.open`."""

    def __init__(self, store: GitStore, home: Path, room: Room, author: Author, trailers: Trailers = dict) -> None:
        self._trailers = trailers
        self._store = store
        self._home = home
        self._room = room
        self._author = author

    @classmethod
    async def open(cls, folder: Path, home: Path, room: Room, author: Author, trailers: Trailers = dict) -> GitGround:
        """The ground in `home` over the repository that `folder` lies in; made when it is not there.

        Args:
            author: whom every commit names, with the delivery's own time: the same tree gives the same commit.
            trailers: what is made of a commit's; called in a thread.

        Raises GitError: no repository there, or git can't read it.
        """
        return cls(await GitStore.open(folder, home / "git"), home.resolve(), room, author, trailers)  # noqa: ASYNC240

    @property
    def readable(self) -> tuple[Path, ...]:
        """What git needs to see of a work tree's history from inside the sandbox."""
        return (self._store.private, self._store.repository.common_dir / "objects")

    @property
    def objects(self) -> Path:
        """Where git's objects of this delivery are, beside the user's own."""
        return self._store.private / "objects"

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the last commit left out: new files beyond 50 MB, and repositories inside the tree."""
        return self._store.left_out

    async def standing(self) -> Standing:
        """How the user's repository is now. Raises GitError where there is nothing to begin on: no commit yet."""
        commit = await self._store.resolve("HEAD")
        door = await Git.capture(self._store.repository.root, self._home / f"look-{secrets.token_hex(4)}")
        try:
            dirty = tuple(change.path for change in await door.changes())
        finally:
            door.close()
        files = await self._store.files(commit)
        attributes = await self._store.contents(commit, [path for path in files if path.endswith(".gitattributes")])
        lines = (line.split() for text in attributes.values() for line in text.decode("utf-8", "replace").splitlines())
        return Standing(
            commit,
            _branch(self._store.repository.git_dir),
            len(files),
            dirty,
            tuple(await self._store.submodules(commit)),
            tuple(dict.fromkeys(words[0] for words in lines if "filter=lfs" in words[1:])),
        )

    async def resolve(self, revision: str) -> str:
        return await self._store.resolve(revision)

    async def worktree(self, key: str, commit: str) -> Path:
        name = name_of(key)
        folder = self._home / "trees" / name
        await self._store.worktree(name, folder, commit)
        return folder

    async def drop(self, key: str) -> None:
        name = name_of(key)
        await self._store.drop(name)
        await anyio.to_thread.run_sync(partial(rmtree, self._home / "copies" / name, ignore_errors=True))

    async def head(self, folder: Path) -> str:
        """The commit that a work tree stands on."""
        return await self._store.head(folder.name)

    async def commit(self, folder: Path, message: str, trailers: Mapping[str, str]) -> str:
        return await self._store.commit(folder.name, await self._message(message, trailers), self._author)

    async def merge(
        self,
        folder: Path,
        commit: str,
        message: str,
        trailers: Mapping[str, str] = MappingProxyType({}),
        *,
        leave: bool = False,
    ) -> Sequence[str]:
        """Merges into a work tree; returns paths in conflict, empty when there are none.

        Where there are some the work tree is as it was, unless `leave`: then they stand in it with markers, and the
        next `commit` (refused while a marker is left) makes the merge; `undo` gives it up.
        """
        said = await self._message(message, trailers)
        return await self._store.merge(folder.name, commit, said, self._author, leave=leave)

    async def _message(self, message: str, trailers: Mapping[str, str]) -> str:
        said = await anyio.to_thread.run_sync(self._trailers, trailers)
        rows = [f"{key}: {' '.join(value.split())}" for key, value in said.items() if value.strip()]
        return "\n\n".join(part for part in (message.strip(), "\n".join(rows)) if part)

    async def undo(self, folder: Path) -> None:
        """Puts a work tree back to its commit."""
        await self._store.undo(folder.name)

    async def diff(self, base: str, commit: str) -> str:
        return await self._store.diff(base, commit)

    async def changed(self, base: str, commit: str) -> Sequence[str]:
        found = await self._store.changed(base, commit)
        return sorted({path for _, before, after in found for path in (before, after)})

    async def renamed(self, base: str, commit: str) -> Sequence[tuple[str, str, str]]:
        """`(letter, path before, path after)` of each file that differs; letters are git's: A, M, D, T, R."""
        return await self._store.changed(base, commit)

    async def carried(self, base: str, commit: str, paths: Sequence[str]) -> Mapping[str, Mapping[int, str]]:
        """Of each file the lines that the change brought, with the task whose commit did; empty: a mend's, or a person's."""
        tasks = await self._store.trailer(base, commit, "Mohist-Task")
        return {
            path: {line: tasks.get(came, "") for line, came in (await self._store.brought(base, commit, path)).items()}
            for path in paths
        }

    async def show(self, commit: str, path: str) -> bytes | None:
        return (await self._store.contents(commit, [path])).get(path)

    async def contents(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """What files hold in a commit; a path that is no file there is left out."""
        return await self._store.contents(commit, paths)

    async def files(self, commit: str) -> Sequence[str]:
        return await self._store.files(commit)

    async def tree(self, commit: str) -> str:
        """The tree of a commit: what its files are, whatever its history."""
        return await self._store.tree(commit)

    async def contains(self, newer: str, older: str) -> bool:
        """Whether `newer` has `older` in its history: False tells a branch that was pushed by force."""
        return await self._store.is_ancestor(older, newer)

    async def copy(self, key: str, commit: str) -> Path:
        """A clean copy of a commit without history, for verification; what was there under this key is removed."""
        folder = self._home / "copies" / name_of(key)
        await self._store.copy(folder, commit)
        return folder

    async def branch(self, branch: str) -> str:
        """Where a branch of the user's repository stands; empty: it is not there."""
        return await self._store.branch(branch)

    def remote(self, remote: Remote) -> RemoteStore:
        """The branches of a git server, which this ground's commits can be pushed to."""
        return RemoteStore(self._store, remote)

    async def publish(self, commit: str, branch: str, expected: str | None) -> None:
        """Sets a branch of the user's repository if it stands on `expected` (None: if it is not there)."""
        await self._store.publish(commit, branch, expected)

    async def unpublish(self, branch: str, expected: str) -> None:
        """Removes a branch of the user's repository if it stands on `expected`."""
        await self._store.unpublish(branch, expected)

    async def run(self, folder: Path, command: str, timeout_s: float, network: bool = False) -> Ran:
        room = self._room
        is_tree = folder.parent == self._home / "trees"
        profile = Profile(
            workspace=folder,
            extra_readable=(*room.readable, *(self.readable if is_tree else ())),
            network="full" if network else "none",
            env=room.env,
            limits=room.limits,
        )
        spill = self._home / f"output-{secrets.token_hex(8)}"
        try:
            done = await run(
                room.sandbox,
                [room.shell, "-c", command],
                cwd=folder,
                profile=profile,
                timeout_s=timeout_s,
                output_limit_bytes=_KEPT_BYTES,
                spill=spill,
            )
            digest = await anyio.to_thread.run_sync(_digest, spill)
        except SandboxError as error:
            text = f"{error.what} {error.mend}".encode()
            return Ran(None, text, 0, output_sha256=sha256_hex(text))
        finally:
            spill.unlink(missing_ok=True)
        killed = done.timed_out or done.exit.denied is not None
        return Ran(None if killed else done.exit.code, done.output, done.duration_ms, done.timed_out, digest)


def name_of(key: str) -> str:
    """A folder's name for a key: readable, and no two keys share one."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")[-40:].strip("-")
    return f"{plain or 'key'}-{sha256_hex(key.encode())[:10]}"


def _branch(git_dir: Path) -> str:
    text = (git_dir / "HEAD").read_text(encoding="utf-8").strip()
    return text.removeprefix("ref: refs/heads/") if text.startswith("ref: refs/heads/") else ""


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_TOLD
    return ", ".join(names[:_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
