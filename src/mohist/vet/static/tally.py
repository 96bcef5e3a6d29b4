"""Counts what is found again and again, and keeps the first places of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mohist.vet.evidence import Evidence


@dataclass(slots=True)
class Counted:
    """One thing that was found."""

    count: int = 0
    places: list[Evidence] = field(default_factory=list)
    files: set[str] = field(default_factory=set)


class Tally:
    """Things by name.

    Args:
        places: how many places are kept of each.
        things: how many things; more are counted together.
    """

    def __init__(self, places: int, things: int) -> None:
        self._places = places
        self._things = things
        self.counted: dict[str, Counted] = {}
        self.beyond = 0
        """How many things were not kept."""

    def wants(self, name: str) -> bool:
        """Whether another place of a thing would be kept: finding out what stands there costs time."""
        known = self.counted.get(name)
        return len(self.counted) < self._things if known is None else len(known.places) < self._places

    def add(self, name: str, where: str, place: Evidence | None) -> None:
        """Counts one more."""
        known = self.counted.get(name)
        if known is None:
            if len(self.counted) >= self._things:
                self.beyond += 1
                return
            known = self.counted[name] = Counted()
        known.count += 1
        known.files.add(where)
        if place is not None and len(known.places) < self._places:
            known.places.append(place)

    def __iter__(self) -> Iterator[tuple[str, Counted]]:
        return iter(sorted(self.counted.items()))
