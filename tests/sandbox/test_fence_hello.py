"""The name in a ClientHello is read from real ones, in any number of pieces, and only from proper ones."""

from __future__ import annotations

from contextlib import suppress

import pytest
from fence_room import extended, real_hello
from hypothesis import given
from hypothesis import strategies as st

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.hello import Hello, parse_hello


def in_records(hello: bytes, size: int) -> bytes:
    """The same message over many TLS records."""
    message = hello[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(hello[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_the_name_and_the_protocols_are_read() -> None:
    assert parse_hello(real_hello("a.example", ("h2", "http/1.1"))) == Hello("a.example", ("h2", "http/1.1"), False)
    assert parse_hello(real_hello(None)) == Hello("", (), False)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_over_many_records_is_the_same(size: int) -> None:
    said = parse_hello(in_records(real_hello("a.example"), size))
    assert said is not None
    assert said.server_name == "a.example"


def test_a_part_of_a_hello_says_nothing_yet() -> None:
    whole = real_hello("a.example")
    assert [parse_hello(whole[:length]) for length in range(len(whole))] == [None] * len(whole)


def test_an_encrypted_hello_is_told() -> None:
    said = parse_hello(extended(real_hello("a.example"), 0xFE0D, bytes(20)))
    assert said is not None
    assert said.encrypted


@pytest.mark.parametrize(
    "broken",
    [
        extended(real_hello("a.example"), 0, b"\x00\x0c\x00\x00\x09b.example"),  # a second name
        extended(real_hello(None), 0, b"\x00\x18\x00\x00\x09b.example\x00\x00\x09c.example"),  # two in one
        extended(real_hello(None), 0, b"\x00\x0c\x01\x00\x09b.example"),  # not a host name
        extended(real_hello(None), 0, b"\x00\x0c\x00\x00\xffb.example"),  # longer than it is
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",  # a ServerHello
        b"\x16\x03\x01\x00\x00",
        b"\x16\x02\x01\x00\x05\x01\x00\x00\x01\x00",
    ],
    ids=["two names", "two in one", "kind", "length", "server", "empty", "version"],
)
def test_what_is_no_proper_hello_is_refused(broken: bytes) -> None:
    with pytest.raises(FencedError):
        parse_hello(broken)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_noise_ends_in_a_value_or_a_refusal(noise: bytes, place: int) -> None:
    hello = real_hello("a.example")
    for data in (b"\x16\x03\x01" + noise, hello[:place] + noise + hello[place:]):
        with suppress(FencedError):
            parse_hello(data)
