"""A guard that looks for one word in both directions, holding back as much of a text as the word is long."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from mohist.gateway.guard import Block, Inbound, Outbound, Part, Replace

MASK = "[masked]"


@dataclass
class WordGuard:
    """Masks or blocks a word, or fails at it."""

    word: str
    how: str = "mask"
    """`mask`, `block` or `fail`."""
    outwards: bool = True
    inwards: bool = True
    trusted: frozenset[str] = frozenset()
    """Upstreams that may get everything."""
    asked: list[Outbound] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def outbound(self, request: Outbound) -> Block | Replace | None:
        self.asked.append(request)
        self.threads.add(threading.get_ident())
        if not self.outwards or request.destination.upstream in self.trusted or self.word.encode() not in request.body:
            return None
        if self.how == "mask":
            return Replace(request.body.replace(self.word.encode(), MASK.encode()))
        return self._stop()

    def inbound(self, request: Outbound) -> Inbound | None:
        return _Follower(self) if self.inwards else None

    def _stop(self) -> Block:
        if self.how == "fail":
            raise RuntimeError("a bug near " + self.word)
        return Block("This holds what may not pass.")


class _Follower:
    def __init__(self, guard: WordGuard) -> None:
        self._guard = guard
        self._held: dict[Part, str] = {}

    def feed(self, part: Part, text: str) -> str | Block:
        word = self._guard.word
        text = self._held.pop(part, "") + text
        if word in text:
            if self._guard.how != "mask" or part.sealed:
                return self._guard._stop()
            text = text.replace(word, MASK)
        if part.sealed or self._guard.how != "mask":
            return text
        keep = next((size for size in range(len(word) - 1, 0, -1) if text.endswith(word[:size])), 0)
        self._held[part] = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self, part: Part) -> str | Block:
        return self._held.pop(part, "")
