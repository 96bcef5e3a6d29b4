"""The hardened git door: the host's git on a tree that an agent wrote.

git runs programs that a repository names: hooks, a file system monitor, filters, diff drivers, ssh and gpg commands.
Here it never reads a configuration that the tree holds. It works on a repository of our own, outside the tree, that
borrows the user's objects; the user's index, refs and configuration are neither changed nor believed.
"""

# ruff: noqa: ASYNC240 - a look at a few paths beside the start of a process
from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mohist.sandbox.errors import GitError
from mohist.sandbox.hardened import HARMLESS, Hardened
from mohist.sandbox.repository import Repository, find_repository

_LARGEST_NEW_BYTES = 50 * 1024**2
"""A new file beyond this is left out of snapshots: copying it would cost more than it tells."""

ChangeKind = Literal["added", "modified", "deleted", "type"]
_KINDS: Mapping[str, ChangeKind] = {"A": "added", "M": "modified", "D": "deleted", "T": "type"}


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs from the base."""

    path: str
    kind: ChangeKind
    added_lines: int | None
    """None for a binary file."""
    removed_lines: int | None


class Git:
    """A trusted view of one work tree. Made with `Git.capture` before an agent touches the tree."""

    def __init__(self, repository: Repository, private: Path, hardened: Hardened, head: str | None, base: str) -> None:
        self.repository = repository
        self.head = head
        """The commit at capture; None in a repository without one."""
        self.base = base
        """What changes are measured against: `head`, or the empty tree."""
        self.left_out: tuple[str, ...] = ()
        """New files that the last snapshot left out for their size."""
        self._private = private
        self._hardened = hardened
        self._identity = _identity(repository.git_dir)
        self._taken_over: tuple[str, ...] = ()
        """What holds of the user's configuration, as `key=value`."""

    @property
    def root(self) -> Path:
        """Top of the work tree."""
        return self.repository.root

    @classmethod
    async def capture(cls, folder: Path, private: Path) -> Git:
        """Takes the state of the repository that `folder` lies in.

        Args:
            private: a folder outside the work tree that this makes and owns, one per run.

        Raises GitError: no repository here, no git, or a repository that git can't read.
        """
        repository = find_repository(folder)
        if repository is None:
            raise GitError(
                f"{str(folder)!r} is not in a git repository.", "Run `git init` there, or pass another folder."
            )
        if private.resolve().is_relative_to(repository.root):
            raise GitError(f"{str(private)!r} lies inside the work tree.", "Keep Mohist's state outside of it.")
        hardened = Hardened.find(repository.root, private)
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
        door = cls(repository, private, hardened, None, "")
        # One process tells both: each costs milliseconds before the first request.
        told = await door._trusted(
            "rev-parse", "--show-object-format", "--quiet", "--verify", "HEAD^{commit}", accept=(0, 1)
        )
        form, head = (*told.split(), None)[:2]
        await door._run("init", "--quiet", "--bare", f"--object-format={form}", str(private), own=False)
        door._borrow()
        door._taken_over = await door._harmless()
        door.head, door.base = head, head or (await door._run("mktree")).strip()
        await door._seed_index()
        return door

    async def snapshot(self) -> str:
        """The id of a tree with everything in the work tree that is not ignored; costs one pass over it."""
        await self._leave_out_large()
        await self._run("add", "--all", "--ignore-errors", "--", ".", accept=(0, 1))
        return (await self._run("write-tree")).strip()

    async def is_dirty(self) -> bool:
        """Whether the work tree differs from `base`."""
        return bool(await self.changes())

    async def changes(self, since: str | None = None) -> list[Change]:
        """What differs from `since` (a commit or a snapshot; None is `base`), new files included."""
        tree = await self.snapshot()
        args = ("diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
        # Both forms in one process: `:MODES IDS LETTER`, path for each change, then `ADDED\tREMOVED\tpath` for each.
        parts = iter((await self._run(*args, "--raw", "--numstat", since or self.base, tree)).split("\0"))
        kinds: dict[str, ChangeKind] = {}
        lines: dict[str, tuple[str, str]] = {}
        for part in parts:
            if part.startswith(":"):
                kinds[next(parts)] = _KINDS.get(part.rpartition(" ")[2][:1], "modified")
            elif part:
                added, removed, path = part.split("\t", 2)
                lines[path] = (added, removed)
        found = []
        for path, kind in kinds.items():
            added, removed = lines.get(path, ("-", "-"))
            found.append(Change(path, kind, _number(added), _number(removed)))
        return found

    async def diff(self, since: str | None = None, *, context_lines: int = 3) -> str:
        """The change as a unified diff, new files included. Bytes that are not UTF-8 are replaced."""
        tree = await self.snapshot()
        return await self._run(
            "diff-tree", "-r", "-p", "--binary", f"--unified={context_lines}", "--no-ext-diff", "--no-textconv",
            "--no-color", "--find-renames", "--ignore-submodules=all", since or self.base, tree,
        )  # fmt: skip

    async def diff_stat(self, since: str | None = None) -> str:
        """The change as `git diff --stat` shows it."""
        tree = await self.snapshot()
        return await self._run(
            "diff-tree", "-r", "--stat", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames",
            "--ignore-submodules=all", since or self.base, tree,
        )  # fmt: skip

    async def list_files(self) -> list[str]:
        """Paths that git tracks or would add, relative to the root, sorted."""
        text = await self._run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
        return sorted(path for path in text.split("\0") if path)

    async def copy(self, folder: Path, tree: str | None = None) -> str:
        """Writes `tree` (None takes a snapshot now) to the new folder `folder`; returns the tree's id.

        No filter runs and no `.git` is made: it is what a reviewer would get, built from the change alone.
        """
        tree = tree or await self.snapshot()
        folder.mkdir(parents=True)
        index = {"GIT_INDEX_FILE": str(self._private / f"index.copy.{os.getpid()}.{folder.name}")}
        try:
            await self._run("read-tree", tree, env=index)
            await self._run("checkout-index", "--all", "--force", f"--prefix={folder.resolve()}/", env=index)
        finally:
            Path(index["GIT_INDEX_FILE"]).unlink(missing_ok=True)
        return tree

    async def content(self, path: str, tree: str | None = None) -> bytes | None:
        """What `path` holds in `tree` (None is `base`), byte for byte; None: no file of that name."""
        literal = {"GIT_LITERAL_PATHSPECS": "1"}
        row = await self._run("ls-tree", "-z", tree or self.base, "--", path, env=literal)
        words = row.partition("\t")[0].split()
        if len(words) != 3 or words[1] != "blob":
            return None
        return (await self._run("cat-file", "blob", words[2])).encode("utf-8", "surrogateescape")

    async def add_worktree(self, folder: Path, *, branch: str | None = None) -> Repository:
        """A linked worktree of `head` in the new folder `folder`, on a new branch or detached.

        This is the one operation that writes to the user's repository: its worktree list and the branch.
        """
        if self.head is None:
            raise GitError("The repository has no commit yet, so it can have no worktree.", "Commit first.")
        where = ["-b", branch] if branch else ["--detach"]
        await self._trusted("worktree", "add", "--quiet", "--no-checkout", *where, str(folder), self.head)
        found = find_repository(folder)
        if found is None or found.common_dir != self.repository.common_dir:
            raise GitError(f"git made no usable worktree in {str(folder)!r}.")
        index = {"GIT_INDEX_FILE": str(found.git_dir / "index")}
        await self._run("read-tree", self.head, env=index, root=found.root)
        await self._run("checkout-index", "--all", "--force", "-u", env=index, root=found.root)
        return found

    async def remove_worktree(self, folder: Path, *, branch: str | None = None) -> None:
        """Removes a linked worktree with all that is in it, and its branch when named."""
        await self._trusted("worktree", "remove", "--force", "--force", str(folder))
        if branch:
            await self._trusted("update-ref", "-d", f"refs/heads/{branch}")

    @property
    def private(self) -> Path:
        """The repository of our own that borrows the user's objects."""
        return self._private

    async def tips(self) -> list[str]:
        """The ids that the user's branches, tags, stash and HEAD name."""
        rows = await self._trusted("for-each-ref", "--format=%(objectname)")
        return sorted({*rows.split(), *([self.head] if self.head else [])})

    async def resolve(self, revision: str) -> str:
        """The commit that a revision means to the user's repository. Raises GitError: none."""
        asked = ("rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        found = (await self._trusted(*asked, accept=(0, 1, 128))).strip()
        if not found:
            raise GitError(f"There is no commit {revision!r}.", "Name a branch, a tag or a commit.")
        return found.removeprefix("--end-of-options").strip()

    async def standing(self) -> str:
        """A commit, in our own repository alone, of the work tree as it is now on top of `head`."""
        tree = await self.snapshot()
        who = {f"GIT_{role}_{part}": "-" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        parents = ("-p", self.head) if self.head else ()
        return (await self._run("commit-tree", tree, *parents, "-m", "work tree", env=who)).strip()

    async def read(self, *args: str, given: bytes = b"", index: Path | None = None) -> str:
        """The output of a git command that only reads objects, run on `private`.

        Args:
            given: its standard input.
            index: an index to read instead of our own.
        """
        return (await self.read_bytes(*args, given=given, index=index)).decode("utf-8", "surrogateescape")

    async def read_bytes(self, *args: str, given: bytes = b"", index: Path | None = None) -> bytes:
        """As `read`, byte for byte."""
        done = await self._hardened.run(
            *args,
            cwd=self._private,
            where=[f"--git-dir={self._private}"],
            env={"GIT_INDEX_FILE": str(index or self._private / "index")},
            given=given,
        )
        return done.stdout

    def also(self, objects: Path) -> None:
        """Reads from another repository's objects as well, such as a delivery's own before they are the user's."""
        with open(
            self._private / "objects" / "info" / "alternates", "a", encoding="utf-8", errors="surrogateescape"
        ) as f:
            f.write(f"{objects}\n")

    async def take_in(self, stream: bytes) -> None:
        """Writes what a `git fast-import` stream holds into the user's repository. Only where the user asked for it.

        Raises GitError: a ref moved meanwhile, or a commit that is named is not there; no ref is changed then.
        """
        if _identity(self.repository.git_dir) != self._identity:
            raise GitError(
                f"{str(self.repository.git_dir)!r} was replaced since it was captured.", "Look at it by hand."
            )
        where = [f"--git-dir={self.repository.git_dir}"]
        await self._hardened.run("fast-import", "--quiet", cwd=self._private, where=where, given=stream)

    def close(self) -> None:
        """Deletes the private repository; snapshots are gone with it."""
        shutil.rmtree(self._private, ignore_errors=True)

    async def _harmless(self) -> tuple[str, ...]:
        """Of the user's configuration what `HARMLESS` names; of a key said twice the last counts, as in git."""
        names = "|".join(key.removeprefix("core.") for key in HARMLESS)
        rows = await self._run(
            "config", "--file", str(self.repository.common_dir / "config"), "--no-includes", "-z",
            "--get-regexp", f"^core\\.({names})$", own=False, accept=(0, 1),
        )  # fmt: skip
        pairs = (row.partition("\n") for row in rows.split("\0"))
        return tuple(f"{key}={value}" for key, value in {key: value for key, _, value in pairs if value}.items())

    def _borrow(self) -> None:
        objects = str(self.repository.common_dir / "objects")
        if "\n" in objects or objects.startswith(('"', "#")):
            raise GitError(f"The repository's path {objects!r} can't be used.", "Move it to a plain path.")
        info = self._private / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "alternates").write_text(objects + "\n", errors="surrogateescape", encoding="utf-8")

    async def _seed_index(self) -> None:
        """Starts from the user's index: its file times save hashing every file again."""
        own, users = self._private / "index", self.repository.git_dir / "index"
        try:
            # With its time: a file written in the same tick as the index is told from an unchanged one by it alone.
            shutil.copy2(users, own)
            await self._run("ls-files", "--cached", "-z", "--", "nothing-of-this-name")
        except (OSError, GitError):  # none yet, or one whose other half lies elsewhere
            own.unlink(missing_ok=True)
            await self._run("read-tree", self.base)

    async def _leave_out_large(self) -> None:
        exclude = self._private / "info" / "exclude"
        exclude.parent.mkdir(exist_ok=True)
        users = self.repository.common_dir / "info" / "exclude"
        kept = users.read_bytes() if users.is_file() else b""
        exclude.write_bytes(kept)
        new = await self._run("ls-files", "-z", "--others", "--exclude-standard")
        large = [path for path in new.split("\0") if path and _size(self.root / path) > _LARGEST_NEW_BYTES]
        rows = ["/" + re.sub(r"([\\*?\[ !#])", r"\\\1", path) for path in large]
        exclude.write_bytes(kept + b"\n" + "\n".join(rows).encode("utf-8", "surrogateescape") + b"\n")
        self.left_out = tuple(large)

    async def _trusted(self, *args: str, accept: Sequence[int] = (0,)) -> str:
        """git on the user's own repository; only for commands that start nothing but git itself."""
        if _identity(self.repository.git_dir) != self._identity:
            raise GitError(
                f"{str(self.repository.git_dir)!r} was replaced since it was captured.", "Look at it by hand."
            )
        return await self._run(f"--git-dir={self.repository.git_dir}", *args, own=False, accept=accept)

    async def _run(
        self,
        *args: str,
        own: bool = True,
        accept: Sequence[int] = (0,),
        env: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> str:
        index = {"GIT_INDEX_FILE": str(self._private / "index")} if own else {}
        done = await self._hardened.run(
            *args,
            cwd=(root or self.root) if own else self._private,
            where=[f"--git-dir={self._private}", f"--work-tree={root or self.root}"] if own else (),
            settings=self._taken_over if own else (),
            env={**index, **(env or {})},
            accept=accept,
        )
        return done.stdout.decode("utf-8", "replace" if "-p" in args else "surrogateescape")


def _identity(folder: Path) -> tuple[int, int, bool]:
    try:
        found = folder.lstat()
    except OSError:
        return (0, 0, False)
    return (found.st_dev, found.st_ino, (folder / "commondir").exists())


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
