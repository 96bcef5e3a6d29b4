"""The one error root and the exit codes.

MohistError            an error somebody can act on; `audience` says who
└── one subclass tree per package, in that package's errors.py
Halt (BaseException)   a stop that no `except Exception` may swallow
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

Audience = Literal["model", "user", "operator", "bug"]


class ExitCode(IntEnum):
    """Exit codes of every command; stable, documented in the guide."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    BUDGET = 4
    NO_MODEL = 5
    WAITING = 6
    CANCELLED = 130


class MohistError(Exception):
    """What happened, to which thing, and what to do next.

    Args:
        what: one sentence; never holds a secret or a payload.
        mend: what the reader can do about it; empty when there is nothing.
        audience: who acts: the model (told as a tool result), the user, the operator, or us (a bug).
    """

    exit_code: ExitCode = ExitCode.FAILED
    audience: Audience = "user"

    def __init__(self, what: str, mend: str = "", *, audience: Audience | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        if audience is not None:
            self.audience = audience

    def __str__(self) -> str:
        return f"{self.what} {self.mend}".strip()


class Halt(BaseException):
    """A kill switch or policy stop: ends the run; only the run's own boundary may catch it."""
