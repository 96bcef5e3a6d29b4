"""Lines of a change that keep a check from failing: exit codes thrown away, rules switched off, limits lowered.

Only what came and did not merely move is said; prose is not looked at.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from mohist.delivery.check.diff import ChangedFile, Line, Severity, finding
from mohist.delivery.check.suite import is_test
from mohist.delivery.state import Finding

_CI = re.compile(
    r"^(\.github/(workflows|actions)/|\.gitlab-ci|\.circleci/|\.gitea/workflows/|\.forgejo/workflows/|azure-pipelines|"
    r"Jenkinsfile|\.travis\.yml|bitbucket-pipelines|\.woodpecker|\.drone\.yml|\.pre-commit-config|\.buildkite/|appveyor)"
)
_OWNERS = re.compile(r"(^|/)CODEOWNERS$")
_RUNS = re.compile(
    r"(^|/)(GNUmakefile|[Mm]akefile|justfile|Taskfile\.ya?ml|package\.json|tox\.ini|noxfile\.py|Dockerfile[^/]*|pyproject\.toml|"
    r"setup\.cfg|pytest\.ini|build\.gradle(\.kts)?|pom\.xml|\.mohist/[^/]+\.toml|mohist\.toml)$|\.(sh|bash|mk|ya?ml)$"
)
_LINTER = re.compile(
    r"(^|/)(pyproject\.toml|\.?ruff\.toml|setup\.cfg|tox\.ini|\.flake8|\.pylintrc|pylintrc|mypy\.ini|\.mypy\.ini|pyrightconfig\.json|"
    r"\.eslintrc[^/]*|eslint\.config\.[cm]?[jt]s|biome\.jsonc?|\.golangci\.ya?ml|clippy\.toml|tsconfig[^/]*\.json|checkstyle\.xml|"
    r"\.coveragerc|jest\.config\.[cm]?[jt]s|vitest\.config\.[cm]?[jt]s|codecov\.ya?ml|\.nycrc[^/]*|package\.json|sonar-project\.properties)$"
)
_PROSE = frozenset({".md", ".rst", ".txt", ".adoc", ".html", ".csv", ".svg", ".lock", ".snap"})

_SWALLOWED = (
    (r"\|\|\s*(true|:|exit\s+0)\s*($|[;&)\"'#\]},])", "throws an exit code away"),
    (r"(^|[;&]\s*|run:\s*)set\s+\+e\b", "goes on after a failure"),
    (r"\bcontinue-on-error\s*:\s*true\b", "goes on after a failure"),
    (r"\ballow_failure\s*:\s*true\b", "goes on after a failure"),
    (r"^\s*if\s*:\s*(false|\$\{\{\s*false\s*\}\})\s*$", "never runs"),
    (r"--passWithNoTests\b", "passes without tests"),
    (r"--exit-zero\b", "throws findings away"),
    (r"--(ignore|deselect)(-glob)?[= ]\S", "leaves tests out"),
    (r"\s-k\s*[\"']?not\b", "leaves tests out"),
    (r"--no-verify\b", "goes round the hooks"),
    (r"\b(skipTests|maven\.test\.skip)\b\s*[=>]\s*true|-DskipTests\b", "leaves tests out"),
    (r"^\t-\w", "goes on after a failure"),
)
_HIDING = (
    (r"\b(os\._exit|process\.exit|os\.Exit|System\.exit)\(0\)", "ends a test run as if it had passed"),
    (
        r"\b(collect_ignore(_glob)?|pytest_ignore_collect|pytest_collection_modifyitems|pytest_sessionfinish)\b",
        "decides which tests run",
    ),
    (r"\b(testPathIgnorePatterns|modulePathIgnorePatterns)\b", "leaves tests out"),
    (r"^\s*//go:build\s+(ignore|!)", "leaves tests out"),
)
"""In a file of tests, or one that steers them."""
_SILENCED = (
    (r"#\s*noqa\b", "noqa"), (r"#\s*type:\s*ignore\b", "type: ignore"), (r"#\s*pyright:\s*ignore\b", "pyright: ignore"),
    (r"#\s*pylint:\s*disable", "pylint: disable"), (r"#\s*ruff:\s*noqa", "ruff: noqa"), (r"#\s*nosec\b", "nosec"),
    (r"#\s*mypy:\s*ignore-errors", "mypy: ignore-errors"), (r"#\s*pragma:\s*no cover", "pragma: no cover"),
    (r"(//|/\*)\s*eslint-disable", "eslint-disable"), (r"(//|/\*)\s*@ts-(ignore|nocheck|expect-error)", "@ts-ignore"),
    (r"(//|/\*)\s*(istanbul|c8|v8) ignore", "coverage ignore"), (r"//\s*nolint\b", "nolint"), (r"\bNOSONAR\b", "NOSONAR"),
    (r"#!?\[(cfg_attr\([^)]*,\s*)?allow\(", "allow"), (r"@SuppressWarnings\b", "@SuppressWarnings"),
    (r"(//|/\*)\s*biome-ignore", "biome-ignore"), (r"(//|#)\s*shellcheck disable", "shellcheck disable"),
)  # fmt: skip
_THRESHOLD = re.compile(
    r"(?P<key>fail[_-]under|cov-fail-under|branches|functions|lines|statements|minimum(?:_?[cC]overage)?|threshold|target|"
    r"min[_-]coverage|max-warnings|max-complexity|max[_-]line[_-]length|line-length)[\"']?\s*[:=\s]\s*[\"']?(?P<number>\d+(?:\.\d+)?)"
)
_UPPER = ("max-warnings", "max-complexity")
_LAX = re.compile(
    r"[\"']?[\w@/-]+[\"']?\s*:\s*(\[\s*)?([\"']off[\"']|0\s*[,\]}])|\bdisable\s*[=:]|\bignore_(errors|missing_imports)\s*=\s*[Tt]rue|"
    r"[\"']?strict\w*[\"']?\s*[:=]\s*[Ff]alse|\b(extend-)?(ignore|exclude|per-file-ignores|omit)\b\s*[=:]|\"skipLibCheck\":\s*true|"
    r"[\"']?no(Implicit|Unused|Unchecked)\w+[\"']?\s*:\s*false|[\"']?enabled?[\"']?\s*[:=]\s*false"
)
_MORE_IS_LAX = ("ignore", "extend-ignore", "exclude", "extend-exclude", "omit", "disable_error_code", "exclude_also", "exclude_lines",
                "disable", "collect_ignore", "norecursedirs", "unfixable")  # fmt: skip
_LESS_IS_LAX = (
    "select",
    "extend-select",
    "enable_error_code",
    "testpaths",
    "filterwarnings",
    "files",
    "source",
    "enable",
    "python_files",
)
_TRUE_IS_STRICT = (
    "strict",
    "xfail_strict",
    "branch",
    "warn_unreachable",
    "warn_unused_ignores",
    "disallow_untyped_defs",
    "check_untyped_defs",
)


def evasions(files: Sequence[ChangedFile]) -> list[Finding]:
    """What of a change keeps checks from failing, with file and line in the tree after it."""
    gone = Counter(" ".join(line.text.split()) for file in files for line in file.removed)
    found: list[Finding] = []
    for file in files:
        if PurePosixPath(file.path).suffix.lower() in _PROSE:
            continue
        found += _ci(file)
        came = [line for line in file.added if not _moved(line, gone)]
        if _RUNS.search(file.path) or _CI.match(file.path):
            found += _matched(file, came, _SWALLOWED, "swallowed-failure", "major")
        if is_test(file.path) or PurePosixPath(file.path).name.startswith(
            ("jest.config", "vitest.config", "package.json")
        ):
            found += _matched(file, came, _HIDING, "hidden-tests", "minor")
        found += _silenced(file, came)
        found += _defined(file)
        if _LINTER.search(file.path) or _RUNS.search(file.path) or _CI.match(file.path):
            found += _lowered(file)
        if _LINTER.search(file.path):
            found += _toml(file) if file.path.endswith(".toml") else _lax(file, came)
    return found


def _moved(line: Line, gone: Counter[str]) -> bool:
    text = " ".join(line.text.split())
    if not text or gone[text] <= 0:
        return not text
    gone[text] -= 1
    return True


def _ci(file: ChangedFile) -> list[Finding]:
    for path in (file.old_path, file.path):
        if _CI.match(path) or _OWNERS.search(path):
            line = file.added[0].number if file.added else 0
            if file.letter == "D" or file.path != path:
                return [
                    finding("ci-changed", "major", f"{path} is gone: what it checked is not checked any more.", path)
                ]
            return [
                finding(
                    "ci-changed", "minor", f"{path} decides what is checked, and by whom, and is changed.", path, line
                )
            ]
    return []


def _defined(file: ChangedFile) -> list[Finding]:
    """A change of what the project's own checks run: it is measured by them, so a person should see it."""
    name = PurePosixPath(file.path).name
    said: list[tuple[str, int]] = []
    if file.before is None:
        return []
    if name.lower() in ("makefile", "gnumakefile", "justfile", "tox.ini", "noxfile.py", "pytest.ini"):
        said = [("what it runs", (file.added or file.removed)[0].number)] if file.added or file.removed else []
    elif name in ("package.json", "pyproject.toml"):
        read, parts = (_json, ("scripts.", "jest.")) if name == "package.json" else (_read, ("tool.pytest.",))
        before, after = _flat(read(file.before)), _flat(read(file.after))
        keys = [key for key in {**before, **after} if key.startswith(parts) and before.get(key) != after.get(key)]
        # A new script checks nothing that was checked before; a new setting of pytest may leave something out.
        said = [(key, _line_of(file, key.rpartition(".")[2])) for key in keys if key in before or read is _read]
    return [
        finding(
            "check-changed", "minor", f"The change alters how it is checked: {what} of {file.path}.", file.path, line
        )
        for what, line in said
    ]


