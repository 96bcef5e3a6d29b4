"""A cache mark on a tool call, as opencode sets it for Claude models, reaches Anthropic on that call."""

from __future__ import annotations

from mohist.gateway.translate import Options, translate_request


def test_a_cache_mark_on_a_call_of_a_chat_goes_with_the_call() -> None:
    mark = {"type": "ephemeral"}
    call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}, "cache_control": mark}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
        ],
        "tools": [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}],
    }
    made = translate_request(body, "openai-chat", "anthropic-messages", "n", Options())
    block = made.body["messages"][1]["content"][0]
    assert (block["type"], block["cache_control"]) == ("tool_use", mark)
