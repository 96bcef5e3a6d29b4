"""Errors of the tools; all are told to the model as the result of the call.

MohistError
└── ToolError               the call can't be done as asked
    ├── ToolArgumentError   its arguments don't fit the tool; nothing was tried
    └── PathError         it names a place or a kind of file that tools don't touch
"""

from __future__ import annotations

from mohist.base import MohistError
from mohist.base.errors import Audience


class ToolError(MohistError):
    """The call can't be done as asked."""

    audience: Audience = "model"


class ToolArgumentError(ToolError):
    """The arguments don't fit the tool; nothing was tried."""


class PathError(ToolError):
    """The call names a place or a kind of file that tools don't touch."""
