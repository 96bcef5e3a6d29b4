"""Where a client is installed, where its HOME is, and what a repository would have it do."""

from __future__ import annotations

import fcntl
import os
import sys
import venv
from pathlib import Path

import pytest

from mohist.app.errors import ConfigError
from mohist.app.govern.bidding import biddings, digest
from mohist.app.govern.client import clients
from mohist.app.govern.home import FOLDER, open_home
from mohist.app.govern.identity import identity, put_identity
from mohist.app.govern.installation import locate
from mohist.app.govern.standing import obeyed
from mohist.base import StatePaths


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_package_of_npm_needs_its_modules_and_says_what_it_is(tmp_path: Path) -> None:
    modules = tmp_path / "prefix/node_modules"
    script = executable(modules / "@maker/tool/bin/tool.js", "#!/bin/sh\n")
    (modules / "@maker/tool/bin/package.json").write_text('{"type": "module"}', encoding="utf-8")
    (modules / "@maker/tool/package.json").write_text('{"name": "@maker/tool", "version": "7.8.9"}', encoding="utf-8")
    (modules / ".bin").mkdir()
    (modules / ".bin/tool").symlink_to("../@maker/tool/bin/tool.js")
    found = locate("tool", {"PATH": str(modules / ".bin")}, tmp_path)
    assert (found.program, found.folders) == (script, (modules,))
    assert (found.package, found.version) == ("npm:@maker/tool", "7.8.9")


def test_a_script_that_asks_for_its_interpreter_by_name_gets_that_ones_folder(tmp_path: Path) -> None:
    (tmp_path / "node/lib").mkdir(parents=True)
    executable(tmp_path / "node/bin/node", "binary")
    executable(tmp_path / "tools/tool", "#!/usr/bin/env -S node --flag\n")
    found = locate("tool", {"PATH": f"{tmp_path}/tools:{tmp_path}/node/bin"}, tmp_path)
    assert found.folders == (tmp_path / "tools/tool", tmp_path / "node")
    assert found.search == (tmp_path / "node/bin",)
    assert (found.package, found.version) == ("", "")


def test_a_package_of_python_needs_its_environment_and_what_that_is_based_on(tmp_path: Path) -> None:
    made = tmp_path / "venv"
    venv.create(made, with_pip=False)
    place = next(made.glob("lib/python3*/site-packages"))
    (place / "some_tool-1.2.dist-info").mkdir()
    (place / "some_tool-1.2.dist-info/METADATA").write_text("Name: Some_Tool\nVersion: 1.2\n", encoding="utf-8")
    (place / "some_tool-1.2.dist-info/entry_points.txt").write_text(
        "[console_scripts]\ntool = t:main\n", encoding="utf-8"
    )
    script = executable(made / "bin/tool", f"#!{made}/bin/python\n")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/tool").symlink_to(script)
    found = locate("tool", {"PATH": str(tmp_path / "links")}, tmp_path)
    assert found.folders[0] == made
    base = Path(sys.base_prefix).resolve()
    assert base in found.folders or base.is_relative_to("/usr")
    assert (found.package, found.version) == ("pypi:some-tool", "1.2")


def test_a_program_of_one_file_needs_that_file_alone(tmp_path: Path) -> None:
    program = executable(tmp_path / "versions/2.1", "\x7fELF")
    (tmp_path / "tool").symlink_to(program)
    found = locate("./tool", {}, tmp_path)
    assert (found.program, found.folders) == (program, (program,))


@pytest.mark.parametrize("name", ["no-such-program", "./missing", "./plain.txt"])
def test_a_program_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match=name):
        locate(name, {"PATH": str(tmp_path)}, tmp_path)


