"""What can go wrong at this package's door.

SandboxError
├── NoSandboxError      no backend works here: nothing is run
├── RefusedError        the request itself can't be confined (planted link, workspace that is a home)
└── GitError            the hardened git door could not do what was asked
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class SandboxError(MohistError):
    """A process could not be started confined; it was not started at all."""

    exit_code = ExitCode.FAILED


class NoSandboxError(SandboxError):
    """No backend holds on this machine; `mend` says what would make one work."""

    exit_code = ExitCode.USAGE
    audience = "operator"


class RefusedError(SandboxError):
    """What was asked for would open a hole, so it was refused before anything started."""

    exit_code = ExitCode.USAGE


class GitError(SandboxError):
    """git refused or failed; the text is git's own first line."""
