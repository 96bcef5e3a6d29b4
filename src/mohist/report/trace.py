"""From a line of code to the run that wrote it: by the file's exact content, else by the lines' hashes, else "unknown".

Git says which commit brought a line in. Was the whole file of that commit left by a run, that run's own writes decide. Otherwise
(rebased, squashed, merged, formatted) the lines themselves do, each commit's changes to a file for themselves: a run counts there
only if a line that tells (not an `else:` or a brace) leads to it and to no other run; lines that tell nothing follow their
neighbours. What can't be decided is unknown. It is never said to be a person's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mohist.agent.attribution import bare_hash, line_hash
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


BlobOf = Callable[[str, str], Awaitable[str]]
"""(commit, path) -> git's id of the file there; empty: none."""
PatchOf = Callable[[str], Awaitable[str]]
"""commit -> its stable patch id; empty: none."""


def tells(text: str) -> bool:
    """Whether a line is one that two people are not likely to write alike."""
    return TELLING.search(text) is not None and text.strip() not in EVERYWHERE


class Tracer:
    """Answers for one repository.

    Args:
        writings: the index, up to date.
        blob_of: asks git.
        patch_of: asks git.
    """

    def __init__(self, writings: Writings, blob_of: BlobOf, patch_of: PatchOf) -> None:
        self._writings = writings
        self._blob_of = blob_of
        self._patch_of = patch_of

    async def trace(self, lines: Sequence[Origin]) -> list[Traced]:
        """Every line of a file, in its order."""
        groups: dict[tuple[str, str], list[Origin]] = defaultdict(list)
        for line in lines:
            groups[line.commit, line.path].append(line)
        found: dict[int, Traced] = {}
        for (commit, path), group in groups.items():
            for traced in await self._group(commit, path, group):
                found[traced.origin.number] = traced
        return [found[line.number] for line in lines]

    async def _group(self, commit: str, path: str, group: list[Origin]) -> list[Traced]:
        """The lines of one file that one commit brought in."""
        if commit != NOT_COMMITTED and (blob := await self._blob_of(commit, path)):
            exact = self._writings.by_blob(blob)
            if exact and len({write.run for write in exact}) == 1:
                return self._of_run(group, exact[-1])
        known: set[str] = set()
        if commit != NOT_COMMITTED:
            known = self._writings.runs_of_commit(commit) or self._writings.runs_of_commit(
                commit, await self._patch_of(commit)
            )
        by_hash = self._candidates(group, path, known, bare=False)
        by_bare = self._candidates([line for line in group if line.number not in by_hash], path, known, bare=True)
        anchored = self._anchored(group, by_hash, by_bare)
        return _with_neighbours([self._decided(line, by_hash, by_bare, anchored) for line in group], by_hash, by_bare)

    def _of_run(self, group: list[Origin], last: Write) -> list[Traced]:
        """The file is as a run left it: its own writes say which of the lines are its."""
        theirs: dict[str, Write] = {}
        hashes = {line.number: line_hash(line.text) for line in group}
        lines = self._writings.by_line(hashes.values())
        for digest, writes in lines.items():
            own = [
                write
                for write, _ in writes
                if write.run == last.run and write.entry <= last.entry and write.path == last.path
            ]
            if own:
                theirs[digest] = own[-1]
        if last.whole:
            return [Traced(line, last, "blob") for line in group]
        return [
            Traced(line, theirs.get(hashes[line.number]), "blob" if hashes[line.number] in theirs else "unknown")
            for line in group
        ]

    def _candidates(self, group: Iterable[Origin], path: str, known: set[str], *, bare: bool) -> dict[int, list[Write]]:
        digest = bare_hash if bare else line_hash
        hashes = {line.number: digest(line.text) for line in group}
        found = self._writings.by_line(hashes.values(), bare=bare)
        name = path.rpartition("/")[2]
        candidates = {}
        for number, one in hashes.items():
            writes = [write for write, _ in found.get(one, ()) if not known or write.run in known]
            # A file that was moved keeps its name more often than its folder, and either more often than neither.
            same = [write for write in writes if write.path == path]
            alike = [write for write in writes if write.path.rpartition("/")[2] == name]
            if kept := same or alike or (writes if known else []):
                candidates[number] = kept
        return candidates

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
