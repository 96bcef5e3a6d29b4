"""Where a call stands in its caller's trace."""

from __future__ import annotations

import pytest

from mohist.gateway.trace import Trace, carried, trace_of

TRACE, SPAN = "a" * 32, "b" * 16


def parent(text: str, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"traceparent", text.encode()), *more]


def test_a_call_joins_the_trace_of_its_caller() -> None:
    trace = trace_of(parent(f"00-{TRACE}-{SPAN}-01", (b"tracestate", b"x=1")))
    assert trace is not None
    assert (trace.trace_id, trace.parent_id, trace.state) == (TRACE, SPAN, "x=1")
    assert trace.span_id not in (SPAN, "0" * 16)
    assert trace.header == f"00-{TRACE}-{trace.span_id}-01".encode()


def test_a_trace_that_its_caller_does_not_record_is_left_alone() -> None:
    headers = parent(f"00-{TRACE}-{SPAN}-00")
    assert trace_of(headers) is None
    assert carried(headers, None) is headers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
    ],
)
def test_what_is_no_trace_is_not_joined_and_its_state_goes(text: str) -> None:
    headers = parent(text, (b"tracestate", b"x=1"), (b"other", b"stays"))
    trace = trace_of(headers)
    assert trace is not None
    assert (trace.parent_id, trace.state) == ("", "")
    assert trace.trace_id != TRACE
    assert carried(headers, trace) == [(b"other", b"stays"), (b"traceparent", trace.header)]


def test_two_parents_are_none() -> None:
    trace = trace_of(parent(f"00-{TRACE}-{SPAN}-01") * 2)
    assert trace is not None
    assert trace.parent_id == ""


def test_a_later_version_may_say_more() -> None:
    trace = trace_of(parent(f"01-{TRACE}-{SPAN}-01-more"))
    assert trace is not None
    assert trace.parent_id == SPAN


def test_the_upstream_gets_the_gateway_s_span_as_parent_and_the_state_as_it_came() -> None:
    headers = parent(f"00-{TRACE}-{SPAN}-01", (b"tracestate", b"x=1"))
    trace = Trace(TRACE, "c" * 16, SPAN, "x=1")
    assert carried(headers, trace) == [(b"tracestate", b"x=1"), (b"traceparent", trace.header)]
