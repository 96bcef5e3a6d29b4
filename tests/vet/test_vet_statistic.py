"""Probabilities are counted exactly, and the plan of runs lets every two values meet."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.vet.behaviour.surroundings import standard_factors
from mohist.vet.difference.factor import covering
from mohist.vet.difference.statistic import LEAST_RUNS, rank_chance, runs_needed, separation_chance


@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_chance_of_a_separation_is_the_share_of_all_ways_to_deal(n: int, m: int, data: st.DataObject) -> None:
    shows = data.draw(st.lists(st.booleans(), min_size=n + m, max_size=n + m))
    first = sum(shows[:n])
    ways = [sum(shows[k] for k in chosen) >= first for chosen in itertools.combinations(range(n + m), n)]
    assert separation_chance(first, n, sum(shows[n:]), m) == pytest.approx(sum(ways) / len(ways))


@given(st.lists(st.integers(0, 100), min_size=2, max_size=8, unique=True), st.data())
def test_the_chance_of_ranks_is_the_share_of_all_ways_to_deal(values: list[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(values) - 1))

    def above(chosen: tuple[int, ...]) -> int:
        rest = [value for k, value in enumerate(values) if k not in chosen]
        return sum(values[k] > value for k in chosen for value in rest)

    seen = above(tuple(range(n)))
    ways = [above(chosen) >= seen for chosen in itertools.combinations(range(len(values)), n)]
    assert rank_chance(values[:n], values[n:]) == pytest.approx(sum(ways) / len(ways))


@pytest.mark.parametrize("chance", [0.05, 0.005, 0.0005, 0.00001])
def test_as_many_runs_are_made_as_a_separation_needs_to_count(chance: float) -> None:
    runs = runs_needed(chance)
    assert separation_chance(runs, runs, 0, runs) <= chance
    assert runs == LEAST_RUNS or separation_chance(runs - 1, runs - 1, 0, runs - 1) > chance


@pytest.mark.parametrize("seed", range(5))
def test_every_two_values_meet_in_a_planned_run(seed: int) -> None:
    factors = standard_factors("openai-chat", hosts=("relay.example",))
    rows = [
        {factor.name: row.get(factor.name, factor.levels[0]) for factor in factors} for row in covering(factors, seed)
    ]
    for one, other in itertools.combinations(factors, 2):
        met = {(row[one.name], row[other.name]) for row in rows}
        assert met == set(itertools.product(one.levels, other.levels))
    assert len(rows) < 2 * len(factors[2].levels) * len(factors[0].levels)
