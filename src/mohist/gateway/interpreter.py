"""Between a client of one dialect and upstreams of another: the call there, the answer back.

The translation itself is `gateway.translate`, pure; here it meets headers, whole bodies and streams.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import orjson

from mohist.gateway import dialect as speech
from mohist.gateway.answer import Answer
from mohist.gateway.call import Dialect
from mohist.gateway.history import Outgoing
from mohist.gateway.request import Headers, bad_request, read_envelope
from mohist.gateway.route import Upstream
from mohist.gateway.translate import (
    AnswerError,
    AskFacts,
    StreamTranslator,
    translate_error,
    translate_reply,
    translate_request,
)
from mohist.gateway.translate.reasoning import without_foreign

# All others speak of the client's own dialect: its versions, betas and sessions.
_CARRIED = frozenset({b"user-agent", b"traceparent", b"tracestate"})
_RETURNED = frozenset({b"retry-after", b"retry-after-ms", b"request-id", b"x-request-id"})
# https://docs.claude.com/en/api/versioning
_VERSION = (b"anthropic-version", b"2023-06-01")
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_PATHS: dict[Dialect, str] = {
    dialect: path for door, (dialect, path) in speech.DOORS.items() if door != speech.COUNT_TOKENS
}


class TranslatedStream:
    """A stream on its way to the client; stands where a `Veil` would."""

    def __init__(self, translator: StreamTranslator) -> None:
        self._translator = translator

    @property
    def whole(self) -> bool:
        """An event can be put in: the client has only whole events, and not yet the last."""
        return not self._translator.ended and self._translator.failed is None

    @property
    def over(self) -> bool:
        return self._translator.failed is not None

    def feed(self, chunk: bytes) -> bytes:
        return self._translator.feed(chunk)

    def end(self) -> bytes:
        return self._translator.end()


def own(outgoing: Outgoing) -> Outgoing:
    """A call that stays in its dialect, without the reasoning that translated answers left in its history.

    A client that changes its model within a session hands it back to an upstream that would refuse it.
    """
    if not outgoing.envelope.has_foreign:
        return outgoing
    try:
        kept = without_foreign(orjson.loads(outgoing.envelope.body), outgoing.dialect)
    except orjson.JSONDecodeError:
        return outgoing
    if kept is None:
        return outgoing
    return replace(outgoing, envelope=read_envelope(orjson.dumps(kept), outgoing.dialect))


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One call to one upstream of another dialect."""

    outgoing: Outgoing
    """As the upstream gets it."""
    source: Dialect
    """Of the client."""
    facts: AskFacts
    omitted: str
    """What the upstream does not get, for the client to see."""

    @classmethod
    def of(cls, outgoing: Outgoing, upstream: Upstream, call_id: str, created_at_s: int) -> Interpreter:
        """Translates a call.

        Args:
            outgoing: the call as the client made it.
            upstream: speaks another dialect.
            call_id: of this call; ids in the answer are made of it.
            created_at_s: Unix time, for answers that carry one.

        Raises:
            RefusedError: 400; names the field that can't be said in the upstream's dialect.
        """
        envelope = outgoing.envelope
        try:
            body = orjson.loads(envelope.body)
        except orjson.JSONDecodeError:
            raise bad_request("The body is not valid JSON.") from None
        model = upstream.model or envelope.model
        abilities = upstream.options
        if abilities.by_session and outgoing.session_id:
            # A digest: the session's name holds the id of a key.
            abilities = replace(abilities, cache_key=sha256(outgoing.session_id.encode()).hexdigest()[:32])
        translated = translate_request(body, outgoing.dialect, upstream.dialect, model, abilities)
        facts = AskFacts.of(
            outgoing.dialect,
            body,
            translated.ask,
            translated.names,
            call_id="".join(filter(str.isalnum, call_id)),
            created_at_s=created_at_s,
        )
        headers: Headers = [pair for pair in outgoing.headers if pair[0] in _CARRIED]
        if upstream.dialect == "anthropic-messages":
            headers.append(_VERSION)
        there = replace(
            outgoing,
            dialect=upstream.dialect,
            path=_PATHS[upstream.dialect],
            query=b"",
            headers=[*headers, _JSON],
            envelope=replace(envelope, body=orjson.dumps(translated.body), model=model, usage_at=-1),
            interpreted=True,
        )
        return cls(there, outgoing.dialect, facts, ", ".join(translated.omitted))

    def heard(self, answer: Answer) -> Answer:
        """The answer as the client gets it; takes the upstream's over."""
        kind = next((value for name, value in answer.headers if name == b"content-type"), b"").lower()
        headers = [pair for pair in answer.headers if pair[0] in _RETURNED]
        target = self.outgoing.dialect
        if answer.response is not None or (answer.status == 200 and b"event-stream" in kind):
            translator = StreamTranslator(target, self.source, self.facts)
            stream = TranslatedStream(translator)
            held = answer.held
            if answer.response is None:
                held = translator.feed(held) + translator.end()
            return replace(answer, headers=[*headers, _EVENTS], held=held, veil=stream, omitted=self.omitted)
        if answer.status != 200:
            status, body = translate_error(answer.status, answer.held, target, self.source)
            return replace(answer, status=status, headers=[*headers, _JSON], held=body, omitted=self.omitted)
        try:
            value = orjson.loads(answer.held)
            if self.outgoing.envelope.stream:
                translator = StreamTranslator(target, self.source, self.facts)
                return replace(answer, headers=[*headers, _EVENTS], held=translator.whole(value), omitted=self.omitted)
            told = orjson.dumps(translate_reply(value, target, self.source, self.facts))
        except (AnswerError, orjson.JSONDecodeError):
            body = orjson.dumps({"error": {"message": "The upstream's answer can't be read."}})
            status, body = translate_error(502, body, target, self.source)
            return replace(answer, status=status, headers=[*headers, _JSON], held=body, omitted=self.omitted)
        return replace(answer, headers=[*headers, _JSON], held=told, omitted=self.omitted)
