"""The work tree a run works in, seen through the hardened git door only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mohist.agent.errors import RunError
from mohist.agent.log import hold_lock
from mohist.base import ExitCode, StatePaths, sha256_hex
from mohist.sandbox import Git, GitError


class Workspace:
    """One work tree during one run. The user's index, refs and configuration are neither changed nor believed."""

    def __init__(self, git: Git, cwd: Path) -> None:
        self._git = git
        self.cwd = cwd

    @classmethod
    async def open(cls, cwd: Path, private: Path) -> Workspace:
        """The repository around `cwd`; its state is captured in `private`, outside of it.

        Raises RunError (exit code 2) where `cwd` is no folder of a git repository.
        """
        if not cwd.is_dir():  # noqa: ASYNC240
            raise _usage(f"There is no folder {str(cwd)!r}.", "Name an existing one: --cwd FOLDER")
        try:
            return cls(await Git.capture(cwd, private), cwd.resolve())  # noqa: ASYNC240
        except GitError as error:
            raise _usage(error.what, error.mend) from error

    @property
    def root(self) -> Path:
        return self._git.root

    @property
    def name(self) -> str:
        """What people call the repository: its folder, that of the main work tree for a linked one."""
        common = self._git.repository.common_dir
        return (common.parent if common.name == ".git" else common).name.removesuffix(".git")

    @property
    def readable(self) -> tuple[Path, ...]:
        """What lies outside the tree and git needs inside the sandbox: the repository of a linked work tree."""
        repository = self._git.repository
        folders = dict.fromkeys((repository.common_dir, repository.git_dir))
        return tuple(folder for folder in folders if not folder.is_relative_to(self.root))

    @property
    def head(self) -> str:
        """The commit that changes are measured against; empty in a repository without one."""
        return self._git.head or ""

    @property
    def branch(self) -> str:
        """The checked-out branch, or the short commit of a detached head."""
        text = (self._git.repository.git_dir / "HEAD").read_text(encoding="utf-8").strip()
        name = text.removeprefix("ref: refs/heads/")
        return name if name != text else text[:12]

    async def dirty(self) -> list[str]:
        """Paths that differ from the base, new files included."""
        return [change.path for change in await self._git.changes()]

    async def list_files(self) -> list[str]:
        """Tracked files and new ones that are not ignored."""
        return await self._git.list_files()

    async def base_content(self, path: str) -> bytes | None:
        """What `path` holds in the base; None: nothing."""
        return await self._git.content(path)

    async def change_stat(self, paths: Sequence[Path]) -> list[str]:
        """A line for each of `paths`: `src/app.py +3 -1` where git can tell, else whether it is gone or changed."""
        names = {path.relative_to(self.root).as_posix() for path in paths if path.is_relative_to(self.root)}
        lines = []
        for change in await self._git.changes():
            if change.path in names:
                names.remove(change.path)
                count = "binary" if change.added_lines is None else f"+{change.added_lines} -{change.removed_lines}"
                lines.append(f"{change.path} {count}")
        # Ignored, too large, or the user's own and never committed: the base can't be compared with.
        lines += [f"{name} {'changed' if (self.root / name).exists() else 'removed'}" for name in sorted(names)]
        return lines

    async def diff(self) -> str:
        """The whole difference to the base as a patch."""
        return await self._git.diff()

    async def copy_change(self, folder: Path) -> str:
        """Writes base and change to the new folder `folder`; returns the sha256 of the change as a patch."""
        tree = await self._git.snapshot()
        digest = sha256_hex((await self._git.diff()).encode("utf-8", "surrogateescape"))
        await self._git.copy(folder, tree)
        return digest

    async def worktree(self, folder: Path, branch: str) -> None:
        """A linked work tree of the base in the new folder `folder`, on the new branch `branch`."""
        try:
            await self._git.add_worktree(folder, branch=branch)
        except GitError as error:
            raise _usage(error.what, error.mend) from error

    def close(self) -> None:
        """Deletes what was captured."""
        self._git.close()


def hold_tree(paths: StatePaths, root: Path) -> IO[bytes]:
    """The lock on a work tree, held until it is closed; TreeBusyError when a run works there."""
    name = sha256_hex(str(root).encode("utf-8", "surrogateescape"))[:24]
    return hold_lock(paths.home / "locks" / name, f"Another run is working in {str(root)!r}.")


def _usage(what: str, mend: str) -> RunError:
    error = RunError(what, mend)
    error.exit_code = ExitCode.USAGE
    return error
