"""A vendor that cuts an account off, and what a session that moves to another one may keep of its history."""

from __future__ import annotations

import asyncio
import json

import pytest

from fakes.gateway import PATIENCE_S, at, gateway
from fakes.upstream import Received, Reply, Upstream, error_reply, messages_wire
from mohist.gateway import thinking
from mohist.gateway.limit import DoorSettings
from mohist.gateway.route import Route

pytestmark = pytest.mark.enable_socket

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
GOOD = Reply(b'{"model":"served-model","content":[],"choices":[]}', content_type="application/json")
SESSION = [("x-claude-code-session-id", "s1")]
DISOWNED = error_reply(400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block")


def block(signature: str) -> dict[str, str]:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def history(*signatures: str, **more: object) -> bytes:
    """A request whose history holds one assistant turn for each signature."""
    messages: list[object] = [{"role": "user", "content": "go"}]
    for signature in signatures:
        said = [
            block(signature),
            {"type": "redacted_thinking", "data": f"{signature}-r"},
            {"type": "text", "text": "a"},
        ]
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": "on"}]
    return json.dumps({"model": "m", "messages": messages, "big": 10**30} | more).encode()


def seals(request: Received) -> list[str]:
    """The signatures that an upstream got."""
    found = []
    for message in request.json["messages"]:
        if isinstance(message["content"], list):
            found += [b["signature"] for b in message["content"] if b["type"] == "thinking"]
    return found


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_account_that_is_cut_off_under_load_costs_no_client_an_error(status, stream):
    calls = 200
    reply = Reply(messages_wire("hello")) if stream else GOOD
    cut = asyncio.Event()

    def main(_request: Received) -> Reply:
        return (
            error_reply(status, "permission_error", "Your organization has been disabled.") if cut.is_set() else reply
        )

    async with Upstream([main] * calls) as one, Upstream([reply] * calls) as two:
        upstreams = (
            at(one.url, "anthropic-messages", "one", account="a"),
            at(two.url, "anthropic-messages", "two", account="b"),
        )
        async with gateway([Route("m", upstreams)]) as gate:

            async def client(number: int) -> list[tuple[int, bytes]]:
                got = []
                for turn in range(calls // 20):
                    if turn == 3:
                        cut.set()
                    body = history("sig", stream=stream)
                    answered = await gate.post(MESSAGES, body, [("x-session-id", f"s{number}")])
                    got.append((answered.status, answered.body))
                return got

            async with asyncio.timeout(PATIENCE_S):
                answers = await asyncio.gather(*(client(number) for number in range(20)))
            records = await gate.keeper.recorded(calls)
    assert {answer for got in answers for answer in got} == {(200, reply.body)}
    assert {record.upstream for record in records} == {"one", "two"}
    assert len(one.requests) < calls


async def test_a_session_that_moves_leaves_out_what_the_other_account_signed_and_only_that():
    down = error_reply(403, "permission_error", "disabled")
    async with Upstream([GOOD, down, GOOD]) as one, Upstream([GOOD, GOOD, error_reply(500, "x", "y")]) as two:
        upstreams = (
            at(one.url, "anthropic-messages", "one", account="a"),
            at(two.url, "anthropic-messages", "two", account="b"),
        )
        async with gateway([Route("m", upstreams)]) as gate:
            bodies = [history("a1"), history("a1", "a2"), history("a1", "a2", "b1"), history("a1", "a2", "b1", "b2")]
            answers = [await gate.post(MESSAGES, body, SESSION) for body in bodies]
    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.headers.get("x-mohist-omitted") for answer in answers] == [None, "thinking", "thinking", "thinking"]
    # One account: not a byte changes. Then b, to whom a's blocks mean nothing, now and in later turns; then a again.
    assert [request.body for request in one.requests[:2]] == bodies[:2]
    assert [seals(request) for request in two.requests] == [[], ["b1"], ["b1", "b2"]]
    assert seals(one.requests[2]) == ["a1", "a2"]
    moved = two.requests[0].json
    assert moved["big"] == 10**30
    assert [m["role"] for m in moved["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert b"a1-r" not in two.requests[0].body


async def test_upstreams_of_one_account_pass_thinking_on_untouched():
    async with Upstream([error_reply(529, "overloaded_error", "busy")]) as one, Upstream([GOOD]) as two:
        upstreams = (
            at(one.url, "anthropic-messages", "one", account="a"),
            at(two.url, "anthropic-messages", "two", account="a"),
        )
        async with gateway([Route("m", upstreams)]) as gate:
            answered = await gate.post(MESSAGES, history("a1"), SESSION)
    assert "x-mohist-omitted" not in answered.headers
    assert two.requests[0].body == history("a1")


async def test_a_gateway_that_knows_nothing_of_a_session_learns_whose_blocks_they_are_not():
    async with (
        Upstream([DISOWNED, GOOD, GOOD]) as one,
        gateway([Route("m", (at(one.url, "anthropic-messages"),))]) as gate,
    ):
        first = await gate.post(MESSAGES, history("old"), SESSION)
        second = await gate.post(MESSAGES, history("old", "new"), SESSION)
        records = await gate.keeper.recorded(2)
    assert (first.status, second.status) == (200, 200)
    assert first.headers["x-mohist-omitted"] == "thinking"
    assert [seals(request) for request in one.requests] == [["old"], [], ["new"]]
    assert len(records) == 2


async def test_a_refusal_that_leaving_out_does_not_cure_is_passed_on_as_it_was_said_first():
    other = error_reply(400, "invalid_request_error", "something else")
    async with (
        Upstream([DISOWNED, other]) as one,
        gateway([Route("m", (at(one.url, "anthropic-messages"),))]) as gate,
    ):
        answered = await gate.post(MESSAGES, history("old"), SESSION)
    assert (answered.status, answered.body) == (400, DISOWNED.body)
    assert "x-mohist-omitted" not in answered.headers


async def test_another_account_can_be_refused_instead():
    settings = DoorSettings(on_account_change="refuse")
    async with Upstream([error_reply(500, "x", "y"), Reply(b"", cut_at=0), DISOWNED]) as one, Upstream([GOOD]) as two:
        upstreams = (
            at(one.url, "anthropic-messages", "one", account="a"),
            at(two.url, "anthropic-messages", "two", account="b"),
        )
        async with gateway([Route("m", upstreams)], settings) as gate:
            told = await gate.post(MESSAGES, history("a1"), SESSION)
            ours = await gate.post(MESSAGES, history("a1"), SESSION)
            disowned = await gate.post(MESSAGES, history("a1"), SESSION)
            fresh = await gate.post(MESSAGES, history(), SESSION)
    assert [told.status, ours.status, disowned.status] == [500, 502, 400]
    assert b"another account" in ours.body
    assert (fresh.status, len(two.requests)) == (200, 1)


def test_a_turn_under_way_that_lost_its_thinking_switches_it_off_for_the_call() -> None:
    use = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
    turn = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [block("a"), use]},
        {"role": "user", "content": [result]},
    ]
    asked = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "messages": turn}
    under_way = json.loads(thinking.without(json.dumps(asked).encode(), lambda _: True))
    assert "thinking" not in under_way
    assert under_way["messages"][1]["content"] == [use]
    over = asked | {
        "messages": [*turn, {"role": "assistant", "content": [block("b")]}, {"role": "user", "content": "x"}]
    }
    after = json.loads(thinking.without(json.dumps(over).encode(), lambda _: True))
    assert "thinking" in after
    assert [message["role"] for message in after["messages"]] == ["user", "assistant", "user", "user"]
    adaptive = asked | {"thinking": {"type": "adaptive"}}
    assert "thinking" in json.loads(thinking.without(json.dumps(adaptive).encode(), lambda _: True))


def test_a_history_of_any_shape_is_read() -> None:
    for messages in (
        None,
        1,
        [1, None, {"role": "assistant", "content": [1, {"type": ["thinking"]}, {"type": "thinking"}]}],
    ):
        assert thinking.marks(json.dumps({"messages": messages, "thinking": 1, 'x"thinking"': 0}).encode()) == []
