"""The developer, a second run and the repository itself go on beside a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from developer import Developer, Endpoint, call, says, shell, until

from fakes.upstream import Received, Reply

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]


def test_a_second_run_in_a_tree_is_refused_and_a_worktree_works_beside_it(dev: Developer, upstream: Start) -> None:
    first = upstream(shell(dev.sleeper()))
    second = upstream(shell("echo w > w.txt"), says("", call("done", summary="made w", checks=["test -f w.txt"])))
    child = dev.start("run", "--model", first.model, "do it")
    until(dev.running, "the first run's command")
    refused = dev.run(second)
    assert refused.code in (1, 2)
    assert "Another run is working in" in refused.err
    assert "--worktree" in refused.err
    assert second.requests == []
    dev.write("greet.py", "print('mine')\n")
    dev.git("add", "greet.py")
    before = (
        dev.git("status", "--porcelain=v2", "greet.py"),
        dev.git("rev-parse", "HEAD"),
        dev.git("symbolic-ref", "HEAD"),
    )
    beside = dev.run(second, "--worktree", "--output", "json")
    assert beside.code == 0, beside.err
    result = beside.json
    assert dev.git("rev-parse", f"refs/heads/{result['branch']}") == before[1]
    assert (Path(result["workspace"]) / "w.txt").read_text("utf-8") == "w\n"
    assert not Path(result["workspace"]).is_relative_to(dev.repo)
    after = (
        dev.git("status", "--porcelain=v2", "greet.py"),
        dev.git("rev-parse", "HEAD"),
        dev.git("symbolic-ref", "HEAD"),
    )
    assert after == before
    assert dev.git("for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        f"refs/heads/{result['branch']}",
    ]
    running = dev.mohist("runs", "undo", dev.logs()[0].parent.name)
    assert running.code != 0
    assert "another process" in running.err or "Another run" in running.err
    os.killpg(child.pid, signal.SIGINT)
    assert dev.ended(child).code == 130
    assert sorted(path.name for path in dev.repo.iterdir()) == [".git", "greet.py"]


def test_a_worktree_of_no_commit_is_refused_clearly(tmp_path: Path, upstream: Start) -> None:
    dev = Developer(tmp_path)
    dev.make_repo(commit=False)
    said = dev.run(upstream(says("never")), "--worktree")
    assert said.code == 2
    assert "commit" in said.err


def test_an_edit_of_a_file_that_the_user_changed_is_refused_with_the_difference(
    dev: Developer, upstream: Start
) -> None:
    def user_edits(received: Received) -> Reply:
        dev.write("greet.py", 'print("hello")\nprint("by the user")\n')
        return says("", call("edit", path="greet.py", edits=[{"old": "hello", "new": "bye"}]))

    endpoint = upstream(says("", call("read", path="greet.py")), user_edits, says("I leave it."))
    assert dev.run(endpoint).code == 0
    assert "changed by someone else" in endpoint.results()[1]
    assert '+print("by the user")' in endpoint.results()[1]
    assert dev.read("greet.py") == 'print("hello")\nprint("by the user")\n'
    assert dev.mohist("runs", "undo", "last").code == 0
    assert dev.read("greet.py") == 'print("hello")\nprint("by the user")\n'


def test_undo_keeps_what_the_user_wrote_after_the_run(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("echo 1 > one; echo 2 > two"), says("Done."))
    assert dev.run(endpoint).code == 0
    dev.write("one", "the user's\n")
    said = dev.mohist("runs", "undo", "last", "--json")
    assert said.code == 1
    assert [Path(path).name for path in said.json["kept"]] == ["one"]
    assert [Path(path).name for path in said.json["restored"]] == ["two"]
    assert dev.read("one") == "the user's\n"


def test_a_run_changes_neither_index_nor_refs_nor_configuration(dev: Developer, upstream: Start) -> None:
    dev.write("greet.py", "print('staged')\n")
    dev.git("add", "greet.py")
    dev.write("greet.py", "print('not staged')\n")
    watched = [dev.repo / ".git" / name for name in ("index", "HEAD", "config")]
    before = [path.read_bytes() for path in watched]
    endpoint = upstream(shell("echo 1 > made"), says("", call("done", summary="ok", checks=["test -f made"])))
    assert dev.run(endpoint).code == 0
    assert [path.read_bytes() for path in watched] == before
    assert dev.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
    assert sorted(path.name for path in dev.repo.iterdir()) == [".git", "greet.py", "made"]


def test_the_result_names_changes_that_git_does_not_see(dev: Developer, upstream: Start) -> None:
    dev.write(".gitignore", "*.local\n")
    dev.git("add", ".gitignore")
    dev.git("commit", "-q", "-m", "Ignore")
    dev.write("notes", "never committed\n")
    endpoint = upstream(shell("rm notes"), says("", call("write", path="env.local", content="A=1\n")), says("Done."))
    said = dev.run(endpoint, "--output", "json")
    assert said.code == 0, said.err
    assert sorted(said.json["diff_stat"]) == ["env.local changed", "notes removed"]
    assert dev.mohist("runs", "undo", "last").code == 0
    assert dev.read("notes") == "never committed\n"
    assert not (dev.repo / "env.local").exists()
