"""A probe finds the version that an answer names, and takes silence for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mohist.delivery.target.probe import ProbeSpec, ask, find_version


@pytest.mark.parametrize(
    ("where", "body", "version"),
    [
        ("json:version", b'{"version": "1.2"}', "1.2"),
        ("json:build.number", b'{"build": {"number": 7}}', "7"),
        ("json:version", b'{"version": {"a": 1}}', ""),
        ("json:version", b"<html>", ""),
        ("json:a.b", b"[1]", ""),
        ("header:X-Version", b"", "9"),
        ("header:x-other", b"", ""),
        (r"regexp:shop (\S+)", b"this is shop 1.2\n", "1.2"),
        (r"regexp:\d+\.\d+", b"shop 1.2", "1.2"),
        ("regexp:(x)", b"\xff", ""),
        ("", b"1.2", ""),
    ],
)
def test_the_version_is_found_where_the_spec_says(where: str, body: bytes, version: str) -> None:
    assert find_version(where, body, {"x-version": "9"}) == version


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Answers by path: a status, an endless body, or nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1]
        if path == b"/endless":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(64):
                writer.write(b"x" * 65536)
        elif path != b"/silent":
            writer.write(b"HTTP/1.1 %s X\r\ncontent-length: 0\r\nx-version: 3\r\n\r\n" % path[1:])
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.enable_socket
async def test_silence_errors_and_floods_are_answers_too(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    answer = await ask(ProbeSpec(f"{base}/200", version="header:X-Version"))
    assert (answer.ok, answer.version) == (True, "3")
    assert (await ask(ProbeSpec(f"{base}/503"))).error == "it answers 503"
    assert (await ask(ProbeSpec(f"{base}/endless"))).ok
    silent = await ask(ProbeSpec(f"{base}/silent", timeout_s=0.2))
    assert (silent.ok, silent.error) == (False, "no answer: ReadTimeout")
    assert not (await ask(ProbeSpec("http://127.0.0.1:1/"))).ok
