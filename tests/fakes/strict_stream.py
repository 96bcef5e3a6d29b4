"""What each dialect promises its clients of a stream, checked event by event.

Sources: https://docs.claude.com/en/docs/build-with-claude/streaming,
https://platform.openai.com/docs/api-reference/responses-streaming,
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from mohist.gateway.call import Dialect
from mohist.provider.sse import SseDecoder, SseEvent

End = Literal["whole", "error"]


def check(dialect: Dialect, stream: bytes) -> End:
    """How the stream ended.

    Raises:
        AssertionError: it breaks a rule of its dialect, or has no end.
    """
    assert stream.endswith(b"\n\n"), "an event is not closed"
    events = SseDecoder().feed(stream)
    checkers = {"openai-chat": _chat, "openai-responses": _responses, "anthropic-messages": _messages}
    return checkers[dialect](events)


def _messages(events: list[SseEvent]) -> End:
    values = [json.loads(event.data) for event in events]
    assert all(event.name == value["type"] for event, value in zip(events, values, strict=True)), (
        "event and type differ"
    )
    if values[-1]["type"] == "error":
        error = values.pop()["error"]
        assert isinstance(error["type"], str)
        assert error["message"]
        _messages_body(values)
        return "error"
    assert _messages_body(values) == "stopped", "no message_stop"
    return "whole"


_MESSAGE_DELTAS = {
    "text": {"text_delta": "text"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
    "redacted_thinking": {},
}


def _messages_body(values: list[dict[str, Any]]) -> str:
    state, index, kind, arguments, called = "new", 0, "", "", False
    signed = False
    reason = None
    for value in values:
        match state, value["type"]:
            case _, "ping":
                pass
            case "new", "message_start":
                message = value["message"]
                assert message["id"].startswith("msg_")
                assert (message["type"], message["role"], message["content"]) == ("message", "assistant", [])
                assert message["stop_reason"] is None
                assert message["model"]
                _messages_usage(message["usage"])
                state = "between"
            case "between", "content_block_start":
                block = value["content_block"]
                kind, arguments, signed = block["type"], "", False
                assert value["index"] == index, "indices are not contiguous"
                assert kind in _MESSAGE_DELTAS
                if kind == "tool_use":
                    called = True
                    assert block["input"] == {}
                    assert block["id"]
                    assert block["name"]
                if kind in ("text", "thinking"):
                    assert block[kind] == ""
                state = "within"
            case "within", "content_block_delta":
                assert value["index"] == index, "a delta of another block"
                delta = value["delta"]
                assert not signed, "a delta after the signature"
                said = delta[_MESSAGE_DELTAS[kind][delta["type"]]]
                assert isinstance(said, str)
                arguments += said if kind == "tool_use" else ""
                signed = delta["type"] == "signature_delta"
            case "within", "content_block_stop":
                assert value["index"] == index, "another block's end"
                assert kind != "thinking" or signed, "thinking without a signature"
                index += 1
                state = "between"
            case "between", "message_delta":
                reason = value["delta"]["stop_reason"]
                assert reason in {
                    "end_turn",
                    "max_tokens",
                    "stop_sequence",
                    "tool_use",
                    "pause_turn",
                    "refusal",
                    "model_context_window_exceeded",
                }
                assert called or reason != "tool_use", "tool_use without a tool"
                assert "stop_sequence" in value["delta"]
                _messages_usage(value["usage"])
                state = "ending"
            case "ending", "message_stop":
                state = "stopped"
            case _:
                raise AssertionError(f"{value['type']} when {state}")
        if kind == "tool_use" and value["type"] == "content_block_stop":
            assert arguments, "a call without arguments"
    return state


def _messages_usage(usage: Mapping[str, Any]) -> None:
    names = {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"}
    assert names <= usage.keys()
    assert all(type(usage[name]) is int and usage[name] >= 0 for name in names)


def _chat(events: list[SseEvent]) -> End:
    assert all(not event.name for event in events), "chat has no event names"
    if "error" in (value := _json(events[-1])):
        assert value["error"]["message"]
        events = events[:-1]
        assert all(event.data != "[DONE]" for event in events), "an error after the end"
        _chat_body([_json(event) for event in events])
        return "error"
    assert events[-1].data == "[DONE]"
    assert _chat_body([_json(event) for event in events[:-1]]), "no finish reason"
    return "whole"


def _json(event: SseEvent) -> dict[str, Any]:
    return {} if event.data == "[DONE]" else json.loads(event.data)


def _chat_body(values: list[dict[str, Any]]) -> bool:
    finish: str | None = None
    calls: list[str] = []
    usage = False
    for position, value in enumerate(values):
        assert value["object"] == "chat.completion.chunk"
        assert value["id"] == values[0]["id"]
        assert value["model"]
        assert isinstance(value["created"], int)
        assert not usage, "a chunk after the usage"
        if not value["choices"]:
            assert finish, "usage before the end"
            assert (
                value["usage"]["total_tokens"] == value["usage"]["prompt_tokens"] + value["usage"]["completion_tokens"]
            )
            usage = True
            continue
        (choice,) = value["choices"]
        assert value.get("usage") is None
        assert finish is None, "a chunk after the finish reason"
        delta = choice["delta"]
        assert ("role" in delta) == (position == 0), "the role stands first and only there"
        assert delta.keys() <= {"role", "content", "reasoning_content", "refusal", "tool_calls"}
        for fragment in delta.get("tool_calls", ()):
            body = fragment.get("function") or fragment.get("custom")
            if fragment["index"] == len(calls):
                assert fragment["id"]
                assert fragment["type"] in ("function", "custom")
                assert body["name"]
                calls.append(fragment["id"])
            else:
                assert fragment["index"] == len(calls) - 1, "a fragment of another call"
                assert "id" not in fragment
                assert "name" not in body
        finish = choice["finish_reason"]
        assert finish in (None, "stop", "length", "tool_calls", "content_filter")
        assert finish != "tool_calls" or calls
    assert len(set(calls)) == len(calls), "two calls with one id"
    return finish is not None


_RESPONSE_STATUS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}


def _responses(events: list[SseEvent]) -> End:
    values = [json.loads(event.data) for event in events]
    assert all(event.name == value["type"] for event, value in zip(events, values, strict=True)), (
        "event and type differ"
    )
    assert [value["sequence_number"] for value in values] == list(range(len(values))), "sequence numbers"
    assert [value["type"] for value in values[:2]] == ["response.created", "response.in_progress"]
    for value in values[:2]:
        _response(value["response"], "in_progress")
    output: list[Any] = []
    state: dict[str, Any] | None = None
    for value in values[2:-1]:
        kind = value["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert state is None, "two open items"
            assert value["output_index"] == len(output), "output indices"
            state = {"item": value["item"], "text": "", "step": "new"}
            continue
        assert state is not None, f"{kind} without an item"
        assert value["output_index"] == len(output)
        if kind == "output_item.done":
            _item_done(state, value["item"])
            output.append(value["item"])
            state = None
            continue
        assert value["item_id"] == state["item"]["id"], "another item's id"
        _inner(state, kind, value)
    last = values[-1]
    status = _RESPONSE_STATUS[last["type"]]
    _response(last["response"], status)
    assert last["response"]["output"] == output, "the output is not what was told"
    if status == "failed":
        assert last["response"]["error"]["code"]
        assert last["response"]["error"]["message"]
        return "error"
    assert state is None, "an item has no end"
    assert (last["response"]["incomplete_details"] is not None) == (status == "incomplete")
    if usage := last["response"]["usage"]:
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["input_tokens_details"]["cached_tokens"] <= usage["input_tokens"]
        assert usage["output_tokens_details"]["reasoning_tokens"] <= usage["output_tokens"]
    return "whole"


# Item's type -> (event, state before, state after), in which `+` adds text and `=` repeats all of it in the field.
_STEPS = {
    "message": {
        "content_part.added": ("new", "open"),
        "output_text.delta": ("open", "open"),
        "output_text.done": ("open", "told"),
        "refusal.delta": ("open", "open"),
        "refusal.done": ("open", "told"),
        "content_part.done": ("told", "done"),
    },
    "reasoning": {
        "reasoning_summary_part.added": ("new", "open"),
        "reasoning_summary_text.delta": ("open", "open"),
        "reasoning_summary_text.done": ("open", "told"),
        "reasoning_summary_part.done": ("told", "done"),
    },
    "function_call": {
        "function_call_arguments.delta": ("new", "new"),
        "function_call_arguments.done": ("new", "done"),
    },
    "custom_tool_call": {
        "custom_tool_call_input.delta": ("new", "new"),
        "custom_tool_call_input.done": ("new", "done"),
    },
}


def _inner(state: dict[str, Any], kind: str, value: Mapping[str, Any]) -> None:
    before, after = _STEPS[state["item"]["type"]][kind]
    assert state["step"] == before, f"{kind} when {state['step']}"
    state["step"] = after
    if kind.endswith(".delta"):
        state["text"] += value["delta"]
    elif kind.endswith(".done") and kind not in ("content_part.done", "reasoning_summary_part.done"):
        (whole,) = (value[name] for name in ("text", "refusal", "arguments", "input") if name in value)
        assert whole == state["text"], "the whole is not the sum of its deltas"
    if state["item"]["type"] == "message":
        assert value["content_index"] == 0
    if state["item"]["type"] == "reasoning":
        assert value["summary_index"] == 0


def _item_done(state: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    added = state["item"]
    assert (item["id"], item["type"]) == (added["id"], added["type"])
    match item["type"]:
        case "message":
            assert state["step"] == "done"
            (content,) = item["content"]
            assert content.get("text", content.get("refusal")) == state["text"]
            assert item["role"] == "assistant"
        case "reasoning":
            assert state["step"] in ("new", "done")
            assert "".join(part["text"] for part in item["summary"]) == state["text"]
            assert item["encrypted_content"]
        case kind:
            assert state["step"] == "done"
            assert item["arguments" if kind == "function_call" else "input"] == state["text"]
            assert item["call_id"] == added["call_id"]
            assert item["name"] == added["name"]
    if item["type"] != "reasoning":
        assert (added["status"], item["status"]) == ("in_progress", "completed")


def _response(value: Mapping[str, Any], status: str) -> None:
    assert value["object"] == "response"
    assert value["id"].startswith("resp_")
    assert value["status"] == status
    assert {"tools", "tool_choice", "parallel_tool_calls", "instructions", "metadata", "model"} <= value.keys()
    assert (value["error"] is not None) == (status == "failed")
