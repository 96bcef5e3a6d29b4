"""A git repository of our own that borrows a user's objects: work trees, commits and merges without a touch of theirs.

The user's refs, index and configuration are never written, but by `publish` and `unpublish`, which are asked for by name.
Nothing is half done: a work tree appears by one rename, a merge is computed before any file changes and its end is noted
first, so that whoever comes after a kill finishes it. One operation that writes runs at a time; the lock is held by git
too, so that a git which outlives a killed Mohist is waited for.
"""

# ruff: noqa: ASYNC240 - a look at a few paths beside the start of a process
from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohist.sandbox.borrowed import Borrowed
from mohist.sandbox.errors import GitError, InUseError, MovedError

_LARGEST_NEW_BYTES = 50 * 1024**2
"""A new file beyond this is not committed: it is a build's leftover more often than a change."""
_GITLINK = "160000"
_BLAMED = re.compile(r"([0-9a-f]{40,64}) \d+ (\d+)(?: \d+)?$")
_MARKER = b"<<<<<<< "


@dataclass(frozen=True, slots=True)
class Author:
    """Who a commit names, and when; the same values make the same commit."""

    name: str
    email: str
    at_s: int
    """Seconds since 1970, UTC."""


class GitStore(Borrowed):
    """Work trees by name. Made with `GitStore.open`; the same folder opened again is the same store."""

    left_out: tuple[str, ...] = ()
    """What the last commit left out: new files beyond 50 MB, and repositories inside the tree."""

    async def resolve(self, revision: str) -> str:
        """The commit that a revision means to the user's repository, or one of this store. Raises GitError: none."""
        if not revision or revision.startswith("-"):
            raise GitError(f"{revision!r} is no revision.", "Name a branch, a tag or a commit.")
        asked = ("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}")
        if len(revision) >= 40 and set(revision) <= set("0123456789abcdef"):
            found = await self._run(*asked, accept=(0, 1, 128))
        else:
            found = await self._run(*asked, users=True, accept=(0, 1, 128))
        if found.strip():
            return found.strip()
        if not await self._run("rev-parse", "--quiet", "--verify", "HEAD", users=True, accept=(0, 1, 128)):
            raise GitError("The repository has no commit yet.", "Commit something first: a change needs a base.")
        raise GitError(f"There is no commit {revision!r}.", "It may have been pushed away; fetch it, or start anew.")

    async def worktree(self, name: str, folder: Path, commit: str) -> None:
        """Makes the work tree `name` of `commit` in `folder`, once: one that is there is left as it is.

        What a kill left of an earlier try is removed or finished first.
        """
        folder = folder.absolute()
        admin = self._admin(name)
        async with self._writing():
            if folder.exists() and (admin / "HEAD").is_file():
                await self._finish(name)
                return
            await self._remove(folder)
            await self._remove(admin)
            admin.mkdir(parents=True, mode=0o700)
            (admin / "commondir").write_text("../..\n", encoding="utf-8")
            (admin / "gitdir").write_text(f"{folder / '.git'}\n", encoding="utf-8")
            (admin / "HEAD").write_text(f"{commit}\n", encoding="utf-8")
            made = await self._new_folder(folder)
            where = (admin, made)
            await self._run("read-tree", commit, at=where)
            await self._run("checkout-index", "--all", "--force", "-u", at=where, settings=("checkout.workers=0",))
            (made / ".git").write_text(f"gitdir: {admin}\n", encoding="utf-8")
            made.rename(folder)

    async def drop(self, name: str) -> None:
        """Removes a work tree and what the store knows of it; nothing when there is none."""
        admin = self._admin(name)
        async with self._writing():
            if (admin / "gitdir").is_file():
                await self._remove(self._folder(name))
            await self._remove(admin)

    async def head(self, name: str) -> str:
        """The commit that a work tree stands on."""
        async with self._writing():
            await self._finish(name)
        return self._head(name)

    async def commit(self, name: str, message: str, author: Author) -> str:
        """Commits everything that is not ignored; returns the commit, the present one when nothing differs from it.

        A merge that `merge` left for somebody to resolve becomes a commit with two parents; GitError while a
        path of it still holds conflict markers.
        """
        async with self._writing():
            await self._finish(name)
            head, pending = self._head(name), self._note(name, "pending")
            tree = await self._snapshot(name)
            parents = [head]
            if pending and not await self._reaches(pending["commit"], head):
                unresolved = [path for path in pending["paths"] if _has_markers(self._folder(name) / path)]
                if unresolved:
                    raise GitError(
                        f"Conflicts are not resolved in {', '.join(unresolved[:5])}.",
                        "Resolve what stands between the markers, then commit.",
                    )
                parents.append(pending["commit"])
            elif tree == (await self._run("rev-parse", f"{head}^{{tree}}")).strip():
                self._forget(name, "pending")
                return head
            made = await self._commit_tree(tree, parents, message, author)
            self._move_head(name, made)
            self._forget(name, "pending")
            return made

    async def merge(self, name: str, commit: str, message: str, author: Author, *, leave: bool = False) -> list[str]:
        """Merges a commit into a work tree that holds nothing uncommitted.

        Args:
            leave: leaves conflicts in the work tree, with markers, for the next `commit`; else it stays as it was.

        Returns the paths in conflict; empty when it is merged (or was before).
        """
        async with self._writing():
            await self._finish(name)
            head = self._head(name)
            if self._note(name, "pending"):
                raise GitError("A merge in this work tree waits to be resolved.", "Resolve and commit it, or undo it.")
            if await self._reaches(commit, head):
                return []
            if await self._snapshot(name) != (await self._run("rev-parse", f"{head}^{{tree}}")).strip():
                raise GitError("The work tree holds what is not committed.", "Commit it before the merge.")
            if await self._reaches(head, commit):
                await self._stand_on(name, {"head": commit, "tree": commit})
                return []
            told = (await self._run("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages",
                                    head, commit, accept=(0, 1))).split("\0")  # fmt: skip
            tree, paths = told[0], sorted({path for path in told[1:] if path})
            if not paths:
                made = await self._commit_tree(tree, [head, commit], message, author)
                await self._stand_on(name, {"head": made, "tree": made})
            elif leave:
                await self._stand_on(name, {"head": head, "tree": tree, "pending": {"commit": commit, "paths": paths}})
            return paths

    async def undo(self, name: str) -> None:
        """Puts a work tree back to its commit: what is not committed is gone, a merge that waits as well."""
        async with self._writing():
            await self._finish(name)
            head = self._head(name)
            await self._stand_on(name, {"head": head, "tree": head, "clean": True})

    async def diff(self, base: str, commit: str, *, context_lines: int = 3) -> str:
        """A unified diff with renames; binary files are named only. The same commits give the same bytes."""
        return await self._run(
            "diff-tree", "-r", "-p", "--full-index", f"--unified={context_lines}", "--no-ext-diff", "--no-textconv",
            "--no-color", "--find-renames", "--ignore-submodules=none", base, commit,
        )  # fmt: skip

    async def changed(self, base: str, commit: str) -> list[tuple[str, str, str]]:
        """`(letter, path before, path after)` of what differs; letters are git's: A, M, D, T, R (renamed)."""
        parts = iter((await self._run(
            "diff-tree", "-r", "-z", "--raw", "--find-renames", "--ignore-submodules=none", base, commit,
        )).split("\0"))  # fmt: skip
        found = []
        for part in parts:
            if part.startswith(":"):
                letter = part.rpartition(" ")[2][:1]
                before = next(parts)
                found.append((letter, before, next(parts) if letter in "RC" else before))
        return found

    async def brought(self, base: str, commit: str, path: str) -> dict[int, str]:
        """Which commit after `base` brought each line of a file as it is in `commit`; lines that were there are left out."""
        text = await self._run(
            "blame", "--porcelain", "--no-textconv", f"{base}..{commit}", "--", path, accept=(0, 128)
        )
        lines: dict[int, str] = {}
        before, at = set(), ""
        for row in text.splitlines():
            if head := _BLAMED.match(row):
                at = head[1]
                lines[int(head[2])] = at
            elif row == "boundary":
                before.add(at)
        return {line: came for line, came in lines.items() if came not in before}

    async def trailer(self, base: str, commit: str, key: str) -> dict[str, str]:
        """What each commit after `base` says under a trailer's key; empty where it says nothing."""
        form = f"--format=%H %(trailers:key={key},valueonly,separator=%x20)"
        rows = (await self._run("log", form, f"{base}..{commit}")).splitlines()
        return {came: said.strip() for came, _, said in (row.partition(" ") for row in rows)}

    async def files(self, commit: str) -> list[str]:
        """Every path of a commit, submodules left out."""
        rows = (await self._run("ls-tree", "-r", "-z", commit)).split("\0")
        return [row.partition("\t")[2] for row in rows if row and not row.startswith(_GITLINK)]

    async def submodules(self, commit: str) -> list[str]:
        """Paths of submodules. They stay as they are: what they hold is neither checked out nor changed."""
        rows = (await self._run("ls-tree", "-r", "-z", commit)).split("\0")
        return [row.partition("\t")[2] for row in rows if row.startswith(_GITLINK)]

    async def contents(self, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
        """What files hold in a commit, byte for byte; a path that is no file there is left out."""
        found: dict[str, bytes] = {}
        if not paths:
            return found
        names = [os.fsencode(f"{commit}:{path}") for path in paths]
        text = await self._bytes("cat-file", "--batch", "-z", given=b"\0".join(names) + b"\0")
        at = 0
        for path, name in zip(paths, names, strict=True):
            if text.startswith(name + b" missing\n", at):  # a name may hold a newline
                at += len(name) + len(b" missing\n")
                continue
            end = text.index(b"\n", at)
            words = text[at:end].split(b" ")
            at = end + 1
            if len(words) == 3 and words[-1].isdigit():
                size = int(words[2])
                if words[1] == b"blob":
                    found[path] = text[at : at + size]
                at += size + 1
        return found

    async def tree(self, commit: str) -> str:
        """The tree of a commit: what its files are, whatever its history."""
        return (await self._run("rev-parse", "--verify", f"{commit}^{{tree}}")).strip()

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` holds `older`; False as well where one of them is gone."""
        return await self._reaches(older, newer)

    async def copy(self, folder: Path, commit: str) -> None:
        """The files of a commit in `folder`, fresh: what was there is removed. No history, no filter, nothing else."""
        folder = folder.absolute()
        async with self._writing():
            await self._remove(folder)
            made = await self._new_folder(folder)
            index = self.private / f"index.{made.name}"
            try:
                env = {"GIT_INDEX_FILE": str(index)}
                await self._run("read-tree", commit, env=env, at=(self.private, made))
                await self._run("checkout-index", "--all", "--force", f"--prefix={made}/", env=env,
                                at=(self.private, made), settings=("checkout.workers=0",))  # fmt: skip
            finally:
                index.unlink(missing_ok=True)
            made.rename(folder)

    async def branch(self, branch: str) -> str:
        """Where a branch of the user's repository stands; empty: it is not there."""
        ref = f"refs/heads/{branch}"
        await self._run("check-ref-format", ref)
        return (await self._run("rev-parse", "--quiet", "--verify", ref, users=True, accept=(0, 1))).strip()

    async def publish(self, commit: str, branch: str, expected: str | None) -> None:
        """Sets a branch of the user's repository, its objects first. With `unpublish` the one operation that writes there.

        Args:
            expected: the commit it must stand on now; None: it must not be there.

        Raises GitError: it stands elsewhere (unless on `commit` already), or a work tree has it checked out.
        """
        ref = f"refs/heads/{branch}"
        async with self._writing():
            now = await self.branch(branch)
            if now == commit:
                return
            if now != (expected or ""):
                raise MovedError(
                    f"The branch {branch!r} stands on {now[:12] or 'nothing'}, not on {(expected or 'nothing')[:12]}.",
                    "Somebody moved it; merge again onto what it is now.",
                )
            await self._free(
                ref, "Setting it would leave that tree behind it; merge into it there, or name another branch."
            )
            tips = await self._run("for-each-ref", "--format=^%(objectname)", "refs/heads", "refs/remotes", users=True)
            asked = f"{commit}\n{tips}".encode()
            pack = await self._bytes("pack-objects", "--revs", "--local", "--stdout", "--quiet", given=asked)
            await self._bytes("unpack-objects", "-q", users=True, given=pack)
            await self._run("update-ref", ref, commit, now or "0" * len(commit), users=True)

    async def unpublish(self, branch: str, expected: str) -> None:
        """Removes a branch of the user's repository if it stands on `expected`; nothing where it is not there.

        Raises MovedError: it stands elsewhere; InUseError: a work tree has it checked out.
        """
        ref = f"refs/heads/{branch}"
        async with self._writing():
            now = await self.branch(branch)
            if not now:
                return
            if now != expected:
                raise MovedError(f"The branch {branch!r} stands on {now[:12]}, not on {expected[:12]}.")
            await self._free(ref, "Check another out there, then remove it.")
            await self._run("update-ref", "-d", ref, expected, users=True)

    # What follows expects the lock to be held.

    async def _free(self, ref: str, mend: str) -> None:
        """Raises InUseError where a work tree of the user's has it checked out."""
        listed = (await self._run("worktree", "list", "--porcelain", "-z", users=True)).split("\0")
        if f"branch {ref}" in listed:
            raise InUseError(f"The branch {ref.removeprefix('refs/heads/')!r} is checked out in a work tree.", mend)

    async def _snapshot(self, name: str) -> str:
        """The tree of everything in a work tree; its index learns the files' times."""
        admin, folder = self._admin(name), self._folder(name)
        for leftover in admin.glob("index.*"):
            leftover.unlink(missing_ok=True)
        own = admin / f"index.{secrets.token_hex(4)}"
        with suppress(FileNotFoundError):
            # With its time: a file written in the same tick as the index is told from an unchanged one by it alone.
            shutil.copy2(admin / "index", own)
        env = {"GIT_INDEX_FILE": str(own)}
        try:
            new = await self._run("ls-files", "-z", "--others", "--exclude-standard", at=(admin, folder), env=env)
            others = [path for path in new.split("\0") if path]
            # A repository inside the tree is listed with a slash: git would record its head and drop its files.
            left_out = [p for p in others if p.endswith("/") or _size(folder / p) > _LARGEST_NEW_BYTES]
            specs = [".", *(f":(exclude,literal,top){path.rstrip('/')}" for path in left_out)]
            await self._run("add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul", at=(admin, folder),
                            env=env, given="\0".join(specs).encode("utf-8", "surrogateescape"))  # fmt: skip
            await self._keep_submodules(name, env)
            self.left_out = tuple(left_out)
            tree = (await self._run("write-tree", at=(admin, folder), env=env)).strip()
            own.replace(admin / "index")
        finally:
            own.unlink(missing_ok=True)
        return tree

    async def _keep_submodules(self, name: str, env: Mapping[str, str]) -> None:
        """A submodule whose empty folder got lost stays what it was, as long as `.gitmodules` names it."""
        admin, folder = self._admin(name), self._folder(name)
        try:
            named = (folder / ".gitmodules").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        rows = (await self._run("ls-tree", "-r", "-z", self._head(name))).split("\0")
        for row in rows:
            path = row.partition("\t")[2]
            if row.startswith(_GITLINK) and path in named and not os.path.lexists(folder / path):
                entry = f"{_GITLINK},{row.split()[2]},{path}"
                await self._run("update-index", "--add", "--cacheinfo", entry, at=(admin, folder), env=env)

    async def _stand_on(self, name: str, goal: dict[str, Any]) -> None:
        """Brings files, index and head of a work tree to `goal`, which is noted first: see `_finish`."""
        _write(self._admin(name) / "goal.json", json.dumps(goal))
        await self._finish(name)

    async def _finish(self, name: str) -> None:
        """Ends what was noted and perhaps begun: files and index, then the head, then the note."""
        admin = self._admin(name)
        if not (admin / "HEAD").is_file():
            raise GitError(f"There is no work tree {name!r}.", "Make it first.")
        (admin / "index.lock").unlink(missing_ok=True)  # a killed git's: we hold the lock
        goal = self._note(name, "goal")
        if not goal:
            return
        at = (admin, self._folder(name))
        await self._run("read-tree", "--reset", "-u", str(goal["tree"]), at=at)
        if goal.get("clean"):
            await self._run("clean", "-ffdq", at=at)
        self._move_head(name, str(goal["head"]))
        if goal.get("pending"):
            _write(admin / "pending.json", json.dumps(goal["pending"]))
        else:
            self._forget(name, "pending")
        self._forget(name, "goal")

    async def _commit_tree(self, tree: str, parents: Sequence[str], message: str, author: Author) -> str:
        when = f"@{author.at_s} +0000"
        env = {
            "GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email, "GIT_AUTHOR_DATE": when,
            "GIT_COMMITTER_NAME": author.name, "GIT_COMMITTER_EMAIL": author.email, "GIT_COMMITTER_DATE": when,
        }  # fmt: skip
        named = [part for parent in parents for part in ("-p", parent)]
        text = message.rstrip("\n") + "\n"
        return (await self._run("commit-tree", tree, *named, "-F", "-", env=env, given=text.encode())).strip()

    async def _reaches(self, older: str, newer: str) -> bool:
        done = await self._git.run(
            "merge-base", "--is-ancestor", older, newer, where=(f"--git-dir={self.private}",), cwd=self.private,
            accept=(0, 1, 128),
        )  # fmt: skip
        return done.returncode == 0

    def _admin(self, name: str) -> Path:
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name) or name.startswith("."):
            raise GitError(f"{name!r} can't name a work tree.", "Use letters, digits, - and _.")
        return self.private / "worktrees" / name

    def _folder(self, name: str) -> Path:
        return Path((self._admin(name) / "gitdir").read_text(encoding="utf-8").rstrip("\n")).parent

    def _head(self, name: str) -> str:
        return (self._admin(name) / "HEAD").read_text(encoding="utf-8").strip()

    def _move_head(self, name: str, commit: str) -> None:
        _write(self._admin(name) / "HEAD", f"{commit}\n")

    def _note(self, name: str, what: str) -> dict[str, Any] | None:
        try:
            noted = json.loads((self._admin(name) / f"{what}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return noted if isinstance(noted, dict) else None

    def _forget(self, name: str, what: str) -> None:
        (self._admin(name) / f"{what}.json").unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """The whole file or the one before it, also after a power cut."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with made.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    made.replace(path)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _has_markers(path: Path) -> bool:
    try:
        return path.is_file() and any(line.startswith(_MARKER) for line in path.read_bytes().splitlines())
    except OSError:
        return False
