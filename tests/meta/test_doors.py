"""Each package has one door: what it re-exports is pinned in `doors.json`.

A change of a door is a decision; `scripts/test tests/meta --renew-pins` writes the new state for review.
"""

from __future__ import annotations

import ast
import importlib
import json
from pathlib import Path

import pytest
from source_tree import PACKAGE, packages, parse

PINNED = Path(__file__).with_name("doors.json")


def door(package: str) -> list[str]:
    return sorted(getattr(importlib.import_module(f"mohist.{package}"), "__all__", []))


def test_doors_are_as_pinned(request: pytest.FixtureRequest) -> None:
    doors = {package: door(package) for package in packages()}
    if request.config.getoption("--renew-pins"):
        PINNED.write_text(json.dumps(doors, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert doors == json.loads(PINNED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", packages())
def test_a_door_says_what_the_room_is_for_and_holds_no_code(package: str) -> None:
    tree = parse(PACKAGE / package / "__init__.py")
    docstring = ast.get_docstring(tree) or ""
    assert len(docstring.split()) >= 8, "say what the package is for and what it must never do"
    lazy = {"__getattr__", "__dir__"}
    code = [
        ast.unparse(node)
        for node in tree.body[1:]
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.If)
        and not (isinstance(node, ast.FunctionDef) and node.name in lazy)
    ]
    assert code == []


@pytest.mark.parametrize("package", packages())
def test_everything_a_door_names_is_there(package: str) -> None:
    module = importlib.import_module(f"mohist.{package}")
    assert [name for name in door(package) if not hasattr(module, name)] == []