def _matched(
    file: ChangedFile, came: Sequence[Line], rules: Sequence[tuple[str, str]], rule: str, severity: Severity
) -> list[Finding]:
    found = []
    for line in came:
        text = line.text if line.text.startswith("\t") else line.text.rstrip()
        if text.lstrip().startswith("#"):
            continue
        for pattern, what in rules:
            is_recipe = PurePosixPath(file.path).name.lower().endswith(("makefile", ".mk"))
            if (is_recipe or not pattern.startswith(r"^\t")) and re.search(pattern, text):
                found.append(finding(rule, severity, f"This {what}: `{_cut(text)}`", file.path, line.number))
                break
    return found


def _silenced(file: ChangedFile, came: Sequence[Line]) -> list[Finding]:
    """Comments that switch a rule off; one in a line that had one before is no news."""
    before = Counter(name for line in file.removed for pattern, name in _SILENCED if re.search(pattern, line.text))
    found = []
    for line in came:
        for pattern, name in _SILENCED:
            if re.search(pattern, line.text):
                if before[name] > 0:
                    before[name] -= 1
                else:
                    text = f"This switches a rule off ({name}): `{_cut(line.text)}`"
                    found.append(finding("silenced-rule", "minor", text, file.path, line.number))
                break
    return found


def _lowered(file: ChangedFile) -> list[Finding]:
    def numbers(lines: Sequence[Line]) -> Iterator[tuple[str, float, Line]]:
        for line in lines:
            for match in _THRESHOLD.finditer(line.text):
                yield match["key"].replace("_", "-").removeprefix("cov-").lower(), float(match["number"]), line

    came = list(numbers(file.added))
    found = []
    for key, number, line in numbers(file.removed):
        if "length" in key:
            continue
        now = next((row for row in came if row[0] == key), None)
        if now is None:
            if key not in ("lines", "target", "branches", "functions", "statements", "threshold"):
                text = f"The limit {key} ({number:g}) is gone."
                found.append(finding("lowered-threshold", "major", text, file.path, line.number))
            continue
        came.remove(now)
        worse = now[1] > number if key in _UPPER else now[1] < number
        if worse:
            text = f"The limit {key} is {now[1]:g}, and was {number:g}."
            found.append(finding("lowered-threshold", "major", text, file.path, now[2].number))
    return found


