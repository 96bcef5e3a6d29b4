"""The way to a gateway elsewhere, and what is said while a client has the screen."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from fakes.upstream import Reply, Upstream, chat_wire
from mohist.app.errors import ConfigError
from mohist.app.govern.account import Account
from mohist.app.govern.forward import Forward
from mohist.app.govern.screen import MAX_LINES, Screen
from mohist.provider.failure import REFUSED_HEADER
from mohist.provider.mount import Mount

KEY = "mhk-of-the-run"
PATIENCE_S = 60.0


@asynccontextmanager
async def forwarded(url: str, account: Account, secret: str) -> AsyncIterator[httpx2.AsyncClient]:
    forward = Forward(url, secret, KEY, account)
    async with httpx2.AsyncClient(transport=Mount(forward.app), base_url="http://gateway.internal") as client:
        with anyio.fail_after(PATIENCE_S):
            yield client
    await forward.close()


@pytest.fixture
def secret() -> str:
    return "mhk-" + os.urandom(8).hex()


def head(**more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEY}", "user-agent": "one/1.2 (x)"} | more


@pytest.mark.enable_socket
async def test_a_call_goes_on_as_it_is_under_the_users_key(secret: str) -> None:
    account = Account()
    wire = chat_wire("one two three")
    async with Upstream([Reply(wire, piece_bytes=7)]) as upstream, forwarded(upstream.url, account, secret) as client:
        body: dict[str, Any] = {"model": "m", "messages": []}
        answer = await client.post("/v1/chat/completions?x=1", json=body, headers=head(**{"x-session-id": "s1"}))
    (asked,) = upstream.requests
    assert (answer.status_code, answer.content) == (200, wire)
    assert (asked.path, asked.json, asked.headers["x-session-id"]) == ("/v1/chat/completions?x=1", body, "s1")
    assert asked.headers["authorization"] == f"Bearer {secret}"
    assert KEY not in str(asked)
    assert (account.calls, dict(account.verdicts), dict(account.agents)) == (1, {"allowed": 1}, {"one/1.2": 1})


@pytest.mark.enable_socket
@pytest.mark.parametrize("key_header", [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}], ids=["own", "bearer"])
async def test_a_client_of_anthropics_dialect_shows_its_key_as_that_wants_it(
    key_header: dict[str, str], secret: str
) -> None:
    async with (
        Upstream([Reply(b"{}", content_type="application/json")]) as upstream,
        forwarded(upstream.url + "/v1", Account(), secret) as client,
    ):
        shown = key_header | {"anthropic-version": "2023-06-01"}
        answer = await client.post("/v1/messages", content=b"{}", headers=shown)
    assert answer.status_code == 200
    assert upstream.requests[0].headers["x-api-key"] == secret
    assert "authorization" not in upstream.requests[0].headers


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    "shown", [{}, {"authorization": "Bearer other"}, {"x-api-key": "other", "authorization": f"Bearer {KEY}"}]
)
async def test_another_key_is_refused_here(shown: dict[str, str], secret: str) -> None:
    async with Upstream([]) as upstream, forwarded(upstream.url, Account(), secret) as client:
        answer = await client.post("/v1/chat/completions", content=b"{}", headers=shown)
    assert answer.status_code in (400, 401)
    assert upstream.requests == []


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/admin/v1/keys", 404), ("POST", "/admin/v1/keys", 404), ("GET", "/metrics", 404), ("DELETE", "/v1/models", 404),
        ("GET", "/v1/chat/completions", 404), ("POST", "/v1//chat/completions", 404), ("POST", "/v1/../admin/v1/keys", 404),
        ("HEAD", "/api/hello", 200), ("HEAD", "/", 200),
    ],
)  # fmt: skip
async def test_nothing_but_models_is_reached_with_the_users_key(
    method: str, path: str, wanted: int, secret: str
) -> None:
    async with Upstream([]) as upstream, forwarded(upstream.url, Account(), secret) as client:
        answer = await client.request(method, path, headers=head())
    assert answer.status_code == wanted
    assert upstream.requests == []


@pytest.mark.enable_socket
async def test_the_models_of_the_gateway_there_are_listed(secret: str) -> None:
    listed = Reply(b'{"data": []}', content_type="application/json")
    async with Upstream([listed]) as upstream, forwarded(upstream.url, Account(), secret) as client:
        answer = await client.get("/v1/models", headers=head())
    assert (answer.content, upstream.requests[0].path) == (b'{"data": []}', "/v1/models")


@pytest.mark.enable_socket
async def test_why_the_gateway_there_refused_a_call_is_counted(secret: str) -> None:
    account = Account()
    refusal = Reply(b'{"error": {}}', 402, ((REFUSED_HEADER, "budget"),), content_type="application/json")
    async with Upstream([refusal]) as upstream, forwarded(upstream.url, account, secret) as client:
        answer = await client.post("/v1/chat/completions", content=b"{}", headers=head())
    assert (answer.status_code, answer.headers[REFUSED_HEADER]) == (402, "budget")
    assert dict(account.verdicts) == {"budget": 1}


@pytest.mark.enable_socket
async def test_a_gateway_that_does_not_answer_is_told_in_the_callers_dialect(secret: str) -> None:
    account = Account()
    async with forwarded("http://127.0.0.1:9", account, secret) as client:
        answer = await client.post("/v1/chat/completions", content=b"{}", headers=head())
    assert answer.status_code == 502
    assert "does not answer" in json.loads(answer.content)["error"]["message"]
    assert account.unreachable == 1


@pytest.mark.enable_socket
async def test_a_client_that_leaves_ends_the_call_there(secret: str) -> None:
    account = Account()
    reply = Reply(chat_wire("one two three"), stall_at=40)
    async with Upstream([reply]) as upstream, forwarded(upstream.url, account, secret) as client:
        async with client.stream("POST", "/v1/chat/completions", content=b"{}", headers=head()) as answer:
            await anext(answer.aiter_raw())
        await asyncio.wait_for(upstream.hung_up.wait(), PATIENCE_S)
    assert dict(account.verdicts) == {"cancelled": 1}


@pytest.mark.enable_socket
async def test_an_answer_that_breaks_off_there_breaks_off_here(secret: str) -> None:
    reply = Reply(chat_wire("one two three"), cut_at=40)
    async with Upstream([reply]) as upstream, forwarded(upstream.url, Account(), secret) as client:
        with pytest.raises(httpx2.TransportError):
            await client.post("/v1/chat/completions", content=b"{}", headers=head())


def test_what_is_no_address_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        Forward("models.example.com", secret, KEY, Account())


def test_lines_and_warnings_wait_while_the_client_has_the_screen() -> None:
    told: list[str] = []
    log = logging.getLogger("mohist.gateway.screen.book")
    with Screen(told.append) as screen:
        screen.say("before")
        screen.lend()
        screen.say("meanwhile")
        log.warning("alarm in %s", "call-1")
        log.info("nobody asked")
        assert told == ["before"]
    assert told == ["before", "meanwhile", "alarm in call-1"]
    assert logging.getLogger("mohist").propagate
    assert logging.getLogger("mohist").handlers == []


def test_what_is_said_meanwhile_has_a_bound() -> None:
    told: list[str] = []
    with Screen(told.append) as screen:
        screen.lend()
        for number in range(MAX_LINES + 5):
            screen.say(str(number))
    assert told[-1] == "and 5 more lines"
    assert len(told) == MAX_LINES + 1
