"""`mohist run` on a machine whose settings name a server: every call goes there, with the virtual key."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from developer import Developer, Endpoint, Said, call, says, until

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]

VENDOR_KEY = "vendor-key-" + "3" * 24
ROUTES = """
[[routes]]
model = "served-model"
[[routes.upstreams]]
name = "scripted"
dialect = "openai-chat"
url = "{url}/v1"
key_env = "VENDOR_KEY"
"""


@dataclass
class Company:
    """A server, and a developer whose machine is set to it."""

    dev: Developer
    operator: Developer
    url: str
    secret: str
    server: subprocess.Popen[bytes]

    def run(self, *words: str, **env: str) -> Said:
        return self.dev.mohist("run", "--output", "json", *words, **({"MOHIST_SERVER_KEY": self.secret} | env))


def made(operator: Developer, *words: str) -> str:
    """A new virtual key."""
    told = operator.mohist("keys", "create", *words, "--json").json
    return next(value for value in told.values() if isinstance(value, str) and value.startswith("mhk-"))


@pytest.fixture
def company(dev: Developer, tmp_path: Path) -> Iterator[Callable[[Endpoint], Company]]:
    room = tmp_path / "operator"
    room.mkdir()
    operator = Developer(room)
    operator.make_repo()

    def start(endpoint: Endpoint) -> Company:
        operator.home.mkdir()
        (operator.home / "routes.toml").write_text(ROUTES.format(url=endpoint.upstream.url), "utf-8")
        secret = made(operator, "--user", "ann")
        server = operator.start("serve", "--port", "0", VENDOR_KEY=VENDOR_KEY)
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        dev.home.mkdir()
        (dev.home / "mohist.toml").write_text(f'[server]\nurl = "{url}"\n', "utf-8")
        return Company(dev, operator, url, secret, server)

    try:
        yield start
    finally:
        operator.end()


def test_a_run_works_on_the_servers_routes_and_is_counted_there(
    company: Callable[[Endpoint], Company], upstream: Start
) -> None:
    endpoint = upstream(says("", call("read", path="greet.py")), says("It greets."))
    at = company(endpoint)
    said = at.run("what is it?")
    assert said.code == 0, said.err
    assert said.json["model"] == "served-model"  # no name was given; the server lists it
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {VENDOR_KEY}"
    assert not [name for name in endpoint.requests[0].headers if name.startswith("x-mohist")]

    def counted() -> list[dict[str, object]]:
        rows = at.operator.mohist("usage", "--by", "session", "--json").json
        return [row for row in rows if row["calls"] == 2]

    (row,) = until(counted, "usage")
    assert row["session"] == said.json["run_id"]
    assert row["input_tokens"] == said.json["input_tokens"]
    assert not (at.dev.home / "gateway.db").exists()  # nothing is counted twice


def test_what_the_server_refuses_ends_the_run_with_the_exit_code_of_the_reason(
    company: Callable[[Endpoint], Company], upstream: Start
) -> None:
    endpoint = upstream(says("never"))
    at = company(endpoint)
    assert at.operator.mohist("keys", "budget", "set", "user", "ann", "--tokens-day", "0").code == 0
    spent = until(lambda: (said := at.run("x")).code == 4 and said, "the budget")
    assert "daily budget of user 'ann'" in spent.json["detail"]
    assert at.operator.mohist("keys", "budget", "remove", "user", "ann").code == 0
    narrow = made(at.operator, "--user", "bob", "--model", "other*")
    refused = until(lambda: (said := at.run("--model", "served-model", "x", MOHIST_SERVER_KEY=narrow)).code == 3 and said, "the key")  # fmt: skip
    assert "served-model" in refused.json["detail"]
    nobody = at.run("--model", "served-model", "x", MOHIST_SERVER_KEY="mhk-unknown")
    assert nobody.code == 5
    assert endpoint.requests == []


def test_a_missing_key_and_a_way_past_the_server_are_told_before_anything_starts(
    company: Callable[[Endpoint], Company], upstream: Start
) -> None:
    endpoint = upstream(says("never"))
    at = company(endpoint)
    missing = at.run("x", MOHIST_SERVER_KEY="")
    assert missing.code == 5
    assert "export MOHIST_SERVER_KEY=" in missing.err
    past = at.run("--model", endpoint.model, "x")
    assert past.code == 2
    assert "would go past it" in past.err
    assert endpoint.requests == []
    assert at.dev.logs() == []


def test_a_repository_can_not_name_a_server(dev: Developer, upstream: Start) -> None:
    dev.write(".mohist/mohist.toml", '[server]\nurl = "http://127.0.0.1:9"\n')
    said = dev.run(upstream(says("Done.")))
    assert said.code == 0, said.err
    told = {row["key"]: row for row in dev.mohist("config", "explain", "--json").json}["server.url"]
    assert told["value"] is None
    assert told["said"][-1]["fate"] == "a project has no say in this"


def test_doctor_tells_where_calls_are_decided(dev: Developer) -> None:
    assert "the gateway in the run's own process" in dev.mohist("doctor").out
    dev.home.mkdir(exist_ok=True)
    (dev.home / "mohist.toml").write_text('[server]\nurl = "http://127.0.0.1:9"\n', "utf-8")
    assert "the server http://127.0.0.1:9" in dev.mohist("doctor").out
