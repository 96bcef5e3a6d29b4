"""What differs between the three dialects at the door: paths, envelopes, pings, lists of models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from mohist.gateway.call import Dialect, Refusal, RefusalKind

DOORS: Mapping[str, tuple[Dialect, str]] = {
    "/v1/chat/completions": ("openai-chat", "/chat/completions"),
    "/v1/responses": ("openai-responses", "/responses"),
    "/v1/messages": ("anthropic-messages", "/messages"),
    "/v1/messages/count_tokens": ("anthropic-messages", "/messages/count_tokens"),
}
"""Path -> dialect and the path behind an upstream's base URL, version included."""

COUNT_TOKENS = "/v1/messages/count_tokens"

_OPENAI_TYPES: Mapping[RefusalKind, str] = {
    "auth": "invalid_request_error",
    "scope": "invalid_request_error",
    "budget": "insufficient_quota",
    "rate": "rate_limit_error",
    "unavailable": "server_error",
    "bad_request": "invalid_request_error",
    "too_large": "invalid_request_error",
    "policy": "invalid_request_error",
    "guard": "invalid_request_error",
}
_OPENAI_CODES: Mapping[RefusalKind, str] = {
    "auth": "invalid_api_key",
    "scope": "permission_denied",
    "budget": "insufficient_quota",
    "rate": "rate_limit_exceeded",
    "unavailable": "upstream_unavailable",
    "policy": "policy_denied",
    "bad_request": "bad_request",
    "too_large": "request_too_large",
    "guard": "content_blocked",
}
# https://docs.claude.com/en/api/errors
_ANTHROPIC_TYPES: Mapping[RefusalKind, str] = {
    "auth": "authentication_error",
    "scope": "permission_error",
    "budget": "billing_error",
    "rate": "rate_limit_error",
    "unavailable": "api_error",
    "policy": "permission_error",
    "bad_request": "invalid_request_error",
    "too_large": "request_too_large",
    "guard": "invalid_request_error",
}


def envelope(dialect: Dialect, refusal: Refusal) -> bytes:
    """The body of an error of our own."""
    if dialect == "anthropic-messages":
        kind = "not_found_error" if refusal.status == 404 else _ANTHROPIC_TYPES[refusal.kind]
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": refusal.message}})
    code = "not_found" if refusal.status == 404 else _OPENAI_CODES[refusal.kind]
    error = {"message": refusal.message, "type": _OPENAI_TYPES[refusal.kind], "param": None, "code": code}
    return orjson.dumps({"error": error})


def error_event(dialect: Dialect, refusal: Refusal) -> bytes:
    """The same as the last event of a stream that can't go on."""
    if dialect == "anthropic-messages":
        return b"event: error\ndata: " + envelope(dialect, refusal) + b"\n\n"
    if dialect == "openai-responses":
        body = {"type": "error", "code": _OPENAI_CODES[refusal.kind], "message": refusal.message, "param": None}
        return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"
    return b"data: " + envelope(dialect, refusal) + b"\n\n"


def refusal_of(status: int, body: bytes) -> Refusal:
    """An upstream's own error, of any dialect, in words of ours."""
    message = ""
    with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
        message = orjson.loads(body).get("error", {}).get("message", "")
    if not isinstance(message, str) or not message:
        message = f"The upstream answered with status {status} and no stream."
    kind: RefusalKind = "rate" if status == 429 else "bad_request" if 400 <= status < 500 else "unavailable"
    return Refusal(kind, status, message)


def ping(dialect: Dialect) -> bytes:
    """An event that means nothing, for connections that are cut when they are silent."""
    if dialect == "anthropic-messages":
        return b'event: ping\ndata: {"type": "ping"}\n\n'
    return b": ping\n\n"


def counted(tokens: int) -> bytes:
    """The answer to `count_tokens`."""
    return orjson.dumps({"input_tokens": tokens})


def models(names: Iterable[str], anthropic: bool) -> bytes:
    """The list of models in the caller's shape."""
    listed = sorted(names)
    if anthropic:
        page: dict[str, Any] = {
            "data": [
                {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
                for name in listed
            ],
            "has_more": False,
            "first_id": listed[0] if listed else None,
            "last_id": listed[-1] if listed else None,
        }
    else:
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "mohist"} for name in listed]
        page = {"object": "list", "data": entries}
    return orjson.dumps(page)
