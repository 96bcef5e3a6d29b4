"""Reads requests of the three dialects as strictly as a vendor does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class ShapeError(Exception):
    """The request is not one of its dialect."""


class Call(NamedTuple):
    """One tool call."""

    call_id: str
    name: str
    arguments: str
    """JSON text."""


@dataclass(slots=True)
class Seen:
    """What matters of a request."""

    dialect: str
    model: str
    stream: bool
    wants_usage: bool = True
    tools: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> JSON schema of the arguments."""
    calls: dict[str, Call] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    """Call id -> text."""


# What each vendor documents, as far as a gateway can have a reason to write it.
FIELDS = {
    "openai-chat": (
        "model messages tools tool_choice parallel_tool_calls stream stream_options max_tokens max_completion_tokens"
        " temperature top_p stop reasoning_effort response_format prompt_cache_key seed user metadata n store logprobs"
        " top_logprobs presence_penalty frequency_penalty verbosity service_tier safety_identifier"
    ),
    "openai-responses": (
        "model input instructions tools tool_choice parallel_tool_calls stream stream_options max_output_tokens"
        " temperature top_p reasoning text include store prompt_cache_key user metadata truncation"
        " previous_response_id service_tier safety_identifier top_logprobs"
    ),
    "anthropic-messages": (
        "model messages system tools tool_choice stream max_tokens temperature top_p top_k stop_sequences thinking"
        " metadata output_config service_tier cache_control"
    ),
}


def read_request(dialect: str, body: bytes, foreign: bool) -> Seen:
    """What a request holds.

    Args:
        foreign: the gateway wrote it, so a field that the dialect does not have is its fault.

    Raises:
        ShapeError: what a vendor would refuse.
    """
    value = json.loads(body)
    need(isinstance(value, dict) and isinstance(value.get("model"), str), "no model")
    if foreign and (strange := value.keys() - set(FIELDS[dialect].split())):
        raise ShapeError(f"fields that the dialect does not have: {sorted(strange)}")
    seen = Seen(dialect, value["model"], value.get("stream", False))
    need(isinstance(seen.stream, bool), "stream is no boolean")
    {"openai-chat": _chat, "openai-responses": _responses, "anthropic-messages": _messages}[dialect](
        value, seen, foreign
    )
    for call in seen.calls.values():
        need(isinstance(json.loads(call.arguments), dict), f"arguments of {call.call_id} are no object")
    need(list(seen.calls) == list(dict.fromkeys(seen.calls)), "a call id comes twice")
    return seen


def need(fact: object, complaint: str) -> None:
    """Raises unless `fact`."""
    if not fact:
        raise ShapeError(complaint)


