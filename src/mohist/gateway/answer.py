"""What an upstream answers, before the client has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mohist.gateway.route import Upstream
from mohist.gateway.sieve import Sieve
from mohist.gateway.tap import Tap
from mohist.gateway.wire import Headers, Response


class Filter(Protocol):
    """Makes of the upstream's stream what the client gets."""

    @property
    def whole(self) -> bool:
        """The client has only whole events, and one more can be put in."""
        ...

    @property
    def over(self) -> bool:
        """The client has been told that the answer can't be read, and gets no more of it."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """What the client may see now."""
        ...

    def end(self) -> bytes:
        """The rest, once the upstream's stream is over."""
        ...


@dataclass(slots=True)
class Answer:
    """An answer that may go to the client. Must be closed."""

    upstream: Upstream
    status: int
    headers: Headers
    held: bytes
    """What has come of the body."""
    response: Response | None
    """Where the rest comes from; None when `held` is all."""
    tap: Tap | None
    """None: the body can't be read (the upstream compressed it all the same)."""
    veil: Filter | None = None
    """Hides the usage that the client did not ask for, or translates; None: the bytes go as they come."""
    sieve: Sieve | None = None
    """Shows the answer to a guard; None: there is none."""
    omitted: str = ""
    """What of the request the upstream did not get."""

    @property
    def between_events(self) -> bool:
        """The client has no half event, so that one can be put in."""
        if self.sieve is not None:
            return True
        if self.veil is not None:
            return self.veil.whole
        return self.tap is not None and self.tap.between_events

    def close(self) -> None:
        if self.response is not None:
            self.response.close()
