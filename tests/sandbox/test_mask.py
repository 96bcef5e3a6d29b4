"""Planted links are refused before a mount point is made; nothing is left behind; the request itself is checked."""

# ruff: noqa: ASYNC240 - tests look at the disk and start plain processes between awaits

from __future__ import annotations

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_room import host_git

from mohist.sandbox import Bubblewrap, NoSandboxError, Profile, RefusedError, run


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (".claude", "../outside"),
        (".mohist", "/tmp"),
        (".github", "../outside"),
        (".vscode", "a.txt"),
        (".codex", "nowhere"),
        (".git", "../outside"),
        (".git/hooks", "../../outside"),
        (".git/config", "../../outside/config"),
        (".github/workflows", "../../outside"),
    ],
)
async def test_a_planted_link_is_refused_before_anything_starts(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, link: str, target: str
) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    path = workspace / link
    if path.is_dir():
        path.rename(workspace.parent / "moved")
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    with pytest.raises(RefusedError, match="symbolic link"):
        await run(sandbox, ["touch", "ran"], cwd=workspace, profile=profile)
    assert not (workspace / "ran").exists()
    assert list(outside.iterdir()) == []
    left = {path.name for path in workspace.iterdir() if path.name.startswith(".")}
    assert left <= {".git", Path(link).parts[0]}


async def test_what_exists_stays_as_it_is_and_is_read_only(
    sandbox: Bubblewrap, workspace: Path, profile: Profile
) -> None:
    (workspace / ".claude").mkdir()
    (workspace / ".claude" / "settings.json").write_text("{}", encoding="utf-8")
    (workspace / ".github" / "workflows").mkdir(parents=True)
    (workspace / ".mcp.json").write_text("{}", encoding="utf-8")
    script = "cat .claude/settings.json .mcp.json; echo x > .claude/settings.json; echo x > .mcp.json; echo y > .github/other"
    done = await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile)
    assert done.output.startswith(b"{}{}")
    assert (workspace / ".claude" / "settings.json").read_text(encoding="utf-8") == "{}"
    assert (workspace / ".mcp.json").read_text(encoding="utf-8") == "{}"
    assert (workspace / ".github" / "other").read_text(encoding="utf-8") == "y\n"
    assert (workspace / ".github" / "workflows").is_dir()


async def test_git_works_inside_and_git_outside_sees_no_litter(
    sandbox: Bubblewrap, workspace: Path, profile: Profile
) -> None:
    script = "echo new > b.txt && git add -A && git -c user.name=a -c user.email=a@b commit -qm second && git status --porcelain"
    done = await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile)
    assert (done.exit.code, done.output) == (0, b"")
    assert host_git(workspace, "status", "--porcelain") == ""
    assert host_git(workspace, "log", "--format=%s").split() == ["second", "first"]
    async with await sandbox.launch(["sleep", "600"], cwd=workspace, profile=profile):
        assert (workspace / ".claude").is_dir()
        assert host_git(workspace, "status", "--porcelain") == ""
    assert sorted(path.name for path in workspace.iterdir()) == [".git", "a.txt", "b.txt"]
    assert not (workspace / ".git" / "modules").exists()


@pytest.mark.parametrize(
    "change",
    [
        "git add -A",
        "git -c user.name=a -c user.email=a@b commit --allow-empty -qm second",
        "cp .git/refs/heads/* .git/refs/heads/other",
        "rm -rf .git/objects",
        "mv .git moved",
        "echo x > .git/index",
    ],
)
async def test_git_that_is_not_writable_keeps_index_references_and_objects(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, change: str
) -> None:
    before = {path: path.read_bytes() for path in (workspace / ".git").rglob("*") if path.is_file()}
    script = f"echo new > b.txt; {change}; git -c core.fsmonitor= log --format=%s; git status --porcelain"
    done = await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=replace(profile, git_writable=False))
    assert done.output.decode().splitlines()[-2:] == ["first", "?? b.txt"]
    assert {path: path.read_bytes() for path in (workspace / ".git").rglob("*") if path.is_file()} == before
    assert host_git(workspace, "log", "--format=%s").split() == ["first"]


async def test_a_workspace_below_a_repositorys_top_leaves_git_as_it_was(sandbox: Bubblewrap, workspace: Path) -> None:
    below = workspace / "packages"
    below.mkdir()
    (below / "b.txt").write_text("b\n", encoding="utf-8")
    host_git(workspace, "add", "packages")
    async with await sandbox.launch(["sleep", "600"], cwd=below, profile=Profile(below)):
        assert (below / ".git").is_dir()
        for folder in (workspace, below):
            assert host_git(folder, "status", "--porcelain").split() == ["A", "packages/b.txt"]
    assert [path.name for path in below.iterdir()] == ["b.txt"]


