"""The door of webhooks over real HTTP: what is proved is recorded once, and who proves nothing learns nothing."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from fakes.clock import FakeClock
from fakes.ids import CountingIds
from mohist.delivery.trigger.door import Ear, HookDoor
from mohist.delivery.trigger.firing import Firings
from mohist.delivery.trigger.listener import listen
from mohist.delivery.trigger.setting import Listening, Trigger, Webhook
from mohist.delivery.trigger.template import Template

pytestmark = pytest.mark.enable_socket
SECRET = secrets.token_hex(20)
ISSUE = {"action": "opened", "issue": {"title": "Ship free", "body": "From 100 on."}}


def trigger(most_open: int = 20) -> Trigger:
    how = Webhook("github", "SHOP_HOOK", when=(("/action", ("opened",)),))
    template = Template("{/issue/title}\n\n{/issue/body}")
    return Trigger("issues", how, Path("/srv/shop"), "issues", "f", template, most_open=most_open)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}


class Room:
    def __init__(self, url: str, firings: Firings, woken: list[int], client: httpx2.AsyncClient) -> None:
        self.url, self.firings, self.woken, self.client = url, firings, woken, client

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = "/hooks/issues"
    ) -> httpx2.Response:
        return await self.client.post(self.url + path, content=body, headers=headers or signed(body))


@asynccontextmanager
async def open_door(tmp_path: Path, clock: FakeClock, most_open: int = 20, **limits: float) -> AsyncIterator[Room]:
    firings = Firings(tmp_path / "deliveries.db", clock)
    woken: list[int] = []
    settings = Listening("127.0.0.1", 0, **limits)  # type: ignore[arg-type]
    ears = {"issues": Ear(trigger(most_open), (SECRET,))}
    door = HookDoor(ears, settings, firings, clock, CountingIds(), lambda: woken.append(1))
    heard: list[str] = []
    ready = anyio.Event()

    def told(url: str) -> None:
        heard.append(url)
        ready.set()

    async with anyio.create_task_group() as group, httpx2.AsyncClient() as client:
        group.start_soon(listen, door, settings, told)
        with anyio.fail_after(60):
            await ready.wait()
        try:
            yield Room(heard[0], firings, woken, client)
        finally:
            group.cancel_scope.cancel()
            firings.close()


async def test_a_signed_request_is_recorded_once_however_often_it_comes(tmp_path: Path, clock: FakeClock) -> None:
    async with open_door(tmp_path, clock) as room:
        body = json.dumps(ISSUE).encode()
        first = await room.post(body)
        assert (first.status_code, first.json()) == (202, {"status": "accepted", "delivery": "dlv-000001"})
        again = await room.post(body, signed(body) | {"X-GitHub-Delivery": "another"})
        assert (again.status_code, again.json()) == (200, {"status": "known", "delivery": "dlv-000001"})
        assert room.woken == [1]
        (firing,) = room.firings.newest(trigger().ident, 9)
        assert (firing.requirement, firing.status) == ("Ship free\n\nFrom 100 on.", "claimed")


async def test_many_that_come_at_once_with_the_same_are_one(tmp_path: Path, clock: FakeClock) -> None:
    async with open_door(tmp_path, clock) as room:
        body = json.dumps(ISSUE).encode()
        statuses: list[int] = []

        async def post() -> None:
            statuses.append((await room.post(body)).status_code)

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(post)
        assert sorted(statuses) == [200] * 11 + [202]
        assert len(room.firings.newest(trigger().ident, 99)) == 1


async def test_every_refusal_is_the_same_and_says_nothing(tmp_path: Path, clock: FakeClock) -> None:
    async with open_door(tmp_path, clock) as room:
        body = json.dumps(ISSUE).encode()
        refused = [
            await room.post(body, {"X-Nothing": "1"}),
            await room.post(body, signed(body, "another secret here")),
            await room.post(body + b" ", signed(body)),
            await room.post(body, path="/hooks/none"),
            await room.post(body, path="/hooks/"),
            await room.post(body, path="/"),
            await room.post(body, path="/hooks/issues/"),
            await room.client.get(f"{room.url}/hooks/issues"),
            await room.client.put(f"{room.url}/hooks/issues", content=body, headers=signed(body)),
        ]
        assert {(one.status_code, one.content) for one in refused} == {(403, b"")}
        assert len({tuple(sorted(set(one.headers) - {"date"})) for one in refused}) == 1
        assert room.firings.newest(trigger().ident) == []


async def test_what_it_does_not_wait_for_or_cant_use_is_told_to_who_proved_who_they_are(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with open_door(tmp_path, clock, most_open=1) as room:
        closed = await room.post(json.dumps(ISSUE | {"action": "closed"}).encode())
        assert (closed.status_code, closed.json()) == (200, {"status": "ignored"})
        lacking = await room.post(b'{"action": "opened", "issue": {}}')
        assert lacking.status_code == 422
        assert "/issue/title" in lacking.json()["why"]
        assert (await room.post(b"payload=%7B%7D")).status_code == 422
        assert (await room.post(b"[" * 100_000)).status_code == 422
        assert (await room.post(json.dumps(ISSUE).encode())).status_code == 202
        full = await room.post(json.dumps(ISSUE | {"n": 2}).encode())
        assert (full.status_code, full.headers["retry-after"]) == (429, "60")
        assert "turned away" in room.firings.told(trigger().ident)[0]


async def test_a_body_is_bounded_in_size_and_in_time(tmp_path: Path, clock: FakeClock) -> None:
    async with open_door(tmp_path, clock, max_bytes=1000, body_timeout_s=0.2) as room:
        large = b"x" * 1001
        assert (await room.post(large)).status_code == 413
        host, _, port = room.url.removeprefix("http://").partition(":")
        async with await anyio.connect_tcp(host, int(port)) as slow:
            await slow.send(b"POST /hooks/issues HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
            with anyio.fail_after(60):
                assert (await slow.receive()).startswith(b"HTTP/1.1 408")
        assert room.firings.newest(trigger().ident) == []


async def test_an_address_that_is_taken_is_waited_for(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mohist.delivery.trigger.listener.AGAIN_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as held:
        settings = Listening("127.0.0.1", held.getsockname()[1])
        firings = Firings(tmp_path / "deliveries.db", clock)
        door = HookDoor({}, settings, firings, clock, CountingIds(), lambda: None)
        ready = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(listen, door, settings, lambda _: ready.set())
            await anyio.lowlevel.checkpoint()
            assert not ready.is_set()
            held.close()
            with anyio.fail_after(60):
                await ready.wait()
            group.cancel_scope.cancel()
        firings.close()


async def test_a_database_that_is_away_is_told_as_503(tmp_path: Path, clock: FakeClock) -> None:
    async with open_door(tmp_path, clock) as room:
        room.firings._tables.db.close()
        body = json.dumps(ISSUE).encode()
        answer = await room.post(body)
        assert (answer.status_code, answer.content) == (503, b"")
