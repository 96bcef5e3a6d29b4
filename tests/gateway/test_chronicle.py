"""Calls in the ledger: entered before they leave, closed when they are over, and not made where they can't be entered."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from fakes.gateway import Gateway, at, gateway
from fakes.ledger import Ledger, opened
from fakes.upstream import Received, Reply, Upstream, chat_wire, error_reply
from mohist.gateway.call import Refusal
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.route import Route
from mohist.ledger.log import Log
from mohist.ledger.vault import commitment

pytestmark = pytest.mark.enable_socket
CHAT = "/v1/chat/completions"
BODY = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "tell ada's secret"}]}
).encode()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as made:
        yield made


@asynccontextmanager
async def serving(
    kept: Ledger, *upstreams: Upstream, tell: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Gateway]:
    chronicle = Chronicle(kept, kept.names.pseudonym, tell)
    ends = tuple(at(upstream.url, name=f"up{number}") for number, upstream in enumerate(upstreams))
    async with gateway([Route("m", ends)], chronicle=chronicle) as running:
        yield running
    await anyio.to_thread.run_sync(chronicle.close)


async def test_a_call_is_in_the_ledger_before_it_reaches_the_upstream(kept: Ledger) -> None:
    seen: list[list[str]] = []

    def reply(_: Received) -> Reply:
        seen.append([entry["kind"] for entry in kept.entries()])
        return Reply(chat_wire("hello"))

    async with Upstream([reply]) as upstream, serving(kept, upstream) as running:
        assert (await running.post(CHAT, BODY)).status == 200
    assert seen == [["model.intent"]]
    intent, response = kept.entries()
    assert (intent["data"]["model"], intent["data"]["upstream"], intent["actor"]) == ("m", "up0", "key:key-1")
    assert response["kind"] == "model.response"
    assert response["about"]["intent"] == intent["key"]
    assert (response["data"]["status"], response["data"]["verdict"]) == (200, "allowed")
    assert response["data"]["output_tokens"] is not None


async def test_what_left_can_be_proved_and_no_name_stands_in_the_log(kept: Ledger) -> None:
    async with Upstream([Reply(chat_wire("hello"))]) as upstream, serving(kept, upstream) as running:
        await running.post(CHAT, BODY)
        (received,) = upstream.requests
    (payload,) = kept.entries()[0]["payload"]
    log = Log(kept.folder / "log.db", read_only=True)
    row = log.payload(payload["commitment"])
    log.close()
    assert row is not None
    assert hmac.compare_digest(commitment(kept.vault.key(row[0], row[1]), received.body), payload["commitment"])
    raw = (kept.folder / "log.db").read_bytes() + (kept.folder / "log.db-wal").read_bytes()
    # Three letters may stand in a digest by chance; the name as a value, and what was said, may not.
    assert b'"ada"' not in raw
    assert b"secret" not in raw
    assert kept.names.name(kept.entries()[0]["for"]) == "ada"


async def test_a_call_that_can_not_be_entered_does_not_leave(kept: Ledger) -> None:
    kept.refuses = True
    async with Upstream([Reply(chat_wire("hello"))] * 2) as upstream, serving(kept, upstream) as running:
        answered = await running.post(CHAT, BODY)
        assert answered.status == 503
        assert b"ledger" in answered.body
        assert upstream.requests == []
        kept.refuses = False
        assert (await running.post(CHAT, BODY)).status == 200
    kinds = [entry["kind"] for entry in kept.entries()]
    assert kinds[-2:] == ["model.intent", "model.response"]
    # The refusal itself is entered as well, where the ledger took entries again in time.
    assert set(kinds[:-2]) <= {"verdict"}


async def test_each_upstream_that_gets_a_body_is_entered(kept: Ledger) -> None:
    async with (
        Upstream([error_reply(500, "server_error", "broken")]) as first,
        Upstream([Reply(chat_wire("hello"))]) as second,
        serving(kept, first, second) as running,
    ):
        assert (await running.post(CHAT, BODY)).status == 200
    entries = kept.entries()
    assert [(entry["kind"], entry["data"].get("upstream"), entry["data"].get("verdict")) for entry in entries] == [
        ("model.intent", "up0", None),
        ("model.intent", "up1", None),
        ("model.response", None, "failed over"),
        ("model.response", None, "allowed"),
    ]
    assert [entry["about"]["intent"] for entry in entries[2:]] == [entry["key"] for entry in entries[:2]]


async def test_a_refusal_is_entered_as_a_verdict(kept: Ledger) -> None:
    async with Upstream([]) as upstream, serving(kept, upstream) as running:
        running.keeper.refusal = Refusal("budget", 402, "The budget is spent.")
        assert (await running.post(CHAT, BODY)).status == 402
        assert (await running.post(CHAT, BODY, key="wrong")).status == 401
    assert [(e["kind"], e["actor"], e["data"]["verdict"]) for e in kept.entries()] == [
        ("verdict", "key:key-1", "budget"),
        ("verdict", "key:unknown", "auth"),
    ]


async def test_results_that_can_not_be_entered_are_said_once_and_stop_nothing(kept: Ledger) -> None:
    def breaking(_: Received) -> Reply:
        kept.refuses = True
        return Reply(chat_wire("hello"))

    def mended(_: Received) -> Reply:
        return Reply(chat_wire("hello"))

    replies: list[Callable[[Received], Reply]] = [breaking, mended]
    said, told = anyio.Event(), list[str]()
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        told.append(text)
        loop.call_soon_threadsafe(said.set)

    async with Upstream(replies) as upstream, serving(kept, upstream, tell=tell) as running:
        assert (await running.post(CHAT, BODY)).status == 200
        with anyio.fail_after(60):
            await said.wait()
        kept.refuses = False
        assert (await running.post(CHAT, BODY)).status == 200
    assert told == ["The disk is full."]
    assert [entry["kind"] for entry in kept.entries()] == ["model.intent", "model.intent", "model.response"]
