"""A mark lets one finding on its line pass, by name and with a reason."""

from __future__ import annotations

import pytest

from mohist.guard.secret import marked

TOKEN = "t0ken"


def why(line: str, rule: str = "betterleaks.jwt") -> str:
    text = f"first # mohist: allow betterleaks.* because another line\n{line}\nlast # mohist: allow betterleaks.* because another line"
    start = text.index(TOKEN)
    return marked(text, start, start + len(TOKEN), rule)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"a = {TOKEN}  # mohist: allow betterleaks.jwt because of the test key", "of the test key"),
        (f"a = {TOKEN}  // mohist:allow betterleaks.* because made up", "made up"),
        (f"a = {TOKEN}", ""),
        (f"a = {TOKEN}  # mohist: allow betterleaks.jwt", ""),
        (f"a = {TOKEN}  # mohist: allow betterleaks.jwt because", ""),
        (f"a = {TOKEN}  # mohist: allow veles.x because made up", ""),
        (f"a = {TOKEN}  # mohist: allow ** because made up", ""),
        (f"a = {TOKEN}  # mohist: allow *.* because made up", ""),
        (f"a = {TOKEN}  # gitleaks:allow", ""),
    ],
)
def test_a_mark_names_the_rule_and_the_reason(line: str, reason: str) -> None:
    assert why(line) == reason


def test_a_mark_far_away_on_an_endless_line_is_none() -> None:
    assert why(f"mohist: allow betterleaks.jwt because far {'x' * 2000} {TOKEN}") == ""
    assert why(f"{TOKEN} {'x' * 2000} mohist: allow betterleaks.jwt because far") == ""
