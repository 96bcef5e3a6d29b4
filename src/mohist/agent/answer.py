"""Reads a stream of deltas to its end as one answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from mohist.provider.answer import Answer as Collected
from mohist.provider.exchange import closing
from mohist.provider.message import Delta, Done, Failed, Part, TextDelta, TextPart, ThinkingDelta, ThinkingPart


@dataclass(frozen=True, slots=True)
class Answer:
    """All that came; `end` says whether that is whole."""

    parts: tuple[Part, ...]
    end: Done | Failed


async def assemble(stream: AsyncIterator[Delta], speak: Callable[[str, bool], None]) -> Answer:
    """Reads the stream to its end; `speak(text, thinking)` is called with the words as they come.

    A cancelled reader closes the stream, so that the connection goes with it.
    """
    collected = Collected()
    async with closing(stream) as deltas:
        async for delta in deltas:
            collected.add(delta)
            if isinstance(delta, TextDelta | ThinkingDelta) and delta.text:
                speak(delta.text, isinstance(delta, ThinkingDelta))
    end = collected.end or Failed("protocol", "The answer ended without saying how.")
    return Answer(tuple(part for part in collected.message.parts if not _empty(part)), end)


def _empty(part: Part) -> bool:
    match part:
        case TextPart(text):
            return not text
        case ThinkingPart(text, opaque):
            return not text and opaque is None
        case _:
            return False
