"""What the door and its server say to each other, and answers of the gateway's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mohist.gateway import dialect as speech
from mohist.gateway.call import Dialect, Refusal, RefusalKind
from mohist.gateway.request import Headers
from mohist.provider.failure import REFUSED_HEADER

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The SDKs of Anthropic and OpenAI obey this header before their own rules
# (https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/_base_client.py, `_should_retry`).
# Without it, Claude Code 2.1.325 tries ten times on a 401, silent for minutes.
_LASTING: frozenset[RefusalKind] = frozenset({"auth", "scope", "budget", "bad_request", "too_large"})
"""What no retry makes right."""


async def refuse(send: Send, asked: Dialect, refusal: Refusal) -> None:
    """A refusal as a whole answer in the caller's dialect."""
    headers = [(REFUSED_HEADER.encode(), refusal.kind.encode())]
    if refusal.kind in _LASTING:
        headers.append((b"x-should-retry", b"false"))
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(refusal.retry_after_s))).encode()))
    await reply(send, refusal.status, speech.envelope(asked, refusal), headers)


async def reply(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    """A whole answer; JSON unless it is empty."""
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": False})
