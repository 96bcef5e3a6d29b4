"""Where git says that each line of a file comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mohist.report.errors import NoSuchLineError
from mohist.sandbox import Git, GitError

NOT_COMMITTED = "0" * 40
_HEAD = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (\d+) (\d+)(?: \d+)?")


@dataclass(frozen=True, slots=True)
class Origin:
    """One line of a file, and where it came in."""

    number: int
    """From 1, in the file that was asked about."""
    text: str
    commit: str
    """That brought it in; all zeros: it is not committed."""
    path: str
    """Of the file in that commit."""
    origin_number: int
    """In that commit's file."""
    time_s: int
    """That commit's author date, seconds since 1970."""


async def origins(git: Git, path: str, revision: str, *, standing: bool = False) -> list[Origin]:
    """Every line of a file.

    Args:
        git: the repository.
        path: relative to its root.
        revision: a commit's id.
        standing: that commit is the work tree as it stands, so what it brought in is not committed.

    Raises:
        NoSuchLineError: there is no such file there.
    """
    try:
        said = (await git.read_bytes("blame", "--porcelain", "-M", "-C", revision, "--", path)).decode(
            "utf-8", "replace"
        )
    except GitError as error:
        raise NoSuchLineError(f"There is no file {path!r} in {revision[:12]}.", "Name one that is there.") from error
    return _parsed(said, revision if standing else NOT_COMMITTED)


def _parsed(said: str, standing: str) -> list[Origin]:
    """`git blame --porcelain`: a commit's details come with its first line only."""
    found = []
    names: dict[str, str] = {}
    times: dict[str, int] = {}
    commit, origin_number, number = "", 0, 0
    for line in said.split("\n"):
        if line.startswith("\t"):
            known = NOT_COMMITTED if commit == standing else commit
            text = line[1:].removesuffix("\r")
            found.append(Origin(number, text, known, names[commit], origin_number, times.get(commit, 0)))
        elif head := _HEAD.fullmatch(line):
            commit, origin_number, number = head[1], int(head[2]), int(head[3])
        elif line.startswith("filename "):
            names[commit] = line.removeprefix("filename ")
        elif line.startswith("author-time "):
            times[commit] = int(line.removeprefix("author-time "))
    return found


def relative(git: Git, path: Path) -> str:
    """A path as git names it.

    Raises:
        NoSuchLineError: it lies outside the repository.
    """
    whole = path if path.is_absolute() else Path.cwd() / path
    try:
        return whole.resolve().relative_to(git.root.resolve()).as_posix()
    except ValueError:
        raise NoSuchLineError(f"{str(path)!r} is not in the repository at {git.root}.", "Run it there.") from None
