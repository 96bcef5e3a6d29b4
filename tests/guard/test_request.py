"""The texts of model calls in three dialects, and the way back into the bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.guard import Block, Dialect, GuardError, GuardLimitError, Limits, Request, walk

CHAT: Dialect = "openai-chat"
RESPONSES: Dialect = "openai-responses"
MESSAGES: Dialect = "anthropic-messages"
DIALECTS: tuple[Dialect, ...] = (CHAT, RESPONSES, MESSAGES)
# A one-pixel picture is not needed: the rule goes by the first bytes.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" + "A" * 64


def sent(value: object) -> bytes:
    return json.dumps(value).encode()


def said(body: object, dialect: Dialect) -> set[tuple[str, str, str, str]]:
    return {(block.source, block.name, block.path, block.text) for block in walk(sent(body), dialect)}


def test_chat_texts_come_with_who_wrote_them() -> None:
    body = {
        "model": "gpt-x",
        "messages": [
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "look here"}]},
            {
                "role": "assistant",
                "content": "reading",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a/b.py"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "print(1)"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "read", "description": "reads a file", "parameters": {}}},
        ],
        "metadata": {"team": "core"},
    }
    found = said(body, CHAT)
    assert {
        ("system", "", "/messages/0/content", "be kind"),
        ("user", "", "/messages/1/content/0/text", "look here"),
        ("assistant", "", "/messages/2/content", "reading"),
        ("tool_call", "read", "/messages/2/tool_calls/0/function/arguments#/path", "a/b.py"),
        ("tool_result", "read", "/messages/3/content", "print(1)"),
        ("tool_schema", "read", "/tools/0/function/description", "reads a file"),
        ("metadata", "", "/metadata/team", "core"),
        ("metadata", "", "/model", "gpt-x"),
    } <= found


def test_responses_items_come_with_who_wrote_them() -> None:
    body = {
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": "hello there"},
            {"type": "function_call", "call_id": "c1", "name": "run", "arguments": '{"cmd": ["ls", "-l /x"]}'},
            {"type": "function_call_output", "call_id": "c1", "output": "total 0"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "done it"},
            {"type": "mcp_call", "name": "wiki", "server_label": "w1", "arguments": "{}", "output": "a page"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking hard"}]},
        ],
    }
    found = said(body, RESPONSES)
    assert {
        ("system", "", "/instructions", "be kind"),
        ("user", "", "/input/0/content", "hello there"),
        ("tool_call", "run", "/input/1/arguments#/cmd/1", "-l /x"),
        ("tool_result", "run", "/input/2/output", "total 0"),
        ("tool_call", "patch", "/input/3/input", "*** Begin"),
        ("tool_result", "patch", "/input/4/output", "done it"),
        ("mcp", "wiki", "/input/5/output", "a page"),
        ("assistant", "", "/input/6/summary/0/text", "thinking hard"),
    } <= found
    assert ("user", "", "/input", "just a text") in said({"input": "just a text"}, RESPONSES)


def test_anthropic_blocks_come_with_who_wrote_them() -> None:
    body = {
        "system": [{"type": "text", "text": "be kind"}],
        "messages": [
            {"role": "user", "content": "hello there"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"cmd": "ls /"}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "bin etc"}]},
                    {"type": "web_fetch_tool_result", "tool_use_id": "t9", "content": {"url": "https://x.example"}},
                    {"type": "mcp_tool_result", "tool_use_id": "t8", "content": "from afar"},
                ],
            },
        ],
    }
    found = said(body, MESSAGES)
    assert {
        ("system", "", "/system/0/text", "be kind"),
        ("user", "", "/messages/0/content", "hello there"),
        ("tool_call", "Bash", "/messages/1/content/0/input/cmd", "ls /"),
        ("tool_result", "Bash", "/messages/2/content/0/content/0/text", "bin etc"),
        ("web", "", "/messages/2/content/1/content/url", "https://x.example"),
        ("mcp", "", "/messages/2/content/2/content", "from afar"),
    } <= found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_unknown_fields_keys_and_numbers_are_looked_at_too(dialect: Dialect) -> None:
    body = {
        "x_new": {"a secret key": [True, None, 4111111111111111, 1.5]},
        "messages": "odd",
        "input": {"odd": ["x y"]},
    }
    texts = {block.text: block for block in walk(sent(body), dialect)}
    assert {"x_new", "a secret key", "4111111111111111", "odd", "x y"} <= set(texts)
    assert texts["a secret key"].source == "unknown"
    assert texts["4111111111111111"].path == "/x_new/a secret key/2"


@pytest.mark.parametrize(
    ("dialect", "field", "item"),
    [
        (CHAT, "messages", {"role": "user", "content": "a b"}),
        (MESSAGES, "messages", {"role": "user", "content": [{"type": "text", "text": "a b"}]}),
        (RESPONSES, "input", {"role": "user", "content": "a b"}),
        (RESPONSES, "input", {"type": "mcp_call", "name": "n"}),
        (RESPONSES, "input", {"type": "function_call", "name": "n"}),
    ],
)
def test_a_key_is_looked_at_on_every_level(dialect: Dialect, field: str, item: dict[str, object]) -> None:
    def with_key(value: object) -> Iterator[object]:
        if isinstance(value, dict):
            yield {**value, "smuggled key": 1}
            for name, inner in value.items():
                yield from ({**value, name: changed} for changed in with_key(inner))
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                yield from ([*value[:number], changed, *value[number + 1 :]] for changed in with_key(inner))

    bodies = list(with_key({field: [item]}))
    assert len(bodies) >= 2
    for body in bodies:
        assert "smuggled key" in [block.text for block in walk(sent(body), dialect)], body


def test_digits_of_a_number_that_no_machine_word_holds_are_seen() -> None:
    texts = [block.text for block in walk(b'{"n": [123456789012345678901234567890]}', CHAT)]
    assert "123456789012345678901234567890" in texts


def test_arguments_that_are_no_json_are_a_text() -> None:
    call = {"function": {"name": "f", "arguments": '{"half": "of it'}}
    blocks = list(walk(sent({"messages": [{"role": "assistant", "tool_calls": [call]}]}), CHAT))
    assert Block('{"half": "of it', "tool_call", "/messages/0/tool_calls/0/function/arguments", "f") in blocks


def test_a_key_in_a_field_called_like_a_vendors_seal_is_looked_at() -> None:
    key = "sk-" + "/+8A" * 30
    held = [{"type": "text", "text": "x", "signature": key, "data": key}]
    call = {
        "type": "tool_use",
        "id": "t",
        "name": "Write",
        "input": {"signature": key, "data": key, "encrypted_content": key},
    }
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": held},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": held}]},
        ],
    }
    request = Request(json.dumps(body).encode(), "anthropic-messages")
    assert request.skipped == []
    assert [block.text for block in request.blocks].count(key) == 7


def test_media_and_sealed_data_are_left_out_and_named() -> None:
    sealed = "Ev8BCkYI" + "/+8=".replace("=", "A") * 40
    body = {
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PICTURE}},
                    {"type": "thinking", "thinking": "let me see", "signature": sealed},
                ],
            }
        ]
    }
    request = Request(sent(body), MESSAGES)
    assert [(skipped.path, skipped.what) for skipped in request.skipped] == [
        ("/messages/0/content/0/source/data", "media"),
        ("/messages/0/content/1/image_url/url", "media"),
        ("/messages/0/content/2/signature", "sealed"),
    ]
    assert not any(block.text in (PICTURE, sealed) for block in request.blocks)


@pytest.mark.parametrize("text", ["word " * 40, "c2VjcmV0IHNlY3JldCBzZWNyZXQg" * 10], ids=["words", "base64 of words"])
def test_a_text_in_the_place_of_a_picture_is_looked_at(text: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": text}}]}]}
    request = Request(sent(body), MESSAGES)
    assert text in [block.text for block in request.blocks]
    assert request.skipped == []


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"{", b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"null"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(GuardError):
        Request(body, CHAT)


def test_deep_nesting_and_endless_lists_are_refused() -> None:
    with pytest.raises(GuardLimitError):
        Request(b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", CHAT)
    with pytest.raises(GuardLimitError):
        Request(sent({"a": ["word"] * 20}), CHAT, Limits(max_leaves=10))
    nested = {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "[" * 150 + "]" * 150}}]}]}
    with pytest.raises(GuardLimitError):
        Request(sent(nested), CHAT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(["messages", "input", "system", "tools", "metadata", "x"])
BODIES = st.dictionaries(FIELDS, JSON, max_size=4)


def encoded(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


@given(body=BODIES, dialect=st.sampled_from(DIALECTS))
def test_a_body_in_which_nothing_changes_is_the_same_bytes(body: object, dialect: Dialect) -> None:
    data = encoded(body)
    assert Request(data, dialect).rewrite({}) is data


@given(
    body=BODIES,
    dialect=st.sampled_from(DIALECTS),
    new=st.text(st.characters(exclude_categories=["Cs"])),
    data=st.data(),
)
def test_one_changed_text_changes_nothing_else(body: object, dialect: Dialect, new: str, data: st.DataObject) -> None:
    sent_bytes = encoded(body)
    request = Request(sent_bytes, dialect)
    changeable = [index for index in range(len(request.blocks)) if request.can_change(index)]
    if not changeable:
        return
    index = data.draw(st.sampled_from(changeable))
    path = request.blocks[index].path
    before, after = json.loads(sent_bytes), json.loads(request.rewrite({index: new}))
    assert pointed(after, path) == new
    assert pointed(before, path) == request.blocks[index].text
    assert replaced(before, path, new) == after


def pointed(value: object, path: str) -> object:
    for word in path.split("/")[1:]:
        value = value[int(word)] if isinstance(value, list) else value[word.replace("~1", "/").replace("~0", "~")]  # type: ignore[index]
    return value


def replaced(value: object, path: str, new: str) -> object:
    head, _, last = path.rpartition("/")
    holder = pointed(value, head)
    holder[int(last) if isinstance(holder, list) else last.replace("~1", "/").replace("~0", "~")] = new  # type: ignore[index]
    return value


def test_a_text_within_arguments_is_changed_within_them() -> None:
    arguments = '{ "path" : "a", "text": "the \\"word\\"" }'
    body = sent(
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}]}
    )
    request = Request(body, CHAT)
    index = next(index for index, block in enumerate(request.blocks) if block.text == 'the "word"')
    changed = json.loads(request.rewrite({index: 'the "other"'}))
    assert (
        changed["messages"][0]["tool_calls"][0]["function"]["arguments"]
        == '{ "path" : "a", "text": "the \\"other\\"" }'
    )


def test_names_and_numbers_can_not_be_changed() -> None:
    request = Request(sent({"x_odd": 12345678901}), CHAT)
    for index in range(len(request.blocks)):
        assert not request.can_change(index)
        with pytest.raises(GuardError):
            request.rewrite({index: "y"})


def test_a_body_with_a_key_twice_can_not_be_changed() -> None:
    request = Request(b'{"x": "one", "x": "two"}', CHAT)
    index = next(index for index, block in enumerate(request.blocks) if block.text == "two")
    with pytest.raises(GuardError):
        request.rewrite({index: "three"})
