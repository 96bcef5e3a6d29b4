"""Values that are frozen for whoever checks types, and quick to make."""

from __future__ import annotations

from mohist.base import light_dataclass


@light_dataclass(frozen=True, slots=True)
class Pair:
    left: int
    right: str = ""


def test_a_light_value_is_equal_to_its_like_and_found_by_it():
    assert Pair(1) == Pair(1, "")
    assert Pair(1) != Pair(2)
    assert {Pair(1): "found"}[Pair(1)] == "found"


def test_a_light_value_holds_its_fields_and_nothing_else():
    assert Pair.__slots__ == ("left", "right")
    assert not hasattr(Pair(1), "__dict__")
