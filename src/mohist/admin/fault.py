"""Errors as the admin API tells them: one shape, a code for programs, a sentence for people, never what was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

CODES: Final[Mapping[int, str]] = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "timeout",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    422: "invalid",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}
"""By status."""


class FaultError(Exception):
    """An operation's refusal.

    Args:
        status: one of `CODES`.
        message: for the person; no payload.
        field: which part of the request is meant; empty: none in particular.
    """

    def __init__(self, status: int, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field


def body(code: str, message: str, field: str = "") -> bytes:
    """An error as JSON."""
    told = {"code": code, "message": message} | ({"field": field} if field else {})
    return json.dumps({"error": told}).encode()
