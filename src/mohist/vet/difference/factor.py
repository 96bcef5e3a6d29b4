"""The facts that are varied, and a small set of runs in which every two of their values meet."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

FactorName = Literal["zone", "locale", "endpoint", "proxy", "user", "host", "ci", "remote", "date"]

Assignment = Mapping[FactorName, str]
"""Factor -> value, for the factors that are not at their first value."""

_TRIES = 40
"""Rows that are made at random for each row that is kept."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One fact about the surroundings of a run."""

    name: FactorName
    title: str
    """As people call it: "time zone"."""
    levels: tuple[str, ...]
    """Values; the first one is what every run has unless it is varied."""
    how: str
    """How a value is brought about, for the report: "environment variable TZ"."""


def covering(factors: Sequence[Factor], seed: int) -> list[dict[FactorName, str]]:
    """Assignments in which each value of each factor meets each value of each other one at least once.

    Greedy, as in Cohen et al., The AETG System (IEEE TSE 23(7), 1997): about a fifth more rows than the least possible.
    """
    chosen = random.Random(seed)  # noqa: S311 - a plan, no secret
    wanted = {
        frozenset(((one.name, a), (other.name, b)))
        for one, other in itertools.combinations(factors, 2)
        for a in one.levels
        for b in other.levels
    }
    rows: list[dict[FactorName, str]] = []
    while wanted:
        row = max((_row(factors, wanted, chosen) for _ in range(_TRIES)), key=lambda made: len(_pairs(made) & wanted))
        wanted -= _pairs(row)
        rows.append(row)
    return [_varied(factors, row) for row in rows]


def title_of(factors: Sequence[Factor], name: FactorName) -> str:
    """As people call it."""
    return next((factor.title for factor in factors if factor.name == name), name)


def _varied(factors: Sequence[Factor], row: Mapping[FactorName, str]) -> dict[FactorName, str]:
    return {factor.name: row[factor.name] for factor in factors if row[factor.name] != factor.levels[0]}


def _pairs(row: Mapping[FactorName, str]) -> set[frozenset[tuple[FactorName, str]]]:
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def _row(
    factors: Sequence[Factor], wanted: set[frozenset[tuple[FactorName, str]]], chosen: random.Random
) -> dict[FactorName, str]:
    """One row from a pair that is still wanted, each further factor at the value that meets the most wanted pairs."""
    order = list(factors)
    chosen.shuffle(order)
    row: dict[FactorName, str] = dict(chosen.choice(sorted(wanted, key=sorted)))
    for factor in order:
        if factor.name in row:
            continue
        gains = {
            level: sum(frozenset(((factor.name, level), item)) in wanted for item in row.items())
            for level in factor.levels
        }
        best = max(gains.values())
        row[factor.name] = chosen.choice([level for level, gain in gains.items() if gain == best])
    return row
