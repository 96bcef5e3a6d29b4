"""What can go wrong at this package's door.

SandboxError
├── NoSandboxError      no backend works here: nothing is run
├── RefusedError        the request itself can't be confined (planted link, workspace that is a home)
├── FencedError         the fence refuses a connection; told to the program inside, never raised at this door
└── GitError            the hardened git door could not do what was asked
    ├── MovedError      a branch stands elsewhere than expected
    ├── InUseError      a branch is checked out in a work tree
    ├── BarredError     the other side doesn't let it in: protected, no right, a hook
    └── AwayError       the other side did not answer; later it may
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


class FencedError(SandboxError):
    """The fence refuses what a program wants to reach, or could not reach it (`failed`)."""

    def __init__(self, code: str, reason: str, *, failed: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.failed = failed


class GitError(SandboxError):
    """git refused or failed; the text is git's own first line."""


class MovedError(GitError):
    """A branch stands elsewhere than was expected: somebody moved it."""


class InUseError(GitError):
    """A branch is checked out in a work tree, which setting it would leave behind."""


class BarredError(GitError):
    """The other side refused: a protected branch, a missing right, a hook of theirs, or a wrong key or token."""


class AwayError(GitError):
    """The other side did not answer; later it may."""
