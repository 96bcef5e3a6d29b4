"""A gateway records what its upstreams answer, and another answers from it: a run goes the same way without a model."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, call, says

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]

ROUTE = '[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "u"\ndialect = "openai-chat"\n'


def serve(dev: Developer, route: str, *words: str) -> tuple[subprocess.Popen[bytes], str]:
    dev.home.mkdir(exist_ok=True)
    (dev.home / "routes.toml").write_text(ROUTE + route, "utf-8")
    server = dev.start("serve", "--port", "0", *words, VENDOR_KEY="vendor-key-" + "9" * 20)
    assert server.stdout is not None
    url = server.stdout.readline().decode().strip()
    (dev.home / "mohist.toml").write_text(f'[server]\nurl = "{url}"\n', "utf-8")
    return server, url


def test_a_run_against_a_recording_goes_as_it_went(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("", call("read", path="greet.py")), says("It greets."))
    url = f'url = "{endpoint.upstream.url}/v1"\nkey_env = "VENDOR_KEY"\n'
    server, _ = serve(dev, url, "--record", str(dev.home / "tape"))
    made = dev.mohist("keys", "create", "--user", "ann", "--json").json
    secret = next(value for value in made.values() if isinstance(value, str) and value.startswith("mhk-"))
    first = dev.mohist("run", "--output", "json", "what is it?", MOHIST_SERVER_KEY=secret)
    assert first.code == 0, first.err
    server.send_signal(signal.SIGTERM)
    assert dev.ended(server).code == 0
    text = (dev.home / "tape" / "calls.jsonl").read_text("ascii")
    assert "vendor-key-" not in text
    assert secret not in text

    server, _ = serve(dev, 'replay = "tape"\n')
    for _ in range(2):
        again = dev.mohist("run", "--output", "json", "what is it?", MOHIST_SERVER_KEY=secret)
        assert again.code == 0, again.err
        for name in ("summary", "turns", "input_tokens", "output_tokens"):
            assert again.json[name] == first.json[name]
    assert len(endpoint.requests) == 2
    other = dev.mohist("run", "--output", "json", "something else", MOHIST_SERVER_KEY=secret)
    assert other.code == 1
    assert (
        "does not fit the recording 'tape': the nearest is call 1, which differs in messages[" in other.json["detail"]
    )


def test_a_recording_that_is_none_keeps_the_gateway_from_starting(dev: Developer) -> None:
    dev.home.mkdir()
    (dev.home / "routes.toml").write_text(ROUTE + 'replay = "nowhere"\n', "utf-8")
    said = dev.mohist("serve", "--port", "0")
    assert said.code == 1
    assert "nowhere' can't be read" in said.err
