"""Says how far something is, on a terminal, once it takes long."""

from __future__ import annotations

import sys
import time

PROGRESS_S = 2.0
"""What takes longer says how far it is."""


class Progress:
    """Says how far something is, on a terminal, once it takes long."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._said_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._said_s >= PROGRESS_S and sys.stderr.isatty():
            print(f"\r{done} of {total} {self._word}", end="", file=sys.stderr)
            self._said_s = time.monotonic()
