"""The server as a whole: its address, its end, TLS to the upstreams."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess

import anyio
import pytest

from fakes.gateway import PATIENCE_S, PRICE, FakeKeeper, at, gateway
from fakes.ids import CountingIds
from fakes.upstream import Reply, Upstream, messages_wire
from mohist.base import SystemClock
from mohist.gateway.errors import AddressError
from mohist.gateway.route import Route, Router, RouteTable
from mohist.gateway.server import ServerSettings, serve
from mohist.gateway.wire import Origin, Pool, WireError

pytestmark = pytest.mark.enable_socket


async def test_an_address_that_is_taken_is_an_error_that_names_it():
    clock = SystemClock()
    async with gateway([]) as gate:
        settings = ServerSettings(port=gate.port)
        with pytest.raises(AddressError, match=str(gate.port)):
            await serve(
                settings, FakeKeeper(), Router(RouteTable([]), clock), lambda _u, _m: PRICE, clock, CountingIds(), print
            )


async def test_a_stop_ends_the_calls_under_way_after_their_time_and_settles_them():
    async with (
        Upstream([Reply(messages_wire("hello there"), stall_at=500)]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))]) as gate,
        gate.open("/v1/messages", b'{"model":"m","stream":true}') as talk,
    ):
        await talk.head()
        await talk.chunk()
        gate.stop()
        async with asyncio.timeout(PATIENCE_S):
            await upstream.hung_up.wait()
        [record] = await gate.keeper.recorded()
    assert record.cancelled
    assert len(gate.keeper.settled) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_a_tls_upstream_is_verified_by_name_and_authority(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    await anyio.run_process(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
        stderr=subprocess.DEVNULL,
    )
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await reader.read()
        writer.close()

    async def body_of(pool: Pool, host: str) -> bytes | None:
        origin = Origin.of(f"https://{host}:{port}/v1")
        response = await pool.request(
            origin, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", connect_timeout_s=5, first_byte_timeout_s=5
        )
        try:
            return await response.next(PATIENCE_S)
        finally:
            response.close()
            pool.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=served)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await body_of(Pool(ssl.create_default_context(cafile=str(certificate))), "localhost") == b"ok"
        for pool, host in (
            (Pool(), "localhost"),
            (Pool(ssl.create_default_context(cafile=str(certificate))), "127.0.0.1"),
        ):
            with pytest.raises(WireError) as caught:
                await body_of(pool, host)
            assert caught.value.untouched
