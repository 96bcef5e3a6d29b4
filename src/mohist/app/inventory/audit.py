"""Holds what is installed against the register."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from mohist.app.inventory import extension, package, server
from mohist.app.inventory.found import Found, Inventory, is_folder
from mohist.policy.register import NO_USE, Allowed, Outcome, Refused, Register, Warned, decide, strictest

_HOMES: Final = ("home/*", "Users/*")


@dataclass(frozen=True, slots=True)
class Judged:
    """Something found, and what the register says of it."""

    found: Found
    outcome: Outcome

    @property
    def word(self) -> str:
        """`allowed`, `warned` or `refused`."""
        return word_of(self.outcome)


def take_stock(
    root: Path, homes: Sequence[Path], path: str, projects: Iterable[Path] = (), folders: Iterable[Path] = ()
) -> Inventory:
    """What is on a machine; reads the disk alone.

    Args:
        root: `/`, or what stands for it.
        homes: of the people looked at.
        path: folders of programs, as the variable PATH has them.
        projects: folders whose settings are looked at.
        folders: more prefixes and environments.
    """
    inventory = Inventory()
    seen = [home for home in homes if os.access(home, os.R_OK | os.X_OK)]
    for home in homes:
        if home not in seen:
            inventory.trouble(home, "can't be looked into")
    package.search(inventory, root, seen, path, folders)
    extension.search(inventory, root, seen)
    server.search(inventory, root, seen, projects)
    return inventory


def every_home(inventory: Inventory, root: Path) -> list[Path]:
    """The homes of everybody on a machine, as far as they can be seen."""
    found = [one for pattern in _HOMES for one in inventory.matching(root, pattern)]
    return [*found, *([root / "root"] if is_folder(root / "root") else [])]


def audit(inventory: Inventory, registers: Sequence[Register], day: date) -> list[Judged]:
    """What is found of coding tools and servers, and of all else what an entry speaks of; the refused first.

    Conditions on use are told and not judged: what is installed is not yet used.
    """
    judged = []
    for found in inventory.found:
        outcome = strictest(decide(register, found.tool, day, NO_USE) for register in registers)
        # A register that refuses what it does not list means coding tools, not every package there is.
        if found.known or outcome.entry_id:
            judged.append(Judged(found, outcome))
    order = {"refused": 0, "warned": 1, "allowed": 2}
    judged.sort(key=lambda one: (order[one.word], one.found.tool.title, one.found.place))
    return list(_once(judged))


def _once(judged: Iterable[Judged]) -> Iterator[Judged]:
    seen = set()
    for one in judged:
        key = (one.found.tool, one.found.kind, one.found.place)
        if key not in seen:
            seen.add(key)
            yield one


def word_of(outcome: Outcome) -> str:
    """`allowed`, `warned` or `refused`."""
    return {Allowed: "allowed", Warned: "warned", Refused: "refused"}[type(outcome)]


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """An outcome for JSON."""
    said: dict[str, Any] = {"outcome": word_of(outcome), "entry": outcome.entry_id or None}
    said["conditions"] = list(outcome.conditions)
    if isinstance(outcome, Allowed):
        return said | {"reason": outcome.note}
    said |= {"reason": outcome.reason, "alternative": outcome.alternative, "first_step": outcome.first_step}
    return said | ({"refused_from": outcome.refused_from.isoformat()} if isinstance(outcome, Warned) else {})


def row(one: Judged) -> dict[str, Any]:
    """For device management; the keys stay."""
    tool = one.found.tool
    plain = [name for name in tool.names if ":" not in name]
    return {
        "tool": plain[0] if plain else tool.names[0],
        "version": tool.version or None,
        "names": list(dict.fromkeys((*tool.names, *tool.claims))),
        "belongs_to": list(tool.kin),
        "kind": one.found.kind,
        "place": one.found.place,
        "used_by": one.found.used_by or None,
        **outcome_row(one.outcome),
    }


def report(
    judged: Sequence[Judged], inventory: Inventory, registers: Sequence[Register], day: date
) -> Mapping[str, Any]:
    """The whole check as JSON; `schema` goes up when a key changes its meaning."""
    words = [one.word for one in judged]
    return {
        "schema": 1,
        "day": day.isoformat(),
        "registers": [register.origin for register in registers],
        "refused": words.count("refused"),
        "warned": words.count("warned"),
        "allowed": words.count("allowed"),
        "found": [row(one) for one in judged],
        "not_looked_at": [{"place": place, "why": why} for place, why in inventory.troubles],
    }