def _lax(file: ChangedFile, came: Sequence[Line]) -> list[Finding]:
    if file.before is None:
        return []
    return [
        finding(
            "lax-linter", "major", f"A rule of a checker is switched off: `{_cut(line.text)}`", file.path, line.number
        )
        for line in came
        if _LAX.search(line.text) and not line.text.lstrip().startswith(("#", "//"))
    ]


def _toml(file: ChangedFile) -> list[Finding]:
    """Settings of checkers, read as values, so that a list in another order or on other lines says nothing."""
    before, after = _flat(_read(file.before)), _flat(_read(file.after))
    found = []
    for key in sorted({*before, *after}):
        if not key.startswith(("tool.", "lint", "format", "ignore", "select", "extend", "exclude", "per-file")):
            continue
        name = key.rpartition(".")[2]
        old, new = before.get(key), after.get(key)
        is_listed = ".per-file-ignores." in f".{key}" or name in _MORE_IS_LAX
        said = ""
        if is_listed and file.before is not None and _items(new) - _items(old):
            said = f"{key} takes in {', '.join(sorted(_items(new) - _items(old)))}"
        elif name in _LESS_IS_LAX and old is not None and _items(old) - _items(new):
            said = f"{key} does not hold {', '.join(sorted(_items(old) - _items(new)))} any more"
        elif name in _TRUE_IS_STRICT and old is True and new is not True:
            said = f"{key} is not true any more"
        elif name.startswith("ignore_") and new is True and old is not True and file.before is not None:
            said = f"{key} is true now"
        if said:
            text = f"A checker lets more pass: {said}."
            found.append(finding("lax-linter", "major", text, file.path, _line_of(file, name)))
    return found


def _line_of(file: ChangedFile, word: str) -> int:
    rows = (file.after or "").split("\n")
    return next((number for number, row in enumerate(rows, start=1) if word in row), 0)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _items(value: Any) -> set[str]:
    if isinstance(value, list):
        return {str(item) for item in value}
    return set() if value is None else {part.strip() for part in str(value).split(",") if part.strip()}


def _read(text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text or "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _json(text: str | None) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 120 else f"{flat[:120]}…"
