"""What the door and its server say to each other, and answers of the gateway's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mohist.gateway import dialect as speech
from mohist.gateway.call import Dialect, Refusal
from mohist.gateway.request import Headers
from mohist.provider.failure import REFUSED_HEADER

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def refuse(send: Send, asked: Dialect, refusal: Refusal) -> None:
    """A refusal as a whole answer in the caller's dialect."""
    headers = [(REFUSED_HEADER.encode(), refusal.kind.encode())]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(refusal.retry_after_s))).encode()))
    await reply(send, refusal.status, speech.envelope(asked, refusal), headers)


async def reply(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    """A whole answer; JSON unless it is empty."""
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": False})
