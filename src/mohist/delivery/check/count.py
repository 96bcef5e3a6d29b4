"""How many tests ran, told by what their runner wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PYTEST = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.MULTILINE)
_PYTEST_PART = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)")
_UNITTEST = re.compile(r"^Ran (\d+) tests? in [\d.]+s$", re.MULTILINE)
_UNITTEST_END = re.compile(r"^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", re.MULTILINE)
_JEST = re.compile(r"^\s*Tests:?\s+((?:\d+ [a-z]+(?:,| \|)?\s*)+)(?:\(\d+\)|\d+ total)?", re.MULTILINE)
_JEST_PART = re.compile(r"(\d+) (passed|failed|skipped|todo|pending|total)")
_CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
_GO = re.compile(r"^\s*--- (PASS|FAIL|SKIP): ", re.MULTILINE)
_MAVEN = re.compile(r"Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)(?!.*Time elapsed)")
_NODE = re.compile(r"^(?:#|ℹ) (pass|fail|skipped|todo) (\d+)$", re.MULTILINE)
_MOCHA = re.compile(r"^\s*(\d+) (passing|failing|pending)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Count:
    """Numbers of tests of one run."""

    passed: int
    failed: int
    skipped: int
    """Skipped, ignored, expected to fail or left out by a filter: they prove nothing."""

    @property
    def ran(self) -> int:
        return self.passed + self.failed

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_of(output: str) -> Count | None:
    """The numbers that a runner's output ends with; None: no runner is recognised. Several runs in it are summed."""
    text = _COLOUR.sub("", output)
    for read in (_pytest, _unittest, _cargo, _jest, _maven, _node, _mocha, _go):
        found = read(text)
        if found is not None:
            return found
    return None


def _pytest(text: str) -> Count | None:
    return _sum(_PYTEST_PART.findall(line) for line in _PYTEST.findall(text))


def _unittest(text: str) -> Count | None:
    ran = [int(number) for number in _UNITTEST.findall(text)]
    if not ran:
        return None
    numbers: dict[str, int] = {}
    for inner in _UNITTEST_END.findall(text):
        for key, number in re.findall(r"([a-z ]+)=(\d+)", inner):
            numbers[key.strip()] = numbers.get(key.strip(), 0) + int(number)
    failed = sum(numbers.get(key, 0) for key in ("failures", "errors", "unexpected successes"))
    skipped = numbers.get("skipped", 0) + numbers.get("expected failures", 0)
    return Count(max(0, sum(ran) - failed - skipped), failed, skipped)


def _cargo(text: str) -> Count | None:
    rows = _CARGO.findall(text)
    if not rows:
        return None
    passed, failed, skipped = (sum(int(row[place]) for row in rows) for place in range(3))
    return Count(passed, failed, skipped)


def _jest(text: str) -> Count | None:
    return _sum(_JEST_PART.findall(line) for line in _JEST.findall(text))


def _maven(text: str) -> Count | None:
    rows = _MAVEN.findall(text)
    if not rows:
        return None
    ran, failures, errors, skipped = (int(part) for part in rows[-1])
    return Count(ran - failures - errors - skipped, failures + errors, skipped)


def _node(text: str) -> Count | None:
    rows = _NODE.findall(text)
    names = {"pass": "passed", "fail": "failed", "skipped": "skipped", "todo": "skipped"}
    return _sum([[(number, names[word]) for word, number in rows]]) if rows else None


def _mocha(text: str) -> Count | None:
    rows = _MOCHA.findall(text)
    names = {"passing": "passed", "failing": "failed", "pending": "skipped"}
    return _sum([[(number, names[word]) for number, word in rows]]) if rows else None


def _go(text: str) -> Count | None:
    words = _GO.findall(text)
    return Count(words.count("PASS"), words.count("FAIL"), words.count("SKIP")) if words else None


def _sum(runs: Iterable[Sequence[tuple[str, str]]]) -> Count | None:
    passed = failed = skipped = 0
    seen = False
    for parts in runs:
        for number, word in parts:
            seen = True
            if word == "passed":
                passed += int(number)
            elif word.startswith(("failed", "error")):
                failed += int(number)
            elif word in ("skipped", "xfailed", "xpassed", "deselected", "todo", "pending"):
                skipped += int(number)
    return Count(passed, failed, skipped) if seen else None
