"""The bounds of the data plane, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnAccountChange = Literal["strip", "refuse"]
OnGuardFailure = Literal["closed", "open"]


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """Limits of the door."""

    max_body_bytes: int = 32 * 1024 * 1024
    """Of a request, as sent and decoded; Anthropic's own limit is 32 MB."""
    body_timeout_s: float = 60.0
    """Longest pause within a request's body."""
    body_total_s: float = 300.0
    """A whole body must come within this, or a client that sends a byte now and then holds a call for ever."""
    ping_after_s: float = 15.0
    """Silence of an upstream after which a stream gets a ping; proxies cut at 60 s, clients at 180 s and up."""
    early_ping_after_s: float = 45.0
    """Silence before any answer after which a streamed call is answered 200 and gets pings, so that proxies (nginx: 60 s)
    and clients (Claude Code: 300 s) don't give up while upstreams are tried; 0: never. A failure after that is told as
    an error event, no longer as a status."""
    max_calls: int = 1000
    """Calls under way at once."""
    max_calls_per_key: int = 250
    """Of one key; so that one client out of control leaves room for others."""
    max_buffered_bytes: int = 512 * 1024 * 1024
    """Request bodies and whole answers of all calls together."""
    patrol_s: float = 0.5
    """How often it is asked whether the keys of the calls under way still hold."""
    on_account_change: OnAccountChange = "strip"
    """What happens to thinking blocks that another account signed: left out of the request, or that account not tried."""
    guard_inline_bytes: int = 64 * 1024
    """Larger bodies are shown to the guard in a thread, so that no other call waits for it."""
    on_guard_failure: OnGuardFailure = "closed"
    """What happens to a call whose guard fails: not made, or made unseen."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of the connections from clients."""

    header_timeout_s: float = 20.0
    """From a request's first byte to the end of its headers."""
    max_header_bytes: int = 64 * 1024
    """Request line and headers together."""
    keep_alive_s: int = 75
    """An idle connection is closed after this; above the pool idle time of the clients in use, so that they close first."""
    max_connections: int = 4096
    max_connections_per_peer: int | None = None
    """Of one address; None where a proxy stands in front, since all come from it."""
