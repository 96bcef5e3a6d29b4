"""Where a call stands in a trace, as `traceparent` says it (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from mohist.gateway.request import Headers

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """One span of the gateway's own: its place, and its parent's."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    parent_id: str = ""
    """The caller's span; empty: the trace begins here."""
    state: str = ""
    """`tracestate` as it came."""

    @property
    def header(self) -> bytes:
        """`traceparent` for the upstream."""
        return f"00-{self.trace_id}-{self.span_id}-01".encode()


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
    """A new span below the caller's, or of a new trace; None when the caller wants this trace not recorded."""
    parents: list[bytes] = []
    states: list[bytes] = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value.strip())
        elif name == b"tracestate":
            states.append(value.strip())
    span_id = secrets.token_hex(8)
    found = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if found is None or not _valid(found):
        return Trace(secrets.token_hex(16), span_id)
    if not int(found[4], 16) & _SAMPLED:
        return None
    return Trace(found[2].decode(), span_id, found[3].decode(), b",".join(states).decode("latin-1"))


def carried(headers: Headers, trace: Trace | None) -> Headers:
    """The headers with the gateway's own span as parent; as they are without one.

    The state of a trace that was not taken over is of another trace and goes.
    """
    if trace is None:
        return headers
    gone = (b"traceparent",) if trace.parent_id else (b"traceparent", b"tracestate")
    return [*((name, value) for name, value in headers if name not in gone), (b"traceparent", trace.header)]


def _valid(found: re.Match[bytes]) -> bool:
    version, trace_id, span_id, rest = found[1], found[2], found[3], found[5]
    # Version 00 ends after the flags; later ones may go on, and version ff is none.
    return version != b"ff" and trace_id != _NO_TRACE and span_id != _NO_SPAN and (version != b"00" or not rest)
