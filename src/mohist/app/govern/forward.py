"""The way from a governed client to a gateway that serves elsewhere. The client's key ends here; the user's begins here."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from typing import Final

import anyio
import httpx2

from mohist.app.errors import ConfigError
from mohist.app.govern.account import Account
from mohist.app.govern.gateway import UNKNOWN_KEY
from mohist.gateway import dialect as speech
from mohist.gateway.asgi import Receive, Scope, Send, refuse, reply
from mohist.gateway.call import Dialect, Refusal
from mohist.gateway.request import RefusedError, credential
from mohist.provider.failure import REFUSED_HEADER

_CONNECT_S: Final = 10.0
_IDLE_S: Final = 600.0
"""As long as a gateway lets a vendor be silent."""
# RFC 9110 section 7.6.1, and what is said anew.
_DROPPED: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"host", b"expect", b"authorization", b"x-api-key", b"api-key", b"proxy-authorization"),
    }
)
_NOTHING: Final = Refusal("bad_request", 404, "There is nothing at this path for a governed client.")
_AWAY: Final = Refusal("unavailable", 502, "The gateway behind this one does not answer. Tell its operator.")


class Forward:
    """An ASGI application. `close` ends the calls under way.

    Args:
        url: of the gateway, without a path.
        secret: the user's virtual key there.
        key: the only one that the client may show.
        account: is told of every call.
    """

    def __init__(self, url: str, secret: str, key: str, account: Account) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"The server {url!r} is no address.", "Such as https://models.example.com.")
        self._url = url.rstrip("/").removesuffix("/v1")
        self._secret = secret
        self._key = key
        self._account = account
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(_IDLE_S, connect=_CONNECT_S), follow_redirects=False, trust_env=True
        )

    async def close(self) -> int:
        """Nothing is left to be written down: that gateway keeps usage."""
        await self._client.aclose()
        return 0

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request and its answer, as it comes."""
        if scope["type"] != "http":
            return
        headers, path, method = scope["headers"], scope["path"], scope["method"]
        call = path in speech.DOORS and method == "POST"
        anthropic = any(name in (b"anthropic-version", b"x-api-key") for name, _ in headers)
        asked: Dialect = "anthropic-messages" if anthropic else "openai-chat"
        asked = speech.DOORS[path][0] if path in speech.DOORS else asked
        if method == "HEAD" and path in ("/", "/api/hello"):
            await reply(send, 200, b"")
            return
        if not call and (method, path) != ("GET", "/v1/models"):
            # The user's key may open more there than models, such as the admin API; a client gets to models alone.
            await refuse(send, asked, _NOTHING)
            return
        agent = next((value.decode("latin-1") for name, value in headers if name == b"user-agent"), "").split(" ")[0]
        try:
            shown = credential(headers)
        except RefusedError as error:
            await refuse(send, asked, error.refusal)
            return
        if not hmac.compare_digest(shown.encode(), self._key.encode()):
            await refuse(send, asked, UNKNOWN_KEY)
            return
        verdict = "cancelled"
        try:
            async with anyio.create_task_group() as group:
                body = _Body(receive)
                group.start_soon(body.leave, group.cancel_scope)
                verdict = await self._pass_on(scope, body, send, asked)
                group.cancel_scope.cancel()
        finally:
            if call:
                self._account.count(agent, verdict)

    async def _pass_on(self, scope: Scope, body: _Body, send: Send, asked: Dialect) -> str:
        """The call's verdict: `allowed`, or why not."""
        query = scope["query_string"]
        url = self._url + scope["path"] + (f"?{query.decode('latin-1')}" if query else "")
        headers = [(name, value) for name, value in scope["headers"] if name not in _DROPPED]
        name, shown = (
            (b"x-api-key", self._secret)
            if asked == "anthropic-messages"
            else (b"authorization", f"Bearer {self._secret}")
        )
        headers.append((name, shown.encode("latin-1")))
        content = body.pieces() if scope["method"] == "POST" else None
        request = self._client.build_request(scope["method"], url, headers=headers, content=content)
        try:
            answer = await self._client.send(request, stream=True)
        except httpx2.TransportError:
            if body.left:
                return "cancelled"
            await refuse(send, asked, _AWAY)
            return "unavailable"
        try:
            kept = [(key.lower(), value) for key, value in answer.headers.raw if key.lower() not in _DROPPED]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            try:
                async for piece in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except httpx2.TransportError:
                return "unavailable"  # the server cuts the connection, and the client sees that it was cut
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return answer.headers.get(REFUSED_HEADER, "") or "allowed"
        finally:
            with anyio.CancelScope(shield=True):
                await answer.aclose()


class _Body:
    """A request's body as it comes, and the client's leaving after it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.over = anyio.Event()
        self.left = False

    async def pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.left = True
                self.over.set()
                raise httpx2.WriteError("the client left")
            more = message.get("more_body", False)
            yield message.get("body", b"")
        self.over.set()

    async def leave(self, scope: anyio.CancelScope) -> None:
        """Cancels the call once its client has left: the gateway there learns of it and bills no more than was read."""
        await self.over.wait()
        while not self.left:
            self.left = (await self._receive())["type"] == "http.disconnect"
        scope.cancel()
