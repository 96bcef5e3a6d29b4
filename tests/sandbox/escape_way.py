"""The fence's attempts, in it and through a proxy as one would write it in an afternoon."""

# ruff: noqa: ASYNC240 - a program of its own that waits for nothing else

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
from anyio.abc import ByteStream
from fence_room import GET, HOST, Say, connect, extended, origin, real_hello, resolver, speak, to_port
from test_fence_door import REFUSED, RULES

from mohist.sandbox import Asked, Attempt, Bubblewrap, Decision, Dial, Fence, Rule, Rules

_LED = {
    "a name that leads to loopback": ["127.0.0.1"],
    "a name that leads to loopback mapped into IPv6": ["::ffff:127.0.0.1"],
    "a name with a public and a private address": ["8.8.8.8", "127.0.0.1"],
    "a name that leads to a private address": ["10.255.255.9"],
    "a name that leads to loopback by NAT64": ["64:ff9b::7f00:1"],
    "a name that leads to a metadata service": ["169.254.169.254"],
}
_TLS = {
    "TLS for another name": real_hello("evil.example") + b"\r\n\r\n",
    "TLS for no name": real_hello(None) + b"\r\n\r\n",
    "an encrypted hello": extended(real_hello(HOST), 0xFE0D, bytes(40)) + b"\r\n\r\n",
}
WAYS = {name: number for number, name in enumerate((*REFUSED, *_LED, *_TLS), 87)}


async def try_ways(sandbox: Bubblewrap, repository: Path) -> dict[str, tuple[bool, bool | None]]:
    """By name: whether it got through the fence; and whether, as proof, it gets through something else that is open.

    That is a naive proxy, or for what never was a proxy's business a fence that lets everything through; None where
    neither can show it without a network.
    """
    with tempfile.TemporaryDirectory(prefix="ways-", ignore_cleanup_errors=True) as temp:
        workspace = Path(shutil.copytree(repository, Path(temp).resolve() / "workspace"))
        found: dict[str, tuple[bool, bool | None]] = {}
        for name, (say, _) in REFUSED.items():
            inside = await _through_fence(sandbox, workspace, say, RULES)
            if say.port == 3128:
                proof: bool | None = (
                    None if name.startswith("SOCKS") and "address" not in name else await _through_naive(say)
                )
            else:
                proof = None if say.port == 4444 else await _through_fence(sandbox, workspace, say, _open)
            found[name] = (inside, proof)
        for name, addresses in _LED.items():
            say = connect(b"allowed.example:80", GET)
            inside = await _through_fence(sandbox, workspace, say, Rules([Rule(HOST, (80,))]), addresses)
            able = addresses[0].endswith("127.0.0.1")
            rules = Rules([Rule(HOST, (80,), private=True)])
            found[name] = (inside, await _through_fence(sandbox, workspace, say, rules, addresses) if able else None)
        for name, hello in _TLS.items():
            say = connect(b"allowed.example:443", hello)
            found[name] = (await _through_fence(sandbox, workspace, say, RULES), await _through_naive(say))
        return found


def _open(asked: Asked) -> Decision:
    return Dial(host="127.0.0.1", private=True)


async def _through_fence(
    sandbox: Bubblewrap,
    workspace: Path,
    say: Say,
    decide: Callable[[Asked], Decision],
    addresses: list[str] | None = None,
) -> bool:
    """Whether a byte reaches a server, or is said to have."""
    attempts: list[Attempt] = []
    table = {name: addresses or ["127.0.0.1"] for name in (HOST, "evil.example", "localhost", "below.example")}
    if decide is _open:  # the request must be for whom the connection is for
        say = replace(say, chunks=tuple(chunk.replace(HOST.encode(), _shown(say.address)) for chunk in say.chunks))
    async with (
        origin() as server,
        Fence(to_port(decide, server.port), attempts.append, resolve=resolver(table)) as fence,
    ):
        await speak(sandbox, workspace, fence, {"x": say})
    if not attempts:
        raise RuntimeError("an attempt was not recorded")
    return bool(server.requests) or any(each.outcome == "through" for each in attempts)


def _shown(address: str) -> bytes:
    return f"[{address}]".encode() if ":" in address else address.encode()


async def _through_naive(say: Say) -> bool:
    """Whether a byte arrives through a proxy that believes what it reads."""
    async with origin() as server:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

        async def serve(client: ByteStream) -> None:
            async with client, await anyio.connect_tcp("127.0.0.1", server.port) as there:
                first = await client.receive()
                if first[0] == 5:
                    await client.send(b"\x05\x00")
                    host = (await client.receive())[5:-2]
                    await client.send(b"\x05\x00\x00\x01" + bytes(6))
                elif first.startswith(b"CONNECT "):
                    target = first.split(b" ")[1]
                    host = target.rpartition(b":")[0] or target
                    await client.send(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    host = b"allowed.example"
                if not _led_somewhere(host):
                    return
                await there.send(await client.receive() if first[:1] in b"\x05C" else first)
                with contextlib.suppress(anyio.EndOfStream):
                    await client.send(await there.receive())

        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            port = int(listener.extra(anyio.abc.SocketAttribute.local_port))
            then = [] if say.chunks[0].startswith(b"GET") or len(say.chunks) > 1 + (say.chunks[0][0] == 5) else [GET]
            with anyio.move_on_after(5), contextlib.suppress(anyio.EndOfStream, OSError):
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    for chunk in (*say.chunks, *then):
                        await stream.send(chunk)
                        await stream.receive()
            group.cancel_scope.cancel()
    return bool(server.requests)


def _led_somewhere(host: bytes) -> bool:
    """As resolvers read it: up to a NUL, after a user, in any notation of an address. Names are all taken to exist."""
    text = host.split(b"\0")[0].rpartition(b"@")[2].split(b"#")[0].decode().strip("[]").replace("%2e", ".")
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return True
    return str(found[0][4][0]).endswith(("127.0.0.1", "::1", "169.254.169.254"))
