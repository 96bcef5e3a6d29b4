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
_UNUSED = 1e-3
"""What a definition that no other file uses counts, as a share of its file."""
_MOST_PER_FILE = 12
_TELLING = 8.0
_LONG_CHARS = 10


@dataclass(frozen=True, slots=True)
class Ranked:
    """One definition and how much it is used."""

    file: str
    symbol: Symbol
    asked: int
    """How far the question names it; 0: not at all."""
    score: float


def ranked(files: Mapping[str, Outline], number: Callable[[str], int | None], focus: frozenset[str]) -> list[Ranked]:
    """All definitions of `files`, most important first.

    `focus`: lower-case words of the question; definitions whose name or path holds them come before all others.
    """
    definers: dict[int, set[str]] = defaultdict(set)
    weights: dict[int, float] = {}
    for file, outline in files.items():
        for symbol in outline.symbols:
            name = number(symbol.name)
            if name is not None:
                definers[name].add(file)
                weights[name] = _weight(symbol.name)
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
            # A member says less than what holds it.
            score = (gain + _UNUSED * scores[file] * _weight(symbol.name)) / (1 + symbol.depth)
            found.append(Ranked(file, symbol, _asked(file, symbol.name, focus), score))
    return sorted(found, key=lambda one: (-one.asked, _is_test(one.file), -one.score, one.file, one.symbol.line))


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


def _weight(name: str) -> float:
    """How much a use of `name` says. A plain short word (`text`, `open`) is as often a variable as a definition."""
    weight = 0.1 if name.startswith("_") else 1.0
    inner = name.strip("_")
    if inner[:1].isupper() or len(inner) > _LONG_CHARS:
        weight *= _TELLING
    elif inner.islower() and "_" not in inner:
        weight /= _TELLING
    return weight


def _asked(file: str, name: str, focus: frozenset[str]) -> int:
    lower_name, lower_file = name.lower(), file.lower()
    return sum(2 * (word in lower_name) + (word in lower_file) for word in focus)


def _is_test(file: str) -> bool:
    """Tests use much and are used by nothing: they come after what they test."""
    return any(part.startswith("test") for part in file.lower().split("/"))


def fitted(found: list[Ranked], tokens: int) -> str:
    """As many of `found`, from the first, as fit in `tokens`, by file and line; files by their best."""
    chosen: dict[str, list[Symbol]] = {}
    left = tokens
    for one in found:
        cost = tokens_of(row(one.symbol) + "\n")
        if len(chosen.get(one.file, ())) == _MOST_PER_FILE:
            continue
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
