"""What went wrong with a call, told from status, headers and the endpoint's own words.

The words differ by provider and are no contract, so the tables say where each was seen. A detail is for
a person: it never holds the key and never repeats what was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mohist.provider.message import Failed, FailureKind

_OVERFLOW = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"prompt is too long",  # Anthropic: https://docs.claude.com/en/api/errors
        r"exceed context limit",  # Anthropic: "input length and `max_tokens` exceed context limit: 1 + 2 > 3"
        r"request_too_large",  # Anthropic, HTTP 413: https://docs.claude.com/en/api/errors
        r"context[_ ]length[_ ]exceeded",  # OpenAI: https://platform.openai.com/docs/guides/error-codes
        r"maximum context length",  # OpenAI, vLLM, OpenRouter, Mistral, DeepSeek: "This model's maximum context length is"
        r"exceeds the context window",  # OpenAI: "Your input exceeds the context window of this model"
        r"longer than the maximum model length",  # vLLM: "The decoder prompt (length 1) is longer than …"
        r"input token count.*exceeds the maximum",  # Gemini: https://ai.google.dev/gemini-api/docs/troubleshooting
        r"maximum prompt length is",  # xAI: "This model's maximum prompt length is 131072 but the request contains"
        r"reduce the length of the messages",  # OpenAI of old, Groq: https://console.groq.com/docs/errors
        r"range of input length should be",  # Qwen: https://www.alibabacloud.com/help/en/model-studio/error-code
        r"exceeded model token limit",  # Kimi: https://platform.moonshot.ai/docs/api/chat
        r"prompt exceeds max length|prompt 超长",  # GLM, code 1261: https://docs.z.ai/api-reference/api-code
        r"exceed max message tokens",  # Doubao: "Total tokens of image and text exceed max message tokens"
        r"input length \d+ exceeds the maximum length",  # Doubao (https://www.volcengine.com/docs/82379/1299023)
        r"context window exceeds limit",  # MiniMax: https://platform.minimax.io/docs/api-reference/errorcode
        r"exceeds the available context size|exceed_context_size",  # llama.cpp: tools/server
        r"greater than the context length",  # LM Studio: "tokens to keep from the initial prompt is greater than …"
        r"exceeds? (?:the )?max(?:imum)? context length",  # Ollama: "prompt too long; exceeded max context length"
        r"exceeded max context length",  # Ollama
        r"input is too long for requested model",  # Amazon Bedrock
        r"prompt token count of \d+ exceeds the limit",  # GitHub Copilot
        r"inputs` tokens \+ `max_new_tokens` must be",  # Hugging Face TGI, Together
        r"model_context_window_exceeded",  # Anthropic and GLM: the answer itself met the window's end
    )
)
_TOO_LARGE_FOR_LIMIT = re.compile(r"request too large for", re.IGNORECASE)
"""OpenAI and Groq: one request above the tokens-per-minute limit. Waiting never helps, a shorter prompt does."""

_NO_CREDIT = re.compile(
    r"insufficient[_ ]quota|insufficient[_ ]balance|credit balance is too low|arrearage|overdue[_-]?payment"
    r"|exceeded your current quota|余额不足|欠费",
    re.IGNORECASE,
)
"""Accounts out of money, at OpenAI, DeepSeek, Anthropic, Qwen, Doubao, GLM. Some say 429, yet waiting never helps."""

_CONTENT = re.compile(
    r"content[_ ]filter|content[_ ]policy|data_?inspection_?failed|sensitive|content exists risk|high risk",
    re.IGNORECASE,
)
"""OpenAI/Azure, Qwen (DataInspectionFailed), Doubao and GLM (sensitive), DeepSeek (Content Exists Risk), Kimi (high risk)."""

_OVERLOAD = re.compile(r"overloaded|server_error|api_error|service[_ ]unavailable|capacity|too busy", re.IGNORECASE)
_RATE = re.compile(r"rate[_ -]?limit|too many requests|throttl", re.IGNORECASE)
_UNREACHED = re.compile(r"upstream_unavailable")
"""A gateway of ours that no upstream answered."""

_AUTH = re.compile(r"authentication|permission|invalid[_ ]api[_ ]?key|unauthorized|forbidden", re.IGNORECASE)
REFUSED_HEADER = "x-mohist-refused"
"""By it a gateway of ours says that it, not an upstream, refuses a call, and why: a kind of refusal."""

_OURS: Mapping[str, FailureKind] = {
    "auth": "auth",
    "scope": "policy",
    "policy": "policy",
    "budget": "budget",
    "bad_request": "bad_request",
    "guard": "policy",
    "unavailable": "network",
}

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_MAX_DETAIL_CHARS = 240
_ECHO_CHARS = 24
"""A run of this many characters that also stands in the request counts as a repetition of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an endpoint said of an error: machine words and prose, both possibly empty."""

    code: str = ""
    prose: str = ""
    status: int | None = None


def told_by(body: bytes | str | Mapping[str, Any]) -> Told:
    """Reads an error body of any of the known envelopes.

    `{"error": {"type", "code", "message"}}` (OpenAI, Anthropic), `{"error": "…"}` (Ollama),
    `{"code", "message"}` (DashScope), `{"detail": …}` (FastAPI servers), or plain text.
    """
    if isinstance(body, Mapping):
        value: Any = body
    else:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return Told(prose="" if text.lstrip().startswith("<") else text)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, Mapping):
        return Told()
    error = value.get("error", value)
    if isinstance(error, str):
        return Told(prose=error)
    if not isinstance(error, Mapping):
        return Told()
    words: list[str] = []
    status = None
    for key in ("type", "code", "status"):
        word = error.get(key)
        if isinstance(word, int) and not isinstance(word, bool) and 400 <= word < 600:
            status = word
        elif isinstance(word, str | int) and not isinstance(word, bool) and _IDENTIFIER.fullmatch(str(word)):
            words.append(str(word))
    prose = error.get("message") or error.get("detail") or ""
    return Told(" ".join(dict.fromkeys(words)), prose if isinstance(prose, str) else "", status)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or HTTP date); None when not said.

    `headers` has lower-case names. Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after;
    the form in milliseconds is OpenAI's and Azure's.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,12}(?:\.\d{0,9})?", text):
            return float(text) * unit_s
    if not headers.get("retry-after"):
        return None
    from email.utils import parsedate_to_datetime  # slow to import and hardly ever needed

    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def kind_of(status: int | None, told: Told) -> FailureKind:
    """The kind of failure; the endpoint's words count before the status, which several servers set at will."""
    status = told.status if status in (None, 200) else status
    words = f"{told.code} {told.prose}"
    if _NO_CREDIT.search(words) or status in (401, 402):
        return "auth"
    if status == 429 or (status is None and _RATE.search(told.code)):
        return "overflow" if _TOO_LARGE_FOR_LIMIT.search(words) else "rate"
    if status == 413 or any(pattern.search(words) for pattern in _OVERFLOW):
        return "overflow"
    if _CONTENT.search(words):
        return "content"
    if status is None:
        return _kind_of_code(told)
    if status == 403:
        return "auth"
    if status == 408 or _UNREACHED.search(told.code):
        return "network"
    if status >= 500:
        return "overload"
    return "bad_request"


