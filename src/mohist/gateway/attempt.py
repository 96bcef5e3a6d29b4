"""One call, tried at one upstream after the other until one begins to answer.

Nothing of an answer goes to the client before it is known to be one: a stream is held until its first content
event, a whole body until its end. Up to there the next upstream can take over unseen. A call that failed after
its request was sent may have been billed by the upstream that failed; the client's call is worth more.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from mohist.base import MohistError
from mohist.gateway.answer import Answer
from mohist.gateway.call import Refusal
from mohist.gateway.history import History, Outgoing
from mohist.gateway.interpreter import Interpreter, own
from mohist.gateway.limit import OnAccountChange
from mohist.gateway.request import RefusedError
from mohist.gateway.route import Route, Router, Upstream
from mohist.gateway.tap import Tap
from mohist.gateway.veil import Veil
from mohist.gateway.wire import Headers, Origin, Pool, Response, WireError
from mohist.provider.anthropic_messages import messages_url
from mohist.provider.failure import retry_after_s

MAX_HELD_BYTES = 64 * 1024
"""Of a stream; a preamble is a few hundred bytes."""
MAX_WHOLE_BYTES = 64 * 1024 * 1024
"""Of an answer that is not streamed; a longer one is a fault."""

_ACCOUNT_STATUSES = frozenset({401, 402, 403})
"""Our own account at the vendor is refused: the client can't mend it, and the text may quote our key."""
_PASSING_STATUSES = frozenset({408, 409, 425, 429})


Inspect = Callable[[Outgoing, Upstream], Awaitable[Outgoing]]
"""Returns what may go to the upstream, or raises RefusedError."""
Leaves = Callable[[Upstream, bytes], Awaitable[None]]
"""Told of each body before it goes to the upstream, or raises RefusedError."""


class UnansweredError(Exception):
    """No upstream answered; carries what the client is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class _FaultError(Exception):
    """One upstream failed in a way that another one may not."""

    def __init__(self, what: str, answer: Answer | None = None, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.answer = answer
        """The upstream's own error, which the client gets when no upstream is left."""
        self.wait_s = wait_s


