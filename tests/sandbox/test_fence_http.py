"""Whatever HTTP can do goes through the fence unchanged: large bodies, streams, upgrades, many requests on one connection."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from fence_room import HOST, Origin, codes, connect, inside, origin, resolver, speak, to_port, trusting
from sandbox_room import PYTHON
from test_fence_tools import Answer, Shop

from mohist.sandbox import Attempt, Authority, Bubblewrap, Fence, FenceLimits, Rule, Rules

pytestmark = pytest.mark.enable_socket

LOOPBACK = resolver({HOST: ["127.0.0.1"]})


def digest(method: str, path: str, query: str, body: bytes) -> Answer:
    """Says what arrived, and sends as much back."""
    return 200, "text/plain", hashlib.sha256(body).hexdigest().encode() + body


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
async def test_large_bodies_go_both_ways(sandbox: Bubblewrap, workspace: Path, scheme: str, chunked: bool) -> None:
    body = os.urandom(3_000_000)
    (workspace / "body").write_bytes(body)
    outside, authority = Authority(), Authority()
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, (80, 443), private=True, inspect=True)])
    context = outside.context(HOST) if scheme == "https" else None
    argv = ["curl", "-sS", "--data-binary", "@body", "-o", "back", f"{scheme}://{HOST}/up"]
    argv += ["-H", "Transfer-Encoding: chunked"] if chunked else []
    async with (
        origin(context, Shop(app=digest)) as server,
        Fence(
            to_port(rules, server.port), attempts.append, resolve=LOOPBACK, authority=authority, trust=trusting(outside)
        ) as fence,
    ):
        done = await inside(sandbox, workspace, fence, argv)
    assert done.exit.code == 0, done.output
    assert (workspace / "back").read_bytes() == hashlib.sha256(body).hexdigest().encode() + body
    assert codes(attempts) == ["through"]
    assert attempts[0].sent_bytes > len(body)
    assert attempts[0].received_bytes > len(body)


async def test_a_stream_arrives_while_it_is_sent(sandbox: Bubblewrap, workspace: Path) -> None:
    """The server goes on only after the program has had the first event."""

    class Events(Origin):
        async def serve(self, stream: ByteStream) -> None:
            async with stream:
                await stream.receive()
                await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\none...\n\r\n")
                with anyio.fail_after(60):
                    while not (workspace / "seen").exists():
                        await anyio.lowlevel.checkpoint()
                await stream.send(b"4\r\ntwo\n\r\n0\r\n\r\n")

    outside, authority = Authority(), Authority()
    rules = Rules([Rule(HOST, private=True, inspect=True)])
    code = f"""
import urllib.request
answer = urllib.request.urlopen("https://{HOST}/")
print(answer.readline())
open("seen", "w").close()
print(answer.readline())
"""
    async with (
        origin(outside.context(HOST), Events()) as server,
        Fence(
            to_port(rules, server.port), lambda attempt: None, resolve=LOOPBACK, authority=authority,
            trust=trusting(outside),
        ) as fence,
    ):  # fmt: skip
        done = await inside(sandbox, workspace, fence, [PYTHON, "-c", code])
    assert done.output == b"b'one...\\n'\nb'two\\n'\n"


async def test_an_upgraded_connection_goes_on(sandbox: Bubblewrap, workspace: Path) -> None:
    class Echo(Origin):
        async def serve(self, stream: ByteStream) -> None:
            async with stream:
                self.requests.append(await stream.receive())
                await stream.send(b"HTTP/1.1 101 Go on\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
                await stream.send(b"echo " + await stream.receive())

    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, (80,), private=True)])
    asking = b"GET / HTTP/1.1\r\nHost: allowed.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    async with (
        origin(server=Echo()) as server,
        Fence(to_port(rules, server.port), attempts.append, resolve=LOOPBACK) as fence,
    ):
        told = await speak(sandbox, workspace, fence, {"x": connect(b"allowed.example:80", asking, b"frame")})
    assert b"101" in told["x"]
    assert b"early" in told["x"]
    assert told["x"].endswith(b"echo frame")
    assert codes(attempts) == ["through"]


async def test_many_requests_share_a_connection_and_each_is_recorded(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, (80,), private=True)])
    argv = ["curl", "-sS", *(f"http://{HOST}/{number}" for number in range(20)), "http://evil.example/"]
    async with origin() as server, Fence(to_port(rules, server.port), attempts.append, resolve=LOOPBACK) as fence:
        await inside(sandbox, workspace, fence, argv)
    assert codes(attempts) == ["through"] * 20 + ["not-listed"]
    assert len(server.requests) == 20
    assert server.connections == 1
    assert len({(each.sent_bytes, each.received_bytes) for each in attempts[:10]}) == 1


async def test_a_server_that_never_answers_is_given_up(sandbox: Bubblewrap, workspace: Path) -> None:
    class Silent(Origin):
        async def serve(self, stream: ByteStream) -> None:
            async with stream:
                async for data in stream:
                    self.requests.append(data)

    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, (80,), private=True)])
    argv = ["curl", "-sS", f"http://{HOST}/"]
    async with (
        origin(server=Silent()) as server,
        Fence(to_port(rules, server.port), attempts.append, resolve=LOOPBACK, limits=FenceLimits(idle_s=0.3)) as fence,
    ):
        done = await inside(sandbox, workspace, fence, argv, timeout_s=30)
    assert b"Failed at the fence: timeout" in done.output
    assert [(each.outcome, each.code) for each in attempts] == [("failed", "timeout")]
