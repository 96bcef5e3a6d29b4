"""Taking back what a run changed, also when the run was killed in the middle of a call."""

from __future__ import annotations

from pathlib import Path

from mohist.agent.log import RunLog
from mohist.agent.record import Undone
from mohist.agent.repair import repair
from mohist.agent.setting import RunSettings
from mohist.agent.tree import TreeWatch
from mohist.agent.undo import undo
from mohist.app.workspace import Workspace, hold_tree
from mohist.base import Clock, IdSource, StatePaths


async def take_back(folder: Path, paths: StatePaths, clock: Clock, ids: IdSource) -> Undone:
    """Restores the files of the run in `folder` that are still what it wrote; what else changed them is kept.

    Raises:
        TreeBusyError: a run is working on it or in its tree.
        RunError: its folder is gone or no repository any more.
    """
    with RunLog.resume(folder, clock) as log, hold_tree(paths, Path(log.header.workspace)):
        root = Path(log.header.workspace)
        if repair(log):
            # What an interrupted call did is in no outcome; the tree tells.
            workspace = await Workspace.open(root, paths.home / "git" / ids.new("tree"))
            try:
                watch = TreeWatch(root, log, workspace.list_files, workspace.base_content, RunSettings())
                await watch.keep_dirty(await workspace.dirty())
            finally:
                workspace.close()
        return undo(log, root)
