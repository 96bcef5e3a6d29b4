"""What a repository's commits brought in, and what is staged, by the hardened git door; nothing is checked out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mohist.sandbox.errors import GitError
from mohist.sandbox.git import Git

_BATCH_BYTES = 16 * 1024 * 1024
"""Of contents that one process hands over; a larger one comes alone."""
_MARK = "\x01"
_NO_CONTENT = ("160000", "000000")
"""The modes of another repository's commit and of a path that is gone."""


@dataclass(frozen=True, slots=True)
class Introduced:
    """A content, and where it first came in."""

    blob: str
    """Its object id."""
    path: str
    commit: str
    """Empty for what is staged."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a commit says."""

    commit: str
    message: str


class History:
    """Reads one repository's objects.

    Args:
        git: its door, captured.
    """

    def __init__(self, git: Git) -> None:
        self._git = git

    async def staged(self, index: Path | None = None) -> list[Introduced]:
        """What the next commit would change or add.

        Args:
            index: the user's index; None for the usual one. A hook is told another one in a commit of some files only.

        Raises GitError: it can't be read.
        """
        git = self._git
        path = index or git.repository.git_dir / "index"
        if not path.is_file():
            return []
        rows = await git.read(
            "diff-index", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=AMT",
            "--ignore-submodules=all", git.base, index=path,
        )  # fmt: skip
        return [Introduced(blob, path, "") for blob, path in _changes(iter(rows.split("\0")))]

    async def introduced(self) -> tuple[list[Introduced], list[Told]]:
        """Every content of every commit that a branch, tag or stash leads to, oldest first, once each; and all messages.

        Raises GitError: the history can't be read.
        """
        git = self._git
        tips = await git.tips()
        if not tips:
            return [], []
        # Where the history was cut off is written beside the objects, which alone are borrowed.
        cut = git.repository.common_dir / "shallow"
        if cut.is_file():
            shutil.copyfile(cut, git.private / "shallow")
        rows = await git.read(
            "log", "--stdin", "--reverse", "--topo-order", "--root", "-m", "--raw", "-z", "--no-abbrev", "--no-renames",
            "--ignore-submodules=all", "--no-show-signature", "--no-notes", "--no-mailmap",
            f"--format={_MARK}%H%n%B{_MARK}", given="\n".join(tips).encode() + b"\n",
        )  # fmt: skip
        found: dict[str, Introduced] = {}
        told: dict[str, Told] = {}
        commit = ""
        # `MARK id \n message MARK NUL changes… NUL`, again for each parent of a merge; no change holds the mark but in a path.
        parts = iter(rows.split("\0"))
        for row in parts:
            part = row.strip("\n")
            if part.startswith(_MARK) and part.endswith(_MARK):
                commit, _, message = part.strip(_MARK).partition("\n")
                told.setdefault(commit, Told(commit, message))
            elif part.startswith(":"):
                blob, path = _change(part, parts)
                if blob:
                    found.setdefault(blob, Introduced(blob, path, commit))
        return list(found.values()), list(told.values())

    async def sizes(self, blobs: Sequence[str]) -> dict[str, int]:
        """How many bytes each content has; those that the repository lacks are left out."""
        rows = await self._git.read("cat-file", "--batch-check", given="".join(f"{blob}\n" for blob in blobs).encode())
        words = (row.split() for row in rows.splitlines())
        return {row[0]: int(row[2]) for row in words if len(row) == 3 and row[1] == "blob"}

    async def contents(self, blobs: Sequence[str]) -> dict[str, bytes]:
        """The contents themselves; those that the repository lacks are left out."""
        data = await self._git.read_bytes("cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
        found: dict[str, bytes] = {}
        at = 0
        while at < len(data):
            end = data.find(b"\n", at)
            if end < 0:
                raise GitError("git handed over objects in a form that can't be read.")
            head = data[at:end].split()
            at = end + 1
            if len(head) == 3 and head[1] == b"blob":
                size = int(head[2])
                found[head[0].decode()] = data[at : at + size]
                at += size + 1
        return found


def batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Contents in groups of at most 16 MB, in order; a larger one alone."""
    group: list[str] = []
    held = 0
    for blob, size in sizes.items():
        if group and held + size > _BATCH_BYTES:
            yield group
            group, held = [], 0
        group.append(blob)
        held += size
    if group:
        yield group


def _changes(parts: Iterator[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        if part.startswith(":"):
            blob, path = _change(part, parts)
            if blob:
                yield blob, path


def _change(row: str, parts: Iterator[str]) -> tuple[str, str]:
    """The new content and the path of `:OLDMODE NEWMODE OLDID NEWID LETTER`; no content where nothing of this repository came."""
    words = row.split(" ")
    path = next(parts, "")
    return ("", path) if len(words) < 5 or words[1] in _NO_CONTENT else (words[3], path)
