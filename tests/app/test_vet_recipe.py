"""How a subject is run: known clients by their tables, others by what somebody says."""

from __future__ import annotations

import base64
import os
import tomllib
from pathlib import Path

import pytest

from mohist.app.govern.client import clients
from mohist.app.vet import recipe as recipes
from mohist.app.vet.launch import _found_inside
from mohist.app.vet.order import KEY, Order
from mohist.app.vet.recipe import server, ways
from mohist.vet import Dossier, SubjectError, examine
from mohist.vet.behaviour.attack import attacks, together
from mohist.vet.behaviour.recipe import PROMPT, TASK, URL
from mohist.vet.behaviour.script import DIALECTS

TASKS = tomllib.loads(Path(recipes.__file__).with_name("tasks.toml").read_text("utf-8"))


def program(folder: Path, name: str) -> Path:
    path = folder / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def order(folder: Path, *command: str, **more: object) -> Order:
    return Order("subject", folder / "out", folder, command=command, **more)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_of_a_known_client_that_the_model_can_speak_to(name: str, tmp_path: Path) -> None:
    client = clients()[name]
    assert client.dialect in DIALECTS
    made = ways(order(tmp_path), os.environ, program(tmp_path, client.programs[0]), next(iter(client.packages), ""))
    assert made.client == name
    words = made.quiet.words("http://gateway.example.com")
    assert TASK in words
    env, files = made.quiet.variables("http://gateway.example.com"), made.quiet.texts("http://gateway.example.com")
    said = " ".join([*env.values(), *files.values(), *words])
    assert "http://gateway.example.com" in said
    assert KEY in said
    assert "@URL@" not in said
    assert made.interactive[0] == str(program(tmp_path, client.programs[0]))


def test_a_client_told_to_be_quiet_is_run_in_two_ways(tmp_path: Path) -> None:
    made = ways(order(tmp_path), os.environ, program(tmp_path, "claude"), "npm:@anthropic-ai/claude-code")
    assert "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC" in made.quiet.env
    assert "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC" not in made.loud.env


def test_a_program_nobody_knows_needs_a_dialect_and_a_whole_command(tmp_path: Path) -> None:
    path = str(program(tmp_path, "my-client"))
    with pytest.raises(SubjectError, match="--dialect"):
        ways(order(tmp_path, path, PROMPT), os.environ)
    with pytest.raises(SubjectError, match="does a task by itself"):
        ways(order(tmp_path, path, dialect="openai-chat"), os.environ)
    made = ways(order(tmp_path, path, "--task", PROMPT, dialect="openai-chat"), os.environ)
    assert made.loud.argv == (path, "--task", PROMPT)
    assert made.loud.env["OPENAI_BASE_URL"] == f"{URL}/v1"
    assert made.interactive == ()


def test_files_that_a_command_names_are_shown_by_their_full_paths(tmp_path: Path) -> None:
    script = tmp_path / "lib" / "main.py"
    script.parent.mkdir()
    script.write_text("", encoding="utf-8")
    made = ways(order(tmp_path, "/bin/sh", "./lib/main.py", PROMPT, dialect="openai-chat"), os.environ)
    assert made.loud.argv[1] == str(script)
    assert script.parent in made.loud.readable


def test_a_launchers_words_behind_the_package_are_the_servers_own(tmp_path: Path) -> None:
    installed = program(tmp_path, "some-server")
    shown = server(order(tmp_path), os.environ, ["npx", "-y", "some-server@1.0.0", "--root", "data"], installed)
    assert shown.argv == (str(installed), "--root", "data")


@pytest.mark.parametrize("client", ["claude-code", "codex", "aider", "nobody-knows"])
def test_every_attack_leaves_marks_of_its_own(client: str) -> None:
    every = attacks(client, "/home/agent")
    names = [name for one in every for name in (*one.commands, *one.hosts)]
    assert len(names) == len(set(names))
    assert all(one.files and (one.commands or one.hosts) for one in every)
    assert not any("@RUN" in text or "@HOST" in text for one in every for _, text in one.files)
    assert set(together(every).commands) <= set(names)


def test_hosts_and_zones_that_a_subject_hides_are_varied_too(tmp_path: Path) -> None:
    tree, dossier = tmp_path / "tree", Dossier(tmp_path / "dossier")
    tree.mkdir()
    hidden = base64.b64encode(
        bytes(sign ^ 0x59 for sign in b"api.example.cn,gw.example.com,third.example.org")
    ).decode()
    (tree / "cli.js").write_text(f'const list = "{hidden}"; const zones = ["Asia/Urumqi"];', encoding="utf-8")
    examine(tree, "subject", dossier)
    assert _found_inside(dossier) == (("api.example.cn", "gw.example.com"), ("Asia/Urumqi",))
    assert _found_inside(Dossier(tmp_path / "empty")) == ((), ())
