"""Clients are told which refusals no retry makes right; Claude Code would try a revoked key for minutes."""

from __future__ import annotations

import json

import pytest

from fakes.gateway import at, gateway
from mohist.gateway.call import Refusal
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket
BODY = json.dumps({"model": "m", "messages": [], "max_tokens": 1}).encode()


async def test_an_unknown_key_is_not_worth_a_retry() -> None:
    async with gateway([Route("m", (at("http://127.0.0.1:1"),))]) as running:
        answered = await running.post("/v1/messages", BODY, key="mk-unknown")
    assert (answered.status, answered.headers["x-should-retry"]) == (401, "false")


async def test_a_used_up_budget_is_not_worth_a_retry_but_a_rate_is() -> None:
    async with gateway([Route("m", (at("http://127.0.0.1:1"),))]) as running:
        running.keeper.refusal = Refusal("budget", 402, "spent")
        budget = await running.post("/v1/chat/completions", BODY)
        running.keeper.refusal = Refusal("rate", 429, "slow down", 2)
        rate = await running.post("/v1/chat/completions", BODY)
    assert (budget.status, budget.headers["x-should-retry"]) == (402, "false")
    assert rate.status == 429
    assert "x-should-retry" not in rate.headers
