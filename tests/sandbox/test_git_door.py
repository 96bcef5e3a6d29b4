"""The host's git on a tree an agent wrote: plain git runs what is planted, ours does not; and it tells the change."""

# ruff: noqa: ASYNC221, ASYNC240 - tests look at the disk and start plain processes between awaits

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox_room import host_git

from mohist.sandbox import Git, GitError, find_repository


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A program that leaves a mark when it is run by anybody."""
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/mark\n", encoding="utf-8")
    script.chmod(0o755)
    return script


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "private"


def plant_fsmonitor(folder: Path, evil: Path) -> list[str]:
    host_git(folder, "config", "core.fsmonitor", str(evil))
    return ["status"]


def plant_hook(folder: Path, evil: Path) -> list[str]:
    for name in ("pre-commit", "post-checkout", "post-index-change"):
        shutil.copy(evil, folder / ".git" / "hooks" / name)
    return ["checkout", "-q", "-b", "other"]


def plant_filter(folder: Path, evil: Path) -> list[str]:
    (folder / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")
    for step in ("clean", "smudge", "process"):
        host_git(folder, "config", f"filter.x.{step}", str(evil))
    return ["add", "--all"]


def plant_external_diff(folder: Path, evil: Path) -> list[str]:
    host_git(folder, "config", "diff.external", str(evil))
    return ["diff"]


def plant_textconv(folder: Path, evil: Path) -> list[str]:
    (folder / ".gitattributes").write_text("* diff=x\n", encoding="utf-8")
    host_git(folder, "config", "diff.x.textconv", str(evil))
    return ["diff"]


def plant_git_file(folder: Path, evil: Path) -> list[str]:
    shutil.copytree(folder / ".git", folder / "elsewhere", dirs_exist_ok=True)
    shutil.rmtree(folder / ".git")
    (folder / ".git").write_text("gitdir: elsewhere\n", encoding="utf-8")
    host_git(folder, "config", "core.fsmonitor", str(evil))
    return ["status"]


def plant_nested(folder: Path, evil: Path) -> list[str]:
    nested = folder / "nested"
    nested.mkdir()
    host_git(nested, "init", "--quiet")
    host_git(nested, "commit", "--quiet", "--allow-empty", "-m", "x")
    host_git(folder, "add", "nested")
    host_git(nested, "config", "core.fsmonitor", str(evil))
    return ["status"]


def plant_bare(folder: Path, evil: Path) -> list[str]:
    host_git(folder, "init", "--quiet", "--bare", "bare")
    for key, value in (("core.bare", "false"), ("core.worktree", "."), ("core.fsmonitor", str(evil))):
        host_git(folder, "config", "--file", "bare/config", key, value)
    return ["-C", "bare", "status"]


def plant_gpg(folder: Path, evil: Path) -> list[str]:
    host_git(folder, "config", "commit.gpgSign", "true")
    host_git(folder, "config", "gpg.program", str(evil))
    return ["commit", "--allow-empty", "-m", "signed"]


def plant_ssh(folder: Path, evil: Path) -> list[str]:
    host_git(folder, "config", "core.sshCommand", str(evil))
    host_git(folder, "config", "remote.origin.url", "ssh://host.invalid/x")
    return ["fetch", "origin"]


def plant_transport(folder: Path, evil: Path) -> list[str]:
    host_git(folder, "config", "protocol.ext.allow", "always")
    host_git(folder, "config", "remote.origin.url", f"ext::{evil}")
    return ["fetch", "origin"]


def plant_include(folder: Path, evil: Path) -> list[str]:
    (folder / "settings").write_text(f"[core]\n\tfsmonitor = {evil}\n", encoding="utf-8")
    host_git(folder, "config", "include.path", "../settings")
    return ["status"]


def plant_commondir(folder: Path, evil: Path) -> list[str]:
    shutil.copytree(folder / ".git", folder / "common")
    host_git(folder, "config", "--file", "common/config", "core.fsmonitor", str(evil))
    (folder / ".git" / "commondir").write_text("../common\n", encoding="utf-8")
    return ["status"]


PLANTS = [value for name, value in list(globals().items()) if name.startswith("plant_")]
Plant = Callable[[Path, Path], list[str]]


async def use_everything(door: Git, folder: Path) -> None:
    """Every operation, whatever it answers on a broken repository."""
    moved = not (folder / ".git").is_dir()  # the objects it borrows are gone: nothing to tell, and a clear error
    for number, operation in enumerate((
        door.snapshot, door.is_dirty, door.changes, door.diff, door.diff_stat, door.list_files,
        lambda: door.copy(folder.parent / "copy"), lambda: door.add_worktree(folder.parent / "linked", branch="b"),
        lambda: door.remove_worktree(folder.parent / "linked", branch="b"),
    )):  # fmt: skip
        try:
            await operation()
        except GitError:
            assert number >= 7 or moved, "only what uses the user's repository may be stopped by its state"


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_planted_code_runs_with_plain_git_and_not_with_ours(
    plant: Plant, when: str, workspace: Path, evil: Path, private: Path
) -> None:
    mark = evil.with_name("mark")
    door = await Git.capture(workspace, private) if when == "after" else None
    trigger = plant(workspace, evil)
    (workspace / "a.txt").write_text("changed\n", encoding="utf-8")
    mark.unlink(missing_ok=True)  # planting may have set it off already

    if door is None:
        try:
            door = await Git.capture(workspace, private)
        except GitError:
            assert plant in (plant_git_file, plant_commondir)  # what points elsewhere is not followed
    if door is not None:
        await use_everything(door, workspace)
    assert not mark.exists()

    environment = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_COMMITTER_NAME": "a"}
    environment["GIT_COMMITTER_EMAIL"] = "a"
    subprocess.run(["git", *trigger], cwd=workspace, env=environment, capture_output=True, timeout=60)
    assert mark.exists(), "the plant is no plant"


async def test_changes_are_told_with_new_and_deleted_files(workspace: Path, private: Path) -> None:
    (workspace / "gone.txt").write_text("x\n", encoding="utf-8")
    host_git(workspace, "add", "gone.txt")
    host_git(workspace, "commit", "-q", "-m", "second")
    door = await Git.capture(workspace, private)
    assert not await door.is_dirty()
    (workspace / "a.txt").write_text("one\ntwo\n", encoding="utf-8")
    (workspace / "gone.txt").unlink()
    (workspace / "new ü.txt").write_text("n\n", encoding="utf-8")
    (workspace / "binary").write_bytes(bytes(range(256)))
    changes = {change.path: (change.kind, change.added_lines, change.removed_lines) for change in await door.changes()}
    assert changes == {
        "a.txt": ("modified", 1, 0),
        "gone.txt": ("deleted", 0, 1),
        "new ü.txt": ("added", 1, 0),
        "binary": ("added", None, None),
    }
    text = await door.diff()
    assert "+two" in text
    assert "+n" in text
    assert "4 files changed" in await door.diff_stat()
    assert await door.list_files() == ["a.txt", "binary", "new ü.txt"]
    door.close()
    assert not private.exists()


async def test_the_users_repository_is_left_byte_for_byte(workspace: Path, private: Path) -> None:
    (workspace / "staged").write_text("s\n", encoding="utf-8")
    host_git(workspace, "add", "staged")

    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in (workspace / ".git").rglob("*") if path.is_file()}

    before = state()
    door = await Git.capture(workspace, private)
    (workspace / "a.txt").write_text("changed\n", encoding="utf-8")
    (workspace / "new").write_text("n\n", encoding="utf-8")
    assert len(await door.changes()) == 3
    await door.copy(private.with_name("copy"))
    assert state() == before


async def test_a_later_base_tells_only_what_came_after(workspace: Path, private: Path) -> None:
    (workspace / "mine").write_text("the user's own unfinished work\n", encoding="utf-8")
    door = await Git.capture(workspace, private)
    start = await door.snapshot()
    (workspace / "theirs").write_text("the agent's\n", encoding="utf-8")
    assert [change.path for change in await door.changes(start)] == ["theirs"]
    assert {change.path for change in await door.changes()} == {"mine", "theirs"}


async def test_a_copy_holds_head_and_the_change_and_nothing_else(workspace: Path, private: Path) -> None:
    (workspace / ".gitignore").write_text("ignored\n", encoding="utf-8")
    (workspace / "ignored").write_text("x", encoding="utf-8")
    (workspace / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    (workspace / "tool").chmod(0o755)
    (workspace / "link").symlink_to("a.txt")
    door = await Git.capture(workspace, private)
    target = private.with_name("copy")
    await door.copy(target)
    assert sorted(path.name for path in target.iterdir()) == [".gitignore", "a.txt", "link", "tool"]
    assert (target / "tool").stat().st_mode & 0o111
    assert (target / "link").is_symlink()


async def test_a_worktree_is_usable_by_plain_git_and_removable(workspace: Path, private: Path) -> None:
    door = await Git.capture(workspace, private)
    linked = private.with_name("linked")
    found = await door.add_worktree(linked, branch="mohist/work")
    assert found.common_dir == workspace / ".git"
    assert host_git(linked, "status", "--porcelain") == ""
    assert host_git(linked, "branch", "--show-current").strip() == "mohist/work"
    inner = await Git.capture(linked, private.with_name("private2"))
    (linked / "a.txt").write_text("changed in the worktree\n", encoding="utf-8")
    assert [change.path for change in await inner.changes()] == ["a.txt"]
    assert not await door.is_dirty()
    await door.remove_worktree(linked, branch="mohist/work")
    assert not linked.exists()
    assert "mohist/work" not in host_git(workspace, "branch", "--list")
    assert "linked" not in host_git(workspace, "worktree", "list")


async def test_a_repository_without_a_commit_has_an_empty_base(tmp_path: Path, private: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    host_git(folder, "init", "-q")
    (folder / "a").write_text("x\n", encoding="utf-8")
    door = await Git.capture(folder, private)
    assert door.head is None
    assert [change.path for change in await door.changes()] == ["a"]
    with pytest.raises(GitError, match="no commit"):
        await door.add_worktree(tmp_path / "w")


async def test_no_repository_is_a_clear_error(tmp_path: Path, private: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(GitError, match="not in a git repository"):
        await Git.capture(folder, private)


async def test_line_endings_count_as_the_user_set_them(workspace: Path, private: Path) -> None:
    host_git(workspace, "config", "core.autocrlf", "true")
    (workspace / "a.txt").write_bytes(b"one\r\n")
    door = await Git.capture(workspace, private)
    assert not await door.is_dirty()


async def test_of_a_setting_said_twice_the_last_counts(workspace: Path, private: Path) -> None:
    host_git(workspace, "config", "core.filemode", "true")
    host_git(workspace, "config", "--add", "core.filemode", "false")
    (workspace / "a.txt").chmod(0o755)
    door = await Git.capture(workspace, private)
    assert not await door.is_dirty()


async def test_what_the_user_set_does_not_reach_the_hardening(workspace: Path, private: Path, evil: Path) -> None:
    host_git(workspace, "config", "core.fsmonitor", str(evil))
    host_git(workspace, "config", "core.eol", f"lf\n[core]\nfsmonitor = {evil}")
    door = await Git.capture(workspace, private)
    (workspace / "a.txt").write_text("changed\n", encoding="utf-8")
    assert [change.path for change in await door.changes()] == ["a.txt"]
    assert not (evil.parent / "mark").exists()


async def test_each_kind_of_change_is_named_with_its_lines(workspace: Path, private: Path) -> None:
    for name in (":100644 odd\tname", "binary", "gone", "kind", "mode"):
        (workspace / name).write_text("one\n", encoding="utf-8")
    host_git(workspace, "add", "--all")
    host_git(workspace, "commit", "--quiet", "--message", "more")
    door = await Git.capture(workspace, private)
    (workspace / ":100644 odd\tname").write_text("one\ntwo\n", encoding="utf-8")
    (workspace / "binary").write_bytes(b"\0")
    (workspace / "gone").unlink()
    (workspace / "kind").unlink()
    (workspace / "kind").symlink_to("a.txt")
    (workspace / "mode").chmod(0o755)
    (workspace / "new").write_text("", encoding="utf-8")
    found = {change.path: (change.kind, change.added_lines, change.removed_lines) for change in await door.changes()}
    assert found == {
        ":100644 odd\tname": ("modified", 1, 0),
        "binary": ("modified", None, None),
        "gone": ("deleted", 0, 1),
        "kind": ("type", 1, 1),
        "mode": ("modified", 0, 0),
        "new": ("added", 0, 0),
    }


async def test_a_huge_new_file_is_left_out_and_named(workspace: Path, private: Path) -> None:
    door = await Git.capture(workspace, private)
    with (workspace / "huge [1].bin").open("wb") as stream:
        stream.truncate(60 * 1024**2)
    (workspace / "small").write_text("x", encoding="utf-8")
    assert [change.path for change in await door.changes()] == ["small"]
    assert door.left_out == ("huge [1].bin",)


async def test_odd_files_are_passed_over(workspace: Path, private: Path) -> None:
    os.mkfifo(workspace / "fifo")
    (workspace / "dangling").symlink_to("nowhere")
    door = await Git.capture(workspace, private)
    assert [change.path for change in await door.changes()] == ["dangling"]


async def test_a_program_named_git_in_the_workspace_is_not_run(
    workspace: Path, private: Path, evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(evil, workspace / "git")
    monkeypatch.setenv("PATH", f".:{workspace}:{os.environ['PATH']}")
    monkeypatch.chdir(workspace)
    door = await Git.capture(workspace, private)
    await door.snapshot()
    assert not evil.with_name("mark").exists()


def test_a_git_file_that_points_at_another_repository_is_not_followed(workspace: Path, tmp_path: Path) -> None:
    thief = tmp_path / "thief"
    thief.mkdir()
    (thief / ".git").write_text(f"gitdir: {workspace}/.git\n", encoding="utf-8")
    assert find_repository(thief) is None


def test_a_repository_is_found_from_below(workspace: Path) -> None:
    (workspace / "x" / "y").mkdir(parents=True)
    found = find_repository(workspace / "x" / "y")
    assert found is not None
    assert found.root == workspace
