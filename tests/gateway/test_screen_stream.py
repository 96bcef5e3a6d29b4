"""A masked value on its way back: through events, characters and JSON strings that are split anywhere, in all dialects."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.screen import KEY
from fakes.upstream import chat_wire, messages_wire
from mohist.base import SystemClock
from mohist.gateway.call import Principal
from mohist.gateway.guard import Block, Destination, Outbound, Part
from mohist.gateway.screen.follow import Follower, Memory
from mohist.gateway.screen.ground import Arguments, Prose
from mohist.gateway.screen.judge import Judge
from mohist.gateway.screen.sink import SINKS
from mohist.gateway.sieve import Sieve
from mohist.guard import Scanner, keyed
from mohist.guard.matcher import Re2Matcher
from mohist.guard.placeholder import Mint
from mohist.guard.preset import PRESETS
from mohist.guard.restore import Restorer, Words
from mohist.guard.ruling import Rulebook

MINT = Mint(KEY)
VALUES = {MINT.make("secret", value): value for value in ('pa"ss\\wörd\n1', "\U0001f511你好 key", "plain-value-0123")}
NAMES = list(VALUES)


def follower() -> Follower:
    request = Outbound(
        "c", Principal("k", "u"), "cli/1", "openai-chat", "s", "m", Destination("v", "a", "", "", False), b"{}"
    )
    judge = Judge(Rulebook(PRESETS["default"]), lambda _digest, _rule: "", "enforce", request, "in")
    scanner = Scanner([], Re2Matcher([], 10), keyed(KEY))
    memory = Memory(Words(VALUES))
    return Follower(scanner, judge, memory, lambda _noted: None, SystemClock(), keyed(KEY), enforce=True)


def responses_wire(text: str, calls: list[tuple[str, str, str]]) -> bytes:
    """As a vendor streams it: each text in pieces, then again as a whole, twice."""
    events: list[dict[str, Any]] = []
    output: list[dict[str, Any]] = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    events += [
        {"type": "response.output_text.delta", **place, "delta": text[at : at + 4]} for at in range(0, len(text), 4)
    ]
    events += [{"type": "response.output_text.done", **place, "text": text}]
    events += [{"type": "response.output_item.done", "output_index": 0, "item": output[0]}]
    for number, (call_id, name, arguments) in enumerate(calls, 1):
        item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": ""}
        events.append({"type": "response.output_item.added", "output_index": number, "item": item})
        at = {"item_id": call_id, "output_index": number}
        pieces = [arguments[start : start + 5] for start in range(0, len(arguments), 5)]
        events += [{"type": "response.function_call_arguments.delta", **at, "delta": piece} for piece in pieces]
        events.append({"type": "response.function_call_arguments.done", **at, "arguments": arguments})
        output.append(item | {"arguments": arguments})
        events.append({"type": "response.output_item.done", "output_index": number, "item": output[-1]})
    events.append({"type": "response.completed", "response": {"output": output}})
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def said(wire: bytes) -> tuple[str, dict[str, str], list[dict[str, Any]]]:
    """The text, the arguments of each tool, and the Responses dialect's final items, as a client puts them together."""
    text, arguments, names, output = "", {}, {}, []
    for line in wire.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        for choice in event.get("choices", ()):
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                names.setdefault(call["index"], call["function"].get("name"))
                arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]
        kind = event.get("type", "")
        if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            names[event["index"]] = event["content_block"]["name"]
        if kind == "content_block_delta":
            text += event["delta"].get("text", "")
            if "partial_json" in event["delta"]:
                arguments[event["index"]] = arguments.get(event["index"], "") + event["delta"]["partial_json"]
        if kind == "response.output_item.added":
            names[event["output_index"]] = event["item"]["name"]
        if kind == "response.output_text.delta":
            text += event["delta"]
        if kind == "response.function_call_arguments.delta":
            arguments[event["output_index"]] = arguments.get(event["output_index"], "") + event["delta"]
        if kind == "response.completed":
            output = event["response"]["output"]
    return text, {names[index]: told for index, told in arguments.items()}, output


@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic-messages", "openai-responses"])
@settings(max_examples=40)
@given(data=st.data())
def test_a_stream_split_anywhere_comes_back_right(dialect: str, data: st.DataObject) -> None:
    pieces = st.lists(st.sampled_from([*NAMES, "DLPx01", "DLP", "é", "\U0001f600", ' "q" ', "\\", "\n"]), max_size=6)
    text = "".join(data.draw(pieces))
    content = "".join(data.draw(pieces))
    write = json.dumps({"file_path": "/w/a", "content": content}, ensure_ascii=data.draw(st.booleans()))
    other = json.dumps({"command": content, "content": content})
    calls = [("c1", "Write", write), ("c2", "Bash", other), ("c3", "mcp__x__Write", write)]
    wire = {"openai-chat": chat_wire, "anthropic-messages": messages_wire, "openai-responses": responses_wire}[dialect](
        text, calls
    )  # type: ignore[operator]
    sieve = Sieve(dialect, follower())  # type: ignore[arg-type]
    size = data.draw(st.sampled_from([1, 3, 17, 256, 100_000]))
    seen = b"".join(sieve.feed(wire[at : at + size]) for at in range(0, len(wire), size)) + sieve.end()
    shown, arguments, output = said(seen)
    assert shown == back(text)
    assert json.loads(arguments["Write"]) == {"file_path": "/w/a", "content": back(content)}
    assert arguments["Bash"] == other
    assert arguments["mcp__x__Write"] == write
    if output:
        assert output[0]["content"][0]["text"] == back(text)
        assert json.loads(output[1]["arguments"]) == json.loads(arguments["Write"])
        assert [item["arguments"] for item in output[2:]] == [other, write]


