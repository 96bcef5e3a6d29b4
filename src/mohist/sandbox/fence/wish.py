"""What a confined program wants to reach, and what is said to it. Pure values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from anyio.abc import ByteStream

from mohist.sandbox.fence.credential import Credential

Carrier = Literal["http", "connect", "socks", "direct", "name", "other"]
Outcome = Literal["through", "served", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One wish to reach something."""

    carrier: Carrier
    """`http`, `connect`, `socks`: by the proxy. `direct`: a plain connection. `name`: a DNS question. `other`: a packet to
    a port where nothing listens."""
    host: str
    """A name in lower case without trailing dot, or an address in its one usual notation."""
    port: int
    """0 for a name."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """No. Both words are told to the program and recorded."""

    code: str
    """E.g. `not-listed`, `private-address`, `metadata-address`, `sni-mismatch`, `bad-name`, `port`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Dial:
    """Yes: the name is resolved once, outside, and that address is dialled."""

    host: str = ""
    """Somebody else to dial instead; empty: who was asked for. What the program says inside must still match `Asked`."""
    port: int = 0
    """0: as asked."""
    private: bool = False
    """Whether private, loopback and reserved addresses may be dialled for this name. Never a metadata service's."""
    credentials: tuple[Credential, ...] = ()
    """Swapped in on the way; for TLS that needs an authority."""
    inspect: bool = False
    """Ends TLS here to check each request's host, so that nothing is asked of a neighbour on the same connection."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Mohist answers itself."""

    handler: Callable[[ByteStream, Asked], Awaitable[None]]
    """Owns the stream until it returns; the fence closes it."""
    tls: bool = False
    """Ends TLS with the fence's own authority when the program starts TLS; the handler gets the plain stream."""


Decision = Refuse | Dial | Serve


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one wish. Holds no content and no secret."""

    at_ms: int
    """When it was asked, milliseconds of Unix time."""
    asked: Asked
    outcome: Outcome
    code: str
    """Of a refusal or failure, and empty otherwise."""
    reason: str
    """Likewise; for a name, what was asked of it, if not its address."""
    address: str
    """What was dialled, or given as the answer to a name; empty where nothing was."""
    sent_bytes: int
    """From the program outwards."""
    received_bytes: int
