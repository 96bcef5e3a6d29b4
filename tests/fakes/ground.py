"""`mohist.delivery.port.Ground` whose commits are values in memory; worktrees are folders, commands run without a sandbox."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from mohist.delivery.port import Ran
from mohist.sandbox import GitError

Files = Mapping[str, bytes]


class FakeGround:
    """Merges file by file: two changes of one file conflict, wherever in it they are."""

    def __init__(self, home: Path, files: Mapping[str, str]) -> None:
        self._home = home
        self._files: dict[str, Files] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._heads: dict[Path, str] = {}
        self._pending: dict[Path, tuple[str, Sequence[str]]] = {}
        self.base = self._made({name: text.encode() for name, text in files.items()}, (), "base")

    @property
    def worktrees(self) -> list[str]:
        """Names of the worktrees that are there."""
        return sorted(folder.name for folder in self._heads)

    async def resolve(self, revision: str) -> str:
        return self.base if revision == "HEAD" else revision

    async def worktree(self, key: str, commit: str) -> Path:
        folder = self._home / "trees" / key.replace("/", "_")
        if folder not in self._heads:
            self._heads[folder] = commit
            _put(folder, self._files[commit])
        return folder

    async def drop(self, key: str) -> None:
        self._heads.pop(self._home / "trees" / key.replace("/", "_"), None)
        for kind in ("trees", "copies"):
            shutil.rmtree(self._home / kind / key.replace("/", "_"), ignore_errors=True)

    async def head(self, folder: Path) -> str:
        return self._heads[folder]

    async def commit(self, folder: Path, message: str, trailers: Mapping[str, str]) -> str:
        head, files = self._heads[folder], _got(folder)
        commit, paths = self._pending.get(folder, ("", ()))
        if any(b"<<<<<<<" in files.get(path, b"") for path in paths):
            raise GitError("Conflicts are not resolved.")
        if files != self._files[head] or commit:
            self._heads[folder] = self._made(
                files, (head, commit) if commit else (head,), f"{message} {dict(trailers)}"
            )
            self._pending.pop(folder, None)
        return self._heads[folder]

    async def merge(self, folder: Path, commit: str, message: str, *, leave: bool = False) -> Sequence[str]:
        head = self._heads[folder]
        if folder in self._pending:
            raise GitError("A merge waits to be resolved.")
        if commit in self._reached(head):
            return []
        if _got(folder) != self._files[head]:
            raise GitError("The work tree holds what is not committed.")
        if head in self._reached(commit):
            self._heads[folder] = commit
            _put(folder, self._files[commit])
            return []
        common = next(one for one in self._reached(head) if one in self._reached(commit))
        base, ours, theirs = self._files[common], self._files[head], self._files[commit]
        merged, paths = {}, []
        for path in sorted({*base, *ours, *theirs}):
            before, mine, other = base.get(path), ours.get(path), theirs.get(path)
            result = other if mine == before else mine
            if mine != before and other not in (before, mine):
                paths.append(path)
                result = b"<<<<<<<\n%b=======\n%b>>>>>>>\n" % (mine or b"", other or b"")
            if result is not None:
                merged[path] = result
        if not paths:
            self._heads[folder] = self._made(merged, (head, commit), message)
        if not paths or leave:
            _put(folder, merged)
        if paths and leave:
            self._pending[folder] = (commit, paths)
        return paths

    async def undo(self, folder: Path) -> None:
        self._pending.pop(folder, None)
        _put(folder, self._files[self._heads[folder]])

    async def diff(self, base: str, commit: str) -> str:
        old, new = self._files[base], self._files[commit]
        parts = []
        for path in await self.changed(base, commit):
            rows = [f"-{line}" for line in old.get(path, b"").decode().splitlines()]
            rows += [f"+{line}" for line in new.get(path, b"").decode().splitlines()]
            parts.append("\n".join([f"diff --git a/{path} b/{path}", *rows]))
        return "\n".join(parts)

    async def changed(self, base: str, commit: str) -> Sequence[str]:
        old, new = self._files[base], self._files[commit]
        return sorted(path for path in {*old, *new} if old.get(path) != new.get(path))

    async def carried(self, base: str, commit: str, paths: Sequence[str]) -> Mapping[str, Mapping[int, str]]:
        return {}

    async def show(self, commit: str, path: str) -> bytes | None:
        return self._files[commit].get(path)

    async def files(self, commit: str) -> Sequence[str]:
        return sorted(self._files[commit])

    async def copy(self, key: str, commit: str) -> Path:
        folder = self._home / "copies" / key.replace("/", "_")
        _put(folder, self._files[commit])
        return folder

    async def run(self, folder: Path, command: str, timeout_s: float, network: bool = False) -> Ran:
        done = await anyio.run_process(
            ["sh", "-c", command], cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return Ran(done.returncode, done.stdout, 1)

    def _made(self, files: Files, parents: tuple[str, ...], message: str) -> str:
        name = hashlib.sha1(repr((sorted(files.items()), parents, message)).encode(), usedforsecurity=False).hexdigest()
        self._files[name], self._parents[name] = dict(files), parents
        return name

    def _reached(self, commit: str) -> list[str]:
        found = [commit]
        for one in found:
            found += [parent for parent in self._parents[one] if parent not in found]
        return found


def _got(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _put(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
