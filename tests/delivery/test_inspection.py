"""What a change does to checks, dependencies and licences; which checks a project has; what runners tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from change_room import accused, changed, found_in, rule_of

from mohist.delivery.check.count import Count, count_of
from mohist.delivery.check.dependency import dependency_findings
from mohist.delivery.check.detect import configured, detect
from mohist.delivery.check.inspection import fewer
from mohist.delivery.check.licence import LicenceRule, read_rule, spdx
from mohist.delivery.check.shelf import Shelf
from mohist.delivery.errors import RuleError

CI = "on: push\njobs:\n  test:\n    steps:\n      - run: make test\n"
RUFF = '[tool.ruff.lint]\nselect = ["E", "F"]\nignore = ["E501"]\n[tool.coverage.report]\nfail_under = 90\n[tool.mypy]\nstrict = true\n'

EVASIONS = [
    ("Makefile", "test:\n\tpytest\n", "test:\n\tpytest || true\n", "swallowed-failure", 2),
    ("Makefile", "test:\n\tpytest\n", "test:\n\t-pytest\n", "swallowed-failure", 2),
    ("scripts/test.sh", "pytest\n", "set +e\npytest\n", "swallowed-failure", 1),
    ("package.json", '{"scripts": {"test": "jest"}}\n', '{"scripts": {"test": "jest --passWithNoTests"}}\n', "swallowed-failure", 1),
    (".github/workflows/ci.yml", CI, CI + "        continue-on-error: true\n", "swallowed-failure", 6),
    (".github/workflows/ci.yml", CI, CI.replace("make test", "make test || :"), "swallowed-failure", 5),
    (".gitlab-ci.yml", "test:\n  script: make\n", "test:\n  script: make\n  allow_failure: true\n", "swallowed-failure", 3),
    (".github/workflows/ci.yml", CI, CI.replace("push", "schedule"), "ci-changed", 1),
    (".github/workflows/ci.yml", CI, None, "ci-changed", 0),
    ("CODEOWNERS", "* @core\n", "* @bot\n", "ci-changed", 1),
    ("app.py", "x = f()\n", "x = f()  # type: ignore\n", "silenced-rule", 1),
    ("app.py", "import os\n", "import os  # noqa: F401\n", "silenced-rule", 1),
    ("app.ts", "f();\n", "// @ts-ignore\nf();\n", "silenced-rule", 1),
    ("app.js", "f();\n", "/* eslint-disable */\nf();\n", "silenced-rule", 1),
    ("lib.rs", "fn f() {}\n", "#[allow(dead_code)]\nfn f() {}\n", "silenced-rule", 1),
    ("A.java", "class A {}\n", '@SuppressWarnings("all")\nclass A {}\n', "silenced-rule", 1),
    ("a.go", "func f() {}\n", "func f() {} //nolint\n", "silenced-rule", 1),
    ("pyproject.toml", RUFF, RUFF.replace("fail_under = 90", "fail_under = 50"), "lowered-threshold", 5),
    ("pyproject.toml", RUFF, RUFF.replace("fail_under = 90\n", ""), "lowered-threshold", 5),
    ("pyproject.toml", RUFF, RUFF.replace('["E", "F"]', '["E"]'), "lax-linter", 2),
    ("pyproject.toml", RUFF, RUFF.replace('["E501"]', '["E501", "F401"]'), "lax-linter", 3),
    ("pyproject.toml", RUFF, RUFF.replace("strict = true", "strict = false"), "lax-linter", 7),
    ("jest.config.js", "x = {coverageThreshold: {global: {\nbranches: 80\n}}}\n", "x = {coverageThreshold: {global: {\nbranches: 40\n}}}\n", "lowered-threshold", 2),
    (".eslintrc.json", '{"rules": {\n"eqeqeq": "error"\n}}\n', '{"rules": {\n"eqeqeq": "off"\n}}\n', "lax-linter", 2),
    ("tsconfig.json", '{"compilerOptions": {\n"strict": true\n}}\n', '{"compilerOptions": {\n"strict": false\n}}\n', "lax-linter", 2),
    ("tests/conftest.py", "", "import os\n\n\ndef pytest_sessionfinish():\n    os._exit(0)\n", "hidden-tests", 5),
    ("tests/conftest.py", "", "collect_ignore = ['test_a.py']\n", "hidden-tests", 1),
    ("a_test.go", "package a\n", "//go:build ignore\n\npackage a\n", "hidden-tests", 1),
    ("tox.ini", "[testenv]\ncommands = pytest\n", "[testenv]\ncommands = pytest --ignore=tests/slow\n", "swallowed-failure", 2),
    ("package.json", '{"scripts": {"test": "jest"}}\n', '{"scripts": {"test": "echo ok"}}\n', "check-changed", 1),
]  # fmt: skip


@pytest.mark.parametrize(("path", "before", "after", "rule", "line"), EVASIONS)
def test_what_keeps_a_check_from_failing_is_named(
    path: str, before: str, after: str | None, rule: str, line: int
) -> None:
    assert (rule, path, line) in accused(changed(path, before, after))


HONEST = [
    [changed("README.md", "x\n", "Run `make test || true`.\n# noqa\n")],
    [changed("app.py", "a = 1  # noqa\nb = 2\n", "b = 2\na = 1  # noqa\n")],
    [changed("a.py", "import x  # type: ignore\n", "y = 1\n"), changed("b.py", None, "import x  # type: ignore\n")],
    [changed("scripts/run.sh", "a\n", "# never || true here\na\n")],
    [changed("pyproject.toml", RUFF, RUFF.replace('["E", "F"]', '[\n  "F",\n  "E",\n  "I",\n]').replace("90", "95"))],
    [
        changed(
            "pyproject.toml", RUFF, "[tool.mypy]\nstrict = true\n" + RUFF.replace("[tool.mypy]\nstrict = true\n", "")
        )
    ],
    [changed("package.json", '{"scripts": {"test": "jest"}}\n', '{"scripts": {"test": "jest", "dev": "vite"}}\n')],
    [changed("app.py", "x = 1\n", "x = 'a || true'\n")],
    [changed("compose.yaml", "a: 1\n", "a: 2\n")],
]


@pytest.mark.parametrize("files", HONEST, ids=range(len(HONEST)))
def test_an_honest_change_is_not_accused(files: list) -> None:
    assert accused(*files) == []


def test_new_dependencies_are_told_with_version_and_licence() -> None:
    lock = {"packages": {"node_modules/left": {"version": "1.2.3", "license": "MIT"},
                         "node_modules/deep": {"version": "2.0.0", "license": "GPL-3.0-only"},
                         "node_modules/odd": {"version": "0.1.0"}}}  # fmt: skip
    files = [
        changed(
            "package.json",
            '{"dependencies": {"old": "1"}}\n',
            '{"dependencies": {"old": "1", "left": "^1.2", "odd": "*"}}\n',
        ),
        changed("package-lock.json", "{}", json.dumps(lock, indent=1)),
    ]
    rows = dependency_findings(files, LicenceRule(("MIT",)))
    assert [(rule_of(row), row.severity, row.path) for row in rows] == [
        ("dependency-licence", "major", "package-lock.json"),
        ("dependency", "note", "package.json"),
        ("dependency-licence", "major", "package.json"),
    ]
    assert "left 1.2.3 (npm), licence MIT" in rows[1].text
    assert "odd 0.1.0 (npm), licence unknown" in rows[2].text


@pytest.mark.parametrize(
    ("path", "before", "after", "names"),
    [
        ("requirements.txt", "a==1\n", "# c\na==1\n-r x.txt\nb[x]>=2 ; python_version > '3' # why\nc @ https://x/y.whl\n", ["b >=2", "c https://x/y.whl"]),
        ("requirements/dev.txt", "", "pytest==8 --hash=sha256:00\n", ["pytest ==8"]),
        ("pyproject.toml", '[project]\ndependencies = ["a"]\n', '[project]\ndependencies = ["a", "B.b>=1"]\n[dependency-groups]\ndev = ["c"]\n', ["b-b >=1", "c"]),
        ("pyproject.toml", "", '[tool.poetry.dependencies]\npython = "^3"\nd = {version = "^1"}\n', ["d ^1"]),
        ("go.mod", "module x\n", "module x\nrequire (\n\tgithub.com/a/b v1.2.0\n\tgithub.com/c/d v0.1.0 // indirect\n)\n", ["github.com/a/b v1.2.0"]),
        ("Cargo.toml", "[dependencies]\na = \"1\"\n", "[dependencies]\na = \"1\"\nb = {git = \"https://x/b\"}\n[dev-dependencies]\nc = \"2\"\n", ["b https://x/b", "c 2"]),
    ],
)  # fmt: skip
def test_new_dependencies_are_found_in_every_manifest(path: str, before: str, after: str, names: list[str]) -> None:
    rows = [
        row
        for row in dependency_findings([changed(path, before, after)], LicenceRule())
        if rule_of(row) == "dependency"
    ]
    assert [row.text.removeprefix("The dependency ").partition(" (")[0] for row in rows] == names
    assert all(row.line for row in rows)


def test_a_dependency_from_elsewhere_is_told_and_a_newer_version_is_not() -> None:
    rows = found_in(changed("requirements.txt", "a==1\nb==1\n", "a==2\nb @ git+https://x/b\n"))
    assert [row.text for row in rows] == [
        "The dependency b git+https://x/b (python), licence unknown, comes from elsewhere now."
    ]


def test_the_licence_of_an_installed_package_is_known_offline(tmp_path: Path) -> None:
    for name, head in (
        ("one", "License-Expression: MIT"),
        ("two", "Classifier: License :: OSI Approved :: Apache Software License"),
    ):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{head}\n\n", encoding="utf-8"
        )
    files = [changed("requirements.txt", "", "one\ntwo\nthree\n")]
    rows = dependency_findings(files, LicenceRule(("MIT",)), Shelf((tmp_path,)))
    assert {(row.severity, row.text.partition("licence ")[2]) for row in rows} == {
        ("note", "MIT, is new."),
        ("major", "unknown, is new; whether it is allowed is for a person to decide."),
        ("major", "Apache-2.0, is not allowed."),
    }


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True), ("mit", True), ("GPL-3.0-only", False), ("MIT OR GPL-3.0-only", True), ("MIT AND GPL-3.0-only", False),
        ("(GPL-2.0-only OR MIT) AND Apache-2.0", True), ("MIT/Apache-2.0", True), ("MIT OR", True), ("", None),
        ("MIT (", None), ("Apache-2.0 WITH LLVM-exception", True), ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", True),
    ],
)  # fmt: skip
def test_a_licence_expression_is_judged_by_the_list(expression: str, allowed: bool | None) -> None:
    assert LicenceRule(("MIT", "Apache-2.0")).judge(expression) is allowed
    assert LicenceRule().judge(expression) is None


def test_new_files_are_held_against_the_rule_and_against_what_is_usual() -> None:
    others = {f"a{number}.py": "# SPDX-License-Identifier: MIT\nx = 1\n" for number in range(4)}
    rows = found_in(
        changed("gpl.py", None, "# SPDX-License-Identifier: GPL-3.0-only\n"),
        changed("fsf.py", None, '"""Under the GNU General Public License, version 3."""\n# Copyright X\n'),
        changed("bare.py", None, "x = 1\n"),
        changed("good.py", None, "# SPDX-License-Identifier: MIT\n"),
        changed("data.json", None, "{}\n"),
        rule=LicenceRule(("MIT",)),
        others=others,
    )
    assert [(row.severity, rule_of(row), row.path) for row in rows] == [
        ("major", "licence", "fsf.py"), ("major", "licence", "gpl.py"), ("minor", "licence-header", "bare.py"),
    ]  # fmt: skip
    assert accused(changed("bare.py", None, "x = 1\n")) == []


def test_the_rule_is_read_from_its_table_and_a_wrong_one_is_refused() -> None:
    assert read_rule('[[environments]]\nname = "x"\n[licences]\nallow = ["MIT"]\n') == LicenceRule(("MIT",))
    assert read_rule("") == LicenceRule()
    for wrong in ("[licences]\nallow = 1\n", "[licences]\nalow = []\n", "licences = 1\n", "[licences\n"):
        with pytest.raises(RuleError):
            read_rule(wrong)


def test_names_of_licences_are_made_even() -> None:
    assert spdx("Apache Software License") == "Apache-2.0"
    assert spdx("MIT") == "MIT"
    assert spdx("Permission is hereby granted, free of charge, to any person\n" * 9) == ""


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ("....\n===== 3 passed, 1 skipped, 2 xfailed in 0.12s =====\n", Count(3, 0, 3)),
        ("1 failed, 2 passed, 1 error in 1.50s\n", Count(2, 2, 0)),
        ("\x1b[32m5 passed\x1b[0m in 0.01s\n".replace("\x1b[32m5 passed\x1b[0m", "\x1b[32m5 passed\x1b[0m"), Count(5, 0, 0)),
        ("Ran 5 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)\n", Count(2, 2, 1)),
        ("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", Count(0, 0, 0)),
        ("Tests:       1 failed, 1 skipped, 2 passed, 4 total\n", Count(2, 1, 1)),
        ("      Tests  2 passed | 1 skipped (3)\n", Count(2, 0, 1)),
        ("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\ntest result: ok. 1 passed; 0 failed; 0 ignored\n", Count(4, 0, 1)),
        ("=== RUN TestA\n--- PASS: TestA (0.00s)\n    --- SKIP: TestA/x (0.00s)\n--- FAIL: TestB (0.00s)\n", Count(1, 1, 1)),
        ("Tests run: 2, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.1 s\nTests run: 5, Failures: 1, Errors: 0, Skipped: 1\n", Count(3, 1, 1)),
        ("# tests 3\n# pass 2\n# fail 1\n# skipped 0\n", Count(2, 1, 0)),
        ("  5 passing (10ms)\n  1 pending\n", Count(5, 0, 1)),
        ("all good\n", None),
    ],
)  # fmt: skip
def test_what_a_runner_tells_is_counted(output: str, count: Count | None) -> None:
    assert count_of(output) == count


def test_fewer_tests_are_named() -> None:
    assert fewer("tests", Count(5, 0, 0), Count(5, 0, 0)) == []
    assert fewer("tests", None, Count(5, 0, 0)) == []
    assert [row.severity for row in fewer("tests", Count(5, 0, 0), Count(4, 0, 0))] == ["major"]
    assert [row.severity for row in fewer("tests", Count(5, 0, 0), Count(5, 0, 1))] == ["minor"]
    assert [row.severity for row in fewer("tests", Count(5, 0, 0), None)] == ["major"]


def test_the_projects_own_files_tell_its_checks() -> None:
    def commands(files: dict[str, str]) -> list[tuple[str, str]]:
        found = detect(files, {name: text.encode() for name, text in files.items()})
        return [(check.name, check.command) for check in found.checks]

    assert commands({"Makefile": "X := 1\ntest: x\n\tpytest\nlint:\n\truff\n", "pyproject.toml": "[tool.ruff]\n"}) == [
        ("tests", "make test"), ("lint", "make lint"),
    ]  # fmt: skip
    assert commands({"package.json": '{"scripts": {"test": "jest", "build": "tsc"}}'}) == [
        ("build", "npm run build"), ("tests", "npm test"),
    ]  # fmt: skip
    assert commands({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}) == []
    assert commands({"pyproject.toml": "[tool.pytest.ini_options]\n[tool.mypy]\n[tool.ruff]\n"}) == [
        ("tests", "python3 -m pytest -q"), ("lint", "ruff check ."), ("lint (mypy)", "python3 -m mypy ."),
    ]  # fmt: skip
    assert commands({"app.py": "", "test_app.py": ""}) == [("tests", "python3 -m unittest discover -q")]
    assert commands({"app.py": "", "tests/test_app.py": ""}) == [
        ("tests", "python3 -m unittest discover -q -s tests -t .")
    ]
    assert commands({"go.mod": "module x\n", "package.json": '{"scripts": {"test": "jest"}}'}) == [
        ("build", "go build ./..."), ("tests", "npm test"), ("tests (go)", "go test -v ./..."), ("lint", "go vet ./..."),
    ]  # fmt: skip
    assert [name for name, _ in commands({"Cargo.toml": "[package]\n"})] == ["build", "tests"]
    assert commands({"package.json": "{broken", "pyproject.toml": "= broken"}) == []
    nothing = detect(["a.txt"], {})
    assert nothing.remark == "No build and no tests and no lint found."


def test_configured_checks_get_names() -> None:
    names = [
        (c.name, c.command) for c in configured(["python -m pytest -q", "ruff check .", "./ok.sh", "mypy ."]).checks
    ]
    assert names == [
        ("tests", "python -m pytest -q"),
        ("lint", "ruff check ."),
        ("check 3", "./ok.sh"),
        ("check 4", "mypy ."),
    ]
