"""Errors of an upstream in the client's dialect.

Clients act on an error's words: Claude Code shortens a conversation on "prompt is too long: N tokens > M", Codex and
others on the code `context_length_exceeded`. So the kind is told from what the upstream says and said again in the
words of the client's dialect. What the upstream says of our own account there is not told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from mohist.gateway.call import Dialect
from mohist.gateway.translate.form import Broken, BrokenKind
from mohist.provider.failure import Told, kind_of, told_by
from mohist.provider.message import FailureKind

_KINDS: Mapping[FailureKind, BrokenKind] = {
    "rate": "rate",
    "overload": "overload",
    "network": "unavailable",
    "overflow": "overflow",
    "auth": "auth",
    "bad_request": "bad_request",
    "content": "content",
    "cancelled": "unavailable",
    "protocol": "unavailable",
    "unknown": "unavailable",
}
# https://docs.claude.com/en/api/errors
_ANTHROPIC: Mapping[BrokenKind, tuple[int, str]] = {
    "rate": (429, "rate_limit_error"),
    "overload": (529, "overloaded_error"),
    "overflow": (400, "invalid_request_error"),
    "content": (400, "invalid_request_error"),
    "bad_request": (400, "invalid_request_error"),
    "not_found": (404, "not_found_error"),
    "auth": (502, "api_error"),
    "unavailable": (502, "api_error"),
    "too_large": (413, "request_too_large"),
}
# https://platform.openai.com/docs/guides/error-codes
_OPENAI: Mapping[BrokenKind, tuple[int, str, str]] = {
    "rate": (429, "rate_limit_error", "rate_limit_exceeded"),
    "overload": (503, "server_error", "server_error"),
    "overflow": (400, "invalid_request_error", "context_length_exceeded"),
    "content": (400, "invalid_request_error", "content_filter"),
    "bad_request": (400, "invalid_request_error", "invalid_request"),
    "not_found": (404, "invalid_request_error", "not_found"),
    "auth": (502, "server_error", "server_error"),
    "unavailable": (502, "server_error", "server_error"),
    "too_large": (413, "invalid_request_error", "request_too_large"),
}
_MAX_CHARS = 1000
_OUR_ACCOUNT = "The upstream of this model refuses the gateway's account; whoever runs the gateway must mend it."
_NO_WORDS: Mapping[BrokenKind, str] = {
    "rate": "The upstream of this model asks to be called less often.",
    "overload": "The upstream of this model is overloaded.",
    "overflow": "The conversation is longer than the model's context window.",
    "content": "The upstream's content filter refused the call.",
    "bad_request": "The upstream of this model refuses the request.",
    "not_found": "The upstream does not know this model.",
    "too_large": "The request is larger than the upstream takes.",
}
_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|ak|api|key|token|org|proj)[-_][A-Za-z0-9*._-]{6,}|\bBearer\s+\S+|\b(?=[A-Za-z]*\d)[A-Za-z0-9_-]{32,}",
    re.IGNORECASE,
)
"""Keys, masked ones too, names of accounts, and whatever else is long and random."""
_LIMIT = re.compile(r"(?:maximum|max|limit|window|length)[^0-9]{0,60}?(\d[\d,]{2,})", re.IGNORECASE)
_ANTHROPIC_LIMIT = re.compile(r">\s*(\d[\d,]{2,})")
_NUMBER = re.compile(r"\d[\d,]{2,}")


def broken_by(value: bytes | Mapping[str, Any], status: int | None = None) -> Broken:
    """What an upstream's error means.

    Args:
        value: the body, or the event's object.
        status: of the response; None within a stream.
    """
    if isinstance(value, Mapping) and isinstance(response := value.get("response"), Mapping):
        value = response
    told = told_by(value)
    kind = _KINDS[kind_of(status, told)]
    if status == 413:
        kind = "too_large"
    elif status == 404 and kind == "bad_request":
        kind = "not_found"
    elif kind == "overload" and status in (500, 502, 504) and not _says_overloaded(told):
        kind = "unavailable"
    if kind == "auth":
        return Broken(kind, _OUR_ACCOUNT)
    prose = _SECRETS.sub("[…]", " ".join(told.prose.split()))[:_MAX_CHARS]
    return Broken(kind, prose or _NO_WORDS.get(kind, "The upstream of this model failed."))


def translate_error(status: int, body: bytes, source: Dialect, target: Dialect) -> tuple[int, bytes]:
    """An upstream's error response as the client's dialect has it.

    Args:
        status: the upstream's.
        body: the upstream's, in whatever form.
        source: the upstream's dialect.
        target: the client's dialect.

    Returns:
        Status and body for the client. A refusal of our own account becomes a 502: the client's key is not at fault.
    """
    if source == target:
        return status, body
    broken = broken_by(body, status)
    ours = _ANTHROPIC[broken.kind][0] if target == "anthropic-messages" else _OPENAI[broken.kind][0]
    # Which 4xx it is, and whether a 5xx is worth another try, some clients tell by the number.
    kept = (broken.kind == "bad_request" and 400 <= status < 500) or (broken.kind == "unavailable" and status >= 500)
    return (status if kept else ours), orjson.dumps(error_value(target, broken))


def error_value(target: Dialect, broken: Broken) -> dict[str, Any]:
    """An error's JSON: a body, or the data of an Anthropic or Chat event."""
    message = _message(target, broken)
    if target == "anthropic-messages":
        return {"type": "error", "error": {"type": _ANTHROPIC[broken.kind][1], "message": message}}
    _, kind, code = _OPENAI[broken.kind]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def response_error(broken: Broken) -> dict[str, str]:
    """`error` of a Responses object."""
    return {"code": _OPENAI[broken.kind][2], "message": _message("openai-responses", broken)}


def _says_overloaded(told: Told) -> bool:
    return "overload" in f"{told.code} {told.prose}".lower()


def _message(target: Dialect, broken: Broken) -> str:
    if broken.kind != "overflow":
        return broken.message
    limit, asked = _window(broken.message)
    if target == "anthropic-messages":
        if "prompt is too long" in broken.message.lower():
            return broken.message
        return (
            f"prompt is too long: {asked} tokens > {limit} maximum"
            if asked
            else f"prompt is too long: {broken.message}"
        )
    if asked and "context length" not in broken.message:
        return (
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in {asked} tokens. "
            "Please reduce the length of the messages."
        )
    return broken.message


def _window(prose: str) -> tuple[int, int]:
    """The window's size and what was asked of it, in tokens; zeros unless both are told."""
    found = _ANTHROPIC_LIMIT.search(prose) or _LIMIT.search(prose)
    if found is None:
        return 0, 0
    limit = _int(found.group(1))
    asked = max(map(_int, _NUMBER.findall(prose)), default=0)
    return (limit, asked) if asked > limit else (0, 0)


def _int(digits: str) -> int:
    return int(digits.replace(",", "")[:18])
