"""Answers of an upstream in the client's dialect, whole or as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mohist.gateway.call import Dialect
from mohist.gateway.translate import chat_reply, messages_reply, responses_reply
from mohist.gateway.translate.chat_stream import ChatReader, ChatWriter
from mohist.gateway.translate.errors import AnswerError
from mohist.gateway.translate.facts import AskFacts
from mohist.gateway.translate.form import Begun, Broken, Ended, Piece, Reply
from mohist.gateway.translate.messages_stream import MessagesReader, MessagesWriter
from mohist.gateway.translate.order import Order, gathered
from mohist.gateway.translate.responses_stream import ResponsesReader
from mohist.gateway.translate.responses_writer import ResponsesWriter
from mohist.gateway.translate.wire import UNREADABLE, Reader, Writer
from mohist.provider.message import Usage
from mohist.provider.sse import MAX_EVENT_BYTES, OversizedEventError, SseDecoder

_READERS: Mapping[Dialect, Callable[[], Reader]] = {
    "openai-chat": ChatReader,
    "openai-responses": ResponsesReader,
    "anthropic-messages": MessagesReader,
}
_WRITERS: Mapping[Dialect, Callable[[AskFacts], Writer]] = {
    "openai-chat": ChatWriter,
    "openai-responses": ResponsesWriter,
    "anthropic-messages": MessagesWriter,
}
_REPLIES: Mapping[Dialect, Callable[[Reply, AskFacts], dict[str, Any]]] = {
    "openai-chat": chat_reply.write_reply,
    "openai-responses": responses_reply.write_reply,
    "anthropic-messages": messages_reply.write_reply,
}
_TOO_LARGE = Broken("unavailable", "The upstream's answer is larger than the gateway takes.")
_UNREADABLE = Broken("unavailable", "The upstream's answer can't be read.")


def read_reply(body: Mapping[str, Any], source: Dialect, target: Dialect, facts: AskFacts) -> Reply:
    """A whole answer of an upstream, with the client's names.

    Raises:
        AnswerError: it is an error, or not an answer of `source`.
    """
    try:
        reply = gathered(Order(facts, target).put(_READERS[source]().whole(body)))
    except UNREADABLE as error:
        raise AnswerError(_UNREADABLE) from error
    if isinstance(reply, Broken):
        raise AnswerError(reply)
    return reply


def translate_reply(body: Mapping[str, Any], source: Dialect, target: Dialect, asked: AskFacts) -> dict[str, Any]:
    """A whole answer of an upstream as the client's dialect has it.

    Args:
        body: the upstream's answer, of status 200.
        source: the upstream's dialect.
        target: the client's dialect.
        asked: the call.

    Raises:
        AnswerError: it is an error with status 200, or not an answer of `source`; `broken` says what the client is
            told.
    """
    return _REPLIES[target](read_reply(body, source, target, asked), asked)


class StreamTranslator:
    """An upstream's stream as a client's, piece by piece.

    Legal order: feed*, end. Both never raise: a stream that can't be read ends with an error event of the client's
    dialect, and what comes after an end is dropped. The same bytes give the same bytes, however they are split.

    Args:
        source: the upstream's dialect.
        target: the client's dialect.
        facts: the call.
        max_event_bytes: a larger event of the upstream ends the stream.
    """

    def __init__(
        self, source: Dialect, target: Dialect, facts: AskFacts, *, max_event_bytes: int = MAX_EVENT_BYTES
    ) -> None:
        self._decoder = SseDecoder(max_event_bytes)
        self._reader = _READERS[source]()
        self._order = Order(facts, target)
        self._writer = _WRITERS[target](facts)
        self.ended = False
        """The client has a whole answer."""
        self.failed: Broken | None = None
        """Why the client has none and gets none."""
        self.begun_content = False
        """The client has more than the preamble."""
        self.usage: Usage | None = None
        """As far as told."""
        self.model = ""
        """The model that says it served the call; empty until it does."""

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets now; always whole events."""
        out = bytearray()
        # Line by line, so that an event that is too large hides none before it, wherever the cut falls.
        for line in chunk.splitlines(keepends=True):
            if self._over:
                break
            try:
                for event in self._decoder.feed(line):  # at most one
                    self._put(self._reader.feed(event), out)
            except OversizedEventError:
                self._put([_TOO_LARGE], out)
            except UNREADABLE:
                self._put([_UNREADABLE], out)
        return bytes(out)

    def whole(self, body: Mapping[str, Any]) -> bytes:
        """The stream that a client gets of an answer that came whole; instead of `feed` and `end`."""
        out = bytearray()
        try:
            self._put(self._reader.whole(body), out)
        except UNREADABLE:
            self._put([_UNREADABLE], out)
        return bytes(out)

    def end(self) -> bytes:
        """What the client gets when the upstream's stream is over, by itself or not."""
        out = bytearray()
        if not self._over:
            try:
                self._put(self._reader.end(), out)
            except UNREADABLE:
                self._put([_UNREADABLE], out)
        return bytes(out)

    def fail(self, broken: Broken) -> bytes:
        """Ends the stream with an error of our own; nothing when it has ended already."""
        out = bytearray()
        if not self._over:
            self._put([broken], out)
        return bytes(out)

    @property
    def _over(self) -> bool:
        return self.ended or self.failed is not None

    def _put(self, pieces: list[Piece], out: bytearray) -> None:
        for piece in self._order.put(pieces):
            match piece:
                case Begun(model=model):
                    self.model = model
                    self.usage = piece.usage
                case Ended():
                    self.ended = True
                    self.begun_content = True
                    self.usage = piece.usage or self.usage
                case Broken():
                    self.failed = piece
                case _:
                    self.begun_content = True
            out += self._writer.write(piece)
