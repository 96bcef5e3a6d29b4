"""Importing Mohist does nothing but define names, and the command's first import is small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import PACKAGE, module_name, python_files

MODULES = [module_name(path) for path in python_files(PACKAGE) if path.name != "__main__.py"]

# What a command that needs no model and no tool must not pay for; each is imported where it is first used.
HEAVY = {
    "pydantic",
    "pydantic_core",
    "httpx2",
    "httpcore2",
    "tree_sitter",
    "asyncio",
    "anyio",
    "ssl",
    "sqlite3",
    "email",
}

_IMPORT_ALL = """
import importlib, json, os, sys, threading
before = dict(os.environ)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
assert dict(os.environ) == before, "an import changed the environment"
assert threading.active_count() == 1, "an import started a thread"
assert "HOME" not in os.environ
"""


def child(code: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code, *args],
        cwd=cwd,
        env={"PATH": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_importing_every_module_has_no_effect(tmp_path: Path, order: str) -> None:
    names = MODULES if order == "forwards" else MODULES[::-1]
    tmp_path.chmod(0o555)
    done = child(_IMPORT_ALL, json.dumps(names), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_command_starts_without_heavy_modules(tmp_path: Path) -> None:
    done = child("import mohist.cli.main, sys, json; print(json.dumps(sorted(sys.modules)))", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(json.loads(done.stdout)) == set()
