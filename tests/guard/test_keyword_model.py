"""The shipped model is read as it was trained."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from mohist.guard import CERTAIN, GuardDataError
from mohist.guard.keyword import BLOCKING, MASKING
from mohist.guard.keyword.model import DATA, NAMES, Model, shipped
from mohist.guard.keyword.tree import Trees, sigmoid


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("mohist.guard") / "data" / DATA).read_text(encoding="utf-8"))
    return loaded


def test_the_trees_answer_as_in_training(data: dict[str, Any]) -> None:
    trees = Trees({**data["full"], "floor": -1e9})
    for golden in data["golden"]:
        row = [0.0] * len(NAMES)
        for place, value in golden["row"].items():
            row[int(place)] = value
        # Leaves are shipped with five digits.
        assert sigmoid(trees.total(row)) == pytest.approx(golden["share"], abs=1e-3)


def test_giving_up_early_never_loses_what_would_be_masked(data: dict[str, Any]) -> None:
    trees = Trees(data["full"])
    for golden in data["golden"]:
        row = [0.0] * len(NAMES)
        for place, value in golden["row"].items():
            row[int(place)] = value
        if golden["share"] >= data["masking"]:
            assert sigmoid(trees.total(row)) == pytest.approx(golden["share"], abs=1e-3)


def test_the_borders_of_training_become_the_borders_of_confidence(data: dict[str, Any]) -> None:
    model = shipped()
    assert model.calibrated(data["masking"]) == pytest.approx(MASKING)
    assert model.calibrated(data["blocking"]) == pytest.approx(BLOCKING)
    assert model.calibrated(0.0) == 0.0
    assert model.calibrated(1.0) < CERTAIN
    steps = [model.calibrated(step / 100) for step in range(101)]
    assert steps == sorted(steps)


def test_a_model_of_another_format_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(GuardDataError):
        Model({**data, "format": 0})


def test_a_model_for_other_features_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(GuardDataError):
        Model({**data, "names": data["names"][1:]})


def test_a_model_with_a_broken_table_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(GuardDataError):
        Model({**data, "pairs": ""})


def tree(border: float, low: float, high: float) -> dict[str, Any]:
    return {"feature": [0], "border": [border], "branch": [-1, -2], "leaf": [low, high]}


def test_a_value_on_a_border_goes_left_and_a_lone_leaf_is_a_tree() -> None:
    lone = {"feature": [], "border": [], "branch": [], "leaf": [0.25]}
    trees = Trees({"trees": [tree(1.0, -2.0, 3.0), lone], "early": 2, "floor": -9.0})
    assert [trees.total([value]) for value in (0.5, 1.0, 1.5)] == [-1.75, -1.75, 3.25]


def test_what_stays_low_after_the_first_trees_is_given_up() -> None:
    trees = Trees({"trees": [tree(1.0, -5.0, 1.0), tree(9.0, 20.0, 0.0)], "early": 1, "floor": -4.0})
    assert trees.total([0.0]) == -5.0
    assert trees.total([2.0]) == 21.0
