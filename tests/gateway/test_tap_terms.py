"""What an answer says of how it was served and what its tokens were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mohist.gateway.call import Dialect
from mohist.gateway.tap import Tap
from mohist.provider.message import Usage
from mohist.provider.price import Terms


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def test_how_long_a_prefix_is_kept_comes_with_anthropic_s_usage() -> None:
    tap = Tap("anthropic-messages")
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 500,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 400},
        "service_tier": "standard",
        "inference_geo": "us",
    }
    tap.feed(event({"type": "message_start", "message": {"model": "m", "usage": usage}}))
    tap.feed(
        event({"type": "message_delta", "usage": {"output_tokens": 7, "server_tool_use": {"web_search_requests": 2}}})
    )
    assert tap.usage() == Usage(10, 0, 500, 7, 400)
    assert tap.terms() == Terms("standard", "us", 2)


def test_more_tokens_kept_for_an_hour_than_written_are_not_believed() -> None:
    tap = Tap("anthropic-messages")
    tap.read(
        json.dumps(
            {
                "content": [],
                "usage": {"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
            }
        ).encode()
    )
    assert tap.usage() == Usage(0, 0, 5, 0, 5)


def test_fast_mode_is_a_service_of_its_own() -> None:
    tap = Tap("anthropic-messages")
    tap.read(
        json.dumps({"content": [], "usage": {"input_tokens": 1, "service_tier": "standard", "speed": "fast"}}).encode()
    )
    assert tap.terms() == Terms("fast")


def test_a_chat_answer_names_its_service_tier() -> None:
    tap = Tap("openai-chat")
    tap.feed(event({"model": "m", "service_tier": "priority", "choices": [{"delta": {"content": "hi"}}]}))
    tap.feed(event({"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}))
    assert tap.terms() == Terms("priority")
    assert tap.usage() == Usage(3, 0, 0, 1)


def test_searches_of_a_responses_answer_are_counted_and_opened_pages_are_not() -> None:
    tap = Tap("openai-responses")
    output = [
        {"type": "web_search_call", "action": {"type": "search"}},
        {"type": "web_search_call", "action": {"type": "open_page"}},
        {"type": "web_search_call"},
        {"type": "message"},
        "nonsense",
    ]
    response = {
        "model": "m",
        "service_tier": "flex",
        "output": output,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    tap.feed(event({"type": "response.completed", "response": response}))
    assert tap.terms() == Terms("flex", "", 2)


@pytest.mark.parametrize("dialect", ["anthropic-messages", "openai-chat", "openai-responses"])
def test_a_usage_that_names_no_tokens_is_not_taken_as_zero(dialect: Dialect) -> None:
    tap = Tap(dialect)
    tap.read(json.dumps({"content": [], "choices": [], "output": [], "usage": {"total": 1250, "tokens": 50}}).encode())
    assert tap.usage() is None
