"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import PACKAGE, ROOT, calls, module_name, place, python_files, uses

LINES_PER_MODULE = 450

# Longer modules and their length. An entry may shrink or go; it may not grow, and none may be added.
LONGER: dict[str, int] = {}

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "stuff"}

STARTS_PROCESSES = re.compile(
    r"subprocess(\..*)?|pty(\..*)?|multiprocessing(\..*)?|ctypes\.(CDLL|PyDLL|cdll)(\..*)?|_posixsubprocess(\..*)?"
    r"|os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork|forkpty)"
    r"|asyncio\.(create_subprocess_\w+|subprocess(\..*)?)|anyio\.(open_process|run_process|to_process(\..*)?)"
    r"|concurrent\.futures\.ProcessPoolExecutor"
)

OPENS_TEXT = {"open", "io.open", "os.fdopen", ".open", ".read_text", ".write_text", "tempfile.NamedTemporaryFile", "tempfile.TemporaryFile"}  # fmt: skip


def test_modules_stay_short() -> None:
    lengths = {module_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(PACKAGE)}
    longer = {name: length for name, length in lengths.items() if length > LINES_PER_MODULE}
    assert longer == LONGER, "find the noun that wants its own file, or lower the entry that has shrunk"


def test_modules_and_packages_are_named_by_what_they_hold() -> None:
    named = [path for path in [*PACKAGE.rglob("*"), *(ROOT / "tests").rglob("*.py")] if path.stem.strip("_") in VAGUE]
    assert named == []


def test_only_the_sandbox_starts_processes_or_loads_native_code() -> None:
    found = [
        f"{place(path, line)} {name}"
        for path in python_files(PACKAGE)
        if path.relative_to(PACKAGE).parts[0] != "sandbox"
        for line, name in uses(path)
        if STARTS_PROCESSES.fullmatch(name)
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess",
        "import subprocess as quiet",
        "from subprocess import run",
        "import os\nos.system('x')",
        "import os as o\no.execvp('x', [])",
        "from os import posix_spawn",
        "import asyncio\nasyncio.create_subprocess_exec",
        "from anyio import open_process",
        "import anyio\nanyio.run_process",
        "import ctypes\nctypes.CDLL(None)",
    ],
)
def test_the_rule_on_processes_sees_every_way_in(tmp_path: Path, code: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(code, encoding="utf-8")
    assert any(STARTS_PROCESSES.fullmatch(name) for _, name in uses(module))


def test_text_is_opened_with_a_named_encoding() -> None:
    folders = (PACKAGE, ROOT / "tests", ROOT / "scripts")
    found = [
        place(path, line) for folder in folders for path in python_files(folder) for line in _unnamed_encodings(path)
    ]
    assert found == []


def _unnamed_encodings(path: Path) -> Iterator[int]:
    """Lines where text is read or written in whatever encoding the machine prefers."""
    for call, name in calls(path):
        method = name if name in OPENS_TEXT else f".{name.rpartition('.')[2]}"
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if name == "os.open" or method not in OPENS_TEXT or "encoding" in keywords or None in keywords:
            continue
        if method in {".read_text", ".write_text"}:
            if len(call.args) <= (method == ".write_text"):  # encoding comes next by position
                yield call.lineno
            continue
        # `.open` is Path's, mode first; anything else in that place is another class's method.
        place_of_mode = 0 if method == ".open" or method.startswith("tempfile.") else 1
        mode = call.args[place_of_mode] if len(call.args) > place_of_mode else keywords.get("mode")
        default = "w+b" if method.startswith("tempfile.") else "r"
        word = default if mode is None else mode.value if isinstance(mode, ast.Constant) else ""
        if re.fullmatch(r"[rwxat+]+", str(word)):
            yield call.lineno


@pytest.mark.parametrize(
    ("code", "flagged"),
    [
        ("open('x')", True),
        ("open('x', 'rb')", False),
        ("open('x', encoding='utf-8')", False),
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.open('w')", True),
        ("path.open('ab')", False),
        ("import os\nos.fdopen(3, 'w')", True),
        ("import os\nos.open('x', 0)", False),
        ("path.write_text('x')", True),
        ("path.write_text('x', 'utf-8')", False),
        ("path.open()", True),
        ("spill.open('command')", False),
        ("open('x', mode='rb')", False),
        ("import tempfile\ntempfile.NamedTemporaryFile('w')", True),
        ("import tempfile\ntempfile.TemporaryFile()", False),
    ],
)
def test_the_rule_on_encodings_sees_text_and_lets_bytes_pass(tmp_path: Path, code: str, flagged: bool) -> None:
    module = tmp_path / "module.py"
    module.write_text(code, encoding="utf-8")
    assert bool(list(_unnamed_encodings(module))) is flagged
