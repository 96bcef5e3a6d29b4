"""Undo covers a call that a kill interrupted, and waits for nobody's work to be in its way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.ids import CountingIds
from mohist.agent.errors import TreeBusyError
from mohist.agent.log import RunLog
from mohist.agent.record import Assistant, Header, Intent
from mohist.agent.setting import RunSettings
from mohist.agent.tree import TreeWatch
from mohist.app.takeback import take_back
from mohist.app.workspace import Workspace, hold_tree
from mohist.base import StatePaths
from mohist.provider.message import ToolCall


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.txt").write_text("base\n", encoding="utf-8")
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True, timeout=60)
    (folder / "a.txt").write_text("the user's own\n", encoding="utf-8")
    return folder.resolve()


async def _killed_in_a_command(root: Path, paths: StatePaths, clock: FakeClock) -> Path:
    """A run whose process died while its command had changed one file and made another."""
    folder = paths.runs / "run-1"
    header = Header("run-1", "task", "model", "auto", str(root), str(root), "", "system", (), "sandbox", "none")
    workspace = await Workspace.open(root, paths.home / "git" / "w")
    with RunLog.create(folder, header, clock) as log:
        watch = TreeWatch(root, log, workspace.list_files, workspace.base_content, RunSettings())
        await watch.keep_dirty(await workspace.dirty())
        log.append(Assistant(1, (ToolCall("c1", "shell", '{"command":"x"}'),), "tool_calls", None, None))
        log.append(Intent("c1", "shell", "shell x", "unknown", "x"))
        (root / "a.txt").write_text("the command's\n", encoding="utf-8")
        (root / "new.txt").write_text("the command's\n", encoding="utf-8")
    workspace.close()
    return folder


async def test_what_an_interrupted_command_changed_is_taken_back(
    root: Path, tmp_path: Path, clock: FakeClock, ids: CountingIds
) -> None:
    paths = StatePaths(tmp_path / "state")
    folder = await _killed_in_a_command(root, paths, clock)
    undone = await take_back(folder, paths, clock, ids)
    assert (root / "a.txt").read_text(encoding="utf-8") == "the user's own\n"
    assert not (root / "new.txt").exists()
    assert sorted(Path(path).name for path in undone.restored) == ["a.txt", "new.txt"]
    assert undone.kept == ()


async def test_nothing_is_taken_back_while_a_run_works_in_the_tree(
    root: Path, tmp_path: Path, clock: FakeClock, ids: CountingIds
) -> None:
    paths = StatePaths(tmp_path / "state")
    folder = await _killed_in_a_command(root, paths, clock)
    with hold_tree(paths, root), pytest.raises(TreeBusyError):
        await take_back(folder, paths, clock, ids)
    assert (root / "a.txt").read_text(encoding="utf-8") == "the command's\n"
