"""What can go wrong at this package's door.

GuardError             something was not inspected; whoever asked must treat it as not let through
├── GuardRuleError     a rule of the company or of a catalogue can't be taken
├── GuardDataError     shipped or cached data is damaged or of another version
└── GuardLimitError    a text is over a stated limit
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class GuardError(MohistError):
    """The guard could not look at something."""

    exit_code = ExitCode.FAILED
    audience = "operator"


class GuardRuleError(GuardError):
    """A rule was refused when it was loaded; `what` names it."""

    exit_code = ExitCode.USAGE


class GuardDataError(GuardError):
    """Data that the guard needs can't be read."""


class GuardLimitError(GuardError):
    """A text is larger or deeper than the settings allow to be looked at."""
