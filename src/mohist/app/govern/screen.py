"""Who has the screen: Mohist, or the client. What Mohist's parts say while the client has it is kept, and told afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

MAX_LINES: Final = 100
"""Further ones are counted; what the guard says stands in `mohist guard report`, too."""


class Screen:
    """Takes lines and the warnings of Mohist's own logs. A context manager: left, it tells what it kept.

    Args:
        tell: shows a line to the person.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lent = False
        self._kept: list[str] = []
        self._more = 0
        self._handler = _Handler(self.say)
        self._passed_on = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._lent:
            return
        self._lent = False
        logger = logging.getLogger("mohist")
        logger.removeHandler(self._handler)
        logger.propagate = self._passed_on
        for line in self._kept:
            self._tell(line)
        if self._more:
            self._tell(f"and {self._more} more lines")

    def lend(self) -> None:
        """The client has it from now on."""
        self._lent = True
        logger = logging.getLogger("mohist")
        self._passed_on = logger.propagate
        logger.propagate = False
        logger.addHandler(self._handler)

    def say(self, line: str) -> None:
        """Tells a line, now or afterwards. Safe from several threads: an append is one step."""
        if not self._lent:
            self._tell(line)
        elif len(self._kept) < MAX_LINES:
            self._kept.append(line)
        else:
            self._more += 1


class _Handler(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())
