"""Other texts are put into a request's bytes at the right places, and all other bytes stay."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.gateway.screen import splice
from mohist.guard import Request

TEXTS = st.text(st.sampled_from('ab:",\\/ \n\u00e9\u4f60\U0001f511[]{}0'), max_size=12)
VALUES = st.recursive(
    TEXTS | st.integers(-5, 5) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def dumped(value: Any, way: str) -> bytes:
    if way == "orjson":
        return orjson.dumps(value)
    if way == "spaced":
        return json.dumps(value, indent=2, ensure_ascii=False).encode()
    return json.dumps(value).encode()


@pytest.mark.parametrize("way", ["orjson", "spaced", "ascii"])
@given(value=st.dictionaries(TEXTS, VALUES, max_size=4), data=st.data())
def test_what_is_put_in_at_once_is_what_the_slow_way_puts_in(
    way: str, value: dict[str, Any], data: st.DataObject
) -> None:
    body = dumped({"messages": [{"role": "user", "content": value}]}, way)
    request = Request(body, "openai-chat")
    able = [index for index in range(len(request.blocks)) if request.can_change(index)]
    chosen = data.draw(st.sets(st.sampled_from(able))) if able else set()
    changes = {index: "DLPx" + request.blocks[index].text for index in chosen}
    slow = request.rewrite(changes)
    assert orjson.loads(splice.spliced(body, request, changes)) == orjson.loads(slow)
    if way != "ascii":
        assert splice.spliced(body, request, changes) == slow


def test_a_plain_request_needs_no_second_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Request, "rewrite", None)
    body = b'{ "model":"m",  "messages":[{"role":"user","content":"say \\"x\\" twice"}], "n":1.50 }'
    request = Request(body, "openai-chat")
    [index] = [number for number, block in enumerate(request.blocks) if "twice" in block.text]
    assert splice.spliced(body, request, {index: 'say "y" once'}) == body.replace(b'\\"x\\" twice', b'\\"y\\" once')


def test_every_ascii_text_is_written_as_the_library_that_writes_ascii_alone_does() -> None:
    for number in range(128):
        text = f"a{chr(number)}b"
        assert splice._ascii(text) == json.dumps(text).encode("ascii")
