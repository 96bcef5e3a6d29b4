"""Between reader and writer: one part at a time, and the client's own words for tools.

Chat upstreams may mix the fragments of parallel calls; Anthropic clients take one open block at a time. So a part that
begins while another is open waits, and is told whole once the other is closed.

Legal order: Begun, then Opened, Grown*, Closed of each part, then Ended; Broken ends it anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mohist.gateway.call import Dialect
from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.form import (
    Begun,
    Broken,
    Call,
    Closed,
    Ended,
    Grown,
    Opened,
    Piece,
    Reply,
    Stop,
    Text,
    Thinking,
)
from mohist.gateway.translate.name import pack_input, unpack_input
from mohist.provider.dialogue import wire_id

MAX_ANSWER_CHARS = 64 * 1024 * 1024
"""Of all parts together; a hundred times the longest answer that a model gives."""


class OrderError(ValueError):
    """The pieces are no answer; the message says why and holds nothing of it."""


@dataclass(slots=True)
class _Part:
    """A part whose end the client has not seen."""

    part: Text | Thinking | Call
    waiting: list[str] = field(default_factory=list)
    told: int = -1
    """Its number in the client's answer; -1: the client does not know of it yet."""
    recode: bool = False
    """Arguments change form, which takes all of them."""
    closed: bool = False
    opaque: str = ""
    empty: bool = True


class Order:
    """Puts the pieces of one answer in the client's order.

    Args:
        facts: of the call.
        target: the client's dialect.
    """

    def __init__(self, facts: AskFacts, target: Dialect) -> None:
        self._facts = facts
        self._target = target
        self._parts: dict[int, _Part] = {}
        self._ids = set(facts.used_ids)
        self._next = 0
        self._made_ids = 0
        self._chars = 0
        self._called = False
        self._begun = False
        self._done = False

    def put(self, pieces: Iterable[Piece]) -> list[Piece]:
        """What the client may be told now.

        Raises:
            OrderError: the pieces break the legal order, or are too many.
        """
        out: list[Piece] = []
        for piece in pieces:
            if self._done:
                raise OrderError("something came after the end")
            self._take(piece, out)
        return out

    def _take(self, piece: Piece, out: list[Piece]) -> None:
        if not self._begun and not isinstance(piece, Begun | Broken):
            raise OrderError("it does not begin with its beginning")
        match piece:
            case Begun():
                if self._begun:
                    raise OrderError("it begins twice")
                self._begun = True
                out.append(piece)
            case Opened(index, part):
                if index in self._parts:
                    raise OrderError("a part begins twice")
                self._open(index, part)
                self._tell(out)
            case Grown(index, text):
                self._grow(self._of(index), text)
                self._tell(out)
            case Closed(index, opaque):
                held = self._of(index)
                held.closed = True
                held.opaque = opaque
                self._tell(out)
            case Ended():
                if self._parts:
                    raise OrderError("a part has no end")
                self._done = True
                out.append(replace(piece, stop=self._stop(piece.stop)))
            case Broken():
                self._done = True
                out.append(piece)

    def _of(self, index: int) -> _Part:
        held = self._parts.get(index)
        if held is None or held.closed:
            raise OrderError("there is more of a part that is not open")
        return held

    def _open(self, index: int, part: Text | Thinking | Call) -> None:
        match part:
            case Call():
                held = self._call(part)
                first = part.arguments
            case Text(text=first) | Thinking(text=first):
                held = _Part(replace(part, text=""))
        self._parts[index] = held
        if first:
            self._grow(held, first)

    def _call(self, call: Call) -> _Part:
        if not call.name:
            raise OrderError("a call without a name")
        namespace, name, freeform = self._facts.names.inward(call.name)
        if call.name not in self._facts.names.known:
            namespace, freeform = call.namespace, call.freeform
        freeform = freeform and self._target != "anthropic-messages"
        self._called = True
        mine = replace(
            call, id=self._free(call.id), name=name, namespace=namespace, freeform=freeform, arguments="", item_id=""
        )
        return _Part(mine, recode=freeform != call.freeform)

    def _free(self, proposed: str) -> str:
        """An id that the conversation has not seen: servers exist that send none, or `call_0` in every turn."""
        call_id = wire_id(proposed) if proposed else ""
        while not call_id or call_id in self._ids:
            self._made_ids += 1
            call_id = wire_id(f"call_{self._facts.call_id}_{self._made_ids}")
        self._ids.add(call_id)
        return call_id

    def _grow(self, held: _Part, text: str) -> None:
        if not text:
            return
        self._chars += len(text)
        if self._chars > MAX_ANSWER_CHARS:
            raise OrderError("it is too long")
        held.empty = False
        held.waiting.append(text)

    def _tell(self, out: list[Piece]) -> None:
        """All that can be told of the parts, the first of them first."""
        while self._parts:
            index, held = next(iter(self._parts.items()))
            self._tell_part(held, out)
            if not held.closed:
                return
            del self._parts[index]

    def _tell_part(self, held: _Part, out: list[Piece]) -> None:
        part = held.part
        if isinstance(part, Thinking) and self._facts.hide_thinking:
            held.waiting.clear()
            return
        if held.closed and isinstance(part, Call):
            if held.recode:
                whole = "".join(held.waiting)
                held.waiting = [unpack_input(whole) if part.freeform else pack_input(whole)]
            elif held.empty and not part.freeform:
                held.waiting = ["{}"]
        if held.told < 0:
            # A part that says nothing is none, but reasoning may be nothing but its opaque form.
            opaque = isinstance(part, Thinking) and bool(part.opaque or held.opaque)
            if held.empty and not isinstance(part, Call) and not (held.closed and opaque):
                return
            held.told = self._next
            self._next += 1
            out.append(Opened(held.told, part))
        if held.waiting and (held.closed or not held.recode):
            text = "".join(held.waiting)
            held.waiting.clear()
            if text:
                out.append(Grown(held.told, text))
        if held.closed:
            opaque_text = held.opaque or (part.opaque if isinstance(part, Thinking) else "")
            out.append(Closed(held.told, opaque_text))

    def _stop(self, stop: Stop) -> Stop:
        """Several servers say "stop" beside calls, or "tool_calls" with none."""
        if self._called:
            return "tool_calls" if stop in ("end", "stop_sequence") else stop
        return "end" if stop == "tool_calls" else stop


def gathered(pieces: Iterable[Piece]) -> Reply | Broken:
    """The whole answer out of the pieces of `Order`.

    Raises:
        OrderError: it has no end.
    """
    begun = Begun("", "")
    parts: list[Text | Thinking | Call] = []
    texts: list[str] = []
    for piece in pieces:
        match piece:
            case Begun():
                begun = piece
            case Opened(_, part):
                parts.append(part)
                texts = []
            case Grown(_, text):
                texts.append(text)
            case Closed(_, opaque):
                parts[-1] = _whole(parts[-1], "".join(texts), opaque)
            case Ended(stop, sequence, usage, reasoning_tokens):
                return Reply(begun.id, begun.model, tuple(parts), stop, sequence, usage, reasoning_tokens)
            case Broken():
                return piece
    raise OrderError("it has no end")


def _whole(part: Text | Thinking | Call, text: str, opaque: str) -> Text | Thinking | Call:
    match part:
        case Call():
            return replace(part, arguments=text)
        case Thinking():
            return replace(part, text=text, opaque=opaque)
        case Text():
            return replace(part, text=text)
