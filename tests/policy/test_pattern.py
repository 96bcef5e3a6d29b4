"""Patterns of rules against paths and words."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.policy import path_matches
from mohist.policy.pattern import CommandPattern, star_matches


@pytest.mark.parametrize(
    ("glob", "path", "covered"),
    [
        ("**/.git/**", ".git/config", True),
        ("**/.git/**", "a/b/.git/hooks/x", True),
        ("**/.git/**", "a/.github/x", False),
        ("**", "a/b", True),
        ("*.py", "a.py", True),
        ("*.py", "a/b.py", False),
        ("src/*/a?.py", "src/x/ab.py", True),
        ("src/**/a.py", "src/a.py", True),
        ("src/**/a.py", "lib/src/a.py", False),
        ("/**/.ssh/**", "/home/ann/.ssh/id", True),
        ("/**/.ssh/**", "home/.ssh/id", False),
        ("a.py", "a_py", False),
    ],
)
def test_a_star_stays_in_its_folder_and_two_go_across(glob: str, path: str, covered: bool) -> None:
    assert path_matches(glob, path, widely=False) is covered


def test_case_and_invisible_characters_count_only_where_more_may_match() -> None:
    assert path_matches("**/.git/**", "a/.G\u200dIT/x", widely=True)
    assert not path_matches("**/.git/**", "a/.GIT/x", widely=False)


@pytest.mark.parametrize(
    ("pattern", "argv", "covered"),
    [
        ("git push", ("git", "push", "-f"), True),
        ("git push", ("git", "push; ls"), False),
        ("git push", ("git",), False),
        ("git branch $", ("git", "branch"), True),
        ("git branch $", ("git", "branch", "a"), False),
        ("npm run test*|lint", ("npm", "run", "test:unit"), True),
        ("npm run test*|lint", ("npm", "run", "lint:x"), False),
        ("re:python[0-9.]*", ("python3.12", "a"), True),
        ("re:python[0-9.]*", ("python3-config",), False),
        ("* x", ("\0", "x"), False),
    ],
)
def test_command_patterns_are_prefixes_of_argument_vectors(pattern: str, argv: tuple[str, ...], covered: bool) -> None:
    assert CommandPattern.parse(pattern).matches(argv) is covered


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_stars_mean_what_they_mean_in_a_shell(glob: str, text: str) -> None:
    assert star_matches(glob, text) is (re.match(translate(glob), text) is not None)