async def test_a_lock_that_somebody_else_keeps_is_refused_and_not_waited_for(
    sandbox: Bubblewrap, workspace: Path, profile: Profile
) -> None:
    fd = os.open(workspace, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="locked"):
            await run(sandbox, ["true"], cwd=workspace, profile=profile)
    finally:
        os.close(fd)
    assert (await run(sandbox, ["true"], cwd=workspace, profile=profile)).exit.code == 0


async def test_an_empty_folder_of_the_users_own_is_kept(sandbox: Bubblewrap, workspace: Path, profile: Profile) -> None:
    (workspace / ".vscode").mkdir()
    await run(sandbox, ["true"], cwd=workspace, profile=profile)
    assert (workspace / ".vscode").is_dir()


async def test_a_planted_commondir_is_removed_and_told(sandbox: Bubblewrap, workspace: Path, profile: Profile) -> None:
    done = await run(sandbox, ["sh", "-c", "echo ../x > .git/commondir"], cwd=workspace, profile=profile)
    assert not (workspace / ".git" / "commondir").exists()
    assert ".git/commondir" in (done.exit.denied or "")


async def test_a_workspace_without_a_repository_gets_none_from_inside(sandbox: Bubblewrap, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    done = await run(sandbox, ["git", "init", "."], cwd=folder, profile=Profile(folder))
    assert done.exit.code != 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["/", "/usr", "/tmp", "/etc", "home"])
async def test_a_home_or_a_system_folder_is_no_workspace(sandbox: Bubblewrap, name: str) -> None:
    path = Path(os.environ["HOME"]) if name == "home" else Path(name)
    with pytest.raises(RefusedError, match="home or a system folder"):
        await run(sandbox, ["true"], cwd=path, profile=Profile(path))


async def test_mohists_own_state_can_not_be_shown_for_writing(workspace: Path) -> None:
    sandbox = Bubblewrap(state=workspace / "state")
    with pytest.raises(RefusedError, match="own state"):
        await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace))
    sandbox.close()


async def test_relative_missing_and_odd_requests_are_refused(
    sandbox: Bubblewrap, workspace: Path, profile: Profile
) -> None:
    for bad in (Path("relative"), workspace / "missing", workspace / "a.txt"):
        with pytest.raises(RefusedError):
            await run(sandbox, ["true"], cwd=workspace, profile=Profile(bad))
    for argv in ([], ["a\0b"]):
        with pytest.raises(RefusedError):
            await run(sandbox, argv, cwd=workspace, profile=profile)


async def test_extra_folders_are_shown_as_asked(sandbox: Bubblewrap, workspace: Path, tmp_path: Path) -> None:
    for name in ("read", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name, encoding="utf-8")
    profile = Profile(workspace, extra_readable=(tmp_path / "read",), extra_writable=(tmp_path / "write",))
    script = "cat ../read/f ../write/f; echo x > ../write/g; echo x > ../read/g"
    done = await run(sandbox, ["sh", "-c", script], cwd=workspace, profile=profile)
    assert done.output.startswith(b"readwrite")
    assert (tmp_path / "write" / "g").exists()
    assert not (tmp_path / "read" / "g").exists()


async def test_a_writable_folder_behind_a_link_is_shown_at_its_real_place(
    sandbox: Bubblewrap, workspace: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(workspace)
    done = await run(sandbox, ["pwd"], cwd=link, profile=Profile(link))
    assert done.output.decode().strip() == str(workspace)


async def test_the_callers_variables_reach_the_command_but_not_the_process_list(
    sandbox: Bubblewrap, workspace: Path
) -> None:
    profile = Profile(workspace, env={"ODD": "a b\nc", "PATH": "/usr/bin"})
    process = await sandbox.launch(["sh", "-c", 'echo "$ODD"; sleep 600'], cwd=workspace, profile=profile)
    async with process:
        async for chunk in process.output():
            assert chunk == b"a b\nc\n"
            lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
            assert not any(b"ODD=" in line or b"\0ODD\0" in line for line in lines)
            break


async def test_without_a_backend_nothing_runs(workspace: Path, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho bubblewrap 0.3.0\n", encoding="utf-8")
    fake.chmod(0o755)
    for binary in (fake, tmp_path / "missing"):
        sandbox = Bubblewrap(binary=binary)
        with pytest.raises(NoSandboxError, match="not found"):
            await run(sandbox, ["touch", "ran"], cwd=workspace, profile=Profile(workspace))
        assert [item.holds for item in await sandbox.report()] == ["no"]
        sandbox.close()
    assert not (workspace / "ran").exists()
