"""Mohist's own agent behind Mohist's own gateway, with a virtual key, as a platform engineer sets it up."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
from collections.abc import Callable

import pytest
from developer import LIMIT_S, Developer, Endpoint, call, says, until

from fakes.upstream import Reply, chat_wire

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]

VENDOR_KEY = "vendor-key-" + "7" * 24


def _serve(dev: Developer, upstream: Endpoint) -> tuple[subprocess.Popen[bytes], str]:
    """A running gateway with one route, and its address."""
    dev.home.mkdir(exist_ok=True)
    (dev.home / "routes.toml").write_text(
        f"""
[[routes]]
model = "served-*"
[[routes.upstreams]]
name = "nobody"
dialect = "openai-chat"
url = "http://127.0.0.1:1/v1"
[[routes.upstreams]]
name = "scripted"
dialect = "openai-chat"
url = "{upstream.upstream.url}/v1"
key_env = "VENDOR_KEY"
""",
        "utf-8",
    )
    child = dev.start("serve", "--port", "0", VENDOR_KEY=VENDOR_KEY)
    assert child.stdout is not None
    return child, child.stdout.readline().decode().strip()


def test_the_agent_works_through_the_gateway_and_every_call_is_accounted_for(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("", call("read", path="greet.py")), says("It greets."))
    server, url = _serve(dev, endpoint)
    key = dev.mohist("keys", "create", "--user", "ann", "--json").json
    secret = next(value for value in key.values() if isinstance(value, str) and value.startswith("mhk-"))
    done = dev.mohist(
        "run", "--model", f"{url}/v1#served-model", "--output", "json", "what is it?", MOHIST_API_KEY=secret
    )
    assert done.code == 0, done.err
    assert done.json["summary"] == "It greets."
    # The vendor's key went up, the virtual one did not; the dead upstream before it was passed over unseen.
    for request in endpoint.requests:
        head = {name.lower(): value for name, value in dict(request.headers).items()}
        assert head["authorization"] == f"Bearer {VENDOR_KEY}"
        assert secret not in str(head)
    rows = until(
        lambda: [row for row in dev.mohist("usage", "--by", "user", "--json").json if row.get("calls") == 2], "usage"
    )
    assert rows[0]["user"] == "ann"
    assert rows[0]["input_tokens"] > 0
    dev.mohist("keys", "revoke", str(key["key_id"]))
    until(
        lambda: dev.mohist("run", "--model", f"{url}/v1#served-model", "again", MOHIST_API_KEY=secret).code == 5,
        "the revocation",
    )
    server.send_signal(signal.SIGTERM)
    said = dev.ended(server)
    assert said.code == 0
    for text in (
        said.out + said.err,
        *(path.read_bytes().decode("latin-1") for path in dev.home.rglob("*") if path.is_file()),
    ):
        assert VENDOR_KEY not in text
        assert secret not in text


def test_a_stream_under_way_ends_when_its_key_is_revoked(dev: Developer, upstream: Start) -> None:
    wire = chat_wire("hello there")
    server, url = _serve(dev, upstream(Reply(wire, stall_at=wire.index(b"\n\n", 400) + 2)))
    key = dev.mohist("keys", "create", "--user", "ann", "--json").json
    secret = next(value for value in key.values() if isinstance(value, str) and value.startswith("mhk-"))
    asked = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    body = '{"model":"served-model","stream":true,"stream_options":{"include_usage":true}}'

    def begun() -> http.client.HTTPResponse | None:
        line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=LIMIT_S)
        line.request("POST", "/v1/chat/completions", body, asked)
        held.callback(line.close)
        answer = held.enter_context(line.getresponse())
        return answer if answer.status == 200 else None  # the server may not have heard of the key yet

    with contextlib.ExitStack() as held:
        answer = until(begun, "the key")
        assert answer.readline().startswith(b"data: ")
        dev.mohist("keys", "revoke", str(key["key_id"]))
        assert b"was revoked" in answer.read().split(b"data: ")[-1]
    server.send_signal(signal.SIGTERM)
    assert dev.ended(server).code == 0


def test_a_gateway_without_a_route_or_beyond_this_machine_in_the_clear_does_not_start(dev: Developer) -> None:
    nothing = dev.mohist("serve", "--port", "0")
    assert nothing.code == 2
    assert "There is no route" in nothing.err
    clear = dev.mohist("serve", "--host", "0.0.0.0", "--port", "0")
    assert clear.code == 2
    assert "unencrypted" in clear.err
