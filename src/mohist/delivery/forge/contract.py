"""What a delivery asks of a forge, whichever it is.

Each call may be asked for again: a request is looked up before it is made, and merged only at the head that was expected.
What people wrote on a forge is data: it is given back as it is, and nothing here acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Issue:
    """A requirement as people wrote it."""

    number: int
    title: str
    body: str
    url: str


@dataclass(frozen=True, slots=True)
class Request:
    """A pull or merge request."""

    number: int
    url: str
    head: str
    """The commit it stands on."""
    state: Literal["open", "merged", "closed"]
    merged: str = ""
    """The commit that the base branch got by it."""


@dataclass(frozen=True, slots=True)
class Check:
    """What CI says of the head."""

    name: str
    state: Literal["passed", "pending", "failed"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request is now."""

    request: Request
    checks: tuple[Check, ...] = ()
    objections: tuple[str, ...] = ()
    """Names of people who asked for changes and have not approved since."""
    missing: tuple[str, ...] = ()
    """What else the forge says it lacks, in words."""
    behind: bool = False
    """It conflicts with its base, or must hold the base's tip first."""


class Forge(Protocol):
    """One project of a forge."""

    async def issue(self, which: int | str) -> Issue:
        """An issue by number, or by an address of this project."""
        ...

    async def find(self, head: str, base: str, key: str) -> Request | None:
        """The request of this key from branch to branch, in whatever state; None: there is none."""
        ...

    async def open_request(self, head: str, base: str, title: str, body: str, key: str) -> Request:
        """The request of this key from branch to branch; made where there is none."""
        ...

    async def request(self, number: int) -> Standing:
        """How it is now."""
        ...

    async def merge(self, number: int, expected_head: str) -> Request | str:
        """Merges if it stands on this commit; merged before, it is no error.

        Returns:
            The merged request, or why it can't be merged yet.
        """
        ...

    async def close(self, number: int, key: str, because: str) -> Request:
        """Closes it without a merge, with one comment that says why; one that is over already is left as it is.

        Args:
            number: the request's.
            key: of the comment: however often this is asked, it is written once.
            because: plain text, one line.

        Returns:
            The request as it is then: closed, or merged by somebody before.

        Raises:
            ForgeError: it stays open, and why.
        """
        ...
