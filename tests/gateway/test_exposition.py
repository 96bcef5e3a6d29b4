"""Who may read the metrics."""

from __future__ import annotations

import asyncio
import secrets
import socket
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry, Gauge

from fakes.gateway import at, gateway
from fakes.upstream import Reply, Upstream
from mohist.gateway.annex import serve_metrics
from mohist.gateway.errors import AddressError
from mohist.gateway.exposition import Exposition
from mohist.gateway.metric import Metrics
from mohist.gateway.route import Route, Router, RouteTable


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "What was asked for.", registry=registry).set(42)
    return registry


async def read(
    exposition: Exposition, path: str = "/metrics", method: str = "GET", **headers: str
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    told = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:8484", **headers}.items()]
    await exposition.serve({"type": "http", "path": path, "method": method, "headers": told}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_on_this_machine_anybody_may_read(registry: CollectorRegistry) -> None:
    status, headers, body = await read(Exposition(registry, open_here=True))
    assert status == 200
    assert b"answer 42.0" in body
    assert headers[b"content-type"].startswith(b"text/plain")


@pytest.mark.parametrize("host", ["localhost", "localhost:8484", "[::1]:8484", "[::1]", "127.0.0.1"])
async def test_a_loopback_name_is_one_in_each_form(registry: CollectorRegistry, host: str) -> None:
    assert (await read(Exposition(registry, open_here=True), host=host))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8484", "", "127.0.0.1.evil.example"])
async def test_a_page_that_was_led_here_under_another_name_may_not(registry: CollectorRegistry, host: str) -> None:
    status, _, body = await read(Exposition(registry, open_here=True), host=host)
    assert status == 403
    assert b"42" not in body


async def test_beyond_this_machine_nobody_may_read_without_a_token(registry: CollectorRegistry) -> None:
    status, _, body = await read(Exposition(registry))
    assert status == 403
    assert b"MOHIST_METRICS_TOKEN" in body


async def test_a_token_is_asked_for_wherever_it_is_set(registry: CollectorRegistry) -> None:
    token = secrets.token_hex(16)
    exposition = Exposition(registry, token, open_here=True)
    assert (await read(exposition))[0] == 401
    assert (await read(exposition, authorization=f"Bearer {token}x"))[0] == 401
    assert (await read(exposition, authorization=f"Basic {token}"))[0] == 401
    assert (await read(exposition, authorization=f"Bearer {token}", host="gateway.example"))[0] == 200


@pytest.mark.enable_socket
async def test_a_port_of_its_own_serves_metrics_alone(registry: CollectorRegistry) -> None:
    exposition = Exposition(registry, open_here=True)
    assert (await read(exposition, "/v1/models"))[0] == 404
    assert (await read(exposition, method="POST"))[0] == 405
    async with anyio.create_task_group() as group:
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        group.start_soon(serve_metrics, exposition, "127.0.0.1", 0, started.set_result)
        url = await started
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answered = await reader.read()
        writer.close()
        await writer.wait_closed()
        group.cancel_scope.cancel()
    assert answered.startswith(b"HTTP/1.1 200")
    assert b"answer 42.0" in answered


@pytest.mark.enable_socket
async def test_a_port_that_is_taken_is_said(registry: CollectorRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AddressError, match="metrics"):
        await serve_metrics(Exposition(registry), "127.0.0.1", taken.getsockname()[1], print)


async def test_openmetrics_is_spoken_to_who_asks_for_it(registry: CollectorRegistry) -> None:
    kind = "application/openmetrics-text; version=1.0.0"
    status, headers, body = await read(Exposition(registry, open_here=True), accept=kind)
    assert status == 200
    assert headers[b"content-type"].startswith(b"application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.enable_socket
async def test_a_running_gateway_counts_what_it_serves() -> None:
    answer = Reply(
        b'{"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}', content_type="application/json"
    )
    async with Upstream([answer]) as model:
        route = Route("m", (at(model.url),))
        metrics = Metrics(Router(RouteTable([route]), _Still()))
        exposition = Exposition(metrics.registry, open_here=True)
        async with gateway([route], observers=[metrics], exposition=exposition) as gate:
            await gate.post("/v1/chat/completions", b'{"model":"m"}')
            await gate.keeper.recorded()
            async with gate.raw(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n") as talk:
                answered = await talk.rest()
    assert answered.status == 200
    assert (
        b'mohist_gateway_tokens_total{class="input",dialect="openai-chat",model="m",upstream="one"} 7.0'
        in answered.body
    )
    assert b'mohist_gateway_calls_in_flight{dialect="openai-chat"} 0.0' in answered.body


class _Still:
    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0
