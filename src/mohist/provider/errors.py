"""Errors of this package. A model call never raises them: its failures are deltas.

MohistError
└── ProviderError
    ├── RecordingError    a recording can't be read or written
    ├── ModelNameError    no model goes by that name, or several do
    └── NoModelError      no model is connected
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class ProviderError(MohistError):
    """A provider can't be built or used as asked."""


class RecordingError(ProviderError):
    """A recording is missing, torn, of another version, or can't be written."""

    exit_code = ExitCode.USAGE


class ModelNameError(ProviderError):
    """No model goes by that name, several do, or it can't be understood."""

    exit_code = ExitCode.USAGE


class NoModelError(ProviderError):
    """No model is connected, its key is missing, or nothing answers at its address."""

    exit_code = ExitCode.NO_MODEL
