"""What a model of names and addresses is, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol


class Named(NamedTuple):
    """What a model took for a name, a place or an address; `start` and `end` in characters."""

    start: int
    end: int
    sort: Literal["name", "place", "address"]
    """A "place" is what an address may be made of: a town, a street, a building."""
    confidence: float = 1.0
    """How sure the model is; 1 where it doesn't tell. What is reported is no surer than the form of a name allows."""


class NameModel(Protocol):
    """A company's own recogniser of names and addresses; none is shipped."""

    @property
    def version(self) -> str:
        """Changes with every change of what it finds."""
        ...

    def named(self, text: str) -> Iterable[Named]:
        """All names and places in a text of a few lines; may be called from several threads."""
        ...
