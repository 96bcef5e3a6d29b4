"""What both engines do with a view: bytes in, matches in characters out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mohist.guard.detector import Match
from mohist.guard.matcher.expression import Expression
from mohist.guard.view import View

Window = tuple[int, int]


class Reading:
    """One view that is being searched; collects its matches."""

    __slots__ = ("_data", "_found", "_gates", "_lower", "_most", "_view")

    def __init__(self, view: View, most: int) -> None:
        self._view = view
        self._data = view.data
        self._most = most
        self._lower: bytes | None = None
        self._gates: dict[tuple[bytes, ...], bool] = {}
        self._found: dict[str, dict[str, Sequence[Match]]] = {}

    @property
    def found(self) -> Mapping[str, Mapping[str, Sequence[Match]]]:
        """By detector, then by pattern."""
        return self._found

    def passes(self, expression: Expression) -> bool:
        """Whether one of the pattern's keywords stands in the text; answered once for each set of keywords."""
        gate = expression.gate
        if not gate:
            return True
        known = self._gates.get(gate)
        if known is None:
            if self._lower is None:
                self._lower = self._data.lower()
            known = self._gates[gate] = expression.gated(self._lower)
        return known

    def confirm(self, expression: Expression, windows: Iterable[Window]) -> None:
        """Lists the matches in these stretches, which must be in order and apart."""
        char = self._view.char
        plain = len(self._data) == len(self._view.text)
        name = expression.name
        found = expression.matches(self._data, windows, self._most)
        matches = [Match(name, *place) if plain else Match(name, *map(char, place)) for place in found]
        if matches:
            self._found.setdefault(expression.detector, {})[name] = matches
