"""Killed at any of its git commands (before it, after it, or with the git left running), a ground comes to the same end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ground_room import everything, git, repository, write

from mohist.sandbox import Author, GitStore

# Stands before git in PATH: at the command whose number is in `at` it kills who started it.
WRAPPER = """#!/bin/sh
n=$(($(cat {folder}/count) + 1))
echo $n > {folder}/count
echo "$@" >> {folder}/told
if [ $n = "$(cat {folder}/at)" ]; then
  case "$(cat {folder}/how)" in
    before) kill -9 $PPID; exit 1 ;;
    after) {git} "$@"; kill -9 $PPID; exit 1 ;;
    orphan) kill -9 $PPID ;;
  esac
fi
exec {git} "$@"
"""
WORK = """
import sys
from pathlib import Path
import anyio
from mohist.sandbox import Author, GitStore

async def main(user, home, base, other):
    author = Author("M", "m@example.invalid", 1_700_000_000)
    store = await GitStore.open(Path(user), Path(home) / "git")
    await store.worktree("one", Path(home) / "trees" / "one", base)
    (Path(home) / "trees" / "one" / "mine.txt").write_text("mine", encoding="utf-8")
    await store.commit("one", "mine", author)
    assert await store.merge("one", other, "join", author) == []
    await store.copy(Path(home) / "copies" / "clean", await store.head("one"))
    print(await store.head("one"))

anyio.run(main, *sys.argv[1:])
"""
HOWS = ("before", "after", "orphan")


@pytest.fixture
def user(tmp_path: Path) -> Path:
    files = {f"folder{number % 5}/file{number}.txt": f"{number}\n" * 20 for number in range(40)}
    folder = repository(tmp_path / "user", files)
    git(folder, "checkout", "--quiet", "-b", "other")
    write(
        folder,
        {f"folder1/file{number}.txt": f"{number} changed\n" for number in range(1, 40, 5)} | {"new.txt": "new\n"},
    )
    write(folder, {"folder0/file0.txt": None})
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "other")
    git(folder, "checkout", "--quiet", "main")
    return folder


def work(tmp_path: Path, user: Path, home: Path, at: int, how: str) -> subprocess.CompletedProcess[str]:
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    wrapper = folder / "git"
    wrapper.write_text(WRAPPER.format(folder=folder, git=shutil.which("git")), encoding="utf-8")
    wrapper.chmod(0o755)
    for name, text in (("count", "0"), ("at", str(at)), ("how", how)):
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    base, other = git(user, "rev-parse", "main"), git(user, "rev-parse", "other")
    return subprocess.run(
        [sys.executable, "-c", WORK, str(user), str(home), base, other],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_after_a_kill_at_any_command_the_same_result_comes_out(tmp_path: Path, user: Path) -> None:
    done = work(tmp_path, user, tmp_path / "whole", 0, "")
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "bin" / "told").read_text(encoding="utf-8").splitlines()
    expected = everything(tmp_path / "whole" / "trees"), everything(tmp_path / "whole" / "copies"), done.stdout
    theirs = everything(user)
    for at, command in enumerate(told, start=1):
        # Where files are written, after it and with it left running; elsewhere one kind at each third command.
        writes = " read-tree " in command or " checkout-index " in command
        for how in HOWS[1:] if writes else HOWS[at // 3 % 3 : at // 3 % 3 + 1] if at % 3 == 0 else ():
            home = tmp_path / f"home-{at}-{how}"
            killed = work(tmp_path, user, home, at, how)
            assert killed.returncode == -signal.SIGKILL, (command, how, killed.stderr)
            again = work(tmp_path, user, home, 0, "")
            assert again.returncode == 0, (command, how, again.stderr)
            found = everything(home / "trees"), everything(home / "copies"), again.stdout
            assert found == expected, (command, how)
            assert [path.name for path in (home / "trees").iterdir()] == ["one"], (command, how)
            shutil.rmtree(home)
    assert everything(user) == theirs


async def test_a_merge_that_was_noted_and_hardly_begun_is_finished_by_whoever_comes_next(
    tmp_path: Path, user: Path
) -> None:
    author = Author("M", "m@example.invalid", 1)
    base, other = git(user, "rev-parse", "main"), git(user, "rev-parse", "other")
    store = await GitStore.open(user, tmp_path / "git")
    tree = tmp_path / "trees" / "one"
    await store.worktree("one", tree, base)
    (store.private / "worktrees" / "one" / "goal.json").write_text(
        f'{{"head": "{other}", "tree": "{other}"}}', encoding="utf-8"
    )
    (store.private / "worktrees" / "one" / "index.lock").write_text("", encoding="utf-8")
    (tree / "new.txt").write_text("half written", encoding="utf-8")
    (tree / "folder0" / "file0.txt").unlink()
    again = await GitStore.open(user, tmp_path / "git")
    assert await again.head("one") == other
    assert await again.commit("one", "nothing", author) == other
    assert (tree / "new.txt").read_text(encoding="utf-8") == "new\n"
