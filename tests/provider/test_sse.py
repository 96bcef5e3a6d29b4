"""Framing of server-sent events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.provider.sse import OversizedEventError, SseDecoder, SseEvent

LINE_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)
EVENTS = st.lists(
    st.tuples(LINE_TEXT.map(str.strip), st.lists(LINE_TEXT, min_size=1, max_size=3)), min_size=1, max_size=4
)


def decoded(pieces: list[bytes]) -> list[SseEvent]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_any_split_of_any_line_ends_gives_the_same_events(events, line_end, data):
    lines = []
    for name, values in events:
        lines += [": a comment", f"event: {name}", *(f"data: {value}" for value in values), "id: 7", ""]
    wire = "".join(line + line_end for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    assert decoded(pieces) == [SseEvent(name, "\n".join(values)) for name, values in events]


def test_a_stream_split_at_each_byte_gives_the_same_events():
    wire = "event: a\r\ndata: naïve 漢字 🎈\r\n\r\ndata: x\rdata: y\r\rdata:no space\n\n".encode()

    for cut in range(len(wire) + 1):
        assert decoded([wire[:cut], wire[cut:]]) == [
            SseEvent("a", "naïve 漢字 🎈"),
            SseEvent("", "x\ny"),
            SseEvent("", "no space"),
        ]
    assert decoded([bytes([byte]) for byte in wire]) == decoded([wire])


def test_a_blank_line_behind_a_split_line_end_still_counts():
    assert decoded([b"data: x\r", b"\n", b"\n", b"data: y\r", b"\n", b"\r", b"\n"]) == [
        SseEvent("", "x"),
        SseEvent("", "y"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_field():
    assert decoded([b"\xef\xbb", b"\xbfdata: x\n\n"]) == [SseEvent("", "x")]


def test_an_event_that_no_blank_line_closed_is_dropped():
    assert decoded([b"data: x\n"]) == []


def test_line_separators_of_unicode_do_not_end_a_line():
    assert decoded(["data: a\u2028b\x0bc\x85d\n\n".encode()]) == [SseEvent("", "a\u2028b\x0bc\x85d")]


def test_bytes_that_are_not_utf8_do_not_stop_the_stream():
    assert decoded([b"data: a\xffb\n\n"]) == [SseEvent("", "a\ufffdb")]


@pytest.mark.parametrize("line", [b"data: " + b"x" * 40, b"data: xxxxxxxx\n" * 4])
def test_an_event_over_the_limit_is_refused_before_it_is_whole(line):
    decoder = SseDecoder(max_event_bytes=32)
    with pytest.raises(OversizedEventError):
        decoder.feed(line)
