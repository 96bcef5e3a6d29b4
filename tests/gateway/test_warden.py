"""Rules at the door: which upstreams a call may go to, what a refused client is told, what is written down."""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter

import pytest

from fakes.gateway import at, gateway
from fakes.upstream import Reply, Upstream, chat_wire, messages_wire
from mohist.gateway.call import Principal
from mohist.gateway.offer import offered
from mohist.gateway.request import read_envelope
from mohist.gateway.route import Route
from mohist.gateway.tally import Call
from mohist.gateway.warden import OF_CALL, OF_UPSTREAM, Warden, facts_of
from mohist.policy import Facts, load_rulebook

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
RULES = """
default = "allow"
[[rule]]
id = "only-eu"
reason = "Data stays in the EU."
cedar = 'forbid(principal, action, resource) unless { resource.region == "eu" };'
examples = [{expect = "deny", upstream = {region = "us"}}, {expect = "allow", upstream = {region = "eu"}}]

[[rule]]
id = "no-search"
reason = "Nothing is searched for on a vendor's machines."
cedar = 'forbid(principal, action, resource) when { context.vendor_tools.contains("web_search") };'
examples = [
  {expect = "deny", vendor_tools = ["web_search"], upstream = {region = "eu"}},
  {expect = "allow", tools = ["web_search"], upstream = {region = "eu"}},
]

[[rule]]
id = "old-client"
reason = "Update your client to 2.1 or later."
cedar = 'forbid(principal, action, resource) when { context.client.version < version("2.1") };'
examples = [
  {expect = "deny", client = "claude-cli/2.0.9", upstream = {region = "eu"}},
  {expect = "allow", client = "claude-cli/2.1.0", upstream = {region = "eu"}},
]
""".replace('{expect = "allow", upstream', '{expect = "allow", client = "c/3", upstream').replace(
    '{expect = "allow", tools', '{expect = "allow", client = "c/3", tools'
)
NEW = [("user-agent", "claude-cli/2.1.330 (external)")]


def warden() -> Warden:
    return Warden(load_rulebook(RULES, "rules.toml"))


@pytest.mark.enable_socket
async def test_a_call_goes_to_no_upstream_that_its_rules_forbid_even_when_the_others_fail():
    async with Upstream([Reply(status=500)] * 4) as good, Upstream([Reply(chat_wire("x"))]) as forbidden:
        ends = (at(forbidden.url, name="us", region="us"), at(good.url, name="eu", region="eu"))
        async with gateway([Route("m", ends)], warden=warden()) as gate:
            answered = await gate.post(CHAT, b'{"model":"m","stream":true}', NEW)
            [record] = await gate.keeper.recorded()
    assert forbidden.requests == []
    assert answered.status == 500
    assert (record.verdict, record.rule, record.attempts) == ("allowed", "default", 1)


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("dialect", "path", "kind"),
    [
        ("openai-chat", CHAT, "invalid_request_error"),
        ("openai-responses", RESPONSES, "invalid_request_error"),
        ("anthropic-messages", MESSAGES, "permission_error"),
        ("anthropic-messages", MESSAGES + "/count_tokens", "permission_error"),
    ],
)
async def test_a_call_that_may_go_nowhere_is_refused_in_its_dialect_with_reason_and_rule(dialect, path, kind):
    async with Upstream([]) as upstream:
        ends = (at(upstream.url, dialect, "a", region="us"), at(upstream.url, dialect, "b", region="cn"))
        async with gateway([Route("m", ends)], warden=warden()) as gate:
            answered = await gate.post(path, b'{"model":"m"}', NEW)
            [record] = await gate.keeper.recorded()
    assert answered.status == 403
    error = json.loads(answered.body)["error"]
    assert error["type"] == kind
    assert error["message"] == "Refused by this gateway's policy: Data stays in the EU. (rule only-eu)"
    assert upstream.requests == []
    assert gate.keeper.reserved == [], "a refused call takes no room in any budget"
    assert (record.verdict, record.rule, record.status, record.model_asked) == ("policy", "only-eu", 403, "m")


@pytest.mark.enable_socket
async def test_clients_are_held_to_their_version_and_tools():
    search = b'{"model":"m","stream":true,"tools":[{"type":"web_search_20250305","name":"web_search"}]}'
    own = b'{"model":"m","stream":true,"tools":[{"name":"web_search","input_schema":{}}]}'
    async with Upstream([Reply(messages_wire("x"))] * 2) as upstream:
        ends = (at(upstream.url, "anthropic-messages", region="eu"),)
        async with gateway([Route("m", ends)], warden=warden()) as gate:
            new = (await gate.post(MESSAGES, own, NEW)).status
            searching = await gate.post(MESSAGES, search, NEW)
            old = await gate.post(MESSAGES, own, [("user-agent", "claude-cli/2.0.330")])
            nameless = await gate.post(MESSAGES, own)
            records = await gate.keeper.recorded(4)
    assert (new, searching.status, old.status, nameless.status) == (200, 403, 403, 403)
    assert b"no-search" in searching.body
    assert b"Update your client" in old.body
    assert sorted(record.rule for record in records) == ["default", "no-search", "old-client", "old-client"]


