"""The document tells what gets through the guard: no less, and no more."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from mohist.guard import Scanner

BENCH = Path(__file__).parents[2] / "benchmarks/guard/leak.py"


@cache
def bench() -> ModuleType:
    specification = importlib.util.spec_from_file_location("leak", BENCH)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    shared = tmp_path_factory.getbasetemp().parent / "cache" / "mohist" / "guard"
    shared.mkdir(parents=True, exist_ok=True, mode=0o700)
    found: Scanner = bench().engine(shared)
    return found


def test_there_are_forty_secrets_and_twenty_five_disguises() -> None:
    assert (len(bench().SECRETS), len(bench().DISGUISES)) == (40, 25)
    assert len({text for _, _, text in bench().cases()}) > 900


def test_the_document_says_what_gets_through(scanner: Scanner) -> None:
    document = bench().DOCUMENT.read_text(encoding="utf-8")
    assert bench().BEGIN in document
    assert document == bench().written(document, bench().table(scanner)), "run benchmarks/guard/leak.py --write"


def test_the_disguises_alone_are_no_secrets(scanner: Scanner) -> None:
    assert [text for text in bench().harmless() if bench().holds(scanner, text)] == []
