"""`mohist register`, as people at a terminal and programs of device management use it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mohist.app import register as registers
from mohist.app.register import decide, person, repositories, repository_name
from mohist.base import ExitCode
from mohist.cli.main import main
from mohist.policy.errors import RegisterError
from mohist.policy.register import Allowed, Refused

BAN = (
    "--banned",
    "--reason",
    "It marks prompts",
    "--alternative",
    "qwen-code",
    "--first-step",
    "mohist govern -- qwen",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "ann"
    (place / "work").mkdir(parents=True)
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(place / "work")
    monkeypatch.setattr(registers, "MANAGED_FILE", tmp_path / "etc" / "register.toml")
    return place


class Shell:
    """Runs commands and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.code: object = None

    def __call__(self, *argv: str) -> str:
        try:
            self.code = main(("register", *argv))
        except SystemExit as stop:
            self.code = stop.code
        said = self._capsys.readouterr()
        return said.out + said.err

    def json(self, *argv: str) -> Any:
        return json.loads(self(*argv, "--json"))


@pytest.fixture
def register(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_an_entry_is_added_shown_changed_and_removed(register: Shell, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}", encoding="utf-8")
    added = register.json("add", "claude-code", "--versions", "<2.1.197", *BAN, "--from", "2030-01-01", "--evidence", str(report), "--owner", "platform")  # fmt: skip
    assert added["in_force"]
    [entry] = register.json("list")["entries"]
    assert entry["evidence"] == [{"place": str(report), "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}]  # fmt: skip
    assert (entry["id"], entry["effective"]) == ("claude-code", "2030-01-01")
    register("set", "claude-code", "--from", "2029-01-01", "--expires", "2031-01-01")
    register("set", "claude-code", "--expires", "never")
    [entry] = register.json("list", "--tool", "claude-code")["entries"]
    assert entry["effective"] == "2029-01-01"
    assert "expires" not in entry
    said = register("list")
    assert "claude-code: claude-code <2.1.197 is banned from 2029-01-01" in said
    assert "first step: mohist govern -- qwen" in said
    assert register.json("list", "--tool", "codex")["entries"] == []
    register("remove", "claude-code")
    assert register.json("list")["entries"] == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("add", "claude-code", "--banned", "--reason", "x"), "has no `alternative`"),
        (("add", "claude-code", "--reason", "x"), "Say one of --allowed, --restricted, --banned."),
        (("add", "claude-code", *BAN, "--versions", "latest"), "no range of npm versions"),
        (("add", "claude-code", *BAN, "--only-governed"), "has conditions"),
        (("add", "claude-code", "--restricted", "--reason", "x", "--first-step", "y"), "without a condition"),
        (("add", "claude-code", *BAN, "--evidence", "missing.json"), "can't be read"),
        (("set", "nobody", "--owner", "x"), "There is no entry 'nobody'"),
        (("set",), "Nothing is said"),
        (("remove", "nobody"), "There is no entry 'nobody'"),
        (("approve", "proposal-1"), "no proposal"),
        (("import", "missing.toml"), "can't be read"),
    ],
)
def test_what_cant_be_done_is_said_in_a_sentence_and_nothing_is_changed(
    register: Shell, argv: tuple[str, ...], said: str
) -> None:
    assert said in register(*argv)
    assert register.code in (ExitCode.FAILED, ExitCode.USAGE)
    assert register.json("list")["entries"] == []


def test_with_two_persons_a_command_says_that_it_waits_and_the_same_person_cant_approve(register: Shell) -> None:
    register("set", "--two-persons", "on")
    waiting = register.json("add", "codex", *BAN)
    assert (register.code, waiting["in_force"]) == (ExitCode.WAITING, False)
    assert register.json("list")["entries"] == []
    assert [one["proposal"] for one in register.json("list", "--waiting")["waiting"]] == [waiting["proposal"]]
    assert "needs the approval of somebody else" in register("approve", waiting["proposal"])
    assert register.code == ExitCode.FAILED
    assert "withdrawn" in register("approve", waiting["proposal"], "--withdraw")
    assert register.json("list")["waiting"] == []


