"""Errors of this package. A model call never raises them: its failures are deltas.

MohistError
└── ProviderError
    └── RecordingError    a recording can't be read or written
"""

from __future__ import annotations

from mohist.base import MohistError


class ProviderError(MohistError):
    """A provider can't be built or used as asked."""


class RecordingError(ProviderError):
    """A recording is missing, torn, of another version, or can't be written."""
