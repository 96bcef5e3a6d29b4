"""Takes a request's body in."""

from __future__ import annotations

import asyncio
import time

from mohist.gateway.asgi import Receive
from mohist.gateway.limit import DoorSettings
from mohist.gateway.request import RefusedError, bad_request, decoded, too_large
from mohist.gateway.room import Share
from mohist.gateway.watch import Line


async def read_body(
    named: dict[bytes, bytes], receive: Receive, settings: DoorSettings, share: Share, line: Line | None = None
) -> bytes | None:
    """The decoded body; None when the client left while sending it.

    Args:
        named: the request's headers.
        receive: where it comes from.
        settings: its largest size, as sent and decoded, and its longest time.
        share: counts it.
        line: whose body it is; None: not known.

    Raises:
        RefusedError: too large, too slow, no room for it, or in a coding that can't be undone.
    """
    limit_bytes = settings.max_body_bytes
    length = named.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit_bytes:
        raise too_large(limit_bytes)
    parts: list[bytes] = []
    size_bytes = 0
    begun_s = time.monotonic()
    more = True
    while more:
        if line is not None and line.has_whole_body:
            message = await receive()
        else:
            left_s = begun_s + settings.body_total_s - time.monotonic()
            try:
                async with asyncio.timeout(min(left_s, settings.body_timeout_s)):
                    message = await receive()
            except TimeoutError:
                raise bad_request("The body did not come in time.", 408) from None
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise too_large(limit_bytes)
        if not share.grow(len(part)):
            raise RefusedError(share.room.refusal())
        parts.append(part)
        more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    coding = named.get(b"content-encoding", b"")
    if not coding:
        return body
    plain = decoded(body, coding, limit_bytes)
    if not share.grow(max(0, len(plain) - len(body))):
        raise RefusedError(share.room.refusal())
    return plain