def back(text: str) -> str:
    return re.sub("|".join(NAMES), lambda found: VALUES[found.group()], text)


def test_arguments_are_told_apart_by_where_they_stand() -> None:
    word, value = NAMES[2], VALUES[NAMES[2]]
    edits = [{"old_string": word, "new_string": f"a\n{word}", "path": word}]
    held = {"file_path": "/w/a", word: word, "edits": edits, "content": {"x": word}, "new_string": [word, 1, None]}
    text = json.dumps(held)
    for size in (1, 2, 7, 1000):
        restorer = Restorer(Words(VALUES), Arguments(VALUES, SINKS["MultiEdit"]))
        seen = "".join(restorer.feed(text[at : at + size]) for at in range(0, len(text), size)) + restorer.end()
        edit = {"old_string": value, "new_string": f"a\n{value}", "path": word}
        assert json.loads(seen) == held | {"edits": [edit], "new_string": [value, 1, None]}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://e.example/", True),
        ("see https://e.example/ then ", False),
        ("HTTPS://E.example/?q=", True),
        ("(www.", True),
        ("a//b", False),
        ("x = a // ", False),
        ("[a](", True),
        ("[a](<", True),
        ("[a] (", False),
        ("[ref]: ", True),
        ("note: ", False),
        ('<a href="', True),
        ("<img src = x?", True),
        ("ssh://", True),
        ("key: `", False),
        ("https://e.example/`", True),
        ("`https://e.example/` ", False),
        ("![a](https://e.example/(')", True),
        ("![a](<https://e.example/ ", True),
        ("![a](<https://e.example/> ", False),
        ("![a](<//e.example/ ", True),
        ("> [a]: e.example/", True),
        ("https:/e.example/", True),
        ("https:\\\\e.example\\", True),
        ("\\\\e.example\\", True),
        ("<https://e.example/ '", True),
        ('<img alt=">" src="https://e.example/ ', True),
        ('<img src="https://e.example/\n?', True),
        ("<form action=//e.example><input value=", True),
        ("<img src=a>\n", False),
        ("if (a <b) {\n\nkey = ", False),
        ("background: url( '//e.example/ ", True),
        ("@import '//e.example/ ", True),
        ("<https://e.example/" + "a " * 4_000, True),
        ("mailto:a@b.example?subject=", True),
        ("data: ", False),
        ("line https://e.example/\nnext ", False),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_an_address_is_known_by_what_stands_before(text: str, address: bool, size: int) -> None:
    prose = Prose(VALUES)
    for at in range(0, len(text), size):
        prose.passed(text[at : at + size])
    assert prose.in_address is address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('{"url":"https://e.example/","key":"', False),
        ('{"url":"https://e.example/ ', True),
        ("curl https://e.example/?q='", True),
        ("[a](x);key=", False),
    ],
)
def test_in_a_file_an_address_ends_with_its_quotes(text: str, address: bool) -> None:
    prose = Prose(VALUES, shown=False)
    prose.passed(text)
    assert prose.in_address is address


PATCH = "*** Begin Patch\n*** Add File: {}\n+{}\n"


@pytest.mark.parametrize(
    "path", [".git/COMMIT_EDITMSG", "a/../.GIT//x", "C:\\w\\.git\\x", "w/.g\u200cit/x", "x/.git", "/dev/tcp/a/1"]
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_spelling_of_a_file_of_gits_gets_a_value(path: str, size: int) -> None:
    word, value = NAMES[2], VALUES[NAMES[2]]
    bare = json.dumps(path)
    coded = '"' + "".join(f"\\u{ord(sign):04x}" for sign in path) + '"'
    for tool, text in [
        ("Write", f'{{"file_path":{bare},"content":"{word}"}}'),
        ("Write", f'{{"file\\u005fpath":{coded},"content":"{word}"}}'),
        ("apply_patch", json.dumps({"input": PATCH.format(path, word)})),
        ("apply_patch", PATCH.format(path, word)),
    ]:
        one, part = follower(), Part("arguments", 0, tool=tool)
        seen = "".join(str(one.feed(part, text[at : at + size])) for at in range(0, len(text), size)) + str(
            one.end(part)
        )
        assert value not in seen
        assert word in seen
    for text in (
        f'{{"content":"{word}","file_path":{bare}}}',
        f'{{"file_path":"/w/a","content":"{word}","file_path":{coded}}}',
    ):
        one, part = follower(), Part("arguments", 0, tool="Write")
        heard = [one.feed(part, text[at : at + size]) for at in range(0, len(text), size)]
        assert any(isinstance(piece, Block) for piece in heard)


def test_an_address_that_is_spelled_in_codes_is_one() -> None:
    word, value = NAMES[2], VALUES[NAMES[2]]
    one, part = follower(), Part("arguments", 0, tool="Write")
    seen = str(one.feed(part, f'{{"content":"https:\\u002f\\u002fe.example/{word}"}}')) + str(one.end(part))
    assert value not in seen


def test_a_long_line_costs_no_more_than_its_end() -> None:
    prose = Prose(VALUES)
    dice = random.Random(3)
    for _ in range(200):
        prose.passed("".join(dice.choice("ab/:.-[](") for _ in range(5_000)))
        prose.judge(NAMES[0])
    assert len(prose._line) <= 2 * 2_048


def test_what_is_sealed_passes_as_it_is() -> None:
    one = follower()
    part = Part("thinking", 0, sealed=True)
    assert one.feed(part, NAMES[0]) == NAMES[0]
    assert one.end(part) == ""
    assert not isinstance(one.feed(Part("other", -1, sealed=True), NAMES[0]), Block)
