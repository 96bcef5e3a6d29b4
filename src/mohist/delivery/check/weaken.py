"""Which tests a change took away, switched off or made weaker.

A test is sought where it was, then anywhere under its name, then under another name by what it asserts; only what is
found nowhere is said to be gone. An assertion is held against the one that took its place. Whatever can't be told by
syntax (an expectation that moved to a wrong value) is named as changed, not as weaker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mohist.delivery.check.assertion import EXACT, VACUOUS, Assertion
from mohist.delivery.check.diff import ChangedFile, finding
from mohist.delivery.check.suite import Suite, TestCase, suite_of, with_helpers
from mohist.delivery.state import Finding

_ALIKE = 0.3
"""Least share of common names for two assertions, or tests, to be taken for the same one."""
_TOLD_CHARS = 160
_MOST_COMPARED = 200_000
"""Pairs of tests; a change beyond it has its tests compared by name only."""
_WORDS = {3: "an exact value", 2: "a part or a range", 1: "that there is something", 0: "nothing"}


@dataclass(frozen=True, slots=True)
class _Placed:
    path: str
    case: TestCase


_SAME: tuple[Callable[[_Placed, _Placed, dict[str, str]], bool], ...] = (
    lambda a, b, moved: moved.get(a.path, a.path) == b.path and a.case.name == b.case.name,
    lambda a, b, _: a.case.name == b.case.name,
    lambda a, b, moved: a.case.leaf == b.case.leaf and moved.get(a.path, a.path) == b.path,
    lambda a, b, _: a.case.leaf == b.case.leaf,
)
"""What makes two tests the same one; the surest first."""


def weakened(files: Sequence[ChangedFile]) -> list[Finding]:
    """What the tests of a change lost, a finding each: file and line in the tree after it, or before where it is gone."""
    old_suites, new_suites = _suites(files, before=True), _suites(files, before=False)
    old = [_Placed(path, case) for path, suite in old_suites.items() for case in suite.tests]
    new = [_Placed(path, case) for path, suite in new_suites.items() for case in suite.tests]
    moved = {file.old_path: file.path for file in files}
    pairs, gone, fresh = _pair(old, new, moved)
    spare = _spare(pairs, fresh)
    found: list[Finding] = []
    for before, after in pairs:
        found += _compare(before, after, spare)
    for before in gone:
        found += _gone(before, fresh, [after for _, after in pairs], moved, spare)
    found += [
        finding("skipped-test", "minor", f"The new test {placed.case.name} does not run: {placed.case.skipped}.",
                placed.path, placed.case.line)
        for placed in fresh if placed.case.skipped
    ]  # fmt: skip
    for path, suite in new_suites.items():
        known = {name for name, _ in _origin(old_suites, path, moved).only}
        found += [
            finding("only-test", "major", f"{name!r} is marked as the only one to run: all others are left out.", path, line)
            for name, line in suite.only if name not in known
        ]  # fmt: skip
    found += [_empty(placed) for placed in fresh if _is_empty(placed.case)]
    return found


def _suites(files: Sequence[ChangedFile], *, before: bool) -> dict[str, Suite]:
    found = {}
    for file in files:
        path, text = (file.old_path, file.before) if before else (file.path, file.after)
        if text is not None:
            suite = suite_of(path, text)
            if suite.tests or suite.helpers:
                found[path] = suite
    shared = {helper.leaf: helper for suite in found.values() for helper in suite.helpers}
    return {path: with_helpers(suite, shared) for path, suite in found.items()}


def _origin(suites: dict[str, Suite], path: str, moved: dict[str, str]) -> Suite:
    return next((suite for old, suite in suites.items() if moved.get(old, old) == path), Suite(()))


def _pair(
    old: list[_Placed], new: list[_Placed], moved: dict[str, str]
) -> tuple[list[tuple[_Placed, _Placed]], list[_Placed], list[_Placed]]:
    """Tests before with the ones they became; then those that are gone, then those that are new."""
    pairs: list[tuple[_Placed, _Placed]] = []
    left, free = list(old), list(new)
    for same in _SAME:
        for before in list(left):
            after = next((candidate for candidate in free if same(before, candidate, moved)), None)
            if after is not None:
                pairs.append((before, after))
                left.remove(before)
                free.remove(after)
    # Another name, the same demands: each takes the one most like it.
    scored: list[tuple[float, int, _Placed, _Placed]] = []
    if len(left) * len(free) <= _MOST_COMPARED:
        wanted, offered = [_marks(placed.case) for placed in left], [_marks(placed.case) for placed in free]
        scored = [
            (_share(one, other), -place, left[place], after)
            for place, one in enumerate(wanted)
            for other, after in zip(offered, free, strict=True)
        ]
        scored.sort(key=lambda row: (row[0], row[1]), reverse=True)
    for score, _, before, after in scored:
        if score > 0.5 and before in left and after in free:
            pairs.append((before, after))
            left.remove(before)
            free.remove(after)
    return pairs, left, free


def _marks(case: TestCase) -> frozenset[str]:
    """What a test is about: the names in its assertions, and what it calls."""
    return frozenset(token for assertion in case.assertions for token in assertion.tokens) | case.calls


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


def _spare(pairs: Sequence[tuple[_Placed, _Placed]], fresh: Sequence[_Placed]) -> Counter[str]:
    """Assertions that are new where they stand: one that is missed elsewhere may have moved there."""
    spare = Counter(
        assertion.text for placed in fresh if not placed.case.skipped for assertion in placed.case.assertions
    )
    for before, after in pairs:
        if not after.case.skipped:
            spare += Counter(a.text for a in after.case.assertions) - Counter(a.text for a in before.case.assertions)
    return spare


def _compare(before: _Placed, after: _Placed, spare: Counter[str]) -> list[Finding]:
    old, new = before.case, after.case
    found = []
    if old.leaf != new.leaf:
        found.append(finding("renamed-test", "note", f"The test {old.name} is {new.name} now.", after.path, new.line))
    if new.skipped and not old.skipped:
        text = f"The test {new.name} does not run any more, or its failure counts no more: {new.skipped}."
        found.append(finding("skipped-test", "major", text, after.path, new.line))
    folded = any(a.repeated for a in new.assertions) and not any(a.repeated for a in old.assertions)
    if new.cases < old.cases and not folded:
        text = f"The test {new.name} has {new.cases} cases and had {old.cases}."
        found.append(finding("fewer-cases", "major", text, after.path, new.line))
    return found + _loosened(old, after, spare)


def _loosened(old: TestCase, after: _Placed, spare: Counter[str]) -> list[Finding]:
    new = after.case
    left, free = list(old.assertions), list(new.assertions)
    for assertion in list(left):  # what stands there unchanged
        same = next((a for a in free if a.text == assertion.text and a.strength >= assertion.strength), None)
        if same is not None:
            left.remove(assertion)
            if not same.repeated:
                free.remove(same)
    found = []
    several = new.cases > old.cases
    missing = []
    for assertion in list(left):
        if spare[assertion.text] > 0 and not any(a.text == assertion.text for a in free):
            spare[assertion.text] -= 1
            left.remove(assertion)
    for assertion in sorted(left, key=lambda a: -a.strength):
        # A loop, or a test with more cases, stands for several assertions at once.
        pool = [a for a in (*free, *(new.assertions if several else ())) if a.repeated or several or a in free]
        match = max(pool, key=lambda a: (_overlap(assertion, a), a.strength), default=None)
        if match is None or (_overlap(assertion, match) < _ALIKE and not (several or match.repeated)):
            missing.append(assertion)
            continue
        if match in free and not (match.repeated or several):
            free.remove(match)
        found += _weaker(assertion, match, after)
    for assertion in missing:
        match = max(free, key=lambda a: a.strength, default=None)
        if match is not None:
            free.remove(match)
        if match is None:
            text = f"The test {new.name} asserts no more: {_cut(assertion.text)}"
            found.append(finding("removed-assertion", "major", text, after.path, new.line))
        else:
            found += _weaker(assertion, match, after)
    return found


def _weaker(before: Assertion, after: Assertion, where: _Placed) -> list[Finding]:
    name = where.case.name
    if after.strength < before.strength:
        text = (f"The test {name} demands {_WORDS[after.strength]}, and demanded {_WORDS[before.strength]}: "
                f"{_cut(before.text)} became {_cut(after.text)}")  # fmt: skip
        return [finding("loosened-assertion", "major", text, where.path, after.line)]
    if before.tolerance is not None and after.tolerance is not None and after.tolerance > before.tolerance:
        text = f"The test {name} lets a number be off by {after.tolerance:g}, and let it by {before.tolerance:g}."
        return [finding("raised-tolerance", "major", text, where.path, after.line)]
    literals = _literals(before.tokens), _literals(after.tokens)
    if (
        before.strength == EXACT
        and _names(before.tokens) == _names(after.tokens)
        and literals[0]
        and literals[0] != literals[1]
    ):
        text = f"The test {name} expects another value: {_cut(before.text)} became {_cut(after.text)}"
        return [finding("other-expectation", "note", text, where.path, after.line)]
    return []


def _gone(
    before: _Placed, fresh: list[_Placed], kept: list[_Placed], moved: dict[str, str], spare: Counter[str]
) -> list[Finding]:
    """A test that is found nowhere; a note only where others assert what it did, or one with more cases does."""
    texts = Counter(assertion.text for assertion in before.case.assertions)
    if texts and texts <= spare:
        spare.subtract(texts)
        return [
            finding(
                "merged-test", "note", f"What the test {before.case.name} asserted stands in others now.", before.path
            )
        ]
    for placed in (*fresh, *kept):
        grown = placed.case.cases > 1 or any(a.repeated for a in placed.case.assertions) or placed in fresh
        strong = max((a.strength for a in placed.case.assertions), default=0)
        demanded = max((a.strength for a in before.case.assertions), default=0)
        called = before.case.calls & placed.case.calls
        if grown and not placed.case.skipped and called - _COMMON and strong >= demanded:
            text = f"The test {before.case.name} is taken up by {placed.case.name}."
            return [finding("merged-test", "note", text, placed.path, placed.case.line)]
    path = moved.get(before.path, before.path)
    text = f"The test {before.case.name} is gone (it stood in line {before.case.line})."
    return [finding("removed-test", "major", text, path, before.case.line)]


_COMMON = frozenset({"len", "str", "int", "list", "dict", "set", "range", "print", "sorted", "expect", "assertEqual", "assertTrue",
                     "assertIn", "assertRaises", "raises", "toBe", "toEqual", "assert_eq", "assert", "open", "Errorf", "Fatal",
                     "Fatalf", "Error", "assertEquals", "assertFalse", "unwrap", "tuple", "isinstance", "approx", "Run"})  # fmt: skip


def _is_empty(case: TestCase) -> bool:
    return not case.skipped and bool(case.assertions) and all(a.strength == VACUOUS for a in case.assertions)


def _empty(placed: _Placed) -> Finding:
    text = f"The new test {placed.case.name} can't fail: {_cut(placed.case.assertions[0].text)}"
    return finding("vacuous-test", "major", text, placed.path, placed.case.line)


def _overlap(one: Assertion, other: Assertion) -> float:
    if not one.tokens or not other.tokens:
        return 0.0
    return len(one.tokens & other.tokens) / min(len(one.tokens), len(other.tokens))


def _literals(tokens: frozenset[str]) -> frozenset[str]:
    return frozenset(token for token in tokens if token[0] in "\"'0123456789")


def _names(tokens: frozenset[str]) -> frozenset[str]:
    return tokens - _literals(tokens)


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return f"`{flat}`" if len(flat) <= _TOLD_CHARS else f"`{flat[:_TOLD_CHARS]}…`"
