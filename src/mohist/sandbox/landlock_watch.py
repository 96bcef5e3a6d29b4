"""Sees changes of the names that run something later, outside. Landlock grants whole trees and can't hold them back."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mohist.sandbox.mask import PLANTED_IN_GIT, PROTECTED, PROTECTED_IN_GIT

_MOST_ENTRIES = 5000
"""Of one name; a larger tree is compared by what was seen first, in order of names."""

_Print = dict[str, tuple[int, ...]]


class Watch:
    """The protected names of one workspace, as they were when this was made."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._before = self._look()

    def changed(self) -> list[str]:
        """Names that came, went or changed since, whoever did it. Times of change (ctime) can't be set back."""
        now = self._look()
        return sorted(name for name in self._before.keys() | now.keys() if self._before.get(name) != now.get(name))

    def _look(self) -> _Print:
        found: _Print = {}
        for name in (*PROTECTED, *PROTECTED_IN_GIT, *PLANTED_IN_GIT):
            _walk(self._workspace / name, name, found, len(found) + _MOST_ENTRIES)
        return found


def _walk(path: Path, name: str, found: _Print, most: int) -> None:
    queue = [(path, name)]
    while queue and len(found) < most:
        current, shown = queue.pop()
        try:
            state = current.lstat()
            folder = stat.S_ISDIR(state.st_mode)  # links are none: nothing outside is looked at
            # Of a folder its entries tell, and its own times only repeat them.
            times = () if folder else (state.st_size, state.st_ctime_ns)
            found[shown] = (state.st_ino, state.st_mode, *times)
            below = sorted(os.scandir(current), key=lambda entry: entry.name) if folder else []
        except OSError:
            continue
        queue += [(Path(entry.path), f"{shown}/{entry.name}") for entry in reversed(below)]
