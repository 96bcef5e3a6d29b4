"""Verdicts on calls, under each mode."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.policy import (
    MODES,
    NO_GRANTS,
    Access,
    Allow,
    Ask,
    Deny,
    Grants,
    Mode,
    Question,
    RuleSet,
    Verdict,
    builtin_rules,
    decide,
    explain,
    parse_rules,
)

WORKSPACE = Path("/work/project")
RULES = builtin_rules()
Says = Literal["allow", "ask", "deny"]


def shell(command: str, *, confined: bool = True, network: bool = False) -> Question:
    access = Access(effect="unknown", writes=frozenset({WORKSPACE}), command=command)
    return Question("shell", access, WORKSPACE, confined=confined, network=network)


def edit(path: str, tool: str = "edit") -> Question:
    target = frozenset({WORKSPACE / path})
    return Question(tool, Access(reads=target, writes=target, effect="local", scope=f"{tool} {path}"), WORKSPACE)


def read(path: str) -> Question:
    return Question("read", Access(reads=frozenset({WORKSPACE / path}), scope=f"read {path}"), WORKSPACE)


def said(verdict: Verdict) -> str:
    return type(verdict).__name__.lower()


def row(question: Question, rules: RuleSet = RULES) -> list[str]:
    return [said(decide(question, rules, mode)) for mode in MODES]


#                    plan     ask      edit     auto     full
LOOKING = ["allow", "allow", "allow", "allow", "allow"]
CHECKING = ["deny", "ask", "allow", "allow", "allow"]
BUILDING = ["deny", "ask", "ask", "allow", "allow"]
ASKED = ["deny", "ask", "ask", "ask", "allow"]
NEVER = ["deny", "deny", "deny", "deny", "deny"]


@pytest.mark.parametrize(
    "command",
    [
        "ls -la",
        "cat a.py | head -20",
        "grep -rn 'foo bar' src",
        "sed -n '1,20p' a.py",
        "git status && git diff HEAD~1 -- src",
        "git log --oneline -5",
        "find . -name '*.py' -type f",
        "find . -name '*.py' | xargs grep -l foo",
        'for f in *.py; do wc -l "$f"; done',
        "ls a 2>/dev/null || echo none",
        "cd src && ls",
        "python --version",
    ],
)
def test_commands_that_only_look_run_in_every_mode(command: str) -> None:
    assert row(shell(command)) == LOOKING


@pytest.mark.parametrize(
    "command",
    ["pytest -x tests", "python -m pytest -q 2>&1 | tail -5", ".venv/bin/pytest", "ruff check src", "mypy src", "cargo test", "go test ./...", "npm test", "make test", "timeout 60 pytest", "PYTHONPATH=src pytest"],
)  # fmt: skip
def test_checks_of_the_project_run_from_edit_mode_on(command: str) -> None:
    assert row(shell(command)) == CHECKING


@pytest.mark.parametrize(
    "command",
    ["python -c 'print(1)'", "python - <<'EOF'\nprint(1)\nEOF", "make", "npm ci", "./run.sh", "bash scripts/a.sh", "mkdir -p a/b", "rm a.txt", "sed -i s/a/b/ a.py", "echo a > b.txt", "chmod +x run.sh", "cat > a.py <<'EOF'\nx\nEOF"],
)  # fmt: skip
def test_code_that_nobody_can_read_beforehand_runs_in_auto_mode_for_the_sandbox_bounds_it(command: str) -> None:
    assert row(shell(command)) == BUILDING


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf build", "rm *.pyc", "git reset --hard", "git clean -fd", "git push", "git checkout -- .", "git commit -m x",
        "chmod -R 777 .", "find . -delete", "find . | xargs rm", "find . -exec rm {} \\;", "echo > $x", "sudo ls", "curl x | sh",
        "mkfs.ext4 a", "dd if=a of=b", "make deploy", "npm publish", "unknown-tool a", "$x", "PATH=/x ls", "LD_PRELOAD=x ls",
        "ls; unknown-tool", "echo $(unknown-tool)", "bash -c 'git push'", "env git push", "git -c core.pager=x log",
        "git diff --output=x", "sort -o a b | unknown-tool", "docker run x",
    ],
)  # fmt: skip
def test_what_is_destructive_or_unknown_is_asked_about(command: str) -> None:
    assert row(shell(command)) == ASKED


@pytest.mark.parametrize(
    "command",
    ["echo a > .git/config", "cp a .git/hooks/pre-commit", "echo a > /etc/passwd", "cp a ../b", "sed -i s/a/b/ .mohist/rules.toml", "cd .git && echo a > config", "tee .GIT/config", "ls > src/../.git/x"],
)  # fmt: skip
@pytest.mark.parametrize("confined", [True, False])
def test_no_mode_lets_a_command_write_where_rights_are_decided(command: str, confined: bool) -> None:
    assert row(shell(command, confined=confined)) == NEVER


@pytest.mark.parametrize(
    "path", ["../other/a", ".git/config", "sub/.git/hooks/x", ".GIT/config", ".g\u200cit/config", ".mohist/a.toml", ".claude/settings.json", ".trae/rules/a.md", "mohist.toml"]
)  # fmt: skip
@pytest.mark.parametrize("tool", ["edit", "write", "unheard-of"])
def test_no_mode_lets_a_tool_write_where_rights_are_decided(path: str, tool: str) -> None:
    path_resolved = Path("/work/other/a") if path.startswith("..") else WORKSPACE / path
    question = Question(tool, Access(writes=frozenset({path_resolved}), effect="local"), WORKSPACE)
    assert row(question) == NEVER


def test_edits_in_the_workspace_run_from_edit_mode_on() -> None:
    assert row(edit("src/app.py")) == row(edit("new.py", "write")) == CHECKING


def test_files_that_people_and_ci_act_on_are_asked_about() -> None:
    assert row(edit("AGENTS.md")) == row(edit(".github/workflows/ci.yml")) == ASKED


def test_reading_the_workspace_is_always_allowed_and_credentials_never() -> None:
    assert row(read("src/app.py")) == LOOKING
    assert row(Question("read", Access(reads=frozenset({Path("/home/ann/.ssh/id_rsa")})), WORKSPACE)) == NEVER
    outside = Question("read", Access(reads=frozenset({Path("/usr/include/stdio.h")})), WORKSPACE)
    assert row(outside) == ["ask", "ask", "ask", "ask", "allow"]


def test_spill_files_outside_the_workspace_may_be_read() -> None:
    access = Access(reads=frozenset({Path("/state/spill/1")}))
    assert row(Question("read", access, WORKSPACE, scratch=(Path("/state/spill"),))) == LOOKING


@pytest.mark.parametrize("effect", ["local", "external", "unknown"])
def test_a_tool_that_no_rule_knows_is_asked_about(effect: Literal["local", "external", "unknown"]) -> None:
    assert row(Question("mcp-thing", Access(effect=effect), WORKSPACE, confined=True)) == ASKED


def test_reaching_a_host_is_asked_about() -> None:
    assert row(Question("fetch", Access(hosts=frozenset({"example.org"})), WORKSPACE)) == ASKED


def test_a_sub_agent_may_start_because_each_of_its_calls_is_judged() -> None:
    access = Access(reads=frozenset({WORKSPACE}), writes=frozenset({WORKSPACE}), effect="local", scope="task")
    assert row(Question("task", access, WORKSPACE)) == ["deny", "allow", "allow", "allow", "allow"]


@pytest.mark.parametrize(
    "command",
    [
        "o=-v; [ \"$o\" 'a[$(rm b)]' ]", "x='1}BEGIN{system(1)'; awk \"{print $x}\" a", "sed -n 1p *", "sort -k1 $x", "date -s 2020-01-01",
        "git log --outp=a", "git branch -v new", "find . -fprint a", "uniq a b", "awk '{print > \"a\"}' b", "rg --pre ./x a", "tee a",
        "echo a > b", "printf -v PATH a", "ls >& '$(rm a)'", "command rm a", "git grep -Orm a", "env -S 'rm a'", "nice --x rm a", "git --exec-path=. status",
    ],
)  # fmt: skip
def test_plan_mode_is_not_talked_into_a_change_by_a_looking_command(command: str) -> None:
    assert said(decide(shell(command), RULES, "plan")) == "deny"
    assert said(decide(shell(command), RULES, "ask")) == "ask"


@pytest.mark.parametrize("command", ["pytest", "python -c 1", "git status", "make", "./a", "unknown", "A=1 ls", "rm a"])
def test_without_the_sandbox_only_known_looking_runs_unasked(command: str) -> None:
    assert row(shell(command, confined=False)) == ["deny", "ask", "ask", "ask", "ask"]
    assert row(shell("cat a.py | head", confined=False)) == LOOKING


def test_without_the_sandbox_files_that_a_looking_command_names_are_judged_too() -> None:
    assert row(shell("cat ~/.ssh/id_rsa", confined=False)) == NEVER
    assert said(decide(shell("cat ../../etc/passwd", confined=False), RULES, "auto")) == "ask"
    assert said(decide(shell('cat "$x"', confined=False), RULES, "auto")) == "ask"
    assert said(decide(shell('cat "$x"', confined=True), RULES, "auto")) == "allow"


def test_a_network_opened_for_the_run_can_be_closed_by_a_rule() -> None:
    assert said(decide(shell("pytest", network=True), RULES, "auto")) == "allow"
    closed = parse_rules(
        '[[rule]]\nid = "no-net"\nhost = ["*"]\ndecision = "deny"\nreason = "offline house"\nmatch = ["a.org"]',
        layer="managed",
        origin="managed",
    )
    assert said(decide(shell("pytest", network=True), RULES.plus(closed), "full")) == "deny"
    assert said(decide(shell("pytest"), RULES.plus(closed), "auto")) == "allow"


Layer = Literal["user", "project", "managed"]


def one_rule(layer: Layer, decision: str, command: str = "unknown-tool") -> RuleSet:
    text = f'[[rule]]\nid = "{layer}.x"\ncommand = ["{command}"]\ndecision = "{decision}"\nreason = "r"\nmatch = ["{command}"]'
    return RuleSet(parse_rules(text, layer=layer, origin=layer))


def with_rules(*sets: RuleSet) -> RuleSet:
    return RuleSet(RULES.rules + tuple(rule for part in sets for rule in part.rules))


def auto(command: str, rules: RuleSet) -> str:
    return said(decide(shell(command), rules, "auto"))


def test_a_user_may_loosen_and_a_project_only_tighten() -> None:
    assert auto("unknown-tool a", with_rules(one_rule("user", "allow"))) == "allow"
    assert auto("git push", with_rules(one_rule("user", "allow", "git push"))) == "allow"
    assert auto("ls", with_rules(one_rule("project", "deny", "ls"))) == "deny"
    assert auto("ls", with_rules(one_rule("user", "allow", "ls"), one_rule("project", "ask", "ls"))) == "ask"


def test_managed_rules_win_over_the_user_and_a_denial_over_all() -> None:
    assert auto("unknown-tool", with_rules(one_rule("user", "allow"), one_rule("managed", "ask"))) == "ask"
    assert auto("unknown-tool", with_rules(one_rule("user", "ask"), one_rule("managed", "allow"))) == "allow"
    assert auto("unknown-tool", with_rules(one_rule("user", "deny"), one_rule("managed", "allow"))) == "deny"


def test_no_rule_of_a_user_lifts_a_hard_denial_or_plan_mode() -> None:
    text = '[[rule]]\nid = "u.w"\nwrite = ["**", "@outside"]\ndecision = "allow"\nreason = "r"\nmatch = ["a"]'
    rules = RULES.plus(parse_rules(text, layer="user", origin="user"))
    assert row(edit(".git/config"), rules) == NEVER
    assert said(decide(edit("src/a.py"), rules, "plan")) == "deny"
    cases: list[tuple[Layer, str]] = [("user", "allow"), ("user", "ask"), ("managed", "ask"), ("project", "ask")]
    for layer, decision in cases:
        assert said(decide(shell("unknown-tool"), with_rules(one_rule(layer, decision)), "plan")) == "deny"


def test_the_strictest_part_decides_and_is_named() -> None:
    verdict = decide(shell("ls && git push && rm -rf a"), RULES, "auto")
    assert isinstance(verdict, Ask)
    assert "git push" in verdict.reason
    assert "rm -rf a" in verdict.reason
    assert "ls" not in verdict.reason.split(":")[0]


@pytest.mark.parametrize(
    ("command", "covered"),
    [
        ("unknown-tool a b", "unknown-tool"),
        ("git add a.py", "git add"),
        ("git add a && git commit -m x", "git add; git commit"),
        ("kubectl get pods", "kubectl get"),
        ("git push", ""),
        ("rm -rf a", ""),
        ("curl x | sh", ""),
        ("git add a && rm -rf b", ""),
        ("git add a && $x", ""),
        ("sudo ls", ""),
        ("ssh host ls", ""),
        ("python3.12 x.py", ""),
    ],
)
def test_always_covers_the_words_that_say_what_is_done_and_no_more(command: str, covered: str) -> None:
    verdict = decide(shell(command), RULES, "ask")
    assert isinstance(verdict, Ask)
    assert verdict.covers == covered


def test_a_grant_allows_what_it_covers_and_nothing_beside_it() -> None:
    question = shell("git add a.py")
    asked = decide(question, RULES, "auto")
    assert isinstance(asked, Ask)
    grants = NO_GRANTS.plus(question, asked)
    assert grants.allows(question, asked)
    granted = decide(shell("git add b.py && ls"), RULES, "auto", grants)
    assert isinstance(granted, Allow)
    assert "grant" in granted.rule_id
    for other in (
        "git commit -m x",
        "git push",
        "git add a && rm -rf b",
        "git add a > .git/config",
        "git add $(unknown)",
    ):
        assert not isinstance(decide(shell(other), RULES, "auto", grants), Allow), other
    assert said(decide(question, RULES, "plan", grants)) == "deny"


def test_a_file_name_does_not_smuggle_a_grant_for_something_else() -> None:
    question = edit("a; edit b; git add")
    asked = decide(question, RULES, "ask")
    assert isinstance(asked, Ask)
    grants = Grants().plus(question, asked)
    assert said(decide(shell("git add"), RULES, "ask", grants)) == "ask"
    assert said(decide(edit("b"), RULES, "ask", grants)) == "ask"


def test_an_explanation_names_every_matching_rule_and_the_one_that_decided() -> None:
    told = str(explain(shell("ls && rm -rf a"), RULES, "auto"))
    assert told.startswith("ask in auto mode")
    assert "* builtin rule risk.remove says ask" in told
    assert "* builtin rule read.files says allow" in told
    assert "no rule speaks of it" in str(explain(shell("unknown-tool"), RULES, "auto"))


LINES = st.lists(
    st.sampled_from(["ls", "rm", "git", " ", " status", " push", " -rf", ";", "&&", "|", ">", " a", " .git/x", "$x", "'", '"', "$(", ")", "\n", "python -c x", "PATH=a "]), max_size=12
).map("".join)  # fmt: skip
EFFECTS: st.SearchStrategy[Literal["none", "local", "external", "unknown"]] = st.sampled_from(
    ["none", "local", "external", "unknown"]
)
PATHS = st.sampled_from(["a", "src/a", ".git/x", "../x", "AGENTS.md"]).map(lambda path: frozenset({WORKSPACE / path}))
ACCESSES = st.builds(
    Access,
    reads=PATHS | st.just(frozenset()),
    writes=PATHS | st.just(frozenset()),
    effect=EFFECTS,
    hosts=st.sampled_from([frozenset(), frozenset({"example.org"})]),
    command=st.none() | LINES | st.text(max_size=20),
)
QUESTIONS = st.builds(
    Question,
    st.sampled_from(["shell", "edit", "read", "write", "task", "mcp", ""]),
    ACCESSES,
    st.just(WORKSPACE),
    confined=st.booleans(),
    network=st.booleans(),
)
ANY_MODE: st.SearchStrategy[Mode] = st.sampled_from(MODES)


@given(QUESTIONS, ANY_MODE)
def test_whatever_is_allowed_rests_on_rules_that_exist(question: Question, mode: Mode) -> None:
    verdict = decide(question, RULES, mode)
    known = {rule.id for rule in RULES.rules}
    if isinstance(verdict, Allow):
        assert set(verdict.rule_id.split(",")) <= known
    assert verdict.rule_id
    assert verdict.reason


@given(QUESTIONS, ANY_MODE)
def test_without_rules_nothing_is_allowed(question: Question, mode: Mode) -> None:
    assert isinstance(decide(question, RuleSet(), mode), Ask | Deny)


@given(
    QUESTIONS,
    ANY_MODE,
    st.sampled_from(["ask", "deny"]),
    st.sampled_from(["command", "write", "read", "host", "effect"]),
)
def test_a_project_rule_never_loosens_a_verdict(question: Question, mode: Mode, decision: str, about: str) -> None:
    value, example = {
        "command": ("*", "ls"),
        "write": ("**", "a"),
        "read": ("**", "a"),
        "host": ("*", "a.org"),
        "effect": ("none", "read none"),
    }[about]
    text = f'[[rule]]\nid = "p"\n{about} = ["{value}"]\ndecision = "{decision}"\nreason = "r"\nmatch = ["{example}"]'
    tighter = RULES.plus(parse_rules(text, layer="project", origin="project"))
    order = ["allow", "ask", "deny"]
    assert order.index(said(decide(question, tighter, mode))) >= order.index(said(decide(question, RULES, mode)))
