"""The software register at the door: who is refused, who is warned, whom it believes, and what is written down."""

from __future__ import annotations

import json

import pytest

from fakes.gateway import at, gateway
from fakes.upstream import Reply, Upstream, chat_wire, messages_wire
from mohist.gateway.call import Principal
from mohist.gateway.registrar import Registrar, bound_tool
from mohist.gateway.route import Route
from mohist.policy.register import parse_register

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
CLAUDE = [("user-agent", "claude-cli/2.1.100 (external, cli)")]
QWEN = [("user-agent", "QwenCode/0.24.4 (linux; x64)")]
CODEX = [("user-agent", "a-shell/1.0"), ("originator", "codex_exec")]
ENTRIES = """
[[entry]]
id = "marks"
tool = "claude-code"
versions = "<2.1.197"
disposition = "banned"
reason = "It marks prompts"
alternative = "qwen-code"
first_step = "mohist govern -- qwen"

[[entry]]
id = "vetted"
tool = "qwen-code"
disposition = "restricted"
reason = "Vetted so"
first_step = "mohist govern -- qwen"
conditions = { governed = true, models = ["own-*"], not_repositories = ["git.example.com/pay/*"] }

[[entry]]
id = "codex-ends"
tool = "npm:@openai/codex"
disposition = "banned"
reason = "Its contract ends"
effective = 9999-01-01
alternative = "opencode — 换一个"
first_step = "npm i -g opencode-ai"
"""


def registrar(text: str = ENTRIES) -> Registrar:
    return Registrar([parse_register(text, "register.toml")])


def body(model: str = "own-model") -> bytes:
    return json.dumps({"model": model, "stream": True, "max_tokens": 9, "messages": [], "input": []}).encode()


def route(*ends: Upstream) -> list[Route]:
    return [Route("*", tuple(at(one.url) for one in ends))]


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        (CHAT, 400, "invalid_request_error"),
        (RESPONSES, 400, "invalid_request_error"),
        (MESSAGES, 451, "permission_error"),
        (MESSAGES + "/count_tokens", 451, "permission_error"),
    ],
)
async def test_a_banned_client_is_told_in_its_dialect_what_to_use_instead_and_how_to_begin(path, status, kind):
    async with Upstream([]) as upstream, gateway(route(upstream), registrar=registrar()) as gate:
        answered = await gate.post(path, body(), CLAUDE)
        [record] = await gate.keeper.recorded()
    error = json.loads(answered.body)["error"]
    assert (answered.status, error["type"]) == (status, kind)
    assert "claude-code 2.1.100 is banned: It marks prompts." in error["message"]
    assert "Use instead: qwen-code. First step: mohist govern -- qwen." in error["message"]
    assert (record.verdict, record.rule) == ("policy", "register.marks")
    assert upstream.requests == []


@pytest.mark.enable_socket
@pytest.mark.parametrize("agent", ["claude-cli/2.1.197", "claude-cli/3.0.0", "other/2.1.100", ""])
async def test_a_client_that_no_entry_speaks_of_passes_and_nothing_is_written_of_it(agent):
    async with Upstream([Reply(chat_wire("x"))]) as upstream, gateway(route(upstream), registrar=registrar()) as gate:
        answered = await gate.post(CHAT, body(), [("user-agent", agent)] if agent else [])
        [record] = await gate.keeper.recorded()
    assert (answered.status, record.rule) == (200, "")
    assert "x-mohist-warning" not in answered.headers


@pytest.mark.enable_socket
@pytest.mark.parametrize("agent", ["claude-cli/2.1.197-beta.3", "claude-cli/2.1.100-rc.1", "claude-cli", "claude-cli/latest", "CLAUDE-CLI/1.0.0"])  # fmt: skip
async def test_no_pre_release_and_no_version_that_cant_be_read_slips_past_a_ban(agent):
    async with Upstream([]) as upstream, gateway(route(upstream), registrar=registrar()) as gate:
        answered = await gate.post(CHAT, body(), [("user-agent", agent)])
    assert answered.status == 400


@pytest.mark.enable_socket
async def test_before_its_day_a_client_is_warned_in_a_header_and_its_call_is_marked():
    async with Upstream([Reply(chat_wire("x"))]) as upstream, gateway(route(upstream), registrar=registrar()) as gate:
        answered = await gate.post(CHAT, body(), CODEX)
        [record] = await gate.keeper.recorded()
    warning = answered.headers["x-mohist-warning"]
    assert answered.status == 200
    assert warning.isascii()
    assert "Its contract ends. From 9999-01-01 on it is refused." in warning
    assert "%E6%8D%A2" in warning
    assert (record.verdict, record.rule) == ("allowed", "register.codex-ends")


