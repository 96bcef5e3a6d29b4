"""Keeps from a client the usage chunk that the gateway, not the client, asked for.

Chat Completions tell the usage of a stream only when `stream_options.include_usage` asks for it, in one more chunk
without choices, which clients that did not ask need not expect.
Source: https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options
"""

from __future__ import annotations

import orjson

from mohist.gateway.frame import Frames, data_of

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""A larger event goes on unread, and so does all that follows it."""


class Veil:
    """Lets whole events through as they are, but for that chunk."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._lifted = False

    @property
    def whole(self) -> bool:
        """The client has only whole events."""
        return not self._lifted

    @property
    def over(self) -> bool:
        """Never: what can't be read goes on as it came."""
        return False

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream so far the client may see now: it ends with an event's end."""
        if self._lifted:
            return chunk
        events = self._frames.feed(chunk)
        seen = b"".join(event for event in events if b'"usage"' not in event or not _is_usage_chunk(event))
        if self._frames.rest_bytes > MAX_EVENT_BYTES:
            self._lifted = True
            seen += self.end()
        return seen

    def end(self) -> bytes:
        """What no event's end has followed."""
        return self._frames.end()


def _is_usage_chunk(event: bytes) -> bool:
    try:
        value = orjson.loads(data_of(event))
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("choices") == [] and isinstance(value.get("usage"), dict)