def text_of(content: object) -> str:
    """The text of a string or of content parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _chat(value: Mapping[str, Any], seen: Seen, foreign: bool) -> None:
    options = value.get("stream_options")
    need(options is None or seen.stream, "stream_options without stream")
    seen.wants_usage = not seen.stream or bool((options or {}).get("include_usage"))
    for tool in value.get("tools", ()):
        need(tool.get("type") == "function", f"a tool of type {tool.get('type')!r}")
        seen.tools[tool["function"]["name"]] = tool["function"].get("parameters", {})
    open_calls: list[str] = []
    messages = value["messages"]
    need(isinstance(messages, list) and messages, "no messages")
    for message in messages:
        role = message["role"]
        if role == "tool":
            need(
                message["tool_call_id"] in open_calls, f"a result for {message['tool_call_id']!r}, which waits for none"
            )
            open_calls.remove(message["tool_call_id"])
            need(isinstance(message["content"], (str, list)), "a result without content")
            seen.results[message["tool_call_id"]] = text_of(message["content"])
            continue
        need(not open_calls, f"role {role!r} before the results of {open_calls}")
        need(role in ("system", "developer", "user", "assistant"), f"role {role!r}")
        need(role == "assistant" or isinstance(message.get("content"), (str, list)), f"{role} without content")
        for call in message.get("tool_calls") or ():
            need(role == "assistant" and call["type"] == "function", "a misplaced call")
            need(call["id"] not in seen.calls, f"the call {call['id']!r} comes twice")
            seen.calls[call["id"]] = Call(call["id"], call["function"]["name"], call["function"]["arguments"])
            open_calls.append(call["id"])
    need(not open_calls, f"calls without results: {open_calls}")


def _messages(value: Mapping[str, Any], seen: Seen, foreign: bool) -> None:
    need(type(value.get("max_tokens")) is int and value["max_tokens"] > 0, "max_tokens is missing")
    need(isinstance(value.get("system", ""), (str, list)), "system is neither text nor blocks")
    for tool in value.get("tools", ()):
        if "input_schema" in tool:
            need(tool["input_schema"].get("type") == "object", f"the schema of {tool['name']} is no object's")
            seen.tools[tool["name"]] = tool["input_schema"]
    waiting: list[str] = []
    before = ""
    need(value["messages"] and value["messages"][0]["role"] == "user", "the first message is not the user's")
    for message in value["messages"]:
        role = message["role"]
        need(role in ("user", "assistant") or (role == "system" and not foreign), f"role {role!r}")
        need(not (foreign and role == before), f"two messages of the {role} in a row")
        before = role
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        need(blocks, f"an empty message of the {role}")
        results = [block for block in blocks if block["type"] == "tool_result"]
        if waiting:
            need(role == "user", f"role {role!r} before the results of {waiting}")
            need({block["tool_use_id"] for block in results} == set(waiting), f"results do not fit {waiting}")
            first = blocks[: len(results)]
            need(all(block["type"] == "tool_result" for block in first), "results do not come first")
        else:
            need(not results, "results that nobody waits for")
        for block in results:
            seen.results[block["tool_use_id"]] = text_of(block.get("content", ""))
        waiting = []
        for block in blocks:
            need(block["type"] != "text" or block["text"], "an empty text block")
            if block["type"] == "tool_use":
                need(role == "assistant" and isinstance(block["input"], dict), "a misplaced call")
                need(block["id"] not in seen.calls, f"the call {block['id']!r} comes twice")
                seen.calls[block["id"]] = Call(block["id"], block["name"], json.dumps(block["input"]))
                waiting.append(block["id"])
    need(not waiting, f"calls without results: {waiting}")


def _responses(value: Mapping[str, Any], seen: Seen, foreign: bool) -> None:
    for tool in value.get("tools", ()):
        if tool["type"] == "function":
            need("function" not in tool, "a tool in the shape of Chat Completions")
            seen.tools[tool["name"]] = tool.get("parameters", {})
        else:
            need(not foreign, f"a tool of type {tool['type']!r}")
    items = value["input"]
    items = [{"type": "message", "role": "user", "content": items}] if isinstance(items, str) else items
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            need(item["role"] in ("system", "developer", "user", "assistant"), f"role {item['role']!r}")
            for part in item["content"] if isinstance(item["content"], list) else ():
                good = (
                    ("output_text", "refusal")
                    if item["role"] == "assistant"
                    else ("input_text", "input_image", "input_file")
                )
                need(part["type"] in good, f"a part {part['type']!r} of the {item['role']}")
        elif kind == "function_call":
            need(item["call_id"] not in seen.calls, f"the call {item['call_id']!r} comes twice")
            seen.calls[item["call_id"]] = Call(item["call_id"], item["name"], item["arguments"])
        elif kind == "function_call_output":
            need(item["call_id"] in seen.calls, f"a result for {item['call_id']!r}, which no call has")
            need(item["call_id"] not in seen.results, f"a second result for {item['call_id']!r}")
            seen.results[item["call_id"]] = text_of(item["output"])
        else:
            need(kind == "reasoning" or not foreign, f"an item {kind!r}")
    need(seen.calls.keys() == seen.results.keys(), f"calls without results: {seen.calls.keys() - seen.results.keys()}")
