"""Tests drive real parts and fakes, and wait for conditions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from source_tree import ROOT, calls, parse, place, python_files, uses

TESTS = python_files(ROOT / "tests")
SLEEPS = {"time.sleep", "anyio.sleep", "asyncio.sleep", "trio.sleep"}


def sleeping_lines(path: Path) -> list[int]:
    """Lines that wait for time to pass.

    Not counted: `sleep(0)`, which only lets others run, and the pause in a loop `while not condition:`, for facts that
    send no event (a process that ends elsewhere); a deadline around it is up to the reader.
    """
    pauses = {
        id(call)
        for loop in ast.walk(parse(path))
        if isinstance(loop, ast.While) and not isinstance(loop.test, ast.Constant)
        for call in ast.walk(loop)
    }
    return [
        call.lineno
        for call, name in calls(path)
        if name in SLEEPS and id(call) not in pauses and [ast.unparse(word) for word in call.args] != ["0"]
    ]


def test_no_test_mocks() -> None:
    found = [
        f"{place(path, line)} {name}"
        for path in TESTS
        for line, name in uses(path)
        if name.startswith(("unittest.mock", "mock."))
    ]
    assert found == []


def test_no_test_sleeps() -> None:
    found = [place(path, line) for path in TESTS for line in sleeping_lines(path)]
    assert found == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import time\ntime.sleep(1)", [2]),
        ("from anyio import sleep as rest\nrest(0.1)", [2]),
        ("import anyio\nanyio.sleep(0)", []),
        ("import anyio\nwhile not done():\n    anyio.sleep(0.01)", []),
        ("import anyio\nwhile True:\n    anyio.sleep(0.01)", [3]),
    ],
)
def test_the_rule_on_sleeping_sees_aliases(tmp_path: Path, code: str, lines: list[int]) -> None:
    module = tmp_path / "module.py"
    module.write_text(code, encoding="utf-8")
    assert sleeping_lines(module) == lines
