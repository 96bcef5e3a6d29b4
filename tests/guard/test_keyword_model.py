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
