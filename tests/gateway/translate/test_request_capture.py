"""Requests that real clients sent (long texts cut, ids replaced), translated into every other dialect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mohist.gateway.call import Dialect
from mohist.gateway.request import RefusedError
from mohist.gateway.translate import Options, Translated, translate_request

REQUESTS = Path(__file__).parent / "requests"
SOURCES: dict[str, Dialect] = {
    "claude-code-2.1.197": "anthropic-messages",
    "codex-0.169.0-freeform": "openai-responses",
    "codex-0.169.0-namespace": "openai-responses",
    "qwen-code-0.15.10": "openai-chat",
}
DIALECTS: tuple[Dialect, ...] = ("openai-chat", "openai-responses", "anthropic-messages")
OPTIONS = Options(leave_out=frozenset({"web_search", "tool_search"}))
PAIRS = [(name, target) for name, source in SOURCES.items() for target in DIALECTS if target != source]


def _body(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((REQUESTS / f"{name}.json").read_text(encoding="utf-8"))
    return value


def _translated(name: str, target: Dialect, options: Options = OPTIONS) -> Translated:
    return translate_request(_body(name), SOURCES[name], target, "upstream-model", options)


def _tool_names(body: dict[str, Any]) -> list[str]:
    return [tool.get("name") or tool["function"]["name"] for tool in body["tools"]]


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_real_request_goes_to_every_other_dialect(name: str, target: Dialect) -> None:
    done = _translated(name, target)
    assert done.body["model"] == "upstream-model"
    assert done.body["stream"] is True
    assert done.ask.model == _body(name)["model"]
    names = _tool_names(done.body)
    assert len(names) == len(set(names)) == len(done.ask.tools)
    assert [done.names.inward(name)[:2] for name in names] == [(tool.namespace, tool.name) for tool in done.ask.tools]


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_real_request_is_translated_the_same_each_time(name: str, target: Dialect) -> None:
    assert json.dumps(_translated(name, target).body) == json.dumps(_translated(name, target).body)


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_last_user_words_arrive_unchanged(name: str, target: Dialect) -> None:
    assert "Say one and two" in json.dumps(_translated(name, target).body, ensure_ascii=False)


@pytest.mark.parametrize(("name", "target"), [pair for pair in PAIRS if pair[1] == "openai-chat"])
def test_each_chat_call_is_followed_by_its_results(name: str, target: Dialect) -> None:
    messages = _translated(name, target).body["messages"]
    at = next(at for at, message in enumerate(messages) if message.get("tool_calls"))
    ids = [call["id"] for call in messages[at]["tool_calls"]]
    assert ids
    assert [message["tool_call_id"] for message in messages[at + 1 : at + 1 + len(ids)]] == ids


@pytest.mark.parametrize(("name", "target"), [pair for pair in PAIRS if pair[1] == "anthropic-messages"])
def test_anthropic_turns_alternate_and_hold_four_marks_at_most(name: str, target: Dialect) -> None:
    body = _translated(name, target).body
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert body["max_tokens"] > 0
    assert "cache_control" in body["tools"][-1]
    assert "cache_control" in body["system"][-1]
    assert json.dumps(body).count('"cache_control"') == 4


def test_claude_code_goes_to_chat() -> None:
    done = _translated("claude-code-2.1.197", "openai-chat", replace(OPTIONS, max_output_tokens=32_000))
    body = done.body
    assert body["max_tokens"] == 32_000
    assert body["messages"][0]["role"] == "system"
    assert "x-anthropic-billing-header" not in body["messages"][0]["content"]
    assert [message["role"] for message in body["messages"]] == [
        "system",
        "user",
        "system",
        "assistant",
        "tool",
        "tool",
    ]
    assert "metadata" not in body
    assert done.omitted == (
        "context_management",
        "system[] (x-anthropic-billing-header)",
        "metadata.user_id",
        "reasoning of earlier answers",
        "max_tokens (32000 instead of 64000)",
        "reasoning",
        "cache_control",
    )


def test_reasoning_that_a_chat_model_made_returns_to_it() -> None:
    options = replace(OPTIONS, reasoning_field="reasoning_content", thinking="thinking_type")
    body = _translated("claude-code-2.1.197", "openai-chat", options).body
    said = next(message for message in body["messages"] if message["role"] == "assistant")
    assert said["reasoning_content"] == "Let me run both."
    assert body["thinking"] == {"type": "enabled"}


def test_codex_freeform_tool_becomes_a_function_with_one_input() -> None:
    done = _translated("codex-0.169.0-freeform", "openai-chat")
    tool = next(tool["function"] for tool in done.body["tools"] if tool["function"]["name"] == "apply_patch")
    assert tool["parameters"]["required"] == ["input"]
    assert "start: begin_patch" in tool["description"]
    calls = [call["function"] for message in done.body["messages"] for call in message.get("tool_calls", ())]
    patch = next(call for call in calls if call["name"] == "apply_patch")
    assert json.loads(patch["arguments"])["input"].startswith("*** Begin Patch")
    assert done.names.inward("apply_patch") == ("", "apply_patch", True)


def test_codex_namespace_is_flattened_and_found_again() -> None:
    done = _translated("codex-0.169.0-namespace", "anthropic-messages")
    assert "multi_agent_v1__spawn_agent" in _tool_names(done.body)
    assert done.names.inward("multi_agent_v1__spawn_agent") == ("multi_agent_v1", "spawn_agent", False)
    tool = next(tool for tool in done.body["tools"] if tool["name"] == "multi_agent_v1__spawn_agent")
    assert tool["description"].startswith("Tools for spawning and managing sub-agents.")


def test_codex_with_hosted_tools_is_refused_unless_the_route_leaves_them_out() -> None:
    body = _body("codex-0.169.0-namespace")
    with pytest.raises(RefusedError, match=r"`tools\[8\]\.type` is 'web_search'"):
        translate_request(body, "openai-responses", "openai-chat", "m", Options())
    assert "tools[].web_search" in _translated("codex-0.169.0-namespace", "openai-chat").omitted


def test_reasoning_of_another_maker_is_not_sent() -> None:
    done = _translated("codex-0.169.0-freeform", "anthropic-messages")
    assert "ZW5jcnlwdGVk" not in json.dumps(done.body)
    assert "reasoning of earlier answers" in done.omitted


def test_claude_code_system_block_is_kept_apart_for_responses() -> None:
    body = _translated("claude-code-2.1.197", "openai-responses", replace(OPTIONS, cache_key="s-1")).body
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["prompt_cache_key"] == "s-1"
    assert [item.get("role", item["type"]) for item in body["input"]] == [
        *("developer", "user", "developer"),
        *("function_call", "function_call", "function_call_output", "function_call_output"),
    ]
