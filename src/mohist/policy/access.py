"""What one tool call will touch, said before it runs.

From this one value come the locks (what may run in parallel), the permission question, the sandbox
profile and the pre-images for undo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Effect = Literal["none", "local", "external", "unknown"]
"""none: only looks · local: changes files of the workspace · external: reaches out of it · unknown: can't be told."""


@dataclass(frozen=True, slots=True)
class Access:
    """The declaration of one call. Paths are absolute and resolved (no `..`, no symlink in them)."""

    reads: frozenset[Path] = field(default_factory=frozenset)
    writes: frozenset[Path] = field(default_factory=frozenset)
    """Files (their pre-images are saved) or folders that the call may change."""
    effect: Effect = "none"
    hosts: frozenset[str] = field(default_factory=frozenset)
    """Host names the call wants to reach; empty: no network."""
    scope: str = ""
    """What an approval of this call covers, shown to the person: `edit src/app.py`, `shell git status`."""
    idempotent: bool = True
    """Running it twice is as good as once."""
    polls: bool = False
    """Asked again and again by design: the loop alarm leaves it alone."""
    command: str | None = None
    """The shell command line, when the call runs one; policy parses it."""

    @property
    def exclusive(self) -> bool:
        """True when nothing may run beside it: what it touches is not known."""
        return self.effect in ("external", "unknown")

    def conflicts(self, other: Access) -> bool:
        """True when the two may not run at the same time."""
        if self.exclusive or other.exclusive:
            return True
        return _meet(self.writes, other.writes | other.reads) or _meet(other.writes, self.reads)


def _meet(left: frozenset[Path], right: frozenset[Path]) -> bool:
    return any(a == b or a in b.parents or b in a.parents for a in left for b in right)
