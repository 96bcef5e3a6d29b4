"""Errors of putting things together; the user acts on each.

MohistError
├── ConfigError    a configuration can't be read, or says what it may not
└── TrustError     the list of trusted projects can't be read or is not safe
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class ConfigError(MohistError):
    """A configuration can't be read, has an unknown key or a value that is not allowed."""

    exit_code = ExitCode.USAGE


class TrustError(MohistError):
    """The list of trusted projects can't be read or written, or others could have written it."""

    exit_code = ExitCode.USAGE
