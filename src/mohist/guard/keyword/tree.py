"""Trees grown by gradient boosting, read from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

Node = tuple[int, float, Any, Any] | float
"""A feature's place, the border up to which it goes left, both branches; or a leaf's value."""


def _node(
    places: Sequence[int], borders: Sequence[float], branches: Sequence[int], leaves: Sequence[float], at: int
) -> Node:
    if at < 0:
        return leaves[~at]
    left = _node(places, borders, branches, leaves, branches[2 * at])
    right = _node(places, borders, branches, leaves, branches[2 * at + 1])
    return (places[at], borders[at], left, right)


def sigmoid(total: float) -> float:
    """The share that a sum of leaves stands for."""
    return 1 / (1 + exp(-total)) if total > -700 else 0.0


class Trees:
    """A sum of trees over a row of features.

    Args:
        data: "trees", each with "feature", "border", "branch" (two a node; below 0: leaf ~n) and "leaf"; "early": after how many
            trees a sum below "floor" is given up.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._roots = [
            _node(tree["feature"], tree["border"], tree["branch"], tree["leaf"], 0 if tree["feature"] else -1)
            for tree in data["trees"]
        ]
        self._early = int(data["early"])
        self._floor = float(data["floor"])

    def total(self, row: Sequence[float]) -> float:
        """The sum of leaves, in log odds; once it is clear that it stays low, what it is so far."""
        total = self._sum(self._roots[: self._early], row)
        if total < self._floor:
            return total
        return total + self._sum(self._roots[self._early :], row)

    @staticmethod
    def _sum(roots: Sequence[Node], row: Sequence[float]) -> float:
        total = 0.0
        for root in roots:
            node = root
            while type(node) is tuple:
                place, border, left, right = node
                node = left if row[place] <= border else right
            total += node  # type: ignore[operator]  # not a tuple, so a leaf
        return total
