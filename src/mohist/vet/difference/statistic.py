"""How likely it is that chance alone shows what was seen; exact, by counting the orders that the runs could have had.

Runs of two kinds take place in random order. If the kind made no difference, every way to deal the results out to the two
kinds would have been as likely as the one seen. That is all that is assumed: nothing about how delays or texts are spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb

LEAST_RUNS = 5


def separation_chance(with_it: int, runs_with: int, without_it: int, runs_without: int) -> float:
    """Fisher's exact test, one-sided: the chance that of all runs that show something as many or more are of the first kind."""
    shown = with_it + without_it
    whole = comb(runs_with + runs_without, runs_with)
    ways = sum(
        comb(shown, k) * comb(runs_with + runs_without - shown, runs_with - k)
        for k in range(with_it, min(shown, runs_with) + 1)
        if runs_with - k >= 0
    )
    return ways / whole


def rank_chance(longer: Sequence[float], shorter: Sequence[float]) -> float:
    """Mann and Whitney's test, one-sided and exact: the chance that the first are as far above the second or farther.

    Ties count against a difference.
    """
    above = sum(a > b for a in longer for b in shorter)
    n, m = len(longer), len(shorter)
    whole = comb(n + m, n)
    return sum(_ways(n, m, u) for u in range(above, n * m + 1)) / whole


def runs_needed(chance: float) -> int:
    """The smallest number of runs of each kind with which a perfect separation is less likely than `chance`."""
    runs = LEAST_RUNS
    while 1 / comb(2 * runs, runs) > chance:
        runs += 1
    return runs


@cache
def _ways(n: int, m: int, u: int) -> int:
    """Of the ways to deal n and m ranks, those in which u pairs have the first one above."""
    if u < 0:
        return 0
    if n == 0 or m == 0:
        return int(u == 0)
    return _ways(n - 1, m, u - m) + _ways(n, m - 1, u)
