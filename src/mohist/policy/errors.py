"""What can go wrong in policy: a rule file that can't be trusted to mean what it says."""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class RuleError(MohistError):
    """A rule file is refused as a whole: half a policy is worse than none."""

    exit_code = ExitCode.USAGE
    audience = "user"


class RegisterError(MohistError):
    """An entry of the register, or a file of them, that can't be trusted to mean what it says."""

    exit_code = ExitCode.USAGE
    audience = "user"
