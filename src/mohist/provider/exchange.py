"""One call from request to last delta, the same for every dialect.

Guarantees: exactly one Done or Failed, as the last delta; no exception but cancellation.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Protocol, TypeVar

from mohist.provider.message import Delta, Done, Failed, Usage
from mohist.provider.sse import SseEvent
from mohist.provider.transport import Outgoing, Transport

T = TypeVar("T")

_DRAIN_S = 0.2
"""The end of the response follows the last event at once; a server that keeps the line open does not hold us up."""

Price = Callable[[Usage], int | None]
"""Millionths of a US dollar for the usage of one call; None when no price is known."""


class TellError(Exception):
    """An event that holds the endpoint's own error object; raised by a decoder, seen by nobody outside."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__("error in the stream")
        self.value = value


class AnswerDecoder(Protocol):
    """A dialect's state machine: events in, deltas out; no I/O."""

    def feed(self, event: SseEvent) -> list[Delta]:
        """Deltas of one event; Done or Failed is the last of all.

        Raises:
            TellError: the event is an error object.
            ValueError, TypeError, KeyError, AttributeError: the event is not of the dialect's form.
        """
        ...

    def cut(self) -> list[Delta]:
        """The last deltas of a stream that ended by itself or broke; empty when the answer is not whole."""
        ...

    def usage(self) -> Usage | None:
        """What is known so far."""
        ...


async def exchange(name: str, transport: Transport, outgoing: Outgoing, decoder: AnswerDecoder) -> AsyncIterator[Delta]:
    """Sends `outgoing` and yields the answer's deltas."""
    fault = Failed("network", f"{name}: the stream ended before the answer was whole")
    async with closing(transport.events(outgoing)) as events:
        async for event in events:
            if isinstance(event, Failed):
                fault = event
                break
            try:
                deltas = decoder.feed(event)
            except TellError as told:
                fault = transport.failure_in_stream(told.value, outgoing.text)
                break
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                fault = Failed("protocol", f"{name}: an event of the stream can't be read ({type(error).__name__})")
                break
            ended = bool(deltas) and isinstance(deltas[-1], Done | Failed)
            if ended:
                await _drain(events)
            for delta in deltas:
                yield delta
            if ended:
                return
    if fault.kind in ("network", "overload") and (rest := decoder.cut()):
        for delta in rest:
            yield delta
        return
    yield Failed(fault.kind, fault.detail, fault.retry_after_s, fault.status, decoder.usage())


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body as bytes: keys in the order given, so that what was sent before stays a prefix of what is sent next.

    Lone surrogates, which no server takes, become question marks.
    """
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def object_of(data: str) -> Mapping[str, Any]:
    """The JSON object in an event's data.

    Raises:
        ValueError: it is not one.
    """
    value = json.loads(data)
    if not isinstance(value, Mapping):
        raise ValueError("not an object")
    return value


def count(value: Any) -> int:
    """A token count from the wire; what is no count is 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value))


async def _drain(events: AsyncIterator[SseEvent | Failed]) -> None:
    """Reads to the end of the response, so that the next turn finds the connection open and spares a handshake."""
    import anyio

    with anyio.move_on_after(_DRAIN_S):
        async for _ in events:
            pass


@contextlib.asynccontextmanager
async def closing(stream: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Closes `stream` at the end of the block, however it ends; a connection must not wait for the garbage collector."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