@pytest.mark.enable_socket
async def test_other_rules_hold_from_the_next_call_on():
    rules = warden()
    body = b'{"model":"m","stream":true}'
    async with (
        Upstream([Reply(chat_wire("x"))] * 2) as upstream,
        gateway([Route("m", (at(upstream.url, region="us"),))], warden=rules) as gate,
    ):
        before = await gate.post(CHAT, body, NEW)
        rules.take(load_rulebook('default = "allow"', "empty"))
        allowed = await gate.post(CHAT, body, NEW)
        rules.take(load_rulebook('default = "deny"', "empty"))
        after = await gate.post(CHAT, body, NEW)
    assert (before.status, allowed.status, after.status) == (403, 200, 403)
    assert b"(rule default)" in after.body


@pytest.mark.enable_socket
async def test_health_says_when_the_newest_rules_are_not_in_force():
    rules = warden()
    request = b"GET /healthz HTTP/1.1\r\nhost: g\r\n\r\n"
    async with gateway([Route("m", (at("http://127.0.0.1:9"),))], warden=rules) as gate:
        async with gate.raw(request) as talk:
            well = await talk.rest()
        rules.trouble = "rules.toml: a secret detail"
        async with gate.raw(request) as talk:
            stale = await talk.rest()
    assert json.loads(well.body) == {"status": "ok"}
    assert json.loads(stale.body) == {"status": "ok", "policy": "stale"}


@pytest.mark.parametrize(
    ("dialect", "body", "tools", "vendor"),
    [
        ("openai-chat", {"tools": [{"type": "function", "function": {"name": "run"}}]}, {"run"}, set()),
        ("openai-chat", {"functions": [{"name": "old"}], "web_search_options": {}}, {"old", "web_search"}, {"web_search"}),
        ("openai-chat", {"enable_search": True}, {"web_search"}, {"web_search"}),
        ("openai-chat", {"tools": [{"type": "custom", "custom": {"name": "patch"}}]}, {"patch"}, set()),
        ("openai-responses", {"tools": [{"type": "function", "name": "run"}, {"type": "local_shell"}]}, {"run", "local_shell"}, set()),
        ("openai-responses", {"tools": [{"type": "web_search_preview_2025_03_11"}]}, {"web_search"}, {"web_search"}),
        (
            "openai-responses",
            {"tools": [{"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}, {"type": "mcp"}]}]},
            {"crm", "find", "mcp"},
            {"mcp"},
        ),
        ("openai-responses", {"input": [{"type": "x", "tools": [{"type": "code_interpreter"}]}]}, {"code_interpreter"}, {"code_interpreter"}),
        (
            "anthropic-messages",
            {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}, {"type": "bash_20250124", "name": "bash"}]},
            {"code_execution", "bash"},
            {"code_execution"},
        ),
        ("anthropic-messages", {"mcp_servers": [{"type": "url", "url": "https://mcp.example"}]}, {"mcp"}, {"mcp"}),
        ("anthropic-messages", {"tools": [3, None, {"name": 4}, {"type": 5}, {"function": 6}], "mcp_servers": []}, set(), set()),
        ("openai-chat", {"tools": "all"}, set(), set()),
        ("openai-responses", {"input": "text", "tools": {"a": 1}}, set(), set()),
    ],
)  # fmt: skip
def test_the_tools_that_a_call_offers_are_named(dialect, body, tools, vendor):
    offer = offered(body, dialect)
    assert (set(offer.tools), set(offer.vendor_tools)) == (tools, vendor)


def test_rulings_are_remembered_by_every_fact_that_a_rule_can_read():
    assert {field.name for field in fields(Facts)} == {*OF_CALL, *OF_UPSTREAM, "at_ms"}
    call = Call("call-1", "openai-chat", 60_000, 0.0, False, client="c/3", session_id="s")
    call.principal = Principal("key-1", "ann", "shop", "core")
    call.envelope = read_envelope(b'{"model":"m","stream":true,"tools":[{"name":"t","type":"mcp"}]}', call.dialect)
    end = at("http://u", name="eu", region="eu", provider="p", data_class="d", self_hosted=True)
    facts = facts_of(call, end)
    for name, path in OF_CALL.items():
        assert attrgetter(path)(call) == getattr(facts, name)
    for name, path in OF_UPSTREAM.items():
        assert attrgetter(path)(end) == ("" if name == "served_model" else getattr(facts, name))
