"""JSON and server-sent events as bytes, both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from mohist.gateway.translate.form import Piece
from mohist.provider.sse import SseEvent


class Reader(Protocol):
    """Reads one answer of a dialect; what it can't read raises one of `UNREADABLE`."""

    def feed(self, event: SseEvent) -> list[Piece]:
        """The pieces of one event; nothing after Ended or Broken."""
        ...

    def end(self) -> list[Piece]:
        """The last pieces, when the upstream has closed the stream."""
        ...

    def whole(self, body: Mapping[str, Any]) -> list[Piece]:
        """All pieces of an answer that is no stream."""
        ...


class Writer(Protocol):
    """Writes the pieces of one answer, in the order of `order.Order`, as a dialect's events."""

    def write(self, piece: Piece) -> bytes: ...


UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)
"""What JSON of another form than expected raises where it is read."""


def object_of(data: str) -> Mapping[str, Any]:
    """The JSON object in an event's data.

    Raises:
        ValueError: it is not one.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # Half an emoji, written as an escape, is JSON all the same; some servers cut there.
        value = json.loads(data)
    if not isinstance(value, Mapping):
        raise ValueError("not an object")
    return value


def text_of(value: Any) -> str:
    """A string; empty for null.

    Raises:
        TypeError: it is neither.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def word_of(value: Any) -> str:
    """A string that nothing hangs on; empty for anything else."""
    return value if isinstance(value, str) else ""


def encoded(value: Any) -> bytes:
    """JSON bytes; half an emoji stays an escape."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def event(value: Mapping[str, Any], name: str = "") -> bytes:
    """One event."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + encoded(value) + b"\n\n"
