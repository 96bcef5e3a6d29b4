"""Bodies that two parsers read as two different calls never reach an upstream."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.gateway import request
from mohist.gateway.duplicate import ambiguity
from mohist.gateway.offer import offered
from mohist.gateway.request import RefusedError, read_envelope

SEARCH = '{"type":"web_search_20250305","name":"web_search"}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(f'{{"model":"m","tools":[{SEARCH}],"tools":[]}}', id="field"),
        pytest.param(f'{{"model":"m","tools":[{SEARCH}],"t\\u006fols":null}}', id="field spelled otherwise"),
        pytest.param('{"model":"m","tools":[{"type":"web_search","type":"custom","name":"a"}]}', id="in a tool"),
        pytest.param('{"model":"m","max_tokens":100000,"max_tokens":1}', id="number"),
        pytest.param('{"model":"m","x":[{"y":{"":1,"":2}}]}', id="empty name"),
        # The quotes of what is dropped, made good by one that is written shorter when it is written anew.
        pytest.param('{"model":"m","a":1,"a":2,"b":"\\u0022\\u0022"}', id="made good"),
        pytest.param('{"model":"m","Model":"dear"}', id="case"),
        pytest.param('{"model":"m","TOOLS":[]}', id="all case"),
        pytest.param('{"model":"m","tool\u017f":[]}', id="folded as Go folds"),
        pytest.param('{"model":"m","x":' + "[" * 900 + "]" * 900 + "}", id="deep"),
        pytest.param('{"model":"m","y":"\\u0022","x":' + "[" * 1000 + "]" * 1000 + "}", id="deep, looked at closely"),
    ],
)
def test_a_body_that_parsers_read_differently_is_refused(body):
    with pytest.raises(RefusedError) as refused:
        read_envelope(body.encode(), "anthropic-messages")
    assert refused.value.refusal.status == 400


KEYS = st.sampled_from(["a", "b", '"', "\\", "é", "a\\u0022", ""])
VALUES = st.recursive(
    st.one_of(st.none(), st.integers(0, 9), st.text('ab"\\/é\x00u02', max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(st.tuples(KEYS, inner), max_size=3).map(lambda pairs: ("object", pairs))
    ),
    max_leaves=12,
)


def written(value, spell) -> tuple[str, bool]:
    """JSON of it, and whether an object in it has a name twice."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "object":
        parts = [(name, *written(inner, spell)) for name, inner in value[1]]
        twice = len({name for name, _, _ in parts}) < len(parts) or any(part[2] for part in parts)
        return "{" + ",".join(f"{spell(name)}:{text}" for name, text, _ in parts) + "}", twice
    if isinstance(value, list):
        items = [written(inner, spell) for inner in value]
        return "[" + ",".join(text for text, _ in items) + "]", any(twice for _, twice in items)
    return (spell(value) if isinstance(value, str) else json.dumps(value)), False


@given(VALUES, st.booleans())
def test_what_is_given_twice_is_found_wherever_it_stands_and_nothing_else(value, numbered):
    def spell(text):
        return '"' + "".join(f"\\u{ord(sign):04x}" for sign in text) + '"' if numbered else json.dumps(text)

    text, twice = written([value], spell)
    body = f'{{"x": {text}}}'.encode()
    assert bool(ambiguity(body, orjson.loads(body))) == twice


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "shell", "function": {"name": "safe"}},
        {"type": "custom", "function": {"name": "safe"}, "custom": {"name": "shell"}},
        {"type": "function", "function": {"name": "shell"}, "custom": {"name": "safe"}},
    ],
)
def test_every_name_of_a_tool_is_what_rules_are_asked_about(tool):
    assert {"safe", "shell"} <= set(offered({"tools": [tool]}, "openai-chat").tools)


def test_a_number_of_answers_counts_however_it_is_written():
    assert read_envelope(b'{"model":"m","max_tokens":10,"n":1e2}', "openai-chat").max_output_tokens == 1000


def test_a_model_is_found_among_many_that_are_not_the_calls_without_going_through_the_body_for_each(monkeypatch):
    passes = []
    looked = request._top_level_strings
    monkeypatch.setattr(request, "_top_level_strings", lambda body: passes.append(1) or looked(body))
    body = b'{"x":[' + b'{"model":"a"},' * 100 + b'1],"model":"m"}'
    envelope = read_envelope(body, "openai-chat")
    assert envelope.body_for("n", ask_usage=False) == body.replace(b'"m"', b'"n"')
    assert len(passes) == 1