def test_the_environment_does_not_say_who_somebody_is(
    register: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    me = person()
    for name in ("LOGNAME", "USER", "SUDO_USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert person() == me
    (tmp_path / "loginuid").write_text("0", encoding="ascii")
    assert person(tmp_path / "loginuid") == "root"


def test_a_register_goes_to_another_machine_as_a_file_and_back(
    register: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("add", "claude-code", *BAN)
    register(
        "add", "codex", "--restricted", "--only-governed", "--reason", "x", "--first-step", "mohist govern -- codex"
    )
    register("set", "--unlisted", "deny")
    file = tmp_path / "register.toml"
    register("export", "--output", str(file))
    assert tomllib.loads(file.read_text("utf-8"))["register"] == {"unlisted": "deny"}
    assert register("export") == file.read_text("utf-8")
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "other"))
    register("add", "aider", *BAN)
    register("import", str(file))
    assert {one["id"] for one in register.json("list")["entries"]} == {"aider", "claude-code", "codex"}
    assert register.json("list")["settings"]["unlisted"] == "allow"
    register("import", str(file), "--replace")
    assert {one["id"] for one in register.json("list")["entries"]} == {"claude-code", "codex"}
    assert register.json("list")["settings"]["unlisted"] == "deny"
    assert register("import", str(file)) == "Nothing of it is new.\n"


def test_the_history_is_what_the_ledger_has(register: Shell) -> None:
    register("add", "claude-code", *BAN)
    register("add", "codex", *BAN)
    register("set", "claude-code", "--from", "2030-01-01")
    rows = register.json("history", "--entry", "claude-code")
    assert [row["data"]["action"] for row in rows] == ["register.change", "register.change"]
    assert rows[1]["change"]["before"]["entries"][0]["reason"] == "It marks prompts"
    assert {row["by"] for row in rows} == {person()}
    assert "claude-code: claude-code * banned from 2030-01-01" in register("history")
    assert len(register.json("history", "--last", "1")) == 1


def test_the_check_of_a_machine_says_by_its_exit_code_whether_something_is_refused(register: Shell, home: Path) -> None:
    package = home / ".npm-global/lib/node_modules/@anthropic-ai/claude-code/package.json"
    package.parent.mkdir(parents=True)
    package.write_text('{"name": "@anthropic-ai/claude-code", "version": "2.1.100"}', encoding="utf-8")
    servers = home / "work" / ".mcp.json"
    servers.write_text('{"mcpServers": {"x": {"url": "https://mcp.example.com/secret-path"}}}', encoding="utf-8")

    def mine() -> list[tuple[str, str]]:
        said = register.json("check")
        return [(one["tool"], one["outcome"]) for one in said["found"] if one["place"].startswith(str(home))]

    assert mine() == [("claude-code", "allowed"), ("mcp:mcp.example.com", "allowed")]
    assert register.code == ExitCode.DONE
    register("add", "claude-code", *BAN, "--from", "9000-01-01")
    assert mine() == [("claude-code", "warned"), ("mcp:mcp.example.com", "allowed")]
    assert register.code == ExitCode.DONE
    register("set", "claude-code", "--from", "2020-01-01")
    assert mine() == [("claude-code", "refused"), ("mcp:mcp.example.com", "allowed")]
    assert register.code == ExitCode.FAILED
    said = register("check")
    assert "refused  claude-code 2.1.100 (npm-package)" in said
    assert "Use instead: qwen-code. First step: mohist govern -- qwen." in said
    assert "secret-path" not in said


def test_a_name_that_nothing_is_known_by_is_noted(register: Shell) -> None:
    assert "Did you mean 'claude-code'?" in register("add", "claudecode", *BAN)
    assert "note:" not in register("add", "claude-code", *BAN)
    assert "note:" not in register("add", "npm:@Scope/Name", *BAN)
    register("add", "pypi:Aider_Chat", *BAN)
    assert register.json("check", "--tool", "pypi:aider.chat@1")["outcome"] == "refused"


def test_without_a_ledger_the_history_says_so(register: Shell, home: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / "mohist.toml").write_text("[ledger]\non = false\n", encoding="utf-8")
    assert "switched off" in register("history")
    assert register.code == ExitCode.FAILED


def test_within_a_project_its_own_register_and_settings_count(
    register: Shell, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top, inner = home / "work", home / "work" / "src" / "web"
    for folder in (top / ".git", top / ".mohist", inner):
        folder.mkdir(parents=True)
    (top / ".mohist" / "register.toml").write_text(ENTRY % "banned", encoding="utf-8")
    (top / ".mcp.json").write_text('{"mcpServers": {"x": {"url": "https://mcp.example.com"}}}', encoding="utf-8")
    monkeypatch.chdir(inner)
    assert register.json("check", "--tool", "codex@1.0.0")["outcome"] == "refused"
    assert "mcp:mcp.example.com" in {one["tool"] for one in register.json("check")["found"]}


def test_one_tool_can_be_asked_about(register: Shell) -> None:
    register("add", "claude-code", "--versions", "<2.1.197", *BAN)
    assert "refused: claude-code 2.1.100: claude-code 2.1.100 is banned" in register(
        "check", "--tool", "claude-code@2.1.100"
    )
    assert register.code == ExitCode.FAILED
    assert register.json("check", "--tool", "claude-code@2.1.197")["outcome"] == "allowed"
    assert register.code == ExitCode.DONE


# Which registers hold


ENTRY = '[[entry]]\nid = "x"\ntool = "codex"\ndisposition = "%s"\nreason = "r"\nalternative = "a"\nfirst_step = "f"\n'


def test_the_machines_file_and_a_projects_hold_together_and_the_strictest_wins(
    home: Path, register: Shell, tmp_path: Path
) -> None:
    env = {"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(home)}
    project = home / "work"

    def ask(tool: str = "codex") -> object:
        return decide(tool, "1.0.0", env, project=project)

    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    assert isinstance(ask(), Allowed)
    write(project / ".mohist/register.toml", ENTRY % "banned")
    assert isinstance(ask(), Refused)
    register("add", "codex", *BAN)
    write(project / ".mohist/register.toml", (ENTRY % "allowed"))
    assert isinstance(ask(), Refused)
    register("remove", "codex")
    assert isinstance(ask(), Allowed)
    write(tmp_path / "etc/register.toml", '[register]\nunlisted = "deny"\n')
    assert isinstance(ask(), Refused)
    write(tmp_path / "etc/register.toml", "[register\n")
    with pytest.raises(RegisterError):
        ask()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://ann:token@Git.Example.com/shop/web.git", "git.example.com/shop/web"),
        ("git@git.example.com:shop/web.git", "git.example.com/shop/web"),
        ("ssh://git@git.example.com:2222/shop/web", "git.example.com/shop/web"),
        ("https://git.example.com/shop/web/", "git.example.com/shop/web"),
        ("../web", ""),
        ("/srv/web.git", ""),
    ],
)
def test_a_repository_is_named_alike_however_its_remote_is_written(url: str, name: str) -> None:
    assert repository_name(url) == name


def test_a_project_is_named_by_its_remotes_in_a_worktree_too(tmp_path: Path) -> None:
    main_tree, tree = tmp_path / "web", tmp_path / "fix"
    (main_tree / ".git/worktrees/fix").mkdir(parents=True)
    (main_tree / "src").mkdir()
    (main_tree / ".git/config").write_text(
        '[remote "origin"]\n\turl = git@git.example.com:pay/core.git\n', encoding="utf-8"
    )
    (main_tree / ".git/worktrees/fix/commondir").write_text("../..\n", encoding="utf-8")
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {main_tree}/.git/worktrees/fix\n", encoding="utf-8")
    assert repositories(main_tree / "src")[0] == "git.example.com/pay/core"
    assert repositories(tree) == ("git.example.com/pay/core", str(tree))
    assert repositories(tmp_path) == (str(tmp_path),)
