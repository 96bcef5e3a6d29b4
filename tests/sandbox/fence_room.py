"""What the fence's tests share: servers outside, and a way to speak raw bytes from inside."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from sandbox_room import PYTHON, TOOLCHAIN

from mohist.sandbox import Asked, Attempt, Authority, Bubblewrap, Completed, Decision, Dial, Fence, Profile, run

HOST = "allowed.example"

# Each item: address, port, chunks to send as hex, server name for TLS or null. Says what came back, as hex, or the error.
_SPEAKER = """
import json, socket, ssl, sys
items = json.loads(sys.argv[1])
found = {}
for name, (address, port, chunks, tls) in items.items():
    said = b""
    try:
        with socket.create_connection((address, port), 5) as plain:
            plain.settimeout(5)
            stream = plain
            for number, chunk in enumerate(chunks):
                if chunk == "tls":
                    context = ssl.create_default_context()
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                    stream = context.wrap_socket(plain, server_hostname=tls or None)
                    continue
                stream.sendall(bytes.fromhex(chunk))
                if number + 1 < len(chunks):
                    said += stream.recv(65536)
            while part := stream.recv(65536):
                said += part
    except OSError as error:
        said += f" [{type(error).__name__}: {error}]".encode()
    found[name] = said.hex()
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Say:
    """Raw bytes to the fence; `TLS` among the chunks starts TLS for `server_name`."""

    chunks: tuple[bytes, ...]
    address: str = "127.0.0.1"
    port: int = 3128
    server_name: str = ""


TLS = b"<tls>"
GET = b"GET /x HTTP/1.1\r\nHost: allowed.example\r\nConnection: close\r\n\r\n"


def connect(target: bytes, *then: bytes, server_name: str = "") -> Say:
    return Say((b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", *then), server_name=server_name)


def socks(host: bytes, port: int = 443, *then: bytes, command: int = 1, server_name: str = "") -> Say:
    wish = bytes((5, command, 0, 3, len(host))) + host + port.to_bytes(2, "big")
    return Say((b"\x05\x01\x00", wish, *then), server_name=server_name)


async def speak(sandbox: Bubblewrap, workspace: Path, fence: Fence, items: dict[str, Say]) -> dict[str, bytes]:
    """What each one was told, all in one start."""
    told = {
        name: (say.address, say.port, ["tls" if chunk == TLS else chunk.hex() for chunk in say.chunks], say.server_name)
        for name, say in items.items()
    }
    done = await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", _SPEAKER, json.dumps(told)])
    assert done.exit.code == 0, done.output
    return {name: bytes.fromhex(text) for name, text in json.loads(done.output).items()}


async def inside(
    sandbox: Bubblewrap, workspace: Path, fence: Fence, argv: Sequence[str], timeout_s: float = 60, **more: Any
) -> Completed:
    profile = Profile(workspace, extra_readable=TOOLCHAIN, network="fenced", fence=fence, **more)
    return await run(sandbox, list(argv), cwd=workspace, profile=profile, timeout_s=timeout_s)


@dataclass
class Origin:
    """A server outside that answers every HTTP request with what it was asked."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    answer: Callable[[bytes], bytes] = lambda request: (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(request) + 6) + b"origin" + request
    )

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        async with stream:
            data = b""
            while True:
                try:
                    data += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
                    return
                while b"\r\n\r\n" in data:
                    head, _, data = data.partition(b"\r\n\r\n")
                    self.requests.append(head)
                    await stream.send(self.answer(head))


@asynccontextmanager
async def origin(context: ssl.SSLContext | None = None, server: Origin | None = None) -> AsyncIterator[Origin]:
    """On loopback, by TLS when a context is given."""
    made = server or Origin()
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    made.port = listener.extra(SocketAttribute.local_port)
    if context is not None:
        listener = TLSListener(listener, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, made.serve)
        yield made
        group.cancel_scope.cancel()


def to_port(decide: Callable[[Asked], Decision], port: int) -> Callable[[Asked], Decision]:
    """The same decisions, but what may be dialled is dialled at another port."""

    def changed(asked: Asked) -> Decision:
        decision = decide(asked)
        return replace(decision, port=port) if isinstance(decision, Dial) else decision

    return changed


def resolver(table: dict[str, Sequence[str]], calls: list[str] | None = None) -> Callable[[str], Any]:
    async def resolve(name: str) -> Sequence[str]:
        if calls is not None:
            calls.append(name)
        if name not in table:
            raise OSError("no such name")
        return table[name]

    return resolve


def trusting(authority: Authority) -> Callable[[], ssl.SSLContext]:
    """TLS to outside that believes this one authority."""

    def make() -> ssl.SSLContext:
        return ssl.create_default_context(cadata=authority.pem.decode())

    return make


def codes(attempts: Sequence[Attempt], host: str | None = None) -> list[str]:
    """Codes in order, outcomes where there is none."""
    return [each.code or each.outcome for each in attempts if host is None or each.asked.host == host]


def real_hello(name: str | None, protocols: tuple[str, ...] = ()) -> bytes:
    """As OpenSSL writes it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def extended(hello: bytes, kind: int, content: bytes) -> bytes:
    """With one more extension at the end."""
    extension = kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
    body = bytearray(hello[9:])
    place = 2 + 32
    place += 1 + body[place]
    place += 2 + int.from_bytes(body[place : place + 2], "big")
    place += 1 + body[place]
    length = int.from_bytes(body[place : place + 2], "big") + len(extension)
    body[place : place + 2] = length.to_bytes(2, "big")
    body += extension
    message = b"\x01" + len(body).to_bytes(3, "big") + bytes(body)
    return hello[:3] + len(message).to_bytes(2, "big") + message
