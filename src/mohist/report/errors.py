"""What can go wrong at this package's door.

ReportError            a question over the ledger can't be answered
└── NoSuchLineError    the file, commit or line that was asked about is not there
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class ReportError(MohistError):
    """The answer could not be worked out."""

    exit_code = ExitCode.FAILED


class NoSuchLineError(ReportError):
    """There is no such thing to be traced."""

    exit_code = ExitCode.USAGE