@pytest.mark.enable_socket
async def test_a_restricted_tool_passes_only_with_a_key_that_was_made_for_it_on_its_conditions():
    ungoverned, other_model = (
        Principal("k", "ada"),
        Principal("k", "ada", tool="qwen-code@0.24.4", repository="git.example.com/shop"),
    )
    secret_place = Principal("k", "ada", tool="qwen-code@0.24.4", repository="git.example.com/pay/core")
    nowhere = Principal("k", "ada", tool="qwen-code@0.24.4")
    said = {}
    async with Upstream([Reply(chat_wire("x"))]) as upstream, gateway(route(upstream), registrar=registrar()) as gate:
        for name, who, model in (
            ("claimed only", ungoverned, "own-model"),
            ("other model", other_model, "vendor-model"),
            ("their repository", secret_place, "own-model"),
            ("no repository", nowhere, "own-model"),
            ("all holds", other_model, "own-model"),
        ):
            gate.keeper.who = who
            answered = await gate.post(CHAT, body(model), QWEN)
            said[name] = json.loads(answered.body)["error"]["message"] if answered.status == 400 else answered.status
    assert "restricted: only under mohist govern." in said["claimed only"]
    assert "not with the model 'vendor-model'." in said["other model"]
    assert "not on git.example.com/pay/core." in said["their repository"]
    assert "can't be told." in said["no repository"]
    assert said["all holds"] == 200


@pytest.mark.enable_socket
async def test_a_key_made_for_a_banned_tool_is_refused_whatever_its_client_says_and_so_is_a_banned_client_with_another_key():
    async with Upstream([Reply(chat_wire("x"))]) as upstream, gateway(route(upstream), registrar=registrar()) as gate:
        gate.keeper.who = Principal("k", "ada", tool="claude-code@2.1.100")
        lies = await gate.post(CHAT, body(), [("user-agent", "curl/8.0")])
        gate.keeper.who = Principal("k", "ada", tool="qwen-code@0.24.4", repository="git.example.com/shop")
        borrows = await gate.post(CHAT, body(), CLAUDE)
        # A library's name says nothing of which tool uses it.
        library = await gate.post(CHAT, body(), [("user-agent", "OpenAI/Python 2.1.0")])
    assert (lies.status, borrows.status, library.status) == (400, 400, 200)


@pytest.mark.enable_socket
async def test_where_what_is_not_listed_is_refused_a_client_without_a_name_is_too():
    text = '[register]\nunlisted = "deny"\nask = "write to tools@example.com"\n' + ENTRIES
    async with (
        Upstream([Reply(messages_wire("x"))]) as upstream,
        gateway(route(upstream), registrar=registrar(text)) as gate,
    ):
        answered = [await gate.post(CHAT, body(), headers) for headers in ([], [("user-agent", "new-tool/1")])]
        records = await gate.keeper.recorded(2)
    assert [one.status for one in answered] == [400, 400]
    assert "new-tool 1 is not in the register" in json.loads(answered[1].body)["error"]["message"]
    assert "qwen-code" in json.loads(answered[1].body)["error"]["message"]
    assert "write to tools@example.com" in json.loads(answered[1].body)["error"]["message"]
    assert {record.rule for record in records} == {"register.unlisted"}


@pytest.mark.enable_socket
async def test_a_register_that_is_taken_while_calls_come_holds_from_the_next_one_on():
    rolls = Registrar()
    async with Upstream([Reply(chat_wire("x"))]) as upstream, gateway(route(upstream), registrar=rolls) as gate:
        before = await gate.post(CHAT, body(), CLAUDE)
        rolls.take([parse_register(ENTRIES, "register.toml")])
        after = await gate.post(CHAT, body(), CLAUDE)
    assert (before.status, after.status) == (200, 400)


@pytest.mark.enable_socket
async def test_of_two_registers_the_stricter_holds():
    strict = '[register]\nunlisted = "deny"\n'
    both = Registrar([parse_register(ENTRIES, "database"), parse_register(strict, "managed")])
    async with Upstream([]) as upstream, gateway(route(upstream), registrar=both) as gate:
        answered = await gate.post(CHAT, body(), [("user-agent", "other/1")])
    assert answered.status == 400


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("claude-code@2.1.330", "claude-code", "2.1.330"),
        ("npm:@scope/name@1.2.3", "npm:@scope/name", "1.2.3"),
        ("npm:@scope/name", "npm:@scope/name", ""),
        ("pypi:Aider_Chat@0.86.2", "pypi:aider-chat", "0.86.2"),
        ("qwen-code", "qwen-code", ""),
    ],
)
def test_a_key_names_its_tool_with_its_version(text, name, version):
    tool = bound_tool(text)
    assert (tool.names[0], tool.version) == (name, version)
