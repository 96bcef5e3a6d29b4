"""Requests taken apart: no byte of difference is lost, and differences are told in the smallest pieces."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.vet.difference.edit import counterpart, differing, edits, tokens
from mohist.vet.difference.part import dissect, dissect_body, raw_index
from mohist.vet.difference.sent import Sent

SCALARS = st.one_of(
    st.text(max_size=12), st.integers(-50, 50), st.booleans(), st.none(), st.sampled_from([1.0, 0.5, 1e10])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
STYLES = st.sampled_from(
    [
        {"separators": (",", ":")},
        {"separators": (", ", ": ")},
        {"indent": 2},
        {"ensure_ascii": False},
        {"ensure_ascii": False, "separators": (",", ":")},
    ]
)


def seen(body: bytes) -> dict[str, tuple[str, str]]:
    return {where: (part.kind, part.text) for where, part in dissect_body(body).items()}


@given(VALUES, VALUES, STYLES, STYLES)
def test_bodies_that_differ_in_a_byte_differ_in_a_part(one: object, other: object, style: dict, second: dict) -> None:
    left, right = json.dumps(one, **style).encode(), json.dumps(other, **second).encode()
    assert (seen(left) == seen(right)) == (left == right)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', "body $ keys"),
        (b'{"t":1.0}', b'{"t":1}', "body $.t"),
        (b'{"t":"a"}', b'{"t":"\\u0061"}', "body writing of U+0061"),
        (b'{"t": "a"}', b'{"t":"a"}', "body space after ':'"),
        (b'{"t":"a"}', b'{"t":"a"}\n', "body space after '$'"),
        (b'{"x":[{"name":"p"},{"name":"q"}]}', b'{"x":[{"name":"q"},{"name":"p"}]}', "body $.x order"),
        (b'{"x":["p","q"]}', b'{"x":["q","p"]}', "body $.x[]"),
        (b"no json", b"no  json", "body"),
    ],
)
def test_a_way_of_writing_is_a_part_of_its_own(old: bytes, new: bytes, where: str) -> None:
    before, after = seen(old), seen(new)
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {where}


def test_order_case_and_space_of_headers_are_kept() -> None:
    def request(*headers: tuple[str, str]) -> Sent:
        return Sent(0, 0, "h", 80, "POST", "/v1/messages", "HTTP/1.1", headers, b"")

    one = dissect(request(("Accept", " */*"), ("X-A", " 1")))
    assert one["header names"].text == "Accept\nX-A"
    assert dissect(request(("X-A", " 1"), ("Accept", " */*")))["header names"].text == "X-A\nAccept"
    assert (
        dissect(
            request(
                ("accept", "  */*"),
            )
        )["header accept"].text
        == "  */*"
    )
    assert "header content-length" not in dissect(request(("Content-Length", " 3")))


@given(st.text(max_size=60), st.text(max_size=60))
def test_edits_lead_from_one_text_to_the_other(old: str, new: str) -> None:
    before = tokens(old)
    assert "".join(before) == old
    changed = edits(before, tokens(new))
    assert counterpart(before, changed, 0, len(before)) == new
    for edit in changed:
        assert new[edit.new_at : edit.new_at + len(edit.new)] == edit.new


@given(st.text(max_size=20), st.text(max_size=20))
def test_what_differs_stands_between_what_is_alike(old: str, new: str) -> None:
    left, right = differing(old, new)
    at = old.find(left) if left else min(len(old), len(new))
    assert (left == right == "") == (old == new)
    assert len(old) - len(left) == len(new) - len(right)
    assert at >= 0


def test_dates_are_one_token_and_moments_come_apart() -> None:
    assert tokens("on 2026-01-15 at 10:20") == ["on", " ", "2026-01-15", " ", "at", " ", "10", ":", "20"]
    assert tokens("2026-01-15T10:20Z") == ["2026-01-15", "T", "10", ":", "20", "Z"]


@given(st.text(max_size=20), st.integers(0, 20), STYLES)
def test_a_character_is_found_where_it_is_written(text: str, index: int, style: dict) -> None:
    body = json.dumps({"a": text}, **style)
    start = dissect_body(body.encode())["body $.a"].offset
    end = raw_index(body, start, min(index, len(text)))
    assert json.loads(f'"{body[start:end]}"') == text[:index]
