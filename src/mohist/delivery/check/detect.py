"""Which commands build, test and lint a project, told by its own files.

Only what the project itself says is believed: a script, a target, a section of a tool in its settings. What is not
found is said, so that nobody takes silence for a passed check.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

MANIFESTS = (
    *("pyproject.toml", "setup.cfg", "tox.ini", "pytest.ini", "package.json", "Makefile", "GNUmakefile", "makefile"),
    *("go.mod", "Cargo.toml", "setup.py", "ruff.toml", ".ruff.toml", "mypy.ini", ".flake8", "pom.xml", "build.gradle"),
)
"""The files at the top of a project that `detect` reads."""
_KINDS = ("build", "tests", "lint")
_TARGETS = {"build": ("build",), "tests": ("test", "tests", "check"), "lint": ("lint",)}
_NPM_DEFAULT = "no test specified"
_TARGET = re.compile(r"^([A-Za-z0-9_.-]+)\s*:(?!=)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ProjectCheck:
    """One command of the project."""

    name: str
    """`build`, `tests`, `lint`; a second one of a kind names its language: `tests (go)`."""
    command: str
    source: str
    """Where it was found, in words for people."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What a project's own files say."""

    checks: tuple[ProjectCheck, ...]
    missing: tuple[str, ...]
    """Of `build`, `tests`, `lint` what was not found."""

    @property
    def remark(self) -> str:
        found = "; ".join(f"{check.name}: `{check.command}` ({check.source})" for check in self.checks)
        lacking = f"No {' and no '.join(self.missing)} found." if self.missing else ""
        return " ".join(part for part in (f"Found {found}." if found else "", lacking) if part)


def configured(commands: Sequence[str]) -> Detected:
    """The checks that `checks` in mohist.toml names; the project's files are not looked at then."""
    checks: list[ProjectCheck] = []
    for number, command in enumerate(commands, start=1):
        kind = _kind_of(command)
        taken = any(check.name == kind for check in checks)
        name = kind if kind and not taken else f"check {number}"
        checks.append(ProjectCheck(name, command, "`checks` in mohist.toml"))
    return Detected(tuple(checks), ())


def detect(files: Iterable[str], manifests: Mapping[str, bytes]) -> Detected:
    """The checks of a project.

    Args:
        files: every path of the commit.
        manifests: content of those of `MANIFESTS` that are there.
    """
    texts = {name: content.decode("utf-8", "replace") for name, content in manifests.items()}
    known = list(files)
    found = [*_make(texts), *_node(texts), *_python(texts, known), *_go(texts), *_rust(texts), *_java(texts)]
    made = {check.name for check in found if check.source.startswith("target")}
    checks: list[ProjectCheck] = []
    for check in found:
        kind = check.name.partition(" ")[0]
        if check.source.startswith("target") or kind not in made:
            taken = any(other.name == kind for other in checks)
            checks.append(ProjectCheck(check.name if taken else kind, check.command, check.source))
    checks.sort(key=lambda check: _KINDS.index(check.name.partition(" ")[0]))
    have = {check.name for check in checks}
    return Detected(tuple(checks), tuple(kind for kind in _KINDS if kind not in have))


def _make(texts: Mapping[str, str]) -> list[ProjectCheck]:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        targets = set(_TARGET.findall(texts.get(name, "")))
        chosen = {kind: next((t for t in wanted if t in targets), "") for kind, wanted in _TARGETS.items()}
        if any(chosen.values()):
            return [ProjectCheck(k, f"make {t}", f"target {t} of {name}") for k, t in chosen.items() if t]
    return []


def _node(texts: Mapping[str, str]) -> list[ProjectCheck]:
    scripts = _table(_json(texts.get("package.json", "")), "scripts")
    found = []
    for kind, script, command in (("build", "build", "npm run build"), ("tests", "test", "npm test"),
                                  ("lint", "lint", "npm run lint")):  # fmt: skip
        body = scripts.get(script)
        if isinstance(body, str) and body.strip() and _NPM_DEFAULT not in body:
            found.append(ProjectCheck(f"{kind} (node)", command, f"script {script} of package.json"))
    return found


def _python(texts: Mapping[str, str], files: Sequence[str]) -> list[ProjectCheck]:
    project = _toml(texts.get("pyproject.toml", ""))
    tools = _table(project, "tool")
    others = "\n".join(texts.get(name, "") for name in ("setup.cfg", "tox.ini", "pytest.ini"))
    tests = [path for path in files if path.endswith(".py") and PurePosixPath(path).name.startswith("test")]
    tests += [path for path in files if path.endswith("_test.py")]
    found = []
    uses_pytest = "pytest" in tools or "pytest" in texts.get("pyproject.toml", "") or "pytest" in others
    if uses_pytest:
        found.append(ProjectCheck("tests (python)", "python3 -m pytest -q", "settings that name pytest"))
    elif tests:
        folders = {str(PurePosixPath(path).parent) for path in tests}
        # Discovery goes into packages only, so it starts where the tests are.
        start = next(iter(folders)) if len(folders) == 1 else "."
        where = "" if start == "." else f" -s {start} -t ."
        found.append(ProjectCheck("tests (python)", f"python3 -m unittest discover -q{where}", f"{tests[0]}"))
    if "ruff" in tools or {"ruff.toml", ".ruff.toml"} & texts.keys():
        found.append(ProjectCheck("lint (ruff)", "ruff check .", "settings of ruff"))
    elif ".flake8" in texts or "[flake8]" in others:
        found.append(ProjectCheck("lint (flake8)", "python3 -m flake8", "settings of flake8"))
    if "mypy" in tools or "mypy.ini" in texts or "[mypy]" in others:
        what = "" if "files" in _table(tools, "mypy") else " ."
        found.append(ProjectCheck("lint (mypy)", f"python3 -m mypy{what}", "settings of mypy"))
    return found


def _go(texts: Mapping[str, str]) -> list[ProjectCheck]:
    if "go.mod" not in texts:
        return []
    return [
        ProjectCheck("build (go)", "go build ./...", "go.mod"),
        ProjectCheck("tests (go)", "go test -v ./...", "go.mod"),
        ProjectCheck("lint (go)", "go vet ./...", "go.mod"),
    ]


def _rust(texts: Mapping[str, str]) -> list[ProjectCheck]:
    if "Cargo.toml" not in texts:
        return []
    return [
        ProjectCheck("build (rust)", "cargo build --all-targets", "Cargo.toml"),
        ProjectCheck("tests (rust)", "cargo test", "Cargo.toml"),
    ]


def _java(texts: Mapping[str, str]) -> list[ProjectCheck]:
    if "pom.xml" in texts:
        return [ProjectCheck("tests (java)", "mvn -q -o test", "pom.xml")]
    if "build.gradle" in texts:
        return [ProjectCheck("tests (java)", "gradle --offline test", "build.gradle")]
    return []


def _kind_of(command: str) -> str:
    words = re.findall(r"[a-z0-9_]+", command.lower())
    for kind, known in (
        ("tests", {"pytest", "unittest", "test", "tests", "jest", "vitest", "mocha", "tox", "nox", "ctest"}),
        ("lint", {"lint", "ruff", "mypy", "flake8", "pylint", "eslint", "tsc", "vet", "clippy", "pyright"}),
        ("build", {"build", "compile", "compileall", "package", "assemble"}),
    ):
        if known.intersection(words):
            return kind
    return ""


def _json(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