def test_a_fresh_home_goes_with_the_run_whatever_is_in_it(tmp_path: Path) -> None:
    with open_home("fresh", tmp_path, "run-1") as home:
        assert home.stat().st_mode & 0o777 == 0o700
        (home / "a/b").mkdir(parents=True)
        (home / "a/b/c").write_text("x", encoding="utf-8")
        (home / "link").symlink_to(tmp_path)
        (home / "a/b").chmod(0)
        (home / "a").chmod(0o500)
    assert [path.name for path in (tmp_path / FOLDER).rglob("*") if path.name != ".passing"] == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_not_what_one_still_has(tmp_path: Path) -> None:
    passing = tmp_path / FOLDER / ".passing"
    for name in ("dead", "living"):
        (passing / name).mkdir(parents=True)
        (passing / f"{name}.lock").touch()
    with (passing / "living.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with open_home("fresh", tmp_path, "run-1"):
            assert sorted(path.name for path in passing.iterdir()) == ["living", "living.lock", "run-1", "run-1.lock"]


def test_a_home_that_is_kept_stays(tmp_path: Path) -> None:
    with open_home("work", tmp_path, "run-1") as home:
        (home / "note").touch()
    with open_home(str(tmp_path / FOLDER / "work"), tmp_path, "run-2") as home:
        assert (home / "note").exists()


@pytest.mark.parametrize("name", ["..", ".passing", "a/b", "/root", "", "a b", "-x", "../../etc"])
def test_a_home_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no home for a client"), open_home(name, tmp_path, "run-1"):
        pass


def test_a_home_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "work").symlink_to("/")
    with pytest.raises(ConfigError, match="is a link"), open_home("work", tmp_path, "run-1"):
        pass


def test_a_client_commits_under_the_name_of_its_user_and_gets_no_other_setting_of_git(tmp_path: Path) -> None:
    ann, home = tmp_path / "ann", tmp_path / "home"
    ann.mkdir()
    home.mkdir()
    (ann / ".gitconfig").write_text(
        '[user]\n\tname = "Ann \\"A\\" Other"\n\temail = ann@example.com\n[credential]\n\thelper = !steal\n',
        encoding="utf-8",
    )
    put_identity(home, {"HOME": str(ann)})
    said = (home / ".gitconfig").read_text("utf-8")
    assert "ann@example.com" in said
    assert "steal" not in said
    put_identity(home, {"HOME": "/nonexistent"})
    assert (home / ".gitconfig").read_text("utf-8") == said
    assert identity({"HOME": "/nonexistent"}) == ("agent", "agent@localhost")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / ".claude").mkdir(parents=True)
    (root / ".claude/settings.json").write_text('{"hooks": {"Stop": []}}', encoding="utf-8")
    (root / "packages/x").mkdir(parents=True)
    (root / "packages/x/.mcp.json").write_text('{"mcpServers": {"a": {"command": "sh"}}}', encoding="utf-8")
    return root


def test_settings_are_found_from_the_top_down_to_where_the_client_starts(project: Path) -> None:
    claude = clients()["claude-code"]
    assert [str(one) for one in biddings(claude, project, project)] == [".claude (hooks)"]
    below = biddings(claude, project, project / "packages/x")
    assert [str(one) for one in below] == [".claude (hooks)", "packages/x/.mcp.json (MCP servers, commands)"]
    assert biddings(clients()["codex"], project, project) == ()


def test_trust_is_in_settings_as_they_are(project: Path) -> None:
    claude = clients()["claude-code"]
    before = digest(claude, project, project)
    assert digest(claude, project, project) == before
    assert digest(clients()["codex"], project, project) != before
    changes = [
        lambda: (project / ".claude/settings.json").write_text('{"hooks": {"Stop": [1]}}', encoding="utf-8"),
        lambda: (project / ".claude/new").touch(),
        lambda: (project / ".claude/new").rename(project / ".claude/other"),
        lambda: (project / ".mcp.json").symlink_to("a"),
        lambda: (project / ".mcp.json").unlink() or (project / ".mcp.json").symlink_to("b"),
    ]
    seen = {before}
    for change in changes:
        change()
        seen.add(digest(claude, project, project))
    assert len(seen) == len(changes) + 1


def test_settings_beyond_the_bounds_are_told_and_can_not_be_trusted(project: Path) -> None:
    claude, paths = clients()["claude-code"], StatePaths(project.parent / "state")
    os.mkfifo(project / ".claude/pipe")
    assert obeyed(claude, project, project, paths, trust=True).trusted
    (project / ".claude/large.md").write_bytes(bytes(1024 * 1024 + 1))
    assert digest(claude, project, project) == ""
    (project / ".claude/large.md").unlink()
    for number in range(600):
        (project / ".claude" / f"{number}.md").touch()
    assert digest(claude, project, project) == ""
    assert obeyed(claude, project, project, paths, trust=False).hidden == (".claude",)
    with pytest.raises(ConfigError, match="too many"):
        obeyed(claude, project, project, paths, trust=True)
