"""From a line of code to the run that wrote it: by the file's exact content, else by the lines' hashes, else "unknown".

Git says which commit brought a line in. Was the whole file of that commit left by a run, that run's own writes decide. Otherwise
(rebased, squashed, merged, formatted) the lines themselves do, each commit's changes to a file for themselves: a run counts there
only if a line that tells (not an `else:` or a brace) leads to it and to no other run; lines that tell nothing follow their
neighbours. What can't be decided is unknown. It is never said to be a person's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mohist.agent.attribution import bare_hash, line_hash
from mohist.report import layout
from mohist.report.blame import NOT_COMMITTED, Origin
from mohist.report.writing import Write, Writings

Method = Literal["blob", "line", "format", "context", "unknown"]
"""How sure: "blob" the exact content of the file; "line" the line as it stands; "format" the line but for its blanks; "context"
it tells nothing by itself, and stands between lines of that run."""

TELLING = re.compile(r"\w.*\w.*\w.*\w.*\w.*\w")
"""Six letters or digits: `return x` tells, `else:` does not."""
EVERYWHERE = frozenset(
    {
        "return",
        "continue",
        "finally",
        "default",
        "except",
        "#endif",
        "foreach",
        "return None",
        "return True",
        "return False",
        "return nil",
    }
)


@dataclass(frozen=True, slots=True)
class Traced:
    """One line with what is known of it."""

    origin: Origin
    write: Write | None
    method: Method


class Repository(Protocol):
    """What is asked of git; each question is for many at once."""

    async def blobs(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """(commit, path) -> git's id of the file there; empty: none."""
        ...

    async def patches(self, commits: Iterable[str]) -> dict[str, str]:
        """Commit -> its stable patch id; empty: none."""
        ...

    async def here(self, commits: Iterable[str]) -> set[str]:
        """Those that the repository has."""
        ...


def tells(text: str) -> bool:
    """Whether a line is one that two people are not likely to write alike."""
    return TELLING.search(text) is not None and text.strip() not in EVERYWHERE


@dataclass(frozen=True, slots=True)
class _Group:
    """The lines of one file that one commit brought in."""

    path: str
    lines: list[Origin]
    blob: str
    """Git's id of the whole file there; empty: not known."""
    mapped: set[str]
    """The runs that a map names for the commit; empty: there is none."""


