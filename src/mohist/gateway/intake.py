"""Takes a request's body in."""

from __future__ import annotations

import asyncio

from mohist.gateway.asgi import Receive
from mohist.gateway.request import bad_request, decoded, too_large


async def read_body(named: dict[bytes, bytes], receive: Receive, limit_bytes: int, pause_s: float) -> bytes | None:
    """The decoded body; None when the client left while sending it.

    Args:
        named: the request's headers.
        receive: where it comes from.
        limit_bytes: of the body, as sent and decoded.
        pause_s: longest pause within it.

    Raises:
        RefusedError: too large, too slow, or in a coding that can't be undone.
    """
    length = named.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit_bytes:
        raise too_large(limit_bytes)
    parts: list[bytes] = []
    size_bytes = 0
    more = True
    while more:
        try:
            async with asyncio.timeout(pause_s):
                message = await receive()
        except TimeoutError:
            raise bad_request("The body did not come in time.", 408) from None
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise too_large(limit_bytes)
        parts.append(part)
        more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return decoded(body, named.get(b"content-encoding", b""), limit_bytes)
