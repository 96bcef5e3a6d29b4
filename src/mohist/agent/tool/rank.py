"""Which definitions of a repository matter most: those that much-used files use.

PageRank over files, an edge from each file that uses a name to the files that define it
(Page et al., 1998, http://ilpubs.stanford.edu:8090/422/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mohist.agent.tool.outline import Outline, Symbol
from mohist.agent.tool.spec import tokens_of

_DAMPING = 0.85
_ROUNDS = 20
_MOST_DEFINERS = 8
"""A name that more files define (`run`, `main`) says nothing of which of them is meant."""
_FOCUS = 50.0
"""How much more a name counts that the question names."""
_UNUSED = 1e-3
"""What a definition that no other file uses counts, as a share of its file."""
_TELLING = 8.0
_LONG_CHARS = 10


@dataclass(frozen=True, slots=True)
class Ranked:
    """One definition and how much it is used."""

    file: str
    symbol: Symbol
    score: float


def ranked(files: Mapping[str, Outline], number: Callable[[str], int | None], focus: frozenset[str]) -> list[Ranked]:
    """All definitions of `files`, most important first. `focus`: lower-case words of the question."""
    definers: dict[int, set[str]] = defaultdict(set)
    weights: dict[int, float] = {}
    for file, outline in files.items():
        for symbol in outline.symbols:
            name = number(symbol.name)
            if name is not None:
                definers[name].add(file)
                weights[name] = _weight(symbol.name, focus)
    definers = {name: those for name, those in definers.items() if len(those) <= _MOST_DEFINERS}
    # file -> [(name, weight of each of its edges)]
    uses: dict[str, list[tuple[int, float]]] = {}
    out: dict[str, float] = {}
    for file, outline in files.items():
        edges = [
            (name, weights[name] / len(definers[name]))
            for name in outline.uses
            if name in definers and definers[name] != {file}
        ]
        uses[file] = edges
        out[file] = sum(weight * len(definers[name] - {file}) for name, weight in edges)
    scores = _scores(uses, out, definers)
    gains: dict[tuple[str, int], float] = defaultdict(float)
    for file, edges in uses.items():
        for name, weight in edges:
            for target in definers[name]:
                if target != file:
                    gains[target, name] += scores[file] * weight / out[file]
    found = []
    for file, outline in files.items():
        for symbol in outline.symbols:
            name = number(symbol.name)
            gain = gains.get((file, name), 0.0) if name is not None else 0.0
            # The path is part of the question's answer too; a member says less than what holds it.
            stress = _focused(symbol.name, focus) * _focused(file, focus) ** 0.5 / (1 + symbol.depth)
            found.append(
                Ranked(file, symbol, (gain + _UNUSED * scores[file] * _weight(symbol.name, frozenset())) * stress)
            )
    return sorted(found, key=lambda one: (-one.score, one.file, one.symbol.line))


def _scores(
    uses: Mapping[str, list[tuple[int, float]]], out: Mapping[str, float], definers: Mapping[int, set[str]]
) -> dict[str, float]:
    even = 1.0 / max(1, len(uses))
    scores = dict.fromkeys(uses, even)
    for _ in range(_ROUNDS):
        # What files without edges hold is shared by all.
        idle = sum(scores[file] for file in uses if not out[file])
        base = (1 - _DAMPING) * even + _DAMPING * idle * even
        following = dict.fromkeys(uses, base)
        for file, edges in uses.items():
            for name, weight in edges:
                share = _DAMPING * scores[file] * weight / out[file]
                for target in definers[name]:
                    if target != file:
                        following[target] += share
        scores = following
    return scores


def _weight(name: str, focus: frozenset[str]) -> float:
    """How much a use of `name` says. A plain short word (`text`, `open`) is as often a variable as a definition."""
    weight = 0.1 if name.startswith("_") else 1.0
    inner = name.strip("_")
    if inner[:1].isupper() or len(inner) > _LONG_CHARS:
        weight *= _TELLING
    elif inner.islower() and "_" not in inner:
        weight /= _TELLING
    return weight * _focused(name, focus)


def _focused(name: str, focus: frozenset[str]) -> float:
    lower = name.lower()
    return _FOCUS if any(word in lower for word in focus) else 1.0


def fitted(found: list[Ranked], tokens: int) -> str:
    """As many of `found`, from the first, as fit in `tokens`, by file and line; files by their best."""
    chosen: dict[str, list[Symbol]] = {}
    left = tokens
    for one in found:
        cost = tokens_of(row(one.symbol) + "\n")
        if one.file not in chosen:
            cost += tokens_of(one.file + "\n")
        if cost > left:
            break
        left -= cost
        chosen.setdefault(one.file, []).append(one.symbol)
    rows = []
    for file, symbols in chosen.items():
        rows.append(file)
        rows += [row(symbol) for symbol in sorted(symbols, key=lambda symbol: symbol.line)]
    return "\n".join(rows)


def row(symbol: Symbol) -> str:
    """`12-40\tclass Gate`, indented by depth."""
    return f"{symbol.line}-{symbol.end_line}\t{'  ' * symbol.depth}{symbol.signature}"
