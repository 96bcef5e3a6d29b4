"""What an engine promises, and what a segment's body may ask for. One adapter per engine; the same suite judges them all.

An adapter brings three things: it keeps that a segment is to be run, it gives it to one worker, and it gives it to another
when that one is dead. What was done in a segment is kept by `journal.Journal`, the same for all adapters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from mohist.base import MohistError
from mohist.delivery.state import SEGMENTS, SegmentName

T = TypeVar("T")

Json = Any
"""What JSON can hold; tuples come back as lists."""

SegmentState = Literal["unknown", "queued", "running", "done", "failed", "cancelled"]
ENDED: frozenset[SegmentState] = frozenset({"done", "failed", "cancelled"})


class Ended(BaseException):
    """A body was ended from outside; it has neither succeeded nor failed. Only the runner catches this."""


class Cancelled(Ended):
    """Somebody cancelled the segment."""


class HandedBack(Ended):
    """This worker stops, or lost the segment; another goes on with it."""


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """How far a segment is."""

    key: str
    state: SegmentState
    owner: str = ""
    """The executor that runs it, or ran it last."""
    result: Json = None
    """What its body returned; None until it is done."""
    error: str = ""
    """Why it failed."""


class StepRunner(Protocol):
    """What the body of a segment has in its hands."""

    @property
    def key(self) -> str:
        """`delivery_id/turn/segment`."""
        ...

    async def __call__(self, name: str, fn: Callable[[], Awaitable[T] | T]) -> T:
        """Runs a step, or gives what it gave before.

        What it returns must be JSON. Names are unique within a segment; steps may run side by side. A step that raises is
        not recorded, and one that was cut off runs again. A plain function runs in a thread.

        Raises:
            HandedBack: another worker has the segment now, or this one stops.
        """
        ...

    async def effect(self, key: str, kind: str, fn: Callable[[bool], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Does something outside once: what the book knows of `key`, or what `fn` gives, which is then put in the book.

        Args:
            key: `delivery_id/attempt/step`, the same whoever runs it and however often.
            kind: what it is, for people.
            fn: does it. It is told whether it may have happened already; then it looks before it repeats it.

        Raises:
            HandedBack: another worker has the segment now; `fn` was not called.
        """
        ...

    async def guard(self) -> None:
        """Raises HandedBack where this worker doesn't hold the segment any more. `effect` asks by itself."""
        ...

    async def signals(self, name: str) -> Sequence[Json]:
        """What was sent to this segment under a name, in order, each once."""
        ...


Body = Callable[[StepRunner, str, int], Awaitable[Json] | Json]
"""Of a segment: the steps, the delivery's id, and the turn. It returns JSON. It must give the same steps the same names
whenever it runs, and may run from its beginning on any worker; a plain function runs in a thread, where
`anyio.from_thread.run(steps, name, fn)` is a step."""
Segments = Mapping[SegmentName, Body]


class Engine(Protocol):
    """Runs segments. Synchronous and short, like the book: whoever calls from async code does so in a thread."""

    @property
    def executor_id(self) -> str:
        """Of this worker; the same whenever the same slot starts again."""
        ...

    def start(self, segment: SegmentName, delivery_id: str, turn: int) -> str:
        """Has a segment run, here or on another worker; its key. The same again changes nothing."""
        ...

    def signal(self, key: str, name: str, value: Json, signal_id: str) -> None:
        """Tells a segment something; the same `signal_id` again changes nothing."""
        ...

    def cancel(self, key: str) -> None:
        """Ends a segment wherever it runs: its body is cancelled within a second or two."""
        ...

    def status(self, keys: Sequence[str]) -> Mapping[str, SegmentStatus]:
        """How far these segments are, in one look."""
        ...

    def recover(self, executor_id: str) -> Sequence[str]:
        """Gives what a dead worker ran to those that live; the keys. Adapters do that by themselves within 5 s; of a worker
        that lives it takes the work away."""
        ...

    def close(self, grace_s: float = 10.0) -> None:
        """Takes nothing on any more, waits so long for the steps under way, and leaves the rest to others."""
        ...


def segment_key(segment: SegmentName, delivery_id: str, turn: int) -> str:
    """The key of one run of a segment."""
    return f"{delivery_id}/{turn}/{segment}"


def parted(key: str) -> tuple[SegmentName, str, int]:
    """Segment, delivery and turn of a key. ValueError when it is none."""
    delivery_id, turn, name = key.rsplit("/", 2)
    for segment in SEGMENTS:
        if segment == name:
            return segment, delivery_id, int(turn)
    raise ValueError(key)


def reason(error: Exception) -> str:
    """Why a segment failed: in our own words where they are, else with the kind of error."""
    return str(error) if isinstance(error, MohistError) else f"{type(error).__name__}: {error}"
