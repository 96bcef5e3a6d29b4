"""Puts a stream of deltas together into one answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from mohist.provider.message import (
    CallArguments,
    CallReady,
    CallStarted,
    Delta,
    Done,
    Failed,
    Part,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """All that came; `end` says whether that is whole."""

    parts: tuple[Part, ...]
    end: Done | Failed


async def assemble(stream: AsyncIterator[Delta], speak: Callable[[str, bool], None]) -> Answer:
    """Reads the stream to its end; `speak(text, thinking)` is called with the words as they come."""
    parts: list[Part] = []
    end: Done | Failed | None = None
    async for delta in stream:
        match delta:
            case TextDelta(text):
                speak(text, False)
                last = parts[-1] if parts else None
                if isinstance(last, TextPart):
                    parts[-1] = TextPart(last.text + text)
                elif text:
                    parts.append(TextPart(text))
            case ThinkingDelta(text, opaque, redacted):
                if text:
                    speak(text, True)
                _think(parts, text, opaque, redacted)
            case CallReady(call):
                parts.append(call)
            case CallStarted() | CallArguments():
                pass
            case Done() | Failed():
                end = delta
    if end is None:
        end = Failed("protocol", "The answer ended without saying how.")
    return Answer(tuple(parts), end)


def _think(parts: list[Part], text: str, opaque: str | None, redacted: bool) -> None:
    last = parts[-1] if parts else None
    # A signature closes its block: what comes after it is another block.
    if isinstance(last, ThinkingPart) and last.opaque is None and not redacted and not last.redacted:
        parts[-1] = ThinkingPart(last.text + text, opaque)
    elif text or opaque:
        parts.append(ThinkingPart(text, opaque, redacted))
