"""Calls through the door in another dialect than the upstream's."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Reply, Upstream, chat_wire, error_reply, messages_wire
from mohist.gateway.route import Route
from mohist.gateway.translate import Options
from mohist.gateway.translate.form import Thinking
from mohist.gateway.translate.reasoning import wrap
from mohist.provider.message import Usage
from mohist.provider.sse import SseDecoder

pytestmark = pytest.mark.enable_socket

PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic-messages": "/v1/messages",
}
TOOL = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
REQUESTS = {
    "openai-chat": {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Read a.txt"}],
        "tools": [{"type": "function", "function": {"name": "read", "description": "Reads", "parameters": TOOL}}],
    },
    "openai-responses": {
        "instructions": "Be brief.",
        "input": "Read a.txt",
        "tools": [{"type": "function", "name": "read", "description": "Reads", "parameters": TOOL, "strict": False}],
        "store": False,
    },
    "anthropic-messages": {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Read a.txt"}],
        "tools": [{"name": "read", "description": "Reads", "input_schema": TOOL}],
        "max_tokens": 100,
    },
}
ARGUMENTS = '{"path": "a.txt"}'


def responses_reply() -> dict:
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "served-model",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "I read", "annotations": []}],
            },
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "read",
                "arguments": ARGUMENTS,
                "status": "completed",
            },
        ],
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 7,
            "total_tokens": 107,
        },
    }


def responses_stream() -> bytes:
    whole = responses_reply()
    message, call = whole["output"]
    events = [{"type": "response.created", "response": whole | {"output": [], "status": "in_progress", "usage": None}}]
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events += [
        {"type": "response.output_item.added", "output_index": 0, "item": message | {"content": []}},
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": "I read"},
        {"type": "response.output_text.done", **place, "text": "I read"},
        {"type": "response.content_part.done", **place, "part": part | {"text": "I read"}},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.output_item.added", "output_index": 1, "item": call | {"arguments": ""}},
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 1, "delta": ARGUMENTS},
        {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 1, "arguments": ARGUMENTS},
        {"type": "response.output_item.done", "output_index": 1, "item": call},
        {"type": "response.completed", "response": whole},
    ]
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    )


CALLS = [("c1", "read", ARGUMENTS)]
STREAMS = {
    "openai-chat": chat_wire("I read", CALLS),
    "openai-responses": responses_stream(),
    "anthropic-messages": messages_wire("I read", CALLS),
}
WHOLES = {
    "openai-chat": {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "content": "I read",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "read", "arguments": ARGUMENTS}}
                    ],
                },
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
    },
    "openai-responses": responses_reply(),
    "anthropic-messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served-model",
        "content": [
            {"type": "text", "text": "I read"},
            {"type": "tool_use", "id": "c1", "name": "read", "input": {"path": "a.txt"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 7},
    },
}
PAIRS = [(mine, theirs) for mine in PATHS for theirs in PATHS if mine != theirs]


def asked(dialect: str, **more: object) -> bytes:
    return json.dumps({"model": "m", **REQUESTS[dialect], **more}).encode()


def heard(dialect: str, value: dict) -> tuple[str, list[tuple[str, dict]]]:
    """Text and calls of a whole answer."""
    if dialect == "openai-chat":
        [choice] = value["choices"]
        calls = choice["message"].get("tool_calls") or ()
        return choice["message"]["content"] or "", [
            (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
        ]
    if dialect == "openai-responses":
        text = "".join(
            part["text"] for item in value["output"] if item["type"] == "message" for part in item["content"]
        )
        return text, [
            (item["name"], json.loads(item["arguments"])) for item in value["output"] if item["type"] == "function_call"
        ]
    text = "".join(block["text"] for block in value["content"] if block["type"] == "text")
    return text, [(block["name"], block["input"]) for block in value["content"] if block["type"] == "tool_use"]


def gathered(dialect: str, body: bytes) -> tuple[str, list[tuple[str, dict]]]:
    """Text and calls of a streamed answer, by what clients read."""
    decoder = SseDecoder()
    events = [json.loads(event.data) for event in decoder.feed(body) if event.data != "[DONE]"]
    if dialect == "openai-responses":
        assert events[-1]["type"] == "response.completed"
        return heard(dialect, events[-1]["response"])
    text, names, arguments = "", {}, {}
    for event in events:
        if dialect == "anthropic-messages":
            if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use":
                names[event["index"]] = event["content_block"]["name"]
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                text += delta.get("text", "")
                arguments[event["index"]] = arguments.get(event["index"], "") + delta.get("partial_json", "")
            continue
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                if call["function"].get("name"):
                    names[call["index"]] = call["function"]["name"]
                arguments[call["index"]] = arguments.get(call["index"], "") + call["function"].get("arguments", "")
    if dialect == "anthropic-messages":
        assert events[-1]["type"] == "message_stop"
    return text, [(name, json.loads(arguments[index])) for index, name in names.items()]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("mine", "theirs"), PAIRS)
async def test_a_call_and_its_answer_come_through_in_another_dialect(mine, theirs, streamed):
    answer = Reply(STREAMS[theirs], piece_bytes=11)
    if not streamed:
        answer = Reply(json.dumps(WHOLES[theirs]).encode(), content_type="application/json")
    async with Upstream([answer]) as upstream, gateway([Route("m", (at(upstream.url, theirs),))]) as gate:
        answered = await gate.post(PATHS[mine], asked(mine, stream=streamed))
        [record] = await gate.keeper.recorded()
    assert answered.status == 200
    told = gathered(mine, answered.body) if streamed else heard(mine, json.loads(answered.body))
    assert told == ("I read", [("read", {"path": "a.txt"})])
    [request] = upstream.requests
    assert request.path == PATHS[theirs]
    assert (record.dialect, record.usage, record.model_served) == (mine, Usage(100, 0, 0, 7), "served-model")
    assert record.cost_microusd


@pytest.mark.parametrize(("mine", "theirs"), PAIRS)
async def test_headers_of_the_clients_dialect_stay_behind(mine, theirs):
    sent = {
        "anthropic-beta": "x-2026",
        "openai-beta": "y",
        "x-stainless-os": "Linux",
        "originator": "codex",
        "user-agent": "tool/1",
    }
    reply = Reply(STREAMS[theirs], headers=(("x-ratelimit-limit", "3"), ("x-request-id", "req-7")))
    async with Upstream([reply]) as upstream, gateway([Route("m", (at(upstream.url, theirs),))]) as gate:
        answered = await gate.post(PATHS[mine], asked(mine, stream=True), headers=sent.items())
    [request] = upstream.requests
    assert request.headers["user-agent"] == "tool/1"
    assert not request.headers.keys() & (sent.keys() - {"user-agent"})
    assert ("anthropic-version" in request.headers) == (theirs == "anthropic-messages")
    assert answered.headers["x-request-id"] == "req-7"
    assert "x-ratelimit-limit" not in answered.headers


@pytest.mark.parametrize(("mine", "theirs"), PAIRS)
async def test_an_upstreams_error_comes_in_the_clients_dialect(mine, theirs):
    kind = {"anthropic-messages": "rate_limit_error"}.get(theirs, "rate_limit_exceeded")
    refused = error_reply(429, kind, "slow down", (("retry-after", "9"),))
    async with Upstream([refused]) as upstream, gateway([Route("m", (at(upstream.url, theirs),))]) as gate:
        answered = await gate.post(PATHS[mine], asked(mine, stream=True))
    assert (answered.status, answered.headers["retry-after"]) == (429, "9")
    value = json.loads(answered.body)
    assert ("type" in value) == (mine == "anthropic-messages")
    assert "slow down" in value["error"]["message"]


async def test_what_the_upstream_did_not_get_is_told_in_a_header():
    async with (
        Upstream([Reply(STREAMS["openai-chat"])]) as upstream,
        gateway([Route("m", (at(upstream.url),))]) as gate,
    ):
        answered = await gate.post("/v1/messages", asked("anthropic-messages", stream=True, metadata={"user_id": "u"}))
    assert "cache_control" in answered.headers["x-mohist-omitted"]
    assert "metadata" not in upstream.bodies[0]


async def test_what_cannot_be_said_is_refused_by_the_name_of_its_field():
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        answered = await gate.post("/v1/messages", asked("anthropic-messages", tools=search))
        [record] = await gate.keeper.recorded()
    assert answered.status == 400
    assert "tools[0].type" in json.loads(answered.body)["error"]["message"]
    assert upstream.requests == []
    assert (record.cost_microusd, record.attempts) == (0, 0)


async def test_an_upstream_of_the_clients_dialect_answers_what_another_cannot():
    search = [{"type": "web_search_20250305", "name": "web_search"}]
    async with Upstream([]) as chat, Upstream([Reply(STREAMS["anthropic-messages"])]) as messages:
        ends = (at(chat.url, name="near"), at(messages.url, "anthropic-messages", "far"))
        async with gateway([Route("m", ends)]) as gate:
            answered = await gate.post("/v1/messages", asked("anthropic-messages", tools=search, stream=True))
    assert answered.status == 200
    assert answered.body == STREAMS["anthropic-messages"]


async def test_a_call_fails_over_into_another_dialect_and_back():
    broken = [error_reply(500, "api_error", "no"), Reply(STREAMS["anthropic-messages"])]
    async with Upstream(broken) as messages, Upstream([Reply(STREAMS["openai-chat"], cut_at=0)]) as chat:
        ends = (at(messages.url, "anthropic-messages", "one"), at(chat.url, name="two"))
        ends += (at(messages.url, "anthropic-messages", "three"),)
        async with gateway([Route("m", ends)]) as gate:
            answered = await gate.post("/v1/messages", asked("anthropic-messages", stream=True))
            [record] = await gate.keeper.recorded()
    assert answered.body == STREAMS["anthropic-messages"]
    assert (record.upstream, record.attempts) == ("three", 3)


async def test_within_an_account_the_clients_own_dialect_goes_first():
    async with Upstream([Reply(STREAMS["anthropic-messages"])]) as upstream:
        ends = (at(upstream.url, name="chat", account="a"), at(upstream.url, "anthropic-messages", "own", account="a"))
        async with gateway([Route("m", ends)]) as gate:
            answered = await gate.post("/v1/messages", asked("anthropic-messages", stream=True))
    assert upstream.requests[0].path == "/v1/messages"
    assert "x-mohist-omitted" not in answered.headers


async def test_tokens_are_estimated_where_nobody_counts_them():
    async with Upstream([]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        answered = await gate.post("/v1/messages/count_tokens", asked("anthropic-messages"))
        [record] = await gate.keeper.recorded()
    assert json.loads(answered.body)["input_tokens"] > 0
    assert upstream.requests == []
    assert (record.cost_microusd, record.status) == (0, 200)


@pytest.mark.parametrize("theirs", ["openai-chat", "anthropic-messages"])
async def test_a_stream_that_breaks_off_never_looks_whole(theirs):
    wire = STREAMS[theirs]
    cut = Reply(wire, cut_at=wire.index(b"I read") + 10)
    mine = "openai-responses"
    async with Upstream([cut]) as upstream, gateway([Route("m", (at(upstream.url, theirs),))]) as gate:
        answered = await gate.post(PATHS[mine], asked(mine, stream=True))
    assert b"response.completed" not in answered.body
    assert b"error" in answered.body


async def test_an_upstream_whose_stream_cannot_be_read_is_hung_up_on():
    wire = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: []\n\n'
    body = {**REQUESTS["anthropic-messages"], "model": "m", "stream": True}
    async with (
        Upstream([Reply(wire, stall_at=len(wire))]) as upstream,
        gateway([Route("m", (at(upstream.url),))]) as gate,
    ):
        answered = await gate.post(PATHS["anthropic-messages"], json.dumps(body).encode())
        async with asyncio.timeout(PATIENCE_S):
            await upstream.hung_up.wait()
    assert b"event: error" in answered.body


async def test_an_answer_that_comes_whole_is_streamed_to_who_asked_for_a_stream():
    whole = Reply(json.dumps(WHOLES["openai-chat"]).encode(), content_type="application/json")
    async with Upstream([whole]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        answered = await gate.post("/v1/messages", asked("anthropic-messages", stream=True))
    assert gathered("anthropic-messages", answered.body) == ("I read", [("read", {"path": "a.txt"})])


async def test_a_page_in_the_place_of_an_answer_is_an_error_in_the_clients_dialect():
    page = Reply(b"<html>sign in</html>", content_type="text/html")
    async with Upstream([page]) as upstream, gateway([Route("m", (at(upstream.url),))]) as gate:
        answered = await gate.post("/v1/messages", asked("anthropic-messages"))
    assert answered.status == 502
    assert json.loads(answered.body)["type"] == "error"


async def test_reasoning_of_a_translated_answer_is_not_handed_to_another_maker():
    thought = {"type": "thinking", "thinking": "hm", "signature": wrap(Thinking("hm", "sig", "openai-responses"))}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "ho"}]},
        {"role": "user", "content": "go on"},
    ]
    reply = Reply(STREAMS["anthropic-messages"])
    async with (
        Upstream([reply]) as upstream,
        gateway([Route("m", (at(upstream.url, "anthropic-messages"),))]) as gate,
    ):
        await gate.post("/v1/messages", asked("anthropic-messages", messages=turns, stream=True))
    assert [turn["content"] for turn in upstream.bodies[0]["messages"]] == [
        "hi",
        [{"type": "text", "text": "ho"}],
        "go on",
    ]


async def test_a_session_meets_the_same_cache_and_no_other_sessions():
    replies = [Reply(STREAMS["openai-responses"])] * 3
    upstream_of = Options(by_session=True)
    async with Upstream(replies) as upstream:
        route = Route("m", (at(upstream.url, "openai-responses", options=upstream_of),))
        async with gateway([route]) as gate:
            for session in ("one", "one", "two"):
                body = asked("anthropic-messages", stream=True)
                await gate.post("/v1/messages", body, headers=[("x-claude-code-session-id", session)])
    first, second, third = (body["prompt_cache_key"] for body in upstream.bodies)
    assert first == second != third
    assert "key-" not in first
