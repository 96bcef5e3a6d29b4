"""A detector and a matcher that find one word, for tests of what is around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mohist.guard import Block, GuardError, Hit, Match, Pattern, View


@dataclass
class Finder:
    """Finds what an expression matches; counts what it was asked."""

    expression: str
    name: str = "secret"
    rule: str = "test.token"
    data_class: str = "secret.token"
    confidence: float = 0.9
    version: str = "1"
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def patterns(self) -> Sequence[Pattern]:
        return (Pattern("it", self.expression),)

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        self.asked.append((view.text, block.path))
        return [
            Hit(self.rule, self.data_class, match.value_start, match.value_end, self.confidence)
            for match in matches["it"]
        ]


class SlowMatcher:
    """Searches with the standard library, characters for bytes."""

    def __init__(self, finders: Sequence[Finder]) -> None:
        self.finders = finders
        self.searched: list[View] = []

    def matches(self, view: View) -> Mapping[str, Mapping[str, Sequence[Match]]]:
        self.searched.append(view)
        found: dict[str, dict[str, list[Match]]] = {}
        for finder in self.finders:
            spans = [match.span() for match in re.finditer(finder.expression, view.text)]
            if spans:
                found.setdefault(finder.name, {})["it"] = [Match("it", *span, *span) for span in spans]
        return found


class BrokenMatcher:
    """Fails."""

    def matches(self, view: View) -> Mapping[str, Mapping[str, Sequence[Match]]]:
        raise GuardError("The engine failed.")
