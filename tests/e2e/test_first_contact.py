"""What a developer meets first: no repository, no model, a wrong key, work that is not committed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from developer import Developer, Endpoint, call, says, shell

from fakes.upstream import error_reply

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]


def test_a_folder_without_repository_is_named_with_the_mend(tmp_path: Path) -> None:
    dev = Developer(tmp_path)
    dev.repo.mkdir()
    said = dev.mohist("run", "fix it")
    assert said.code == 2
    assert "not in a git repository" in said.err
    assert "git init" in said.err
    assert dev.logs() == []


def test_a_repository_without_commit_can_be_worked_in_and_undone(tmp_path: Path, upstream: Start) -> None:
    dev = Developer(tmp_path)
    dev.make_repo(commit=False)
    endpoint = upstream(shell("echo new > b.txt"), says("fine"))
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    assert "b.txt +1 -0" in said.out
    assert dev.mohist("runs", "undo", "last").code == 0
    assert sorted(path.name for path in dev.repo.iterdir()) == [".git", "greet.py"]


def test_uncommitted_work_is_mentioned_kept_and_given_back_by_undo(dev: Developer, upstream: Start) -> None:
    dev.git("checkout", "-q", "--detach")
    dev.write("greet.py", "print('mine')\n")
    dev.write("notes", "untracked\n")
    endpoint = upstream(shell("echo more >> greet.py; rm notes"), says("fine"))
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    assert "2 file(s) have uncommitted changes; they are kept" in said.err
    assert "uncommitted changes, keep them: greet.py, notes" in endpoint.words(0)
    undone = dev.mohist("runs", "undo", "last")
    assert (undone.code, undone.out.split()) == (0, ["restored", "greet.py", "restored", "notes"])
    assert (dev.read("greet.py"), dev.read("notes")) == ("print('mine')\n", "untracked\n")
    again = dev.mohist("runs", "undo", "last")
    assert again.code == 0
    assert dev.read("greet.py") == "print('mine')\n"


def test_no_model_gives_three_ways_to_connect_one(dev: Developer) -> None:
    said = dev.mohist("run", "fix it")
    assert (said.code, said.out) == (5, "")
    assert "No model is connected" in said.err
    for way in ("1. export ANTHROPIC_API_KEY=", "2. start a model server", "3. add --model http://"):
        assert way in said.err
    assert dev.logs() == []


def test_a_wrong_key_ends_the_run_and_is_written_nowhere(dev: Developer, upstream: Start) -> None:
    key = "sk-" + secrets.token_hex(16)
    endpoint = upstream(error_reply(401, "invalid_api_key", f"Incorrect API key provided: {key}"))
    dev.home.mkdir()
    (dev.home / "mohist.toml").write_text(
        f'[endpoints.ours]\nurl = "{endpoint.upstream.url}/v1"\nkey_env = "OUR_KEY"\nmodel = "m"\n', "utf-8"
    )
    said = dev.mohist("run", "--model", "ours", "fix it", OUR_KEY=key)
    assert said.code == 5
    assert "refuses the key" in said.out
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {key}"
    shown = dev.mohist("runs", "show", "last", OUR_KEY=key)
    settings = dev.mohist("config", "explain", OUR_KEY=key)
    assert key not in said.out + said.err + shown.out + settings.out
    assert [path for path in dev.home.rglob("*") if path.is_file() and key.encode() in path.read_bytes()] == []
    assert dev.records()[-1]["status"] == "no_model"


def test_the_key_is_not_in_the_environment_of_commands(dev: Developer, upstream: Start) -> None:
    key = "sk-" + secrets.token_hex(16)
    endpoint = upstream(shell("env; cat /proc/*/environ"), says("done"))
    dev.home.mkdir()
    (dev.home / "mohist.toml").write_text(
        f'[endpoints.ours]\nurl = "{endpoint.upstream.url}/v1"\nkey_env = "OUR_KEY"\nmodel = "m"\n', "utf-8"
    )
    said = dev.mohist("run", "--mode", "full", "--model", "ours", "fix it", OUR_KEY=key)
    assert said.code == 0
    assert "PATH=" in endpoint.results()[0]
    assert key not in endpoint.results()[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run",), "say what to do"),
        (("run", " "), "say what to do"),
        (("run", "--cwd", "/nonexistent", "x"), "There is no folder '/nonexistent'"),
        (("run", "--model", "nosuch/model", "x"), "No model goes by the name 'nosuch/model'"),
        (("run", "--model", "replay:/nonexistent", "x"), "recording '/nonexistent' can't be read"),
        (("run", "--max-turns", "-1", "x"), "'max_turns' is not allowed"),
        (("run", "--max-cost-usd", "1", "--model", "http://127.0.0.1:9/v1#m", "x"), "No price is known"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_sentence(dev: Developer, words: tuple[str, ...], told: str) -> None:
    said = dev.mohist(*words)
    assert (said.code, said.out) == (2, "")
    assert told in said.err


def test_a_task_can_come_from_standard_input(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("It prints hello."))
    said = dev.mohist("run", "--model", endpoint.model, "-", stdin="what does greet.py print?\n")
    assert said.code == 0
    assert "what does greet.py print?" in endpoint.words(0)
    assert "It prints hello." in said.out


def test_a_damaged_setting_stops_everything_before_a_model_is_asked(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says("never"))
    dev.home.mkdir()
    (dev.home / "mohist.toml").write_text('moode = "plan"\n', "utf-8")
    said = dev.run(endpoint)
    assert said.code == 2
    assert "Did you mean 'mode'?" in said.err
    (dev.home / "mohist.toml").unlink()
    (dev.home / "policy.toml").write_text("not toml [", "utf-8")
    said = dev.run(endpoint)
    assert said.code == 2
    assert "policy.toml" in said.err
    assert endpoint.requests == []


def test_a_state_folder_that_is_none_is_said_in_one_line(dev: Developer, upstream: Start) -> None:
    dev.home.write_text("a file", "utf-8")
    endpoint = upstream(says("never"))
    said = dev.run(endpoint)
    assert said.code in (1, 2)
    assert str(dev.home) in said.err
    assert endpoint.requests == []


def test_a_fixed_bug_comes_with_evidence(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(
        says("Look first.", call("read", path="greet.py")),
        says("", call("edit", path="greet.py", edits=[{"old": "hello", "new": "hello, world"}])),
        says("", call("done", summary="It greets the world.", checks=["python3 greet.py | grep world"])),
    )
    said = dev.run(endpoint, "--check", "test -f greet.py")
    assert said.code == 0, said.err
    assert "It greets the world." in said.out
    assert "✓ python3 greet.py | grep world" in said.out
    assert "✓ test -f greet.py" in said.out
    assert "greet.py +1 -1" in said.out
    assert dev.read("greet.py") == 'print("hello, world")\n'
