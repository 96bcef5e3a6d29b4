"""The HTTP door of webhooks: `POST /hooks/NAME`, and nothing else.

Who can't prove to hold the secret learns nothing: an unknown name, another method, a wrong or old signature are all the same
empty 403. What is proved is recorded before it is answered; the delivery begins later, so the sender never waits for it.

    202 recorded, with the delivery's id    200 seen before, or not what the trigger waits for
    413 too large    408 too slow    422 a field is missing    429 too many under way    503 the database is away
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio
import orjson
from anyio import to_thread

from mohist.base import Clock, IdSource, MohistError
from mohist.delivery.errors import FieldError
from mohist.delivery.trigger.firing import Firing, Firings
from mohist.delivery.trigger.setting import Listening, Trigger, Webhook
from mohist.delivery.trigger.signature import proved
from mohist.delivery.trigger.template import holds
from mohist.gateway.asgi import Receive, Scope, Send, reply

PATH: Final = "/hooks/"
_LOG: Final = logging.getLogger(__name__)
_NOBODY: Final = Webhook("github")
"""Stands in for a trigger that is not there, so that its answer takes as long."""


@dataclass(frozen=True, slots=True)
class Ear:
    """A webhook that is listened to."""

    trigger: Trigger
    secrets: Sequence[str]


class _TurnedAwayError(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class HookDoor:
    """The application.

    Args:
        ears: by the trigger's name.
        limits: of a request.
        firings: where what is proved is recorded.
        clock: for windows and times.
        ids: of deliveries.
        wake: called once something was recorded.
    """

    def __init__(
        self,
        ears: Mapping[str, Ear],
        limits: Listening,
        firings: Firings,
        clock: Clock,
        ids: IdSource,
        wake: Callable[[], None],
    ) -> None:
        self._ears, self._limits, self._firings = ears, limits, firings
        self._clock, self._ids, self._wake = clock, ids, wake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            body = await self._body(receive)
            status, told = await self._heard(scope, body)
        except _TurnedAwayError as refused:
            _LOG.info("A webhook's request was turned away: %s", refused)
            status, told = refused.status, {}
        except MohistError as error:
            _LOG.warning("A webhook's request could not be recorded: %s", error)
            status, told = 503, {}
        closes = [(b"connection", b"close")] if status in (408, 413) else []
        again = [(b"retry-after", b"60")] if status in (429, 503) else []
        await reply(send, status, json.dumps(told).encode() if told else b"", [*closes, *again])

    async def _body(self, receive: Receive) -> bytes:
        parts, size_bytes = [], 0
        try:
            with anyio.fail_after(self._limits.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _TurnedAwayError(408, "its sender went away")
                    part = message.get("body", b"")
                    size_bytes += len(part)
                    if size_bytes > self._limits.max_bytes:
                        raise _TurnedAwayError(413, f"it is larger than {self._limits.max_bytes} bytes")
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise _TurnedAwayError(408, "its body did not come in time") from None

    async def _heard(self, scope: Scope, body: bytes) -> tuple[int, dict[str, Any]]:
        path = str(scope["path"])
        ear = self._ears.get(path.removeprefix(PATH)) if path.startswith(PATH) else None
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            # Of one that comes twice the first: proxies and programs differ in what they make of two.
            headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        how = ear.trigger.how if ear is not None else _NOBODY
        assert isinstance(how, Webhook)
        secrets = ear.secrets if ear is not None else (self._ids.new("none"),)
        key = proved(how.scheme, secrets, headers, body, self._clock.now_ms(), how.window_s)
        if ear is None or key is None or scope["method"] != "POST":
            raise _TurnedAwayError(403, "nothing proves where it is from" if ear else "there is no such webhook")
        return await self._known(ear.trigger, how, key, body)

    async def _known(self, trigger: Trigger, how: Webhook, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return 422, {"status": "refused", "why": "The body is no JSON."}
        if not holds(document, how.when):
            return 200, {"status": "ignored"}
        assert trigger.requirement is not None
        try:
            text = trigger.requirement.filled(document)
        except FieldError as error:
            return 422, {"status": "refused", "why": error.what}
        firing = Firing(
            trigger.ident,
            key,
            self._ids.new("dlv"),
            text,
            f"webhook {trigger.name}",
            "claimed",
            "",
            0,
            self._clock.now_ms(),
        )
        claim = await to_thread.run_sync(self._firings.claim, firing, trigger.most_open)
        if claim.firing is None:
            why = f"{trigger.most_open} deliveries of it are under way"
            await to_thread.run_sync(self._firings.tell, trigger.ident, f"a request was turned away: {why}")
            return 429, {"status": "refused", "why": why}
        if claim.is_new:
            self._wake()
        return (202 if claim.is_new else 200), {
            "status": "accepted" if claim.is_new else "known",
            "delivery": claim.firing.delivery_id,
        }