class Tracer:
    """Answers for one repository.

    Args:
        writings: the index, up to date.
        repository: asks git.
    """

    def __init__(self, writings: Writings, repository: Repository) -> None:
        self._writings = writings
        self._repository = repository
        self._elsewhere: set[str] = set()
        """Commits that runs began from and that this repository does not have: those runs worked on another one."""
        self._asked: set[str] = set()
        self._names = writings.names()

    async def trace(self, lines: Sequence[Origin]) -> list[Traced]:
        """Every line of a file, in its order."""
        groups: dict[tuple[str, str], list[Origin]] = defaultdict(list)
        for line in lines:
            groups[line.commit, line.path].append(line)
        committed = [place for place in groups if place[0] != NOT_COMMITTED]
        blobs = await self._repository.blobs(committed)
        asked = {commit for commit, _ in committed} if self._writings.has_patches else set()
        patches = await self._repository.patches(asked)
        bases = self._writings.bases() - self._asked
        self._elsewhere |= bases - await self._repository.here(bases)
        self._asked |= bases
        found: dict[int, Traced] = {}
        for place, group in groups.items():
            commit, path = place
            mapped = set()
            if commit != NOT_COMMITTED:
                mapped = self._writings.runs_of_commit(commit) or self._writings.runs_of_commit(
                    commit, patches.get(commit, "")
                )
            for traced in self._group(_Group(path, group, blobs.get(place, ""), mapped)):
                found[traced.origin.number] = traced
        return [found[line.number] for line in lines]

    def _group(self, group: _Group) -> list[Traced]:
        lines = group.lines
        if not group.mapped and group.path.rpartition("/")[2] not in self._names:
            return [Traced(line, None, "unknown") for line in lines]
        sure: dict[int, Traced] = {}
        if group.blob:
            exact = [write for write in self._writings.by_blob(group.blob) if self._fits(write, group)]
            if exact and len({write.run for write in exact}) == 1:
                sure = self._of_run(lines, exact[-1])
                # The others came in with the same commit: from another run before, or from a person.
                lines = [line for line in lines if line.number not in sure]
        by_hash = self._found(lines, group, bare=False)
        rest = [line for line in lines if line.number not in by_hash]
        by_bare = self._found(rest, group, bare=True)
        rest = [line for line in rest if line.number not in by_bare and line.text.strip()]
        for more in (
            layout.respelled(self._writings, rest),
            layout.broken(self._writings, lines, {line.number for line in rest}),
            layout.joined(self._writings, [line for line in rest if tells(line.text)]),
        ):
            for number, writes in self._kept(more, group).items():
                if number not in by_hash:
                    by_bare.setdefault(number, writes)
        anchored = self._anchored(lines, by_hash, by_bare)
        decided = [sure.get(line.number) or self._decided(line, by_hash, by_bare, anchored) for line in group.lines]
        return _with_neighbours(decided, by_hash, by_bare)

    def _fits(self, write: Write, group: _Group) -> bool:
        """Whether a run can have written here at all."""
        return write.run in group.mapped if group.mapped else write.base not in self._elsewhere

    def _of_run(self, group: list[Origin], last: Write) -> dict[int, Traced]:
        """The file is as a run left it: its own writes say which of the lines are its."""
        if last.whole:
            return {line.number: Traced(line, last, "blob") for line in group}
        theirs: dict[str, Write] = {}
        hashes = {line.number: line_hash(line.text) for line in group}
        for digest, writes in self._writings.by_line(hashes.values()).items():
            own = [
                write
                for write, _ in writes
                if write.run == last.run and write.entry <= last.entry and write.path == last.path
            ]
            if own:
                theirs[digest] = own[-1]
        return {
            line.number: Traced(line, theirs[hashes[line.number]], "blob")
            for line in group
            if hashes[line.number] in theirs
        }

    def _found(self, lines: Iterable[Origin], group: _Group, *, bare: bool) -> dict[int, list[Write]]:
        digest = bare_hash if bare else line_hash
        hashes = {line.number: digest(line.text) for line in lines}
        found = self._writings.by_line(hashes.values(), bare=bare)
        return self._kept(
            {number: [write for write, _ in found[one]] for number, one in hashes.items() if one in found}, group
        )

    def _kept(self, found: Mapping[int, list[Write]], group: _Group) -> dict[int, list[Write]]:
        """Of the writes of each line those that can be meant."""
        name = group.path.rpartition("/")[2]
        kept = {}
        for number, writes in found.items():
            fitting = [write for write in writes if self._fits(write, group)]
            # A file that was moved keeps its name more often than its folder, and either more often than neither.
            same = [write for write in fitting if write.path == group.path]
            alike = [write for write in fitting if write.path.rpartition("/")[2] == name]
            if chosen := same or alike or (fitting if group.mapped else []):
                kept[number] = chosen
        return kept

    def _anchored(
        self, group: list[Origin], by_hash: dict[int, list[Write]], by_bare: dict[int, list[Write]]
    ) -> dict[str, int]:
        """How many telling lines of the group lead to each run and to no other."""
        count: dict[str, int] = defaultdict(int)
        for line in group:
            runs = {write.run for write in by_hash.get(line.number, by_bare.get(line.number, ()))}
            if len(runs) == 1 and tells(line.text):
                count[runs.pop()] += 1
        return count

    def _decided(
        self,
        line: Origin,
        by_hash: dict[int, list[Write]],
        by_bare: dict[int, list[Write]],
        anchored: dict[str, int],
    ) -> Traced:
        for candidates, method in ((by_hash, "line"), (by_bare, "format")):
            writes = [write for write in candidates.get(line.number, ()) if anchored.get(write.run)]
            if len({write.run for write in writes}) == 1 and tells(line.text):
                return Traced(line, writes[-1], method)  # type: ignore[arg-type]
        return Traced(line, None, "unknown")


def _with_neighbours(
    traced: list[Traced], by_hash: dict[int, list[Write]], by_bare: dict[int, list[Write]]
) -> list[Traced]:
    """Gives lines that tell nothing to the run on both their sides, or on the one side that they have."""
    done = list(traced)
    at = 0
    while at < len(done):
        if done[at].write is not None:
            at += 1
            continue
        end = at
        while (
            end < len(done) and done[end].write is None and done[end].origin.number == done[at].origin.number + end - at
        ):
            end += 1
        before = done[at - 1] if at and done[at - 1].origin.number == done[at].origin.number - 1 else None
        after = done[end] if end < len(done) and done[end].origin.number == done[end - 1].origin.number + 1 else None
        sides = {side.write.run for side in (before, after) if side is not None and side.write is not None}
        for place in range(at, end):
            line = done[place].origin
            writes = by_hash.get(line.number) or by_bare.get(line.number) or []
            fitting = [write for write in writes if write.run in sides]
            if len(sides) == 1 and fitting:
                done[place] = Traced(line, fitting[-1], "context")
        at = end
    return done
