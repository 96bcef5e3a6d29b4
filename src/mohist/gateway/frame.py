"""Server-sent events as whole pieces of bytes."""

from __future__ import annotations

import re

# A CR that is the last byte so far may be half of a CRLF.
EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")
LINE_END = re.compile(rb"\r\n|\n|\r")


class Frames:
    """Cuts a stream behind each event."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def rest_bytes(self) -> int:
        """How much of an event has come that is not over."""
        return len(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are whole now, blank line included."""
        # An end may be split over two pieces: three bytes of it can already be here.
        searched = max(0, len(self._rest) - 3)
        self._rest += chunk
        events = []
        start = 0
        for end in EVENT_END.finditer(self._rest, searched):
            events.append(bytes(self._rest[start : end.end()]))
            start = end.end()
        del self._rest[:start]
        return events

    def end(self) -> bytes:
        """What no event's end has followed."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def data_of(event: bytes) -> bytes:
    """What an event carries; empty for a comment."""
    return b"\n".join(line[5:] for line in LINE_END.split(event) if line.startswith(b"data:"))
