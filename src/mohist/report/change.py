"""What commits brought in, line by line, many commits with one question to git."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from mohist.report.blame import Origin
from mohist.sandbox import Git

COMMITS_AT_ONCE = 100
"""Whose changes are held at a time."""
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-7]{3})')
_PLAIN = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}


@dataclass(frozen=True, slots=True)
class Change:
    """One commit, against its first parent."""

    commit: str
    tree: str
    parents: tuple[str, ...]
    time_s: int
    """The author's, seconds since 1970."""
    lines: dict[str, list[Origin]] = field(default_factory=dict)
    """What it brought in of text, by path."""


async def commits_of(git: Git, newest: str, known: str = "", most: int = 0) -> list[str]:
    """Commits that `newest` leads to and `known` does not, oldest first.

    Args:
        git: the repository.
        newest: a commit's id.
        known: another's; empty: none.
        most: of the newest; 0: all.
    """
    limit = (f"--max-count={most}",) if most else ()
    without = (f"^{known}",) if known else ()
    return (await git.read("rev-list", "--topo-order", *limit, newest, *without)).split()[::-1]


async def changes(git: Git, commits: Sequence[str]) -> AsyncIterator[Change]:
    """The changes of these, in order."""
    for at in range(0, len(commits), COMMITS_AT_ONCE):
        some = commits[at : at + COMMITS_AT_ONCE]
        said = await git.read_bytes(
            "log", "--stdin", "--no-walk=unsorted", "--root", "--diff-merges=first-parent", "-p", "-M", "-U0",
            "--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature", "--no-notes", "--src-prefix=",
            "--dst-prefix=", "--ignore-submodules=all", "--format=%x00%H %T %at %P",
            given="".join(f"{one}\n" for one in some).encode(),
        )  # fmt: skip
        for change in _parsed(said):
            yield change


def _parsed(said: bytes) -> Iterator[Change]:
    change: Change | None = None
    path = ""
    rows = iter(said.split(b"\n"))
    for row in rows:
        # No line of a patch begins with NUL.
        if row.startswith(b"\0"):
            if change is not None:
                yield change
            commit, tree, time, *parents = row[1:].decode().split()
            change, path = Change(commit, tree, tuple(parents), int(time)), ""
        elif row.startswith(b"+++ "):
            path = "" if row == b"+++ /dev/null" else _path(row[4:])
        elif (hunk := _HUNK.match(row)) and change is not None:
            removed, first, added = int(hunk[1] or 1), int(hunk[2]), int(hunk[3] or 1)
            for _ in range(removed):
                next(rows)
            lines = change.lines.setdefault(path, [])
            number = first
            while number < first + added:
                text = next(rows)
                # Between what went and what came may stand "\ No newline at end of file".
                if text.startswith(b"+"):
                    words = text[1:].decode("utf-8", "replace").removesuffix("\r")
                    lines.append(Origin(number, words, change.commit, path, number, change.time_s))
                    number += 1
            if not lines or not path:
                change.lines.pop(path, None)
    if change is not None:
        yield change


def _path(row: bytes) -> str:
    """A path as git writes it in a patch: quoted where it is strange, a tab behind it where it holds a blank."""
    name = row.removesuffix(b"\t")
    if name.startswith(b'"') and name.endswith(b'"'):
        name = _ESCAPE.sub(lambda found: bytes([_PLAIN.get(found[1]) or int(found[1], 8)]), name[1:-1])
    return name.decode("utf-8", "surrogateescape")