class Attempts:
    """Tries calls.

    Args:
        pool: connections.
        router: who is tried.
        hold_s: a stream that pauses this long after its preamble is let through, so that pings can flow.
        on_account_change: what happens to thinking blocks that another account signed.
    """

    def __init__(self, pool: Pool, router: Router, hold_s: float, on_account_change: OnAccountChange = "strip") -> None:
        self._pool = pool
        self._router = router
        self._hold_s = hold_s
        self._on_account_change = on_account_change

    async def answer(
        self,
        outgoing: Outgoing,
        route: Route,
        tried: Callable[[Upstream], None],
        inspect: Inspect | None = None,
        leaves: Leaves | None = None,
    ) -> Answer:
        """The first answer that begins.

        Args:
            outgoing: the call.
            route: who may answer.
            tried: told of each upstream before it is called.
            inspect: says what each upstream may get; None: all of it.
            leaves: told of what each upstream gets.

        Raises:
            RefusedError: nothing may leave.
            UnansweredError: none did, and no upstream's own words can be passed on.
        """
        faults: list[_FaultError] = []
        rests: list[float] = []
        blocked: list[Refusal] = []
        order = self._router.order(route, outgoing.dialect, outgoing.session_id, translated=not outgoing.counts)
        history = History(outgoing, self._router.homes, order[0].payer if order else "")
        for upstream in order:
            if rest_s := self._router.rest_s(upstream):
                rests.append(rest_s)
                continue
            if faults and not self._router.may_retry():
                break
            if self._on_account_change == "refuse" and history.is_foreign(upstream):
                faults.append(_FaultError("thinking blocks of this session belong to another account"))
                continue
            fitted = history.fitted(upstream)
            if inspect is not None:
                try:
                    fitted = await inspect(fitted, upstream)
                except RefusedError as refused:
                    blocked.append(refused.refusal)
                    continue
            interpreter = None
            if upstream.dialect != outgoing.dialect:
                try:
                    interpreter = Interpreter.of(fitted, upstream, outgoing.call_id, int(time.time()))
                except RefusedError as refused:
                    blocked.append(refused.refusal)
                    continue
                fitted = interpreter.outgoing
            else:
                fitted = own(fitted)
            tried(upstream)
            self._router.began(upstream)
            try:
                answer = await self._try(fitted, upstream, leaves)
                if interpreter is not None:
                    answer = interpreter.heard(answer)
                elif self._on_account_change == "strip" and history.is_disowned(upstream, answer.status, answer.held):
                    answer = await self._again(history, upstream, answer, inspect, leaves)
                if history.is_changed(upstream):
                    answer.omitted = ", ".join(filter(None, ("thinking", answer.omitted)))
            except _FaultError as fault:
                if interpreter is not None and fault.answer is not None:
                    fault.answer = interpreter.heard(fault.answer)
                self._router.failed(upstream, fault.wait_s)
                faults.append(fault)
            except BaseException:
                self._router.gave_up(upstream)
                raise
            else:
                self._router.succeeded(upstream)
                history.settle(upstream)
                return answer
        if blocked and not faults:
            raise UnansweredError(blocked[0])
        waits = rests + [fault.wait_s for fault in faults if fault.wait_s is not None]
        return _last_words(faults, min(waits, default=None))

    async def _again(
        self, history: History, upstream: Upstream, refused: Answer, inspect: Inspect | None, leaves: Leaves | None
    ) -> Answer:
        """The same upstream without what it disowned; its first words when that doesn't help."""
        bare = history.bare()
        if inspect is not None:
            bare = await inspect(bare, upstream)
        answer = await self._try(bare, upstream, leaves)
        if answer.status < 400:
            history.lay_bare()
            return answer
        answer.close()
        return refused

    async def _try(self, outgoing: Outgoing, upstream: Upstream, leaves: Leaves | None) -> Answer:
        envelope = outgoing.envelope
        body = envelope.body_for(upstream.model or envelope.model, upstream.ask_usage)
        try:
            origin = Origin.of(upstream.base_url)
        except ValueError as error:
            raise _FaultError("its address is not one") from error
        key = _key(upstream)
        if leaves is not None:
            await leaves(upstream, body)
        first_byte_timeout_s = upstream.first_byte_timeout_s if envelope.stream else upstream.idle_timeout_s
        deadline_s = time.monotonic() + first_byte_timeout_s
        try:
            response = await self._pool.request(
                origin,
                _head(outgoing, upstream, origin, key, len(body)),
                body,
                connect_timeout_s=upstream.connect_timeout_s,
                first_byte_timeout_s=first_byte_timeout_s,
            )
        except WireError as error:
            raise _FaultError(error.what) from error
        try:
            kind = response.header(b"content-type").lower()
            streamed = b"event-stream" in kind or (envelope.stream and b"json" not in kind)
            # A page in the place of a stream is an answer of something else; its own user is told, no other upstream tried.
            streamed = streamed and not (upstream.own and b"text/html" in kind)
            if key and not upstream.own:
                # Some servers say what they were shown; nothing of it is for the client.
                response.headers = [pair for pair in response.headers if key not in pair[1]]
            if streamed and not envelope.stream and outgoing.interpreted:
                raise _FaultError("a stream that nobody asked for")
            if response.status == 200 and streamed:
                return await self._hold(outgoing, upstream, response, deadline_s, key)
            return await self._whole(outgoing, upstream, response, key)
        except WireError as error:
            response.close()
            raise _FaultError(error.what) from error
        except BaseException:
            response.close()
            raise

    async def _hold(
        self, outgoing: Outgoing, upstream: Upstream, response: Response, deadline_s: float, key: bytes
    ) -> Answer:
        """A stream up to its first content event."""
        tap = Tap(outgoing.dialect)
        if response.header(b"content-encoding") not in (b"", b"identity"):
            return Answer(upstream, response.status, response.headers, b"", response, None)
        held = bytearray()
        while tap.sight == "preamble" and len(held) < MAX_HELD_BYTES:
            left_s = max(0.0, deadline_s - time.monotonic())
            chunk = await response.next(min(left_s, self._hold_s) if held else left_s)
            if chunk is None:
                if held:
                    break
                raise _FaultError("no first byte in time")
            if not chunk:
                if not tap.ended:
                    raise _FaultError("the stream ended before its first content")
                break
            held += chunk
            tap.feed(chunk)
        if tap.sight == "error":
            response.close()
            words = Answer(upstream, response.status, response.headers, bytes(held), None, tap)
            told = None if _quotes(held, key, upstream) else words
            raise _FaultError("the stream began with an error", told)
        veil = Veil() if upstream.ask_usage and outgoing.envelope.usage_at >= 0 else None
        return Answer(upstream, response.status, response.headers, bytes(held), response, tap, veil)

    async def _whole(self, outgoing: Outgoing, upstream: Upstream, response: Response, key: bytes) -> Answer:
        """An answer that is not streamed, and every error."""
        chunks: list[bytes] = []
        size_bytes = 0
        while chunk := await response.next(upstream.idle_timeout_s):
            if not outgoing.share.grow(len(chunk)):
                raise UnansweredError(outgoing.share.room.refusal())
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > MAX_WHOLE_BYTES:
                raise _FaultError("the answer is too long")
        if chunk is None:
            raise _FaultError("the answer stopped")
        response.close()
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        status = response.status
        tap = Tap(outgoing.dialect) if response.header(b"content-encoding") in (b"", b"identity") else None
        if tap is not None:
            tap.read(body)
        answer = Answer(upstream, status, response.headers, body, None, tap)
        if status in _ACCOUNT_STATUSES or 300 <= status < 400:
            raise _FaultError(f"status {status}", answer if upstream.own else None)
        if status != 200 and _quotes(body, key, upstream):
            raise _FaultError(f"status {status}")
        if status in _PASSING_STATUSES or status >= 500:
            names = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
            # A date in retry-after is the upstream's wall clock, so it is compared with the wall clock.
            raise _FaultError(f"status {status}", answer, retry_after_s(names, time.time()))
        if status == 200 and tap is not None and tap.sight == "error":
            raise _FaultError("an error with status 200", answer)
        return answer


