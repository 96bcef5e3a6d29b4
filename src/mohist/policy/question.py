"""What is asked of policy, and under which mode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mohist.policy.access import Access

Mode = Literal["plan", "ask", "edit", "auto", "full"]
"""plan: looks only · ask: looks, asks for the rest · edit: edits files, asks for commands ·
auto: also runs commands it understands, confined · full: everything but the hard denials."""

MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Question:
    """One call and the facts that bear on it."""

    tool: str
    access: Access
    workspace: Path
    """Absolute and resolved."""
    confined: bool = False
    """The sandbox is in force for the process this call would start; false when that isn't known."""
    network: bool = False
    """The process this call starts would have an open network: the run was started with one."""
    cwd: Path | None = None
    """Where the command starts; None: the workspace."""
    scratch: tuple[Path, ...] = ()
    """Folders outside the workspace that this call may read and write: spill files, a run's own tmp."""
