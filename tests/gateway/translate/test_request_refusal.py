"""What can't be translated is refused by the name of its field; what is only a hint is left out by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mohist.gateway.call import Dialect
from mohist.gateway.request import RefusedError
from mohist.gateway.translate import Options, chat_ask, messages_ask, responses_ask, translate_request
from mohist.gateway.translate.field import Table

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
RESPONSES: dict[str, Any] = {"model": "m", "input": "hi"}

BASES: dict[Dialect, dict[str, Any]] = {
    "openai-chat": CHAT,
    "anthropic-messages": MESSAGES,
    "openai-responses": RESPONSES,
}
TABLES: dict[Dialect, Table] = {
    "openai-chat": chat_ask.REQUEST,
    "anthropic-messages": messages_ask.REQUEST,
    "openai-responses": responses_ask.REQUEST,
}
OTHERS: dict[Dialect, Dialect] = {
    "openai-chat": "anthropic-messages",
    "anthropic-messages": "openai-responses",
    "openai-responses": "openai-chat",
}
IMAGE = {"type": "image", "source": {"type": "file", "file_id": "f"}}


def _all_tables() -> list[Table]:
    found: list[Table] = []
    for module in (chat_ask, messages_ask, responses_ask):
        for value in vars(module).values():
            inner = value.values() if isinstance(value, Mapping) else [value]
            found += [one for one in inner if isinstance(one, Table)]
    return found


def test_every_known_field_is_in_exactly_one_table() -> None:
    tables = _all_tables()
    assert len(tables) > 30
    for table in tables:
        assert not table.translated & table.hints
        assert not table.translated & set(table.refused)
        assert not table.hints & set(table.refused)
        assert set(table.neutral) <= table.hints | set(table.refused)


@pytest.mark.parametrize("source", BASES)
def test_every_refused_field_is_refused_by_name_and_with_advice(source: Dialect) -> None:
    for name, advice in TABLES[source].refused.items():
        with pytest.raises(RefusedError) as caught:
            translate_request({**BASES[source], name: "odd"}, source, OTHERS[source], "m", Options())
        assert caught.value.refusal.status == 400
        assert f"`{name}`" in str(caught.value)
        assert advice in str(caught.value)


@pytest.mark.parametrize("source", BASES)
def test_every_hint_is_left_out_by_name(source: Dialect) -> None:
    hints = TABLES[source].hints - {"store", "mcp_servers"}
    done = translate_request({**BASES[source], **dict.fromkeys(hints, "x")}, source, OTHERS[source], "m", Options())
    assert set(done.omitted) == hints


@pytest.mark.parametrize("source", BASES)
def test_null_and_neutral_values_are_nothing(source: Dialect) -> None:
    table = TABLES[source]
    nothing = dict.fromkeys([*table.hints, *table.refused]) | {name: some[0] for name, some in table.neutral.items()}
    done = translate_request({**BASES[source], **nothing}, source, OTHERS[source], "m", Options())
    assert done.omitted == ()


def _said(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("source", "change", "path"),
    [
        ("openai-chat", {"n": 2}, "`n`"),
        ("openai-chat", {"n": True}, "`n`"),
        ("openai-chat", {"logprobs": True}, "`logprobs`"),
        ("openai-chat", {"store": True}, "`store`"),
        ("openai-chat", {"modalities": ["text", "audio"]}, "`modalities`"),
        ("openai-chat", {"foo": 1}, "`foo`"),
        ("openai-chat", {"foo": None}, "`foo`"),
        ("openai-chat", {"temperature": "warm"}, "`temperature`"),
        ("openai-chat", {"temperature": 1.5}, "`temperature`"),
        ("openai-chat", {"max_tokens": 0}, "`max_tokens`"),
        ("openai-chat", {"max_tokens": 5, "max_completion_tokens": 6}, "`max_tokens`"),
        ("openai-chat", {"presence_penalty": 1}, "`presence_penalty`"),
        ("openai-chat", {"response_format": {"type": "json_object"}}, "`response_format.type`"),
        ("openai-chat", {"response_format": {"type": "xml"}}, "`response_format.type`"),
        ("openai-chat", {"stream_options": {"odd": 1}}, "`stream_options.odd`"),
        ("openai-chat", {"tool_choice": {"type": "allowed_tools"}}, "`tool_choice.type`"),
        ("openai-chat", {"tools": [{"type": "web_search"}]}, "`tools[0].type`"),
        ("openai-chat", {"tools": [{"type": "function", "function": {}}]}, "`tools[0].function.name`"),
        (
            "openai-chat",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "`tools[0].function.parameters`",
        ),
        ("openai-chat", {"messages": "hi"}, "`messages`"),
        ("openai-chat", {"messages": [3]}, "`messages[0]`"),
        ("openai-chat", {"messages": [{"role": "function", "content": "x"}]}, "`messages[0].role`"),
        ("openai-chat", {"messages": [{"content": "x"}]}, "`messages[0].role`"),
        ("openai-chat", _said({"type": "input_audio", "input_audio": {}}), "`messages[0].content[0].type`"),
        (
            "openai-chat",
            _said({"type": "file", "file": {"file_id": "f"}}),
            "`messages[0].content[0].file.file_id`",
        ),
        (
            "openai-chat",
            _said({"type": "image_url", "image_url": {"url": "data:,x"}}),
            "`messages[0].content[0].image_url.url`",
        ),
        ("openai-chat", {"messages": [{"role": "assistant", "content": "Once"}]}, "prefill"),
        ("openai-chat", {"messages": [{"role": "user", "content": ""}]}, "no message"),
        ("anthropic-messages", {"container": "c"}, "`container`"),
        ("anthropic-messages", {"inference_geo": "eu"}, "`inference_geo`"),
        ("anthropic-messages", {"mcp_servers": [{"url": "x"}]}, "`mcp_servers`"),
        ("anthropic-messages", {"stop_sequences": ["x"]}, "`stop_sequences`"),
        ("anthropic-messages", {"top_k": 5}, "`top_k`"),
        ("anthropic-messages", {"thinking": {"type": "odd"}}, "`thinking.type`"),
        ("anthropic-messages", {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "`tools[0].type`"),
        ("anthropic-messages", {"tools": [{"name": "f", "odd": 1}]}, "`tools[0].odd`"),
        (
            "anthropic-messages",
            {"context_management": {"edits": [{"type": "compact_20260112"}]}},
            "`context_management.edits[0].type`",
        ),
        ("anthropic-messages", _said(IMAGE), "`messages[0].content[0].source.type`"),
        ("anthropic-messages", _said({"type": "search_result"}), "`messages[0].content[0].type`"),
        ("anthropic-messages", _said({"type": "tool_use", "id": "a"}), "`messages[0].content[0].type`"),
        ("anthropic-messages", _said({"type": "tool_result", "tool_use_id": "a", "content": "x"}), "'a'"),
        (
            "anthropic-messages",
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
                ]
            },
            "'a' has no result",
        ),
        ("openai-responses", {"store": True}, "`store`"),
        ("openai-responses", {"previous_response_id": "r"}, "`previous_response_id`"),
        ("openai-responses", {"background": True}, "`background`"),
        ("openai-responses", {"include": ["message.output_text.logprobs"]}, "`include`"),
        ("openai-responses", {"tools": [{"type": "code_interpreter"}]}, "`tools[0].type`"),
        (
            "openai-responses",
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]},
            "`tools[0].tools[0].type`",
        ),
        ("openai-responses", {"input": [{"type": "item_reference", "id": "i"}]}, "`input[0].type`"),
        ("openai-responses", {"input": [{"type": "web_search_call", "id": "i"}]}, "`input[0].type`"),
        (
            "openai-responses",
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "`input[0].content[0].file_id`",
        ),
    ],
)
def test_refusal_names_the_field(source: Dialect, change: dict[str, Any], path: str) -> None:
    with pytest.raises(RefusedError) as caught:
        translate_request({**BASES[source], **change}, source, OTHERS[source], "m", Options())
    assert path in str(caught.value)
    assert caught.value.refusal.status == 400


def test_two_tools_that_would_share_a_name_are_refused() -> None:
    tools = [
        {"type": "function", "name": "a__b"},
        {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b"}]},
    ]
    with pytest.raises(RefusedError, match="'a__b'"):
        translate_request({**RESPONSES, "tools": tools}, "openai-responses", "openai-chat", "m", Options())


def test_hosted_tools_are_left_out_where_the_route_says_so() -> None:
    body = {**MESSAGES, "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]}
    options = Options(leave_out=frozenset({"web_search_20250305"}))
    done = translate_request(body, "anthropic-messages", "openai-chat", "m", options)
    assert "tools" not in done.body
    assert done.omitted == ("tools[].web_search_20250305",)


def test_a_picture_is_refused_by_a_model_that_sees_none() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    body = {**MESSAGES, **_said({"type": "image", "source": source})}
    with pytest.raises(RefusedError, match="the model sees none"):
        translate_request(body, "anthropic-messages", "openai-chat", "m", Options(images=False))
