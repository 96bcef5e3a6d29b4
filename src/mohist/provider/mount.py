"""An ASGI application as the place where an HTTP client's calls go: in process, without a socket.

Streams: a piece of the answer waits until the reader takes it, so that nothing is read ahead, and a reader that closes
early is a client that hung up (`http.disconnect`). The HTTP library's own ASGI transport gathers whole answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

import httpx2

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_LEAVE_S: Final = 5.0
"""An application that was told of the hang-up gets so long to end its call, then it is cancelled."""


class Mount(httpx2.AsyncBaseTransport):
    """Carries requests to `application`; closing it ends the calls under way.

    Each call runs in a task of its own, because it goes on between two reads of its answer.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._calls: set[_Call] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer once its head is there.

        Raises:
            httpx2.RemoteProtocolError: the application ended without an answer.
        """
        call = _Call(await request.aread())
        self._calls.add(call)
        call.run(self._application(_scope(request), call.receive, call.send), lambda: self._calls.discard(call))
        try:
            status, headers = await call.head()
        except BaseException:
            await call.leave()
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(call))

    async def aclose(self) -> None:
        """Hangs up on every call and waits until the application has ended them."""
        for call in list(self._calls):
            await call.leave()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, call: _Call) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._call.next():
            yield piece

    async def aclose(self) -> None:
        await self._call.leave()


class _Call:
    """One request and its answer, between the task that serves it and the one that reads it.

    Order: run, head, next*, leave. At most one piece waits to be read.
    """

    def __init__(self, body: bytes) -> None:
        self._request: bytes | None = body
        self._start: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._piece = b""
        self._whole = False
        self._left = asyncio.Event()
        self._filled = asyncio.Event()
        """Something for the reader: the head, a piece, the end."""
        self._taken = asyncio.Event()
        self._task: asyncio.Future[None]

    def run(self, serving: Awaitable[None], ended: Callable[[], None]) -> None:
        self._task = asyncio.ensure_future(serving)

        def over(task: asyncio.Future[None]) -> None:
            if not task.cancelled():
                task.exception()  # the reader is told that the answer broke off; it needs no word of the cause
            self._filled.set()
            ended()

        self._task.add_done_callback(over)

    # The application's side.

    async def receive(self) -> Message:
        if self._request is not None:
            body, self._request = self._request, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message["status"], list(message["headers"])
        else:
            if body := message.get("body", b""):
                await self._put(body)
            self._whole = not message.get("more_body", False)
        self._filled.set()

    async def _put(self, body: bytes) -> None:
        if self._left.is_set():
            return  # ASGI: what is sent to a client that has gone is dropped
        self._piece = body
        self._taken.clear()
        self._filled.set()
        await self._taken.wait()

    # The reader's side.

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        while self._start is None:
            await self._more()
        return self._start

    async def next(self) -> bytes:
        """The next piece; empty at the end."""
        while not self._piece:
            if self._whole:
                return b""
            await self._more()
        piece, self._piece = self._piece, b""
        self._taken.set()
        return piece

    async def leave(self) -> None:
        """Tells the application that nobody reads any more, and waits for it to end."""
        self._left.set()
        self._piece = b""
        self._taken.set()
        if not self._task.done():
            await asyncio.wait([self._task], timeout=_LEAVE_S)
            self._task.cancel()

    async def _more(self) -> None:
        if self._task.done():
            raise httpx2.RemoteProtocolError("the answer was not ended")
        self._filled.clear()
        await self._filled.wait()


def _scope(request: httpx2.Request) -> Message:
    url = request.url
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": (url.host, url.port),
        "root_path": "",
    }
