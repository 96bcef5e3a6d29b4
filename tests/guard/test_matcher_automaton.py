"""The compiled automaton is kept for the next start, and never taken from where others could have put it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from mohist.guard import Block, Hit, Match, Pattern, View
from mohist.guard.matcher import build_matcher
from mohist.guard.matcher.automaton import KEPT_MAX, compiled, store, stored, token

PATTERN = Pattern("p", r"key=(\d+)")
SOURCES = [b"key=(\\d+)"] * 2  # what confirms, and what is sought


class Seeker:
    """A detector that only has patterns."""

    name = "seeker"
    version = "1"

    def __init__(self, *patterns: Pattern) -> None:
        self.patterns: Sequence[Pattern] = patterns

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        return ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    return folder


def finds(cache: Path | None) -> bool:
    return bool(build_matcher([Seeker(PATTERN)], cache=cache, engine="hyperscan").matches(View("key=7")))


def plant(folder: Path) -> Path:
    """An automaton under our name that finds something else: whoever reads it finds nothing."""
    assert store(folder, token(SOURCES), compiled([b"never-there"]))
    (file,) = folder.glob("*.automaton")
    return file


def test_a_kept_automaton_is_read(folder: Path) -> None:
    plant(folder)
    assert not finds(folder)


def test_what_was_compiled_is_kept_for_its_owner_alone(folder: Path) -> None:
    assert finds(folder)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = stored(folder, token(SOURCES))
    assert kept is not None
    assert kept.refused == ()
    assert finds(folder)


def test_the_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    assert finds(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.mark.parametrize("at", [0, 30, 90, 110, 400, -1])
def test_a_damaged_automaton_is_made_anew(folder: Path, at: int) -> None:
    file = plant(folder)
    data = bytearray(file.read_bytes())
    data[at] ^= 0x40
    file.write_bytes(data)
    assert finds(folder)
    assert finds(folder)


def test_a_cut_automaton_is_made_anew(folder: Path) -> None:
    file = plant(folder)
    file.write_bytes(file.read_bytes()[:100])
    assert finds(folder)


@pytest.mark.parametrize("mode", [0o750, 0o770, 0o702, 0o701])
def test_a_folder_that_others_can_enter_is_not_trusted_and_not_written(folder: Path, mode: int) -> None:
    before = plant(folder).read_bytes()
    folder.chmod(mode)
    assert finds(folder)
    assert [file.read_bytes() for file in folder.iterdir()] == [before]


def test_a_file_that_others_can_write_is_not_trusted(folder: Path) -> None:
    plant(folder).chmod(0o620)
    assert finds(folder)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    file = plant(folder)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert finds(folder)
    assert not file.is_symlink()


def test_a_linked_folder_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    plant(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert finds(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_trusted(folder: Path) -> None:
    plant(folder)
    os.chown(folder, 12345, -1)
    assert finds(folder)


def test_a_place_that_can_t_be_written_costs_time_only(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    assert finds(file)
    assert finds(file / "below")


def test_old_automata_are_forgotten(folder: Path) -> None:
    automaton = compiled(SOURCES)
    names = [f"{count:032d}" for count in range(KEPT_MAX + 3)]
    for age, name in enumerate(names):
        assert store(folder, name + "0" * 32, automaton)
        os.utime(folder / f"{name}.automaton", (age, age))
    assert sorted(file.stem for file in folder.iterdir()) == names[-KEPT_MAX:]


def test_the_name_depends_on_every_expression_and_its_place() -> None:
    names = {token(sources) for sources in ([b"a", b"b"], [b"b", b"a"], [b"ab"], [b"a", b"b", b""], [b"a"])}
    assert len(names) == 5


def test_refused_patterns_are_remembered(folder: Path) -> None:
    seeker = Seeker(Pattern("p", r"x(?:^|y)z|key(\d)"), Pattern("q", r"lock(\d)"))
    for _ in range(2):
        found = build_matcher([seeker], cache=folder, engine="hyperscan").matches(View("key7 lock8"))
        assert sorted(found["seeker"]) == ["p", "q"]
