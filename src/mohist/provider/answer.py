"""Deltas of one answer put together again."""

from __future__ import annotations

from collections.abc import Iterable

from mohist.provider.message import (
    AssistantMessage,
    CallReady,
    Delta,
    Done,
    Failed,
    Part,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
)


class Answer:
    """Collects deltas; `message` is what has come so far, `end` its last delta.

    Only calls whose arguments are complete are part of the message. An `opaque` closes its block of
    reasoning, so that two blocks never share a signature.
    """

    def __init__(self, deltas: Iterable[Delta] = ()) -> None:
        self._parts: list[Part] = []
        self._end: Done | Failed | None = None
        for delta in deltas:
            self.add(delta)

    @property
    def message(self) -> AssistantMessage:
        return AssistantMessage(tuple(self._parts))

    @property
    def end(self) -> Done | Failed | None:
        """None while the answer is under way."""
        return self._end

    def add(self, delta: Delta) -> None:
        """Takes the next delta."""
        last = self._parts[-1] if self._parts else None
        match delta:
            case TextDelta(text):
                if isinstance(last, TextPart):
                    self._parts[-1] = TextPart(last.text + text)
                else:
                    self._parts.append(TextPart(text))
            case ThinkingDelta(text, opaque, redacted):
                if isinstance(last, ThinkingPart) and last.opaque is None and not redacted:
                    self._parts[-1] = ThinkingPart(last.text + text, opaque)
                else:
                    self._parts.append(ThinkingPart(text, opaque, redacted))
            case CallReady(call):
                self._parts.append(call)
            case Done() | Failed():
                self._end = delta
