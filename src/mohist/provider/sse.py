"""Server-sent events out of bytes that come in pieces of any size.

A push decoder, apart from the HTTP client: the client's own one wants a response object and refuses
servers that name no content type, while this one also reads a copy of a stream that goes elsewhere.

Legal order: feed* then the stream ends; an event that no blank line closed is dropped, as the
standard says (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""One event may hold a whole answer of 128k tokens and then some; more is a broken or hostile server."""

_BOM = b"\xef\xbb\xbf"


class OversizedEventError(ValueError):
    """One event grew over the limit; the stream can't be trusted any more."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event: its name (empty when the server gave none) and its data lines joined by newlines."""

    name: str
    data: str


class SseDecoder:
    """Bytes in, events out.

    Line ends are LF, CRLF or a lone CR, mixed at will; a UTF-8 character or a CRLF may be split over two
    pieces. Bytes that are not UTF-8 become U+FFFD. Comments, `id` and `retry` are dropped: a model's answer
    is never resumed by event id.

    Args:
        max_event_bytes: largest event; `feed` raises OversizedEventError beyond it.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[str] = []
        self._event_bytes = 0

    def feed(self, piece: bytes) -> list[SseEvent]:
        """The events that `piece` completes.

        Raises:
            OversizedEventError: the event under way is larger than allowed.
        """
        events: list[SseEvent] = []
        if self._after_cr and piece:
            # The CR already ended its line; an LF right behind it belongs to the same line end.
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r") or (self._after_cr and not piece)
        for line in piece.splitlines(keepends=True):
            self._line += line
            self._check(len(self._line))
            if line.endswith((b"\r", b"\n")):
                self._end_line(bytes(self._line).rstrip(b"\r\n"), events)
                self._line.clear()
        return events

    def _end_line(self, raw: bytes, events: list[SseEvent]) -> None:
        if self._at_start:
            self._at_start = False
            raw = raw.removeprefix(_BOM)
        if not raw:
            if self._data:
                events.append(SseEvent(self._name, "\n".join(self._data)))
            self._name, self._data, self._event_bytes = "", [], 0
            return
        if raw.startswith(b":"):
            return
        self._event_bytes += len(raw)
        self._check(0)
        field, _, value = raw.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value

    def _check(self, line_bytes: int) -> None:
        if self._event_bytes + line_bytes > self._max_event_bytes:
            raise OversizedEventError(f"a server-sent event is larger than {self._max_event_bytes} bytes")
