"""Takes back what a run changed in the workspace, and only where the file is still what the run wrote.

The outcomes of a run say for each file what it held before and after each call. The first `before` is
restored when the file now holds the last `after`; a file that somebody changed in between or since is
left alone and named.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mohist.agent.content import Content, look, place_of
from mohist.agent.errors import RunError
from mohist.agent.log import RunLog
from mohist.agent.record import FileChange, Found, Outcome, Record, Undone
from mohist.agent.tool import disk
from mohist.base import MohistError


@dataclass(frozen=True, slots=True)
class Chain:
    """All changes of one file in a run, as one."""

    path: Path
    before: str | None
    """sha256 of what it held before the run touched it; None: it did not exist."""
    after: str | None
    mode: int
    """Permission bits before the run; 0: it did not exist, or nobody knows."""
    broken: bool
    """Somebody else changed it between two calls of the run."""
    mode_changed: bool = False
    """The contents are the same, the permissions were changed."""


def chains(records: Iterable[Record]) -> list[Chain]:
    """One chain per file that the run changed, in path order."""
    found: dict[str, list[FileChange]] = {}
    for record in records:
        if isinstance(record, Undone):
            for path in record.restored:
                found.pop(path, None)
        elif isinstance(record, Outcome):
            for change in record.written:
                found.setdefault(change.path, []).append(change)
        elif isinstance(record, Found):
            for change in record.files:
                found.setdefault(change.path, []).append(change)
    result = []
    for path, changes in sorted(found.items()):
        broken = any(later.before != earlier.after for earlier, later in itertools.pairwise(changes))
        touched = any(change.before == change.after for change in changes)
        first = changes[0]
        result.append(Chain(Path(path), first.before, changes[-1].after, first.mode, broken, touched))
    return result


def undo(log: RunLog, workspace: Path) -> Undone:
    """Restores what can be restored and logs it; raises RunError when `workspace` is gone."""
    if not workspace.is_dir():
        raise RunError(f"The folder {str(workspace)!r} of this run is not there any more.")
    restored: list[str] = []
    kept: list[str] = []
    for chain in chains(log.records):
        try:
            done = chain.path.is_relative_to(workspace) and _take_back(log, chain, workspace)
        except (MohistError, OSError):
            # Not kept because it was too large, made read-only, swapped meanwhile, …: said by leaving it.
            done = False
        (restored if done else kept).append(str(chain.path))
    undone = Undone(tuple(restored), tuple(kept))
    log.append(undone)
    return undone


def changed_paths(records: Sequence[Record]) -> list[Path]:
    """Files that differ from before the run, as far as its log knows."""
    return [chain.path for chain in chains(records) if chain.before != chain.after or chain.mode_changed]


def _take_back(log: RunLog, chain: Chain, workspace: Path) -> bool:
    # A folder on the way that has become a link makes the file none at all: nothing is done through it.
    content = look(workspace, chain.path, 0)
    now = content.sha256 if content else None
    if now == chain.before:
        if content and chain.mode_changed and chain.mode:
            _set_mode(workspace, chain)
        return True
    if chain.broken or now != chain.after:
        return False
    if chain.before is None:
        chain.path.unlink()
        _prune_empty(chain.path.parent, workspace)
        return True
    _put(log.load_blob(chain.before), content, chain, workspace)
    return True


def _put(data: bytes, content: Content | None, chain: Chain, workspace: Path) -> None:
    """Raises ToolError when the file is not as it was looked at any more."""
    place = place_of(workspace, chain.path)
    state = None
    if content is not None:
        state = disk.load(place, chain.path.lstat().st_size)
        if state is None or state.sha256 != content.sha256:
            raise RunError(f"{chain.path.name!r} was changed meanwhile.")
    disk.replace(place, data, state)
    if chain.mode:
        _set_mode(workspace, chain)


def _set_mode(workspace: Path, chain: Chain) -> None:
    with disk.opened(place_of(workspace, chain.path)) as (descriptor, state):
        if stat.S_IMODE(state.st_mode) != chain.mode:
            os.fchmod(descriptor, chain.mode)


def _prune_empty(folder: Path, workspace: Path) -> None:
    """Removes folders that the undone file leaves empty, never the workspace."""
    while folder != workspace and folder.is_relative_to(workspace):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
