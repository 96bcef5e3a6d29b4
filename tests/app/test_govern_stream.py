"""Streams of a client without a terminal, and the gateway's door on a stream without a port."""

# ruff: noqa: ASYNC240 - tests look at the disk between awaits

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.streams.stapled import StapledByteStream

from mohist.app.govern.inlet import Inlet
from mohist.app.govern.pipe import Pipes
from mohist.gateway.asgi import Receive, Scope, Send

PATIENCE_S = 60.0


async def carried(folder: Path, command: list[str], given: bytes | None, sink: int, errors: int) -> int:
    """Runs a command on the three streams, unconfined; its exit code."""
    source = -1
    feeding = []
    if given is not None:
        source, feed = os.pipe()
        (folder.parent.parent / "given").write_bytes(given)
        feeding = [started(["cat", str(folder.parent.parent / "given")], feed)]
        os.close(feed)
    with Pipes(folder, source, sink, errors) as pipes, anyio.fail_after(PATIENCE_S):
        assert (folder.parent.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o700, 0o711)
        child = started(pipes.wrapped(command), subprocess.DEVNULL)
        await pipes.carry()
        code = await anyio.to_thread.run_sync(child.wait)
    if source >= 0:
        os.close(source)
    for one in feeding:
        one.wait(PATIENCE_S)
    assert not folder.exists()
    return code


def started(command: list[str], sink: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.DEVNULL)


async def test_streams_stay_apart_byte_for_byte_and_the_exit_code_is_the_clients(tmp_path: Path) -> None:
    given = os.urandom(700_000)
    out, err = (tmp_path / "out").open("wb"), (tmp_path / "err").open("wb")
    with out, err:
        command = ["sh", "-c", "cat; echo said >&2; exit 5"]
        code = await carried(tmp_path / "pipes" / "run-1", command, given, out.fileno(), err.fileno())
    assert code == 5
    assert (tmp_path / "out").read_bytes() == given
    assert (tmp_path / "err").read_bytes() == b"said\n"


async def test_a_client_without_input_sees_its_end_at_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        code = await carried(tmp_path / "pipes" / "run-1", ["sh", "-c", "cat; echo over"], None, out.fileno(), -1)
    assert (code, (tmp_path / "out").read_bytes()) == (0, b"over\n")


async def test_a_client_whose_output_nobody_reads_learns_of_it(tmp_path: Path) -> None:
    reader, sink = os.pipe()
    os.close(reader)
    code = await carried(tmp_path / "pipes" / "run-1", ["sh", "-c", "yes; exit 0"], None, sink, -1)
    os.close(sink)
    assert code != 5  # it ended


async def test_a_client_that_reads_nothing_does_not_hold_the_end_up(tmp_path: Path) -> None:
    code = await carried(tmp_path / "pipes" / "run-1", ["true"], b"x" * 300_000, -1, -1)
    assert code == 0


def stapled() -> tuple[ByteStream, ByteStream]:
    """Two ends of a connection in memory."""

    class Receiver:
        def __init__(self, inner: anyio.streams.memory.MemoryObjectReceiveStream[bytes]) -> None:
            self.inner = inner
            self.rest = b""

        async def receive(self, max_bytes: int = 65536) -> bytes:
            data = self.rest or await self.inner.receive()
            self.rest = data[max_bytes:]
            return data[:max_bytes]

        async def aclose(self) -> None:
            await self.inner.aclose()

    to_server, from_client = anyio.create_memory_object_stream[bytes](8)
    to_client, from_server = anyio.create_memory_object_stream[bytes](8)
    return (
        StapledByteStream(to_server, Receiver(from_server)),  # type: ignore[arg-type]
        StapledByteStream(to_client, Receiver(from_client)),  # type: ignore[arg-type]
    )


async def _serve_and_close(inlet: Inlet, stream: ByteStream) -> None:
    """As the fence does."""
    async with stream:
        await inlet.serve(stream)


@asynccontextmanager
async def served(inlet: Inlet) -> AsyncIterator[ByteStream]:
    client, server = stapled()
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(_serve_and_close, inlet, server)
            yield client
            await client.aclose()


async def answered(stream: ByteStream, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        data += await stream.receive()
    return data


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": message.get("body", b"").upper(), "more_body": True})
    await send({"type": "http.response.body", "body": b"."})


async def test_requests_are_answered_one_after_the_other_on_one_stream() -> None:
    async with served(Inlet(echo)) as client:
        for word in (b"one", b"two"):
            await client.send(b"POST /v1/%s HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n%s" % (word, word))
            said = await answered(client, b"0\r\n\r\n")
            assert b"x-path: /v1/" + word in said
            assert word.upper() in said


async def test_a_request_in_the_form_for_proxies_is_the_same_request() -> None:
    async with served(Inlet(echo)) as client:
        await client.send(b"GET http://gateway.internal/v1/models HTTP/1.1\r\nhost: gateway.internal\r\n\r\n")
        assert b"x-path: /v1/models" in await answered(client, b"0\r\n\r\n")


async def test_a_call_learns_that_its_client_has_left() -> None:
    left = anyio.Event()

    async def slow(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    inlet = Inlet(slow)
    async with served(inlet) as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
        await left.wait()


async def test_a_stream_that_says_no_http_is_answered_and_closed() -> None:
    async with served(Inlet(echo)) as client:
        await client.send(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b" 400 " in await answered(client, b"\r\n\r\n")
        with pytest.raises(anyio.EndOfStream):
            await answered(client, b"what never comes")
