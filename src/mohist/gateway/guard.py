"""The place of the guard: who looks at what a call carries, in both directions, and may stop or change it.

The guard itself is another package's; here is only what the gateway asks of it. Without one nothing of this runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from mohist.gateway.call import Dialect, Principal


@dataclass(frozen=True, slots=True)
class Destination:
    """Who gets a body."""

    upstream: str
    vendor: str
    region: str
    data_class: str
    self_hosted: bool


@dataclass(frozen=True, slots=True)
class Outbound:
    """One body on its way to one upstream."""

    call_id: str
    principal: Principal
    client: str
    dialect: Dialect
    """Of the body, and of the answer that the client gets."""
    session_id: str
    model: str
    """As the client asked."""
    destination: Destination
    body: bytes
    """Its content coding undone; JSON, an object."""
    memory: object = None
    """Of a body that was let out: what the guard wants to know again when the answer comes."""
    head: tuple[tuple[str, str], ...] = ()
    """What goes with it besides: headers that are passed on, by name, and the query under the name "?"."""


@dataclass(frozen=True, slots=True)
class Block:
    """Not to be sent, or to be broken off."""

    reason: str
    """Told to the person behind the client; never the finding itself."""


@dataclass(frozen=True, slots=True)
class Pass:
    """To be sent as it is."""

    memory: object = None
    """As in `Outbound`."""


@dataclass(frozen=True, slots=True)
class Replace:
    """To be sent in the place of the body; of the same model, streamed or not as before."""

    body: bytes
    memory: object = None
    """As in `Outbound`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the texts that an answer is made of."""

    kind: Literal["text", "thinking", "arguments", "other"]
    index: int
    """Of the content block, choice or output item."""
    sub_index: int = 0
    """Of the tool call in a choice, or the content in an output item."""
    sealed: bool = False
    """Signed by the vendor or of unknown form: it can be passed on at once or blocked, not held back or changed."""
    tool: str = field(default="", compare=False)
    """Of arguments: the tool that the client is to call; empty where the vendor or another party calls it, or none is named."""


class Inbound(Protocol):
    """Follows one answer. Called in order, from one task; takes microseconds."""

    def feed(self, part: Part, text: str) -> str | Block:
        """More of a part; returns what the client may see now of all that came of it, without what it has."""
        ...

    def end(self, part: Part) -> str | Block:
        """A part is over; returns what was held back of it."""
        ...


class Guard(Protocol):
    """Looks at calls. Both methods may be called from several threads at once."""

    def outbound(self, request: Outbound) -> Block | Replace | Pass | None:
        """What to do with a body; None: it passes as it is, and there is nothing to remember.

        Asked once for each upstream that is tried. A body that is blocked for one may pass for the next.
        """
        ...

    def inbound(self, request: Outbound) -> Inbound | None:
        """Who follows the answer to the body that was let out; None: nobody."""
        ...
