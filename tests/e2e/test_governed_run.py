"""Mohist's own agent takes the gateway's pipeline in its own process: every call decided, metered, recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, call, says

from mohist import __version__

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]

VENDOR_KEY = "vendor-key-" + "5" * 24
PRICED = """
[endpoints.own]
url = "{url}/v1"
dialect = "openai-chat"
key_env = "OWN_KEY"
[endpoints.own.price]
input = 3
cache_read = 0.3
output = 15
[endpoints.own.headers]
x-team = "blue"
"""
POLICY = """
default = "allow"
[[rule]]
id = "never-served"
reason = "Not here."
cedar = '''forbid(principal, action, resource) when { context.model == "served-model" && context.client.name == "mohist" };'''
examples = [
  {expect = "deny", model = "served-model", client = "mohist/1.0"},
  {expect = "allow", model = "served-model", client = "codex/1.0"},
]
"""


def configure(dev: Developer, endpoint: Endpoint, more: str = "") -> None:
    dev.home.mkdir(exist_ok=True)
    (dev.home / "mohist.toml").write_text(PRICED.format(url=endpoint.upstream.url) + more, "utf-8")


def usage(dev: Developer, by: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = dev.mohist("usage", "--by", by, "--json").json
    return rows


def run(dev: Developer, *words: str, **env: str):
    return dev.mohist("run", "--model", "own/served-model", "--output", "json", *words, OWN_KEY=VENDOR_KEY, **env)


def test_usage_shows_the_calls_of_a_run_and_they_cost_what_the_run_says(dev: Developer, upstream: Start) -> None:
    told = {"prompt_tokens": 1000, "completion_tokens": 70, "prompt_tokens_details": {"cached_tokens": 400}}
    endpoint = upstream(says("", call("read", path="greet.py"), usage=told), says("It greets.", usage=told))
    configure(dev, endpoint)
    said = run(dev, "what is it?")
    assert said.code == 0, said.err
    assert said.json["cost_microusd"] == 2 * (600 * 3 + 400 * 0.3 + 70 * 15)
    by_session = usage(dev, "session")
    assert [(row["session"], row["calls"], row["refused"]) for row in by_session] == [(said.json["run_id"], 2, 0)]
    for name in ("cost_microusd", "input_tokens", "cache_read_tokens", "output_tokens"):
        assert by_session[0][name] == said.json[name], name
    assert usage(dev, "client")[0]["client"] == f"mohist/{__version__}"
    assert usage(dev, "project")[0]["project"] == "repo"
    assert usage(dev, "key")[0]["key"] == "local"
    for request in endpoint.requests:
        assert request.headers["authorization"] == f"Bearer {VENDOR_KEY}"
        assert request.headers["x-team"] == "blue"
        assert not [name for name in request.headers if name.startswith("x-mohist")]
    for path in dev.home.rglob("*"):
        assert not path.is_file() or VENDOR_KEY.encode() not in path.read_bytes(), path


def test_a_budget_that_has_no_room_ends_the_run_before_anything_is_sent(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("Done."))
    configure(dev, endpoint)
    assert dev.mohist("keys", "budget", "set", "project", "repo", "--usd-day", "0").code == 0
    said = run(dev, "do it")
    assert said.code == 4, said.out
    assert "daily budget of project 'repo' has no room" in said.json["detail"]
    assert endpoint.requests == []
    assert [row["refused"] for row in usage(dev, "project")] == [1]


def test_a_rule_of_the_gateway_refuses_a_run_with_the_exit_code_of_policy(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("Done."))
    configure(dev, endpoint)
    (dev.home / "gateway-policy.toml").write_text(POLICY, "utf-8")
    said = run(dev, "do it")
    assert said.code == 3, said.json["detail"]
    assert "never-served" in said.json["detail"]
    assert endpoint.requests == []


def test_runs_go_on_while_a_server_holds_the_home(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("Done."))
    configure(dev, endpoint)
    routes = f'[[routes]]\nmodel = "m"\n[[routes.upstreams]]\nname = "u"\ndialect = "openai-chat"\nurl = "{endpoint.upstream.url}/v1"\n'
    (dev.home / "routes.toml").write_text(routes, "utf-8")
    server = dev.start("serve", "--port", "0")
    assert server.stdout is not None
    assert server.stdout.readline()
    said = run(dev, "do it")
    assert said.code == 0, said.err
    assert usage(dev, "session")[0]["session"] == said.json["run_id"]


def test_a_refused_key_is_told_as_the_providers_word_and_not_tried_again(dev: Developer, upstream: Start) -> None:
    from fakes.upstream import error_reply

    endpoint = upstream(error_reply(401, "invalid_api_key", f"wrong key {VENDOR_KEY}"), says("never"))
    configure(dev, endpoint)
    said = run(dev, "do it")
    assert said.code == 5
    assert "refuses the key" in said.json["detail"]
    assert "HTTP 401" in said.json["detail"]
    assert VENDOR_KEY not in said.out + said.err
    assert len(endpoint.requests) == 1


def test_a_database_that_is_damaged_ends_the_run_with_its_name(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("never"))
    configure(dev, endpoint)
    (dev.home / "gateway.db").write_bytes(b"no database at all" * 100)
    said = run(dev, "do it")
    assert said.code == 1
    assert "gateway.db" in said.json["detail"]
    assert endpoint.requests == []
