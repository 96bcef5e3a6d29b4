"""A secret that a confined program uses without having it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credential:
    """The program is given `sentinel`; on the way to the one allowed host it becomes `secret`."""

    sentinel: str
    """Not guessable and of no use elsewhere; ASCII, at least 16 characters."""
    secret: str = field(repr=False)
    headers: tuple[str, ...] = ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key")
    """Lower-case names of the headers in which it is swapped; in Basic authorization also inside the base64."""
