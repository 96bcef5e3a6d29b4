"""Errors of an upstream as clients of another dialect know them."""

from __future__ import annotations

import itertools
import json
import re
import secrets
from typing import Any

import pytest

from fakes.strict_stream import check
from mohist.gateway.call import Dialect
from mohist.gateway.translate import AskFacts, StreamTranslator, translate_error
from mohist.gateway.translate.fault import broken_by

DIALECTS: tuple[Dialect, ...] = ("openai-chat", "openai-responses", "anthropic-messages")
WAYS = list(itertools.permutations(DIALECTS, 2))
CLAUDE_CODE = re.compile(r"prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*(\d+)", re.IGNORECASE)
"""What Claude Code 2.1.330 reads the numbers with."""


def openai(message: str, kind: str = "invalid_request_error", code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def anthropic(message: str, kind: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def told(status: int, body: bytes, source: Dialect, target: Dialect) -> tuple[int, dict[str, Any]]:
    out_status, out = translate_error(status, body, source, target)
    value = json.loads(out)
    if target == "anthropic-messages":
        assert value["type"] == "error"
    return out_status, value["error"]


@pytest.mark.parametrize(
    ("status", "body", "expected", "kind"),
    [
        (429, openai("Slow down", "rate_limit_error", "rate_limit_exceeded"), 429, "rate_limit_error"),
        (503, openai("The server is overloaded", "server_error"), 529, "overloaded_error"),
        (500, openai("oops", "server_error"), 500, "api_error"),
        (502, b"<html>bad gateway</html>", 502, "api_error"),
        (400, openai("bad thing"), 400, "invalid_request_error"),
        (422, b'{"detail": "bad thing"}', 422, "invalid_request_error"),
        (404, openai("no such model", code="model_not_found"), 404, "not_found_error"),
        (413, openai("too big"), 413, "request_too_large"),
        (401, openai("Incorrect API key"), 502, "api_error"),
        (429, openai("You exceeded your current quota", code="insufficient_quota"), 502, "api_error"),
        (400, b"", 400, "invalid_request_error"),
    ],
)
def test_openai_s_errors_for_anthropic_s_clients(status: int, body: bytes, expected: int, kind: str) -> None:
    out_status, error = told(status, body, "openai-chat", "anthropic-messages")

    assert (out_status, error["type"]) == (expected, kind)
    assert error["message"]


@pytest.mark.parametrize("target", ["openai-chat", "openai-responses"])
@pytest.mark.parametrize(
    ("status", "kind", "expected", "code"),
    [
        (429, "rate_limit_error", 429, "rate_limit_exceeded"),
        (529, "overloaded_error", 503, "server_error"),
        (500, "api_error", 500, "server_error"),
        (504, "timeout_error", 504, "server_error"),
        (400, "invalid_request_error", 400, "invalid_request"),
        (404, "not_found_error", 404, "not_found"),
        (413, "request_too_large", 413, "request_too_large"),
        (401, "authentication_error", 502, "server_error"),
        (403, "permission_error", 502, "server_error"),
        (402, "billing_error", 502, "server_error"),
    ],
)
def test_anthropic_s_errors_for_openai_s_clients(
    status: int, kind: str, expected: int, code: str, target: Dialect
) -> None:
    out_status, error = told(status, anthropic("Something", kind), "anthropic-messages", target)

    assert (out_status, error["code"]) == (expected, code)
    assert error.keys() == {"message", "type", "param", "code"}


OVERFLOWS = [
    ("This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.", True),
    (
        "This model's maximum context length is 128,000 tokens. However, you requested 130,001 tokens (126,001 in the messages).",
        True,
    ),
    ("prompt is too long: 130001 tokens > 128000 maximum", True),
    ("input length and `max_tokens` exceed context limit: 128001 + 2000 > 128000", False),
    ("Your input exceeds the context window of this model.", False),
]


@pytest.mark.parametrize(("message", "numbers"), OVERFLOWS)
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_a_conversation_that_is_too_long_is_told_in_the_words_that_clients_look_for(
    source: Dialect, target: Dialect, message: str, numbers: bool
) -> None:
    status, error = told(400, openai(message), source, target)

    assert status == 400
    if target == "anthropic-messages":
        assert "prompt is too long" in error["message"].lower()
        if numbers:
            found = CLAUDE_CODE.search(error["message"])
            assert found is not None
            assert found.groups() == ("130001", "128000")
    else:
        assert error["code"] == "context_length_exceeded"


def test_codex_finds_the_code_of_a_conversation_that_is_too_long_in_the_stream() -> None:
    event = b"event: error\ndata: " + anthropic(
        "prompt is too long: 9000 tokens > 8000 maximum", "invalid_request_error"
    )
    translator = StreamTranslator("anthropic-messages", "openai-responses", AskFacts("m", "c"))

    out = translator.feed(event + b"\n\n")

    assert check("openai-responses", out) == "error"
    assert json.loads(out.split(b"data: ")[-1])["response"]["error"] == {
        "code": "context_length_exceeded",
        "message": "This model's maximum context length is 8000 tokens. However, your messages resulted in 9000 tokens. "
        "Please reduce the length of the messages.",
    }


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_no_secret_of_the_upstream_s_is_told(source: Dialect, target: Dialect) -> None:
    keys = [
        f"sk-proj-{secrets.token_urlsafe(24)}",
        f"org-{secrets.token_hex(12)}",
        secrets.token_hex(20),
        "sk-****abcd",
    ]
    for key, status in itertools.product(keys, (400, 401, 403, 429, 500)):
        message = f"Bad call with {key} and header Bearer {keys[2]}."
        _, body = translate_error(status, openai(message), source, target)
        assert not any(secret.encode() in body for secret in keys), (key, status)
        # What the upstream says of our account is nothing for the client.
        assert (b"Bad call" in body) == (status in (400, 429, 500))
    translator = StreamTranslator(source, target, AskFacts("m", "c"))
    out = translator.feed(
        b"event: error\ndata: " + openai(f"Incorrect key {keys[0]}", code="invalid_api_key") + b"\n\n"
    )
    assert check(target, out) == "error"
    assert keys[0].encode() not in out


def test_an_error_within_its_own_dialect_is_not_touched() -> None:
    body = b'{"error": {"odd":  1}}'
    assert translate_error(418, body, "openai-chat", "openai-chat") == (418, body)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"[[]]", b"null", b"\xff\xfe", b'{"error": 5}', b'{"error": {"message": 5}}']
)
@pytest.mark.parametrize(("source", "target"), WAYS)
def test_any_body_gives_an_error_with_words(source: Dialect, target: Dialect, body: bytes) -> None:
    status, error = told(500, body, source, target)
    assert status == 500
    assert error["message"]


def test_the_stream_s_error_is_sorted_by_the_upstream_s_words() -> None:
    assert broken_by({"error": {"type": "overloaded_error"}}).kind == "overload"
    assert broken_by({"type": "error", "code": "rate_limit_exceeded", "message": "Wait"}).kind == "rate"
    assert broken_by({"type": "response.failed", "response": {"error": {"code": "server_error"}}}).kind == "overload"
    assert broken_by({"error": {"code": "content_filter", "message": "no"}}).kind == "content"
    assert broken_by({"error": "strange"}).kind == "unavailable"
