"""Calls in the ledger: entered before they leave, closed when they are over, and not made where they can't be entered."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from fakes.gateway import Gateway, at, gateway
from fakes.upstream import Received, Reply, Upstream, chat_wire, error_reply
from mohist.gateway.call import Refusal
from mohist.gateway.chronicle import Chronicle
from mohist.gateway.route import Route
from mohist.ledger import Draft, LedgerBusyError, Receipt, decode
from mohist.ledger.log import Log
from mohist.ledger.name import Names
from mohist.ledger.vault import Vault, commitment
from mohist.ledger.writer import Writer

pytestmark = pytest.mark.enable_socket
CHAT = "/v1/chat/completions"
BODY = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "tell ada's secret"}]}
).encode()
ROOT = os.urandom(32)


@dataclass
class Kept:
    """A real ledger, which can be made to refuse."""

    folder: Path
    writer: Writer
    names: Names
    vault: Vault
    refuses: bool = False
    told: list[str] = field(default_factory=list)

    def submit(self, draft: Draft) -> Future[Receipt]:
        if self.refuses:
            failed: Future[Receipt] = Future()
            failed.set_exception(LedgerBusyError("The disk is full."))
            return failed
        return self.writer.submit(draft)

    def entries(self) -> list[dict[str, Any]]:
        log = Log(self.folder / "log.db", read_only=True)
        found = [decode(leaf) for leaf in log.leaves(0, log.size)]
        log.close()
        return found


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    vault = Vault(tmp_path / "keys.db", ROOT)
    made = Kept(
        tmp_path, Writer(Log(tmp_path / "log.db", "log.example/test"), vault), Names(tmp_path / "n.db", ROOT), vault
    )
    yield made
    made.writer.close()
    made.names.close()
    vault.close()


@asynccontextmanager
async def serving(kept: Kept, *upstreams: Upstream) -> AsyncIterator[Gateway]:
    chronicle = Chronicle(kept, kept.names.pseudonym, kept.told.append)
    ends = tuple(at(upstream.url, name=f"up{number}") for number, upstream in enumerate(upstreams))
    async with gateway([Route("m", ends)], chronicle=chronicle) as running:
        yield running
    await anyio.to_thread.run_sync(chronicle.close)


async def test_a_call_is_in_the_ledger_before_it_reaches_the_upstream(kept: Kept) -> None:
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


async def test_what_left_can_be_proved_and_no_name_stands_in_the_log(kept: Kept) -> None:
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


async def test_a_call_that_can_not_be_entered_does_not_leave(kept: Kept) -> None:
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


async def test_each_upstream_that_gets_a_body_is_entered(kept: Kept) -> None:
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


async def test_a_refusal_is_entered_as_a_verdict(kept: Kept) -> None:
    async with Upstream([]) as upstream, serving(kept, upstream) as running:
        running.keeper.refusal = Refusal("budget", 402, "The budget is spent.")
        assert (await running.post(CHAT, BODY)).status == 402
        assert (await running.post(CHAT, BODY, key="wrong")).status == 401
    assert [(e["kind"], e["actor"], e["data"]["verdict"]) for e in kept.entries()] == [
        ("verdict", "key:key-1", "budget"),
        ("verdict", "key:unknown", "auth"),
    ]


async def test_results_that_can_not_be_entered_are_said_once_and_stop_nothing(kept: Kept) -> None:
    def breaking(_: Received) -> Reply:
        kept.refuses = True
        return Reply(chat_wire("hello"))

    def mended(_: Received) -> Reply:
        return Reply(chat_wire("hello"))

    replies: list[Callable[[Received], Reply]] = [breaking, mended]
    async with Upstream(replies) as upstream, serving(kept, upstream) as running:
        assert (await running.post(CHAT, BODY)).status == 200
        with anyio.fail_after(20):
            while not kept.told:
                await anyio.sleep(0.01)
        kept.refuses = False
        assert (await running.post(CHAT, BODY)).status == 200
    assert kept.told == ["The disk is full."]
    assert [entry["kind"] for entry in kept.entries()] == ["model.intent", "model.intent", "model.response"]
