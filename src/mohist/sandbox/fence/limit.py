"""The fence's bounds, each by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FenceLimits:
    """Bounds on one fence; 0 means no bound where that is said."""

    connections: int = 256
    """At once; further ones are refused as `busy`."""
    total_bytes: int = 0
    """Both ways over the fence's life; 0: no bound. Beyond it, connections end and new ones are refused as `budget`."""
    connection_bytes: int = 0
    """Both ways over one connection; 0: no bound."""
    head_s: float = 20.0
    """To say what is wanted: the proxy's request, the ClientHello, a request's head."""
    dial_s: float = 20.0
    """To resolve and connect."""
    last_s: float = 3.0
    """What an ended tree has sent may still be on its way so long."""
    idle_s: float = 900.0
    """Without a byte in either direction."""
    head_bytes: int = 64 * 1024
    """Of a request's head, or a ClientHello."""
    names: int = 65_536
    """Different names that get an address; further ones are refused as `names`."""
    attempts: int = 50_000
    """That are recorded; after these, everything is refused."""
    encrypted_hello: bool = False
    """Whether TLS passes unread whose ClientHello is encrypted (or pretends to be, as browsers do)."""
    ports: tuple[int, ...] = (22, 80, 443)
    """Where programs that don't use the proxy are listened for. All other ports are only watched."""
