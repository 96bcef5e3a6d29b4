"""Names inside get addresses of their own, and nothing is asked of anybody outside."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.name import NameTable, answer, parse_question, refusal


def question(name: bytes, kind: int = 1, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes((len(label),)) + label for label in name.split(b".") if label)
    return struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def asked(name: bytes, table: NameTable, kind: int = 1) -> tuple[bytes, str]:
    read = parse_question(question(name, kind))
    assert read is not None
    return answer(read, table, lambda host: None)


def test_a_name_keeps_its_address_and_is_known_by_it() -> None:
    table = NameTable(10)
    message, address = asked(b"A.example", table)
    assert address.startswith("198.18.")
    assert asked(b"a.Example.", table)[1] == address
    assert asked(b"b.example", table)[1] != address
    assert table.name(address) == "a.example"
    assert message.endswith(bytes(int(part) for part in address.split(".")))
    assert struct.unpack_from(">HHHHHH", message) == (7, 0x8180, 1, 1, 0, 0)


@pytest.mark.parametrize("kind", [28, 15, 16, 33, 65, 5])
def test_other_questions_find_the_name_and_nothing_of_that_kind(kind: int) -> None:
    message, address = asked(b"a.example", NameTable(10), kind)
    assert (address, struct.unpack_from(">HHHH", message)[1:]) == ("", (0x8180, 1, 0))


def test_an_address_is_never_traced_back() -> None:
    message, _ = asked(b"1.0.18.198.in-addr.arpa", NameTable(10), 12)
    assert message[3] & 15 == 3


def test_the_tree_itself_is_localhost() -> None:
    assert asked(b"localhost", NameTable(0))[1] == "127.0.0.1"


@pytest.mark.parametrize(
    "name", [b"a\0b.example", b"a b.example", b"127.0.0.1", b"1.2", b"\xff.example", b"-a.example"]
)
def test_what_is_no_name_gets_no_address(name: bytes) -> None:
    with pytest.raises(FencedError):
        asked(name, NameTable(10))


def test_there_is_a_bound_on_names() -> None:
    table = NameTable(2)
    asked(b"a.example", table)
    asked(b"b.example", table)
    with pytest.raises(FencedError, match="2 names"):
        asked(b"c.example", table)
    assert asked(b"a.example", table)[1]


def test_a_refused_name_does_not_exist() -> None:
    read = parse_question(question(b"a.example"))
    assert read is not None
    message = refusal(read)
    assert struct.unpack_from(">HHHHHH", message) == (7, 0x8183, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "message",
    [b"", bytes(12), question(b"a.example", flags=0x8180), question(b"a.example")[:-1], question(b"a")[:12] + b"\xc0\x0c\0\1\0\1",
     question(b"a.example")[:4] + b"\0\2" + question(b"a.example")[6:], question(b".".join([b"a" * 60] * 10))],
    ids=["empty", "zeros", "an answer", "cut", "a pointer", "two questions", "too long"],
)  # fmt: skip
def test_what_is_no_question_gets_no_answer(message: bytes) -> None:
    assert parse_question(message) is None


@given(st.binary(max_size=600))
def test_noise_is_a_question_or_nothing(noise: bytes) -> None:
    read = parse_question(noise)
    if read is not None:
        assert read.host.isascii()
        assert read.host.isprintable()
