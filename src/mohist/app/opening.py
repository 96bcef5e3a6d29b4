"""What a model is told before its first turn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from mohist.agent.caution import INSTRUCTIONS
from mohist.agent.instruction import find_instructions
from mohist.agent.prompt import environment
from mohist.agent.record import Fragment, Record, User
from mohist.app.machine import Machine
from mohist.app.task import Task
from mohist.app.workspace import Workspace
from mohist.event import Note


def opening(machine: Machine, task: Task, workspace: Workspace, dirty: Sequence[str]) -> list[Record]:
    """The records before the first turn: instructions, the task, the environment last.

    Args:
        machine: told what is odd about an instruction, and that changes are kept.
        task: what is asked; its caution looks at what a repository's author wrote.
        workspace: where.
        dirty: paths that differ from the base.
    """
    records: list[Record] = []
    for instruction in find_instructions(workspace.root, workspace.cwd):
        name = instruction.path.relative_to(workspace.root).as_posix()
        for warning in instruction.warnings:
            machine.emit(Note(f"{name}: {warning}"))
        text = instruction.text
        if instruction.globs:
            # Rules for some files only are read when those are touched, not paid for on every turn.
            text = f"{name} holds rules for {', '.join(instruction.globs)}; read it before you change such files."
        if text:
            records.append(_fragment(task, INSTRUCTIONS + name, text))
    records.append(User(task.text))
    today = datetime.fromtimestamp(machine.clock.now_ms() / 1000, UTC).date().isoformat()
    told = environment(
        today=today,
        platform=sys.platform,
        workspace=str(workspace.root),
        branch=workspace.branch,
        dirty=dirty,
        mode=task.mode,
        network=task.network,
        hosts=task.hosts,
        checks=task.checks,
        attended=machine.approve is not None,
    )
    # Names of files and branches can be words of a stranger, too.
    records.append(_fragment(task, "environment", told))
    if dirty:
        machine.emit(Note(f"{len(dirty)} file(s) have uncommitted changes; they are kept, and undo restores them"))
    return records


def _fragment(task: Task, topic: str, text: str) -> Fragment:
    if task.caution is not None:
        text = task.caution.overhear(topic, text)
    return Fragment(topic, text, lasting=True)
