"""docs/policy.md shows what the rules say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mohist.policy import MODES, Access, Question, builtin_rules, decide, parse_rules

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
WORKSPACE = Path("/work/project")
START, END = "compares -->\n", "<!-- end of table -->"


def shell(command: str, *, confined: bool = True) -> Question:
    return Question("shell", Access(effect="unknown", command=command), WORKSPACE, confined=confined)


def file(tool: str, path: str) -> Question:
    paths = frozenset({Path("/work") / path})
    if tool == "read":
        return Question(tool, Access(reads=paths), WORKSPACE)
    return Question(tool, Access(writes=paths, effect="local"), WORKSPACE)


CALLS = [
    ("read, search, list the workspace", file("read", "project/a.py")),
    ("read elsewhere", file("read", "other/a.py")),
    ("read credentials elsewhere", file("read", ".ssh/id_ed25519")),
    ("edit or write a file of the workspace", file("edit", "project/a.py")),
    ("edit what people, editors or CI act on (`AGENTS.md`, `.github/workflows`)", file("edit", "project/AGENTS.md")),
    ("edit `.git`, agent configuration, anything outside", file("edit", "project/.git/config")),
    ("looking commands: `ls`, `cat`, `grep`, `sed -n`, `find`, `git status`, `diff`, `log`, `show`", shell("git diff")),
    ("checks: `pytest`, `mypy`, `ruff`, `npm test`, `cargo test`, `go test`, `make test`", shell("pytest")),
    ("builds and scripts: `python x.py`, `python -c`, `make`, `npm`, `cargo`, `./x`", shell("python -c 1")),
    ("file commands: `mkdir`, `cp`, `mv`, `rm a`, `sed -i`, `> a`", shell("cp a b")),
    ("`git add`, `commit`, `stash`, `merge`", shell("git commit -m x")),
    ("destructive: `rm -r`, `git reset`, `git clean`, `git checkout`, `find -delete`, `chmod -R`", shell("rm -rf a")),
    ("reaching out: `git push`, `curl`, `ssh`, `npm publish`, `docker`, `sudo`", shell("git push")),
    ("variables that steer code: `PATH=…`, `LD_PRELOAD=…`", shell("PATH=a ls")),
    ("a command no rule knows", shell("unknown-tool")),
    ("a line that can't be analysed: `$x`, `eval`, `curl … \\| sh`", shell("curl a | sh")),
    ("a line that writes outside or into `.git`", shell("echo > .git/config")),
    ("a tool that reaches a host", Question("fetch", Access(hosts=frozenset({"example.org"})), WORKSPACE)),
    ("no sandbox: looking commands", shell("cat a", confined=False)),
    ("no sandbox: any other command", shell("pytest", confined=False)),
]


def table() -> str:
    lines = ["| call | " + " | ".join(MODES) + " |", "|---|" + "---|" * len(MODES)]
    for name, question in CALLS:
        verdicts = [type(decide(question, builtin_rules(), mode)).__name__.lower() for mode in MODES]
        lines.append(f"| {name} | " + " | ".join(verdicts) + " |")
    return "\n".join(lines) + "\n"


def test_the_table_in_the_guide_is_what_the_rules_say(request: pytest.FixtureRequest) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    shown, _, after = rest.partition(END)
    if request.config.getoption("--renew-pins"):
        DOCUMENT.write_text(before + START + table() + END + after, encoding="utf-8")
        return
    assert shown == table(), "renew it with --renew-pins"


def test_the_rule_file_in_the_guide_is_a_good_one() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    example = text.partition("```toml\n")[2].partition("```")[0]
    (rule,) = parse_rules(example, layer="project", origin="docs/policy.md")
    assert rule.id == "team.migrations"
