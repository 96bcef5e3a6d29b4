"""Shows an answer to the guard on its way to the client, text by text, and puts in what the guard lets through.

An event in which nothing changes goes on byte for byte. What the guard holds back of a text comes with that text's next
event, or in an event of its own before the one that ends it. The client gets whole events only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from mohist.gateway import slot
from mohist.gateway.call import Dialect, Refusal
from mohist.gateway.frame import Frames, data_of
from mohist.gateway.guard import Block, Inbound, Part

FAILED = Refusal(
    "guard", 503, "What inspects calls at this gateway failed, and no call passes unseen. Tell its operator."
)
BLOCKED_STATUS = 400
"""Only the sender can mend what may not pass; at 403 Claude Code says that the login failed."""
MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_HELD_CHARS = 64 * 1024
"""Of one text that a guard may hold back; more is a fault of the guard."""


class BlockedError(Exception):
    """The guard stops the answer; carries what the client is told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SieveError(Exception):
    """The guard can't be shown the answer, or did what it may not."""


class Sieve:
    """One answer's.

    Args:
        dialect: of the answer.
        inbound: the guard.

    Raises:
        BlockedError: from every method, when the guard says so.
        SieveError: from every method, when the answer can't be shown to it.
    """

    def __init__(self, dialect: Dialect, inbound: Inbound) -> None:
        self._dialect = dialect
        self._inbound = inbound
        self._frames = Frames()
        self._near: dict[str, Any] = {}
        self._held: dict[Part, int] = {}
        self._pieces: dict[Part, tuple[list[str], list[str]]] = {}
        self._seen: dict[tuple[int, str], str] = {}
        """What was made of a text, by the item it stands in: the same words may pass to one tool and not to another."""
        self._tools: dict[tuple[int, int], str] = {}

    def feed(self, chunk: bytes) -> bytes:
        """What of a stream the client may see now."""
        seen = b"".join([self._event(event) for event in self._frames.feed(chunk)])
        if self._frames.rest_bytes > MAX_EVENT_BYTES:
            raise SieveError("an event is too long to be inspected")
        return seen

    def end(self) -> bytes:
        """The rest of a stream that is over."""
        rest = self._frames.end()
        last = self._event(rest) if rest else b""
        return self._tails(list(self._pieces)) + last

    def whole(self, body: bytes) -> bytes:
        """A whole answer."""
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            # A page in the place of an answer: its reader is to see it, so the guard is, too.
            self._let_whole(Part("other", -1, sealed=True), body.decode("utf-8", "replace"))
            return body
        return orjson.dumps(value) if self._strain(value) else body

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data.strip():
            return event
        if data.strip() == b"[DONE]":
            return self._tails(list(self._pieces)) + event
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            self._let(Part("other", -1, sealed=True), data.decode("utf-8", "replace"))
            return event
        changed = self._strain(value)
        tails = self._tails(slot.ended(self._dialect, value, iter(self._pieces)), value)
        changed = self._restate(value) or changed
        self._near = value
        if not changed:
            return tails + event
        name = value.get("type") if self._dialect != "openai-chat" else None
        head = f"event: {name}\n".encode() if isinstance(name, str) and "\n" not in name else b""
        return tails + head + b"data: " + orjson.dumps(value) + b"\n\n"

    def _strain(self, value: dict[str, Any]) -> bool:
        """Shows the texts that are new; whether one was changed."""
        changed = False
        for index, sub_index, name in slot.tools(self._dialect, value):
            # The first name counts: a client may have begun to act on it.
            if name:
                self._tools.setdefault((index, sub_index), name)
        for part, holder, key, whole in slot.slots(self._dialect, value):
            text = holder[key]
            if not isinstance(text, str):
                changed = self._strain_object(part, holder, key) or changed
            elif not whole:
                seen = self._let(part, text)
                fed, let = self._pieces.setdefault(part, ([], []))
                fed.append(text)
                let.append(seen)
                changed = changed or seen != text
                holder[key] = seen
            elif part not in self._pieces and (part.index, text) not in self._seen:
                self._seen[part.index, text] = self._let_whole(part, text)
                changed = self._put(part, holder, key) or changed
        return changed

    def _restate(self, value: dict[str, Any]) -> bool:
        """Puts what was let through of a text where an event says the whole text again."""
        changed = False
        for part, holder, key, whole in slot.slots(self._dialect, value):
            if whole and isinstance(holder[key], str):
                changed = self._put(part, holder, key) or changed
        return changed

    def _put(self, part: Part, holder: dict[str, Any], key: str) -> bool:
        seen = self._seen.get((part.index, holder[key]), holder[key])
        if seen == holder[key]:
            return False
        holder[key] = seen
        self._seen[part.index, seen] = seen
        return True

    def _strain_object(self, part: Part, holder: dict[str, Any], key: str) -> bool:
        text = orjson.dumps(holder[key]).decode()
        seen = self._let_whole(part, text)
        if seen == text:
            return False
        try:
            holder[key] = orjson.loads(seen)
        except orjson.JSONDecodeError:
            raise SieveError("the guard made arguments that are no JSON") from None
        return True

    def _tails(self, parts: list[Part], near: dict[str, Any] | None = None) -> bytes:
        """Ends parts; what was held back of them comes as events."""
        events = []
        for part in parts:
            fed, let = self._pieces.pop(part)
            tail = self._end(part)
            if tail:
                events.append(slot.delta(self._dialect, part, tail, near or self._near))
            self._seen[part.index, "".join(fed)] = "".join(let) + tail
        return b"".join(events)

    def _let_whole(self, part: Part, text: str) -> str:
        return self._let(part, text) + self._end(part)

    def _let(self, part: Part, text: str) -> str:
        if part.kind == "arguments":
            part = replace(part, tool=self._tools.get((part.index, part.sub_index), ""))
        seen = self._inbound.feed(part, text)
        if isinstance(seen, Block):
            raise BlockedError(seen.reason)
        if part.sealed and seen != text:
            raise SieveError("the guard changed what it may only block")
        held = self._held.get(part, 0) + len(text) - len(seen)
        if held > MAX_HELD_CHARS:
            raise SieveError("the guard holds too much back")
        self._held[part] = held
        return seen

    def _end(self, part: Part) -> str:
        tail = self._inbound.end(part)
        if isinstance(tail, Block):
            raise BlockedError(tail.reason)
        if part.sealed and tail:
            raise SieveError("the guard changed what it may only block")
        self._held.pop(part, None)
        return tail
