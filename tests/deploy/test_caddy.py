"""What compose.yaml starts, without the containers: two gateways on one PostgreSQL, behind Caddy with the shipped Caddyfile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from fakes.postgres import Postgres

pytestmark = [pytest.mark.deploy, pytest.mark.enable_socket]

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
PIECES = 5


class Model(BaseHTTPRequestHandler):
    """Streams five pieces; each but the first waits until it may go."""

    protocol_version = "HTTP/1.1"
    go = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(PIECES):
            if number:
                self.go.wait(LIMIT_S)
            self._event({"choices": [{"index": 0, "delta": {"content": f"piece {number}"}, "finish_reason": None}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}})
        self._piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, value: dict) -> None:
        self._piece(f"data: {json.dumps(value | {'model': 'm'})}\n\n".encode())

    def _piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is for the test."""


@dataclass
class Site:
    """All of it, running."""

    url: str
    key: str
    authorities: ssl.SSLContext
    gateways: list[subprocess.Popen]
    env: dict[str, str]

    def client(self) -> httpx2.Client:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx2.Client(base_url=self.url, verify=self.authorities, headers=headers, timeout=LIMIT_S)

    def mohist(self, *words: str) -> str:
        command = [sys.executable, "-m", "mohist", *words]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def until(holds, what: str):
    """What `holds` gives once it gives something."""
    end_s = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < end_s, what
        threading.Event().wait(0.02)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def ended(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    room = tmp_path_factory.mktemp("site")
    Model.go.set()
    with contextlib.ExitStack() as held:
        postgres = Postgres()
        held.callback(postgres.remove)
        model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
        threading.Thread(target=model.serve_forever, daemon=True).start()
        held.callback(model.server_close)
        held.callback(model.shutdown)
        routes = room / "routes.toml"
        routes.write_text(
            '[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "own"\ndialect = "openai-chat"\n'
            f'url = "http://127.0.0.1:{model.server_port}/v1"\nkey_file = "{room / "key"}"\n',
            encoding="utf-8",
        )
        (room / "key").write_text("not-a-key\n", encoding="utf-8")
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(room),
            "MOHIST_DATABASE_URL": postgres.url(postgres.new_database()),
        }
        site = Site("", "", ssl.create_default_context(), [], base | {"MOHIST_HOME": str(room / "home")})
        created = site.mohist("keys", "create", "--user", "ann", "--json")
        site.key = json.loads(created)["secret"]
        ports = []
        for number in range(2):
            out = held.enter_context((room / f"gateway-{number}").open("w", encoding="utf-8"))
            command = [sys.executable, "-m", "mohist", "serve", "--port", "0", "--behind-tls", "--routes", str(routes)]
            home = {"MOHIST_HOME": str(room / f"home-{number}")}
            process = subprocess.Popen(command, env=base | home, stdout=out, stderr=subprocess.STDOUT)
            held.callback(ended, process)
            site.gateways.append(process)
            line = until(
                lambda path=room / f"gateway-{number}": next(
                    (line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("http://")), ""
                ),
                "a gateway did not start",
            )
            ports.append(int(line.rpartition(":")[2]))
        port = free_port()
        proxy = {
            "PATH": os.environ["PATH"],
            "HOME": str(room),
            "XDG_DATA_HOME": str(room / "data"),
            "XDG_CONFIG_HOME": str(room / "config"),
            "MOHIST_HTTPS_PORT": str(port),
            "MOHIST_GATEWAYS": " ".join(f"127.0.0.1:{each}" for each in ports),
        }
        command = [Path(sys.executable).parent / "caddy", "run", "--adapter", "caddyfile"]
        log = held.enter_context((room / "caddy.log").open("w", encoding="utf-8"))
        caddy = subprocess.Popen(
            [*command, "--config", ROOT / "deploy" / "Caddyfile"], env=proxy, stdout=log, stderr=log, cwd=room
        )
        held.callback(ended, caddy)
        root = room / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        until(lambda: root.exists() and root.stat().st_size, "Caddy made no certificate")
        site.authorities = ssl.create_default_context(cafile=str(root))
        site.url = f"https://localhost:{port}"

        def answers() -> bool:
            with contextlib.suppress(httpx2.HTTPError), site.client() as client:
                return client.get("/v1/models").status_code == 200
            return False

        until(answers, (room / "caddy.log").read_text(encoding="utf-8"))
        yield site


ASKED = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def test_a_stream_comes_piece_by_piece_through_tls(site: Site):
    Model.go.clear()
    try:
        with site.client() as client, client.stream("POST", "/v1/chat/completions", json=ASKED) as answer:
            lines = (line for line in answer.iter_lines() if line)
            assert "piece 0" in next(lines)
            Model.go.set()
            rest = list(lines)
    finally:
        Model.go.set()
    assert rest[-1] == "data: [DONE]"
    assert sum("piece" in line for line in rest) == PIECES - 1


@pytest.mark.parametrize("path", ["/metrics", "/admin/v1/keys", "/healthz"])
def test_what_is_for_operators_is_not_published(site: Site, path: str):
    with site.client() as client:
        answer = client.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_revoked_key_is_refused_by_both_gateways(site: Site):
    made = json.loads(site.mohist("keys", "create", "--user", "bob", "--json"))

    def refused_by_all() -> bool:
        with site.client() as client:
            statuses = {
                client.post(
                    "/v1/chat/completions",
                    json=ASKED,
                    headers={"authorization": f"Bearer {made['secret']}", "x-claude-code-session-id": str(session)},
                ).status_code
                for session in range(8)  # sessions spread over the gateways
            }
        assert statuses <= {200, 401}
        return statuses == {401}

    until(lambda: not refused_by_all(), "the new key is not known")
    site.mohist("keys", "revoke", made["key_id"])
    until(refused_by_all, "the revoked key is still taken")


def test_a_killed_gateway_costs_no_client_an_error(site: Site):
    def call(session: int) -> int:
        with site.client() as client:
            headers = {"x-claude-code-session-id": str(session)}
            return client.post("/v1/chat/completions", json=ASKED, headers=headers).status_code

    assert {call(session) for session in range(8)} == {200}
    site.gateways[0].send_signal(signal.SIGKILL)
    site.gateways[0].wait(LIMIT_S)
    assert {call(session) for session in range(16)} == {200}
    # What both of them served is one account.
    usage = json.loads(site.mohist("usage", "--by", "user", "--json"))
    assert json.dumps(usage).count("ann") >= 1
