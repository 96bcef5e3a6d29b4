"""Keeps from a client the usage chunk that the gateway, not the client, asked for.

Chat Completions tell the usage of a stream only when `stream_options.include_usage` asks for it, in one more chunk
without choices, which clients that did not ask need not expect.
Source: https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options
"""

from __future__ import annotations

import re

import orjson

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""A larger event goes on unread, and so does all that follows it."""

# A CR that is the last byte so far may be half of a CRLF.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Veil:
    """Lets whole events through as they are, but for that chunk."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lifted = False

    @property
    def whole(self) -> bool:
        """The client has only whole events."""
        return not self._lifted

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream so far the client may see now: it ends with an event's end."""
        if self._lifted:
            return chunk
        # An end may be split over two pieces: three bytes of it can already be here.
        searched = max(0, len(self._rest) - 3)
        self._rest += chunk
        seen = bytearray()
        start = 0
        for end in _EVENT_END.finditer(self._rest, searched):
            event = bytes(self._rest[start : end.end()])
            start = end.end()
            if b'"usage"' not in event or not _is_usage_chunk(event):
                seen += event
        del self._rest[:start]
        if len(self._rest) > MAX_EVENT_BYTES:
            self._lifted = True
            seen += self.end()
        return bytes(seen)

    def end(self) -> bytes:
        """What no event's end has followed."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def _is_usage_chunk(event: bytes) -> bool:
    lines = [line[5:] for line in _LINE_END.split(event) if line.startswith(b"data:")]
    try:
        value = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and value.get("choices") == [] and isinstance(value.get("usage"), dict)
