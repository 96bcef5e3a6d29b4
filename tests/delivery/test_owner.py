"""CODEOWNERS as GitHub and GitLab read it."""

from __future__ import annotations

import pytest

from mohist.delivery.owner import first_owners, path_matches, read_owners

GITHUB = """
# The last line that matches wins.
*       @all @org/core
*.js    @js      # inline
/build/logs/ @doctor
docs/*  docs@example.com
apps/   @octocat
/scripts @org/ops
/apps/github
**/logs @logs
!/x @nobody
"""

GITLAB = r"""
* @general
[Documentation][2] @docs-team
docs/
README.md
!docs/api.md
^[Style] @style
*.css
[database] @db
model/db/
model/db/setup.md @docs-team
path\ with\ spaces/ @space
[DOCUMENTATION]
*.txt @group
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("README", (("all", "@org/core"),)),
        ("src/a.js", (("js",),)),
        ("build/logs/x/y", (("logs",),)),
        ("build/logs", (("logs",),)),
        ("docs/a.md", (("docs@example.com",),)),
        ("docs/deep/a.md", (("all", "@org/core"),)),
        ("lib/apps/x", (("octocat",),)),
        ("scripts/run", (("@org/ops",),)),
        ("lib/scripts/run", (("all", "@org/core"),)),
        ("apps/github/x", ()),
    ],
)
def test_github_takes_the_last_line_that_matches(path: str, owners: tuple[tuple[str, ...], ...]) -> None:
    read = read_owners(GITHUB, "github")
    assert read.groups([path], {}) == owners
    assert len(read.doubts) == 1


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("src/a.py", (("general",),)),
        ("lib/docs/a.md", (("general",), ("docs-team",), ("docs-team",))),
        ("x/README.md", (("general",), ("docs-team",), ("docs-team",))),
        ("docs/api.md", (("general",),)),
        ("a.css", (("general",),)),
        ("model/db/x", (("general",), ("db",))),
        ("model/db/setup.md", (("general",), ("docs-team",))),
        ("path with spaces/a", (("general",), ("space",))),
        ("a.txt", (("general",), ("@group",), ("@group",))),
    ],
)
def test_gitlab_asks_each_section_that_is_not_optional(path: str, owners: tuple[tuple[str, ...], ...]) -> None:
    assert sorted(read_owners(GITLAB, "gitlab").groups([path], {"@group"})) == sorted(owners)


def test_all_owners_of_all_paths_are_asked_once() -> None:
    read = read_owners("* @ann\n*.py @bob\n", "github")
    assert read.groups(["a.py", "b.py", "c"], {}) == (("bob",), ("ann",))


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "a/b", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/d", "a/d", True),
        ("a/**/d", "a/b/c/d", True),
        ("**/migrations/**", "x/migrations/1.py", True),
        ("**/migrations/**", "migrations/1.py", True),
        ("*.lock", "sub/uv.lock", True),
        ("src", "src/a", True),
        ("/a?c", "abc", True),
        ("/a?c", "a/c", False),
        ("a.c", "abc", False),
        ("docs/*", "docs/a/b", False),
        (".github/**", "x/.github/a", False),
    ],
)
def test_globs_name_paths(pattern: str, path: str, matches: bool) -> None:
    assert path_matches(pattern, path) is matches


def test_the_first_place_counts_and_says_whose_syntax_it_is() -> None:
    assert first_owners({}) is None
    at_root = first_owners({"CODEOWNERS": "[A] @ann\n*\n", "docs/CODEOWNERS": "* @bob"})
    assert at_root is not None
    assert (at_root.dialect, at_root.groups(["x"], {})) == ("gitlab", (("ann",),))
    plain = first_owners({".github/CODEOWNERS": None, "CODEOWNERS": "/docs @bob\n"})
    assert plain is not None
    assert (plain.dialect, plain.groups(["docs/x"], {})) == ("github", (("bob",),))


def test_a_word_that_is_no_owner_is_told_and_the_rest_of_the_line_holds() -> None:
    read = read_owners("* ann @bob\n", "github")
    assert (read.groups(["x"], {}), read.doubts) == ((("bob",),), ("line 1: 'ann' is no owner",))
