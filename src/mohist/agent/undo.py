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

from mohist.agent.errors import RunError
from mohist.agent.log import RunLog
from mohist.agent.record import FileChange, Outcome, Record, Undone
from mohist.base import MohistError, sha256_hex


@dataclass(frozen=True, slots=True)
class Chain:
    """All changes of one file in a run, as one."""

    path: Path
    before: str | None
    """sha256 of what it held before the run touched it; None: it did not exist."""
    after: str | None
    mode: int
    broken: bool
    """Somebody else changed it between two calls of the run."""


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
    result = []
    for path, changes in sorted(found.items()):
        broken = any(later.before != earlier.after for earlier, later in itertools.pairwise(changes))
        result.append(Chain(Path(path), changes[0].before, changes[-1].after, changes[0].mode, broken))
    return result


def undo(log: RunLog, workspace: Path) -> Undone:
    """Restores what can be restored and logs it; raises RunError when `workspace` is gone."""
    if not workspace.is_dir():
        raise RunError(f"The folder {str(workspace)!r} of this run is not there any more.")
    restored, kept = [], []
    for chain in chains(log.records):
        if not chain.path.is_relative_to(workspace):
            kept.append(str(chain.path))
            continue
        now = _digest(chain.path)
        if now == chain.before:
            restored.append(str(chain.path))
        elif chain.broken or now != chain.after or not _restore(log, chain, workspace):
            kept.append(str(chain.path))
        else:
            restored.append(str(chain.path))
    undone = Undone(tuple(restored), tuple(kept))
    log.append(undone)
    return undone


def changed_paths(records: Sequence[Record]) -> list[Path]:
    """Files that differ from before the run, as far as its log knows."""
    return [chain.path for chain in chains(records) if chain.before != chain.after]


def _digest(path: Path) -> str | None:
    """sha256 of a regular file; None when there is nothing; a link or device has a digest nothing equals."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return "not a regular file"
    return sha256_hex(path.read_bytes())


def _restore(log: RunLog, chain: Chain, workspace: Path) -> bool:
    if chain.path.parent.exists() and not chain.path.parent.resolve().is_relative_to(workspace.resolve()):
        return False
    if chain.before is None:
        chain.path.unlink()
        _prune_empty(chain.path.parent, workspace)
        return True
    try:
        content = log.load_blob(chain.before)
    except MohistError:
        # Too large to have been kept: say so by leaving it.
        return False
    chain.path.parent.mkdir(parents=True, exist_ok=True)
    partial = chain.path.with_name(f".{chain.path.name}.{os.getpid()}.undo")
    partial.write_bytes(content)
    if chain.mode:
        partial.chmod(chain.mode)
    partial.replace(chain.path)
    return True


def _prune_empty(folder: Path, workspace: Path) -> None:
    """Removes folders that the undone file leaves empty, never the workspace."""
    while folder != workspace and folder.is_relative_to(workspace):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