def _kind_of_code(told: Told) -> FailureKind:
    """For errors inside a stream, where the status was 200 and only words tell."""
    words = f"{told.code} {told.prose}"
    table: tuple[tuple[re.Pattern[str], FailureKind], ...] = (
        (_UNREACHED, "network"),
        (_OVERLOAD, "overload"),
        (_RATE, "rate"),
        (_AUTH, "auth"),
        (re.compile(r"invalid_request|bad_request|invalid_parameter|not_found", re.IGNORECASE), "bad_request"),
    )
    return next((kind for pattern, kind in table if pattern.search(words)), "unknown")


def failed(
    name: str,
    told: Told,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    now_s: float = 0.0,
    key: str = "",
    sent: str = "",
) -> Failed:
    """The last delta for an error that the endpoint told.

    Args:
        name: how people name the provider.
        told: what the endpoint said.
        status: the HTTP status; None or 200 for an error inside a stream.
        headers: of the response, lower-case names.
        now_s: Unix time, for a retry-after that is a date.
        key: cut from the detail wherever it stands.
        sent: the text of the request; long repetitions of it are cut from the detail.
    """
    ours = (headers or {}).get(REFUSED_HEADER, "")
    kind = _OURS.get(ours) or kind_of(status, told)
    shown = told.status if status in (None, 200) else status
    head = f"{name}: {'HTTP ' + str(shown) if shown else 'error in the stream'}{' ' + told.code if told.code else ''}"
    # Endpoints repeat parts of a refused key; their prose is left out altogether there.
    prose = "" if kind == "auth" and not ours else _safe(told.prose, key, sent)
    detail = f"{head}: {prose}" if prose else head
    wait_s = retry_after_s(headers or {}, now_s)
    return Failed(kind, _without(detail, key), wait_s, shown)


def _safe(prose: str, key: str, sent: str) -> str:
    """One short line of `prose` without the key and without what was sent."""
    line = _without(" ".join(prose.split()), key)[:_MAX_DETAIL_CHARS]
    flat = " ".join(sent.split())
    out: list[str] = []
    position = 0
    while position < len(line):
        length = _echo_length(line, position, flat)
        if length:
            out.append("[…]")
            position += length
        else:
            out.append(line[position])
            position += 1
    return "".join(out)


def _echo_length(line: str, start: int, sent: str) -> int:
    """How many characters from `start` on repeat the request; 0 when too few to matter."""
    end = start + _ECHO_CHARS
    if end > len(line) or line[start:end] not in sent:
        return 0
    while end < len(line) and line[start : end + 1] in sent:
        end += 1
    return end - start


def _without(text: str, key: str) -> str:
    return text.replace(key, "[key]") if key else text
