"""Rule files are refused as a whole when they don't mean what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mohist.policy import RuleError, builtin_rules, parse_rules

GOOD = {
    "id": '"x.y"',
    "command": '["git push"]',
    "decision": '"ask"',
    "reason": '"because"',
    "match": '["git push origin"]',
    "no_match": '["git status"]',
}


def file_with(**changes: str | None) -> str:
    lines = [f"{key} = {value}" for key, value in {**GOOD, **changes}.items() if value is not None]
    return "[[rule]]\n" + "\n".join(lines)


def error_of(text: str, layer: str = "user") -> str:
    with pytest.raises(RuleError) as caught:
        parse_rules(text, layer=layer, origin="rules.toml")  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("rules.toml: ")
    return message


def test_a_good_file_is_taken() -> None:
    (rule,) = parse_rules(file_with(), layer="project", origin="rules.toml")
    assert (rule.id, rule.decision, rule.layer) == ("x.y", "ask", "project")


def test_an_example_that_comes_out_otherwise_is_named_with_its_rule() -> None:
    wrong = error_of(file_with(match='["git push", "git pull"]'))
    assert "'x.y'" in wrong
    assert "'git pull'" in wrong
    assert "does not match" in wrong
    assert "'git push -f'" in error_of(file_with(no_match='["git push -f"]'))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"match": None}, "no example"),
        ({"comand": '["x"]'}, "Did you mean 'command'"),
        ({"decision": '"alow"'}, "'alow'"),
        ({"reason": None}, "reason"),
        ({"reason": '" "'}, "reason"),
        ({"id": '"X Y"'}, "id"),
        ({"id": "5"}, "rule number 1"),
        ({"command": None}, "about nothing"),
        ({"write": '["a"]'}, "command and write"),
        ({"command": '["$"]'}, "names no command"),
        ({"command": '["re:("]'}, "broken command pattern"),
        ({"command": "[]"}, "empty `command`"),
        ({"command": '"git"'}, "list of texts"),
        ({"with": '["re:("]'}, "broken pattern"),
        ({"modes": '["fast"]'}, "'fast'"),
        ({"once": "1"}, "true or false"),
        ({"hard": "true"}, "hard"),
        ({"any": "true", "command": None}, "any"),
        ({"match": "['git \"push']"}, "broken example"),
        ({"command": None, "write": '["a"]', "with": '["b"]'}, "`with` without `command`"),
        ({"command": None, "effect": '["some"]'}, "'some'"),
        ({"command": None, "write": '["a"]', "decision": '"allow"', "modes": '["plan"]'}, "plan"),
    ],
)
def test_a_mistake_is_refused_with_its_place(changes: dict[str, str | None], told: str) -> None:
    assert told in error_of(file_with(**changes))


def test_a_project_may_not_allow() -> None:
    assert "only ask or deny" in error_of(file_with(decision='"allow"'), layer="project")


def test_text_that_is_no_rule_file_is_refused() -> None:
    assert "not valid TOML" in error_of("[[rule")
    assert "'rules'" in error_of("[[rules]]\nid = 1")
    assert "[[rule]]" in error_of("rule = 5")
    assert "two rules" in error_of(file_with() + "\n" + file_with())


def test_an_allow_does_not_reach_plan_mode_or_beyond_the_sandbox_unless_it_says_so() -> None:
    (rule,) = parse_rules(file_with(decision='"allow"'), layer="user", origin="rules.toml")
    assert "plan" not in rule.modes
    assert not rule.unconfined
    (open_rule,) = parse_rules(file_with(decision='"allow"', unconfined="true"), layer="user", origin="rules.toml")
    assert open_rule.unconfined


def test_every_builtin_rule_has_its_own_id_and_a_reason() -> None:
    rules = builtin_rules().rules
    assert len({rule.id for rule in rules}) == len(rules) > 50
    assert all(rule.layer == "builtin" for rule in rules)


def test_the_grammar_is_not_loaded_before_the_first_command_line() -> None:
    code = """
import sys
from pathlib import Path
from mohist.policy import *
question = Question("read", Access(reads=frozenset({Path("/w/a")})), Path("/w"))
decide(question, builtin_rules(), "auto")
assert "tree_sitter" not in sys.modules
decide(Question("shell", Access(command="ls"), Path("/w")), builtin_rules(), "auto")
assert "tree_sitter" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
