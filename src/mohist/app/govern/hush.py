"""What Mohist's own parts say while a client has the screen: kept, and told when it is over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_LINES: Final = 100
"""Further ones are counted; they stand in the ledger and in `mohist guard report`."""


class _Kept(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines
        self.more = 0

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) < MAX_LINES:
            self._lines.append(record.getMessage())
        else:
            self.more += 1


@contextmanager
def hushed(lines: list[str]) -> Iterator[None]:
    """Puts warnings of Mohist's into `lines` instead of onto the screen."""
    logger = logging.getLogger("mohist")
    handler, passes_on = _Kept(lines), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = passes_on
        if handler.more:
            lines.append(f"and {handler.more} more warnings")
