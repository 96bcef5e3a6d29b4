"""Requests to an ASGI application in this process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

App = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Heard:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: App,
    method: str,
    target: str,
    *,
    key: str = "",
    value: Any = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Heard:
    """One request, `value` as JSON."""
    path, _, query = target.partition("?")
    sent = {"host": "gateway", **(headers or {})}
    if value is not None:
        body = json.dumps(value).encode()
        sent.setdefault("content-type", "application/json")
    if key:
        sent["authorization"] = f"Bearer {key}"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": quote(unquote(path)).encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), text.encode("latin-1")) for name, text in sent.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("gateway", 80),
    }
    coming = [{"type": "http.request", "body": body, "more_body": False}]
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    start, *rest = told
    heads = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in start["headers"]}
    return Heard(start["status"], heads, b"".join(message.get("body", b"") for message in rest))
