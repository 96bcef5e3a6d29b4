"""Importing Mohist does nothing but define names, and the command's first import is small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import PACKAGE, module_name, python_files

# A migration's env.py is no module: Alembic runs it as a script, with a connection at hand.
MODULES = [module_name(path) for path in python_files(PACKAGE) if path.name not in ("__main__.py", "env.py")]

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


_SETTLE = """
import sys
from pathlib import Path
from mohist.app.config import load_config
from mohist.app.trust import TrustStore
from mohist.base import StatePaths, SystemClock
folder = Path(sys.argv[1])
trust = TrustStore(folder / "trust.json", SystemClock())
config = load_config(
    env={"HOME": str(folder)}, paths=StatePaths(folder), project_root=folder, trust=trust,
    flags={"mode": None}, managed_file=folder / "managed.toml",
)
print(config.mode, "pydantic" in sys.modules)
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


def test_a_run_is_ready_to_start_without_what_only_some_starts_need(tmp_path: Path) -> None:
    done = child("import mohist.app.launch, sys, json; print(json.dumps(sorted(sys.modules)))", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    needed = {
        "asyncio",
        "anyio",
        "ssl",
        "email",
        "tree_sitter",
    }  # the loop with what it pulls in, and the rules' parser
    assert (HEAVY - needed) & set(json.loads(done.stdout)) == set()


def test_a_configuration_that_nobody_wrote_is_settled_without_the_check_of_files(tmp_path: Path) -> None:
    done = child(_SETTLE, str(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["auto", "False"]), done.stderr
