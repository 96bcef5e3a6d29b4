"""Errors of a run.

MohistError
├── RunError            the run can't start or go on; the user acts
│   ├── LogError        the log can't be written or read; what was written stays
│   ├── TreeBusyError   another run works in this tree
│   └── UnpricedError   a bound on money can't be held
"""

from __future__ import annotations

from mohist.base import MohistError


class RunError(MohistError):
    """The run can't start or go on."""


class LogError(RunError):
    """The log can't be written or read."""


class TreeBusyError(RunError):
    """Another run works in this tree."""


class UnpricedError(RunError):
    """The run has a bound on money, and no price is known of its model."""