def _last_words(faults: list[_FaultError], wait_s: float | None) -> Answer:
    """What the client gets when nobody answered: an upstream's own error, with the shortest wait of all."""
    told = [fault for fault in faults if fault.answer is not None]
    if told:
        chosen = next((fault for fault in told if fault.wait_s == wait_s), told[-1]) if wait_s is not None else told[-1]
        answer = chosen.answer
        assert answer is not None
        if wait_s is not None and chosen.wait_s != wait_s:
            kept = [pair for pair in answer.headers if pair[0] not in (b"retry-after", b"retry-after-ms")]
            answer.headers = [*kept, (b"retry-after", str(max(1, round(wait_s))).encode())]
        return answer
    if not faults and wait_s is not None:
        message = f"Every upstream of this model asked to be left alone; try again in {max(1, round(wait_s))} s."
        raise UnansweredError(Refusal("rate", 429, message, wait_s))
    reasons = "; ".join(dict.fromkeys(fault.what for fault in faults)) or "none is configured"
    raise UnansweredError(Refusal("unavailable", 502, f"No upstream of this model answered ({reasons}).", wait_s))


def _quotes(body: bytes | bytearray, key: bytes, upstream: Upstream) -> bool:
    """An error holds our key, which is not the client's to see."""
    return bool(key) and not upstream.own and key in body


def _key(upstream: Upstream) -> bytes:
    """The upstream's key; empty when it wants none."""
    try:
        key = upstream.key().strip()
    except MohistError as error:
        raise _FaultError("its key can't be read") from error
    if not (key.isascii() and key.isprintable()):
        raise _FaultError("its key is not one")
    return key.encode()


def _head(outgoing: Outgoing, upstream: Upstream, origin: Origin, key: bytes, body_bytes: int) -> bytes:
    """Request line and headers, with the upstream's key in the place of the client's."""
    prefix = _prefix(upstream.base_url, anthropic=upstream.dialect == "anthropic-messages")
    lines = [
        b"POST " + (prefix + outgoing.path).encode() + outgoing.query + b" HTTP/1.1",
        b"host: " + origin.authority.encode(),
    ]
    named = {name.encode(): value.encode("latin-1", "replace") for name, value in upstream.headers}
    lines += [name + b": " + value for name, value in _typed(outgoing.headers) if name not in named]
    if key:
        bearer = upstream.dialect != "anthropic-messages" if upstream.bearer is None else upstream.bearer
        named.pop(b"authorization" if bearer else b"x-api-key", None)
        lines.append((b"authorization: Bearer " if bearer else b"x-api-key: ") + key)
    lines += [name + b": " + value for name, value in named.items() if name != b"accept-encoding"]
    lines.append(b"accept-encoding: identity")
    lines.append(b"content-length: %d\r\n\r\n" % body_bytes)
    return b"\r\n".join(lines)


@lru_cache(maxsize=1024)
def _prefix(base_url: str, *, anthropic: bool) -> str:
    """What stands before the path of every call."""
    base_url = base_url.rstrip("/")
    if anthropic:
        base_url = messages_url(base_url).removesuffix("/messages")
    path = base_url.split("://", 1)[1].partition("/")[2]
    return f"/{path}" if path else ""


def _typed(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    """The headers, with a content type where the client named none."""
    yield from headers
    if not any(name == b"content-type" for name, _ in headers):
        yield b"content-type", b"application/json"
