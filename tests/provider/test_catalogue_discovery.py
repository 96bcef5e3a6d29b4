"""Servers on this machine, found over real sockets, and the choice when nobody names a model."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mohist.base import ExitCode
from mohist.provider.discovery import (
    ListedModel,
    Probe,
    choose,
    find_local,
    list_models,
    listener_uid,
    preferred,
    settle,
)
from mohist.provider.errors import NoModelError
from mohist.provider.resolution import Endpoint, resolve

KEY = secrets.token_hex(16)
pytestmark = pytest.mark.enable_socket


class ModelServer(ThreadingHTTPServer):
    """Answers `/v1/models` with `body`, after `gate` opens when there is one."""

    daemon_threads = True

    def __init__(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.status, self.headers = body, status, headers or {}
        self.gate = threading.Event()
        self.gate.set()
        self.seen: list[dict[str, str]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def probe(self) -> Probe:
        return Probe("test", self.port)


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self.server.seen.append({"path": self.path} | {name.lower(): value for name, value in self.headers.items()})
        self.server.gate.wait(60)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        try:
            self.wfile.write(self.server.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[ModelServer] = []

    def start(body: Any, **more: Any) -> ModelServer:
        server = ModelServer(body if isinstance(body, bytes) else json.dumps(body).encode(), **more)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.gate.set()
        server.shutdown()
        server.server_close()


def listing(*names: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model"} | more for name in names]}


async def test_a_server_on_this_machine_is_found_with_its_models(serve: Any) -> None:
    server = serve(listing("llama3", "qwen3-coder:30b", max_model_len=65_536))
    [found] = await find_local([Probe("closed", 1), server.probe], deadline_s=10)
    assert found.base_url == f"http://127.0.0.1:{server.port}/v1"
    assert found.models == (ListedModel("llama3", 65_536), ListedModel("qwen3-coder:30b", 65_536))
    assert server.seen[0]["path"] == "/v1/models"


async def test_probes_go_out_together_and_a_silent_one_is_given_up(serve: Any) -> None:
    silent, quick = serve(listing("slow")), serve(listing("fast"))
    silent.gate.clear()
    found = await find_local([silent.probe, quick.probe], deadline_s=2)
    assert [server.models[0].wire for server in found] == ["fast"]
    assert silent.seen, "the silent one was asked too"


@pytest.mark.parametrize(
    "body", [b"<html>a web application</html>", b"[]", b'{"data": 3}', b'{"data": []}', b"\xff", b'{"data": [{"id": ' + b"1" * 2_000_000]
)  # fmt: skip
async def test_what_is_no_model_server_is_passed_over(serve: Any, body: bytes) -> None:
    assert await find_local([serve(body).probe], deadline_s=10) == ()


async def test_a_redirect_is_not_followed(serve: Any) -> None:
    target = serve(listing("trap"))
    server = serve(b"", status=302, headers={"location": f"http://127.0.0.1:{target.port}/v1/models"})
    assert await list_models(f"http://127.0.0.1:{server.port}/v1") is None
    assert target.seen == []


async def test_loopback_is_asked_past_the_environment_s_proxy(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(listing("wrong")), serve(listing("right"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await list_models(f"http://127.0.0.1:{server.port}/v1") == (ListedModel("right", None),)
    assert proxy.seen == []


async def test_the_first_provider_with_a_key_is_chosen_before_any_local_server(serve: Any) -> None:
    server = serve(listing("m"))
    found = await choose(None, {"DEEPSEEK_API_KEY": KEY, "MOONSHOT_API_KEY": KEY}, probes=[server.probe])
    assert found.name == "deepseek/deepseek-v4-pro"
    assert any("DEEPSEEK_API_KEY is set" in note for note in found.notes)
    assert server.seen == []


async def test_without_a_key_a_local_server_is_chosen_and_says_what_is_not_known(serve: Any) -> None:
    server = serve(
        {"data": [{"id": "nomic-embed-text"}, {"id": "llama3"}, {"id": "qwen3-coder", "meta": {"n_ctx": 8192}}]}
    )
    found = await choose("", {"ANTHROPIC_API_KEY": " "}, probes=[server.probe])
    assert (found.wire, found.dialect, found.key_env, found.price) == ("qwen3-coder", "openai-chat", None, None)
    assert found.caps.context_tokens == 8192
    assert found.caps.output_tokens == 2048
    assert any("found on this machine" in note for note in found.notes)


async def test_with_nothing_at_all_the_error_names_three_ways_and_ends_with_five() -> None:
    with pytest.raises(NoModelError) as caught:
        await choose(None, {}, probes=[Probe("closed", 1)])
    text = str(caught.value)
    assert caught.value.exit_code is ExitCode.NO_MODEL
    assert [text.count(f"\n  {number}. ") for number in (1, 2, 3)] == [1, 1, 1]
    assert "ANTHROPIC_API_KEY" in text
    assert "--model" in text


async def test_a_named_model_is_taken_without_looking_around(serve: Any) -> None:
    server = serve(listing("m"))
    found = await choose("anthropic", {"ANTHROPIC_API_KEY": KEY}, probes=[server.probe])
    assert found.provider == "anthropic"
    assert server.seen == []


async def test_a_url_without_a_model_is_asked_what_it_serves_with_its_key(serve: Any) -> None:
    server = serve(listing("only", context_length=40_000))
    env = {"OFFICE_KEY": KEY}
    end = Endpoint("office", f"http://127.0.0.1:{server.port}/v1", key_env="OFFICE_KEY", headers={"x-team": "blue"})
    found = await choose("office", env, {"office": end}, probes=[])
    assert (found.name, found.wire, found.caps.context_tokens) == ("office/only", "only", 40_000)
    assert server.seen[0]["authorization"] == f"Bearer {KEY}"
    assert server.seen[0]["x-team"] == "blue"
    by_url = await choose(f"http://127.0.0.1:{server.port}/v1", {}, probes=[])
    assert by_url.name == f"http://127.0.0.1:{server.port}/v1#only"
    assert "authorization" not in server.seen[1]


async def test_an_endpoint_of_the_configuration_goes_before_a_server_that_nobody_named(serve: Any) -> None:
    office, local = serve(listing("big")), serve(listing("small"))
    closed = Endpoint("closed", "https://elsewhere.example/v1", key_env="CLOSED_KEY")
    end = Endpoint("office", f"http://127.0.0.1:{office.port}/v1")
    found = await choose(None, {}, {"closed": closed, "office": end}, probes=[local.probe])
    assert found.name == "office/big"
    assert local.seen == []


async def test_a_gateway_s_key_speaks_for_the_provider_it_leads_to() -> None:
    end = Endpoint("anthropic", "https://gateway.example.com/v1", key_env="GATEWAY_KEY")
    found = await choose(None, {"GATEWAY_KEY": KEY}, {"anthropic": end}, probes=[])
    assert (found.provider, found.base_url) == ("anthropic", "https://gateway.example.com/v1")
    with pytest.raises(NoModelError, match="No model is connected"):
        await choose(None, {"ANTHROPIC_API_KEY": KEY}, {"anthropic": end}, probes=[])


async def test_a_url_that_does_not_answer_says_so_and_how_to_go_on() -> None:
    with pytest.raises(NoModelError, match="does not say which models") as caught:
        await settle(resolve("http://127.0.0.1:1/v1", {}), {})
    assert "#MODEL" in caught.value.mend


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel does not show who listens")
def test_who_listens_on_a_port_is_told(serve: Any) -> None:
    assert listener_uid(serve(listing("m")).port) == os.getuid()


def test_who_listens_is_read_from_the_kernel_s_table(tmp_path: Path) -> None:
    table = tmp_path / "net" / "tcp"
    table.parent.mkdir()
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F40 00000000:0000 01 00000000:00000000 00:00000000 00000000  1001        0 1 1\n"
        "   1: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 1 1\n",
        encoding="ascii",
    )
    assert listener_uid(8000, tmp_path) == 1002
    assert listener_uid(8001, tmp_path) is None
    assert listener_uid(8000, tmp_path / "none") is None


def test_a_model_made_for_code_is_preferred_and_one_that_embeds_is_the_last_choice() -> None:
    models = [ListedModel(name, None) for name in ("bge-m3", "llama3", "devstral")]
    assert preferred(models).wire == "devstral"
    assert preferred(models[:2]).wire == "llama3"
    assert preferred(models[:1]).wire == "bge-m3"
