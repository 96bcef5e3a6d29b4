"""One run and what came of it, and who makes runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from mohist.vet.difference.fact import Facts
from mohist.vet.difference.factor import Assignment
from mohist.vet.difference.part import Part, dissect
from mohist.vet.difference.sent import Sent

Progress = Callable[[str, int, int], None]
"""What is being done, how many runs of it are done, of how many."""


AGAIN = " (again)"
"""Of a request whose body came before in the run."""
_RESULTS = (b'"tool_result"', b'"role":"tool"', b'"role": "tool"', b'_output"')


@dataclass(frozen=True)
class Trial:
    """One run. Not slotted: what is derived from it is kept."""

    number: int
    """From 1, in the order in which they took place."""
    assignment: Assignment
    facts: Facts
    sent: tuple[Sent, ...]
    reached: frozenset[str] = frozenset()
    """Hosts that it looked up or tried to connect to, other than the model's."""
    failure: str = ""
    """Why the run can't be compared; empty: it can."""
    labels: tuple[str, ...] = field(init=False)
    """One name for each of `sent`: which request of a run it is."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(_labels(self.sent)))

    @cached_property
    def requests(self) -> dict[str, Sent]:
        """By label; one that only says again what was said before it is not there."""
        return {label: one for label, one in zip(self.labels, self.sent, strict=True) if not label.endswith(AGAIN)}

    @cached_property
    def parts(self) -> dict[str, dict[str, Part]]:
        """By label and place."""
        made = {label: dissect(sent) for label, sent in self.requests.items()}
        for label, parts in made.items():
            if times := self.labels.count(label + AGAIN):
                parts["repeats"] = Part("repeats", "raw", str(times))
        return made

    def request_number(self, label: str) -> int:
        """From 1, in the order in which they came; 0: there is none."""
        return self.labels.index(label) + 1 if label in self.labels else 0


class Laboratory(Protocol):
    """Makes runs of one subject, each from the same beginning."""

    async def run(self, assignment: Assignment) -> Trial:
        """One run under these values of the factors."""
        ...


def _labels(sent: tuple[Sent, ...]) -> list[str]:
    """Method, path, with or without tools, which length of conversation; then which of those that are alike."""
    made: list[str] = []
    bodies: dict[bytes, str] = {}
    for one in sent:
        content = one.content
        name = f"{one.method} {one.path}"
        if one.method == "POST":
            rounds = sum(content.count(mark) for mark in _RESULTS)
            name += f" {_kind(content)} {rounds}"
        key = name.encode("utf-8", "surrogateescape") + b"\0" + content
        if key in bodies:
            made.append(bodies[key] + AGAIN)
            continue
        again = sum(label == name or label.startswith(f"{name} #") for label in made if not label.endswith(AGAIN))
        bodies[key] = f"{name} #{again + 1}" if again else name
        made.append(bodies[key])
    return made


def _kind(content: bytes) -> str:
    return "main" if b'"tools"' in content else "side"
