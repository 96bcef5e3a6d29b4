"""The limits of the guard's reading are the owner's to set, by the names that the guard knows them by."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from mohist.app import guard_table, setting
from mohist.app.errors import ConfigError
from mohist.app.guard import limits, scanner
from mohist.app.screening import Screening, may_tighten
from mohist.base import StatePaths
from mohist.guard import Block, Limits
from mohist.guard.limit import DEFAULT


def test_every_limit_of_the_guard_can_be_set_and_no_other() -> None:
    assert get_args(guard_table.Limit) == tuple(one.name for one in fields(Limits))
    assert (DEFAULT.window_chars, DEFAULT.overlap_chars) == (guard_table.WINDOW_CHARS, guard_table.OVERLAP_CHARS)


def test_what_is_not_named_stays() -> None:
    assert limits(Screening(limits={"max_layers": 1})) == Limits(max_layers=1)
    assert limits(Screening()) == DEFAULT


@pytest.mark.parametrize(
    "wrong",
    ["max_layer = 1", "max_layers = 0", "max_layers = '3'", "window_chars = 100", "max_file_bytes = 99999999999999"],
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        setting.parse(f"[guard.limits]\n{wrong}\n".encode(), "the file")


def test_a_limit_that_is_set_bounds_the_reading(tmp_path: Path) -> None:
    said = setting.parse(b"[guard.limits]\nmax_layers = 1\n", "the file")
    assert said["guard.limits"] == {"max_layers": 1}
    everything = ("secret", "listed", "keyword", "personal", "covert", "marking", "fingerprint", "injection", "path")
    text = (
        "TWpNME5UWTNPRGt3TVRJek5EVTJOemc1TURFeU16UTFOamM0T1RBeE1qTTBOVFkzT0Rrd01USXpORFUyTnpnNU1EQXhNak0wTlRZM09Eaz0="
    )

    def found(**chosen: int) -> list[str]:
        settings = Screening(without=everything, limits=chosen)
        [one] = scanner(settings, StatePaths(tmp_path), {}).scan([Block(text)])
        return [finding.rule for finding in one.findings]

    assert found(max_layers=1) == ["reading.too-deep"]
    assert found() == []


def test_a_project_has_no_say_in_limits() -> None:
    assert not may_tighten("guard.limits")
