"""The ground: work trees, merges, copies and commands beside the user's repository, which stays as it was."""

# ruff: noqa: ASYNC240 - tests look at the disk and start plain git between awaits

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground_room import AUTHOR, PYTHON, everything, git, ground_over, repository, write

from mohist.base import sha256_hex
from mohist.delivery.ground import GitGround, name_of
from mohist.sandbox import Bubblewrap, GitError

FILES: dict[str, str | None] = {
    "a.txt": "one\ntwo\nthree\n",
    "b.txt": "b\n",
    "lib/c.py": "x = 1\n",
    ".gitignore": "*.log\n",
}


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bubblewrap]:
    backend = Bubblewrap(state=tmp_path_factory.mktemp("state"), grace_s=0.3)
    yield backend
    backend.close()


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return repository(tmp_path / "user", FILES)


@pytest.fixture
async def ground(user: Path, tmp_path: Path, sandbox: Bubblewrap) -> GitGround:
    return await ground_over(user, tmp_path / "home", sandbox)


async def test_the_users_repository_is_left_as_it_was(user: Path, ground: GitGround) -> None:
    before = everything(user), sorted(str(path) for path in user.rglob("*"))
    base = await ground.resolve("HEAD")
    tree, other = await ground.worktree("d/1/a", base), await ground.worktree("d/1/b", base)
    write(tree, {"a.txt": "changed\n", "new.txt": "new\n"})
    write(other, {"b.txt": "other\n"})
    first, second = await ground.commit(tree, "first", {}), await ground.commit(other, "second", {})
    assert await ground.merge(tree, second, "join") == []
    await ground.copy("d/1/copy", first)
    await ground.drop("d/1/a")
    assert (everything(user), sorted(str(path) for path in user.rglob("*"))) == before


async def test_a_worktree_is_made_once_per_key_and_kept_with_what_is_in_it(ground: GitGround) -> None:
    base = await ground.resolve("main")
    tree = await ground.worktree("d/1/task", base)
    assert everything(tree) == {name: text.encode() for name, text in FILES.items() if text}
    write(tree, {"a.txt": "half done\n"})
    assert await ground.worktree("d/1/task", base) == tree
    assert (tree / "a.txt").read_text(encoding="utf-8") == "half done\n"
    assert await ground.worktree("d/1-task", base) != tree


async def test_the_same_tree_gives_the_same_commit(user: Path, tmp_path: Path, sandbox: Bubblewrap) -> None:
    commits = []
    for home in ("one", "two"):
        ground = await ground_over(user, tmp_path / home, sandbox)
        tree = await ground.worktree("d/1/task", await ground.resolve("HEAD"))
        write(tree, {"a.txt": "changed\n", "new/file.txt": "new\n", "x.log": "ignored\n"})
        trailers = {"Delivery": "d-1", "Criterion": "AC-1", "Run": "r-7", "Empty": ""}
        commits.append(await ground.commit(tree, "Change a", trailers))
        assert await ground.commit(tree, "Change a", trailers) == commits[-1]
    assert commits[0] == commits[1]
    assert await ground.changed(await ground.resolve("HEAD"), commits[0]) == ["a.txt", "new/file.txt"]
    raw = git(ground.readable[0], "cat-file", "commit", commits[0])
    assert f"author {AUTHOR.name} <{AUTHOR.email}> {AUTHOR.at_s} +0000" in raw
    assert raw.endswith("Change a\n\nDelivery: d-1\nCriterion: AC-1\nRun: r-7")


async def test_a_change_of_the_same_size_in_the_same_instant_is_seen(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    for number in range(25):
        tree = await ground.worktree(f"d/1/{number}", base)
        write(tree, {"lib/c.py": "x = 2\n"})  # written last by git, so most likely in the same tick
        assert await ground.changed(base, await ground.commit(tree, "change", {})) == ["lib/c.py"]


async def test_what_git_is_told_by_the_worktree_runs_nothing(ground: GitGround, tmp_path: Path) -> None:
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/mark\n", encoding="utf-8")
    evil.chmod(0o755)
    tree = await ground.worktree("d/1/task", await ground.resolve("HEAD"))
    planted = repository(tmp_path / "planted", {"x": "x"})
    for key in ("core.fsmonitor", "filter.x.clean", "diff.external", "merge.x.driver"):
        git(planted, "config", key, str(evil))
    (tree / ".git").write_text(f"gitdir: {planted}/.git\n", encoding="utf-8")
    shutil.copytree(planted, tree / "nested")
    write(tree, {".gitattributes": "* filter=x diff=x merge=x\n", "a.txt": "changed\n"})
    commit = await ground.commit(tree, "change", {})
    assert ground.left_out == ("nested/",)
    assert "a.txt" in await ground.changed(await ground.resolve("HEAD"), commit)
    await ground.diff(await ground.resolve("HEAD"), commit)
    assert not (tmp_path / "mark").exists()


async def test_changes_in_other_places_merge_and_a_repeat_changes_nothing(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    one, two = await ground.worktree("d/1/one", base), await ground.worktree("d/1/two", base)
    write(one, {"a.txt": "ONE\ntwo\nthree\n"})
    write(two, {"a.txt": "one\ntwo\nTHREE\n", "b.txt": None})
    first, second = await ground.commit(one, "one", {}), await ground.commit(two, "two", {})
    collect = await ground.worktree("d/1/collect", base)
    assert await ground.merge(collect, first, "take one") == []
    assert await ground.head(collect) == first
    assert await ground.merge(collect, second, "take two") == []
    merged = await ground.head(collect)
    assert await ground.merge(collect, second, "take two") == []
    assert await ground.head(collect) == merged
    assert (collect / "a.txt").read_text(encoding="utf-8") == "ONE\ntwo\nTHREE\n"
    assert not (collect / "b.txt").exists()
    assert await ground.commit(collect, "nothing", {}) == merged
    assert await ground.contains(merged, first)
    assert await ground.contains(merged, second)


async def test_a_conflict_is_listed_and_the_worktree_stays_as_it_was(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    one, two = await ground.worktree("d/1/one", base), await ground.worktree("d/1/two", base)
    write(one, {"a.txt": "mine\n", "b.txt": "mine\n"})
    write(two, {"a.txt": "theirs\n", "b.txt": None, "lib/d.py": "y = 1\n"})
    first, second = await ground.commit(one, "one", {}), await ground.commit(two, "two", {})
    before = everything(one)
    assert await ground.merge(one, second, "join") == ["a.txt", "b.txt"]
    assert everything(one) == before
    assert await ground.head(one) == first
    assert await ground.commit(one, "nothing", {}) == first


async def test_a_conflict_that_is_left_becomes_a_merge_once_it_is_resolved(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    one, two = await ground.worktree("d/1/one", base), await ground.worktree("d/1/two", base)
    write(one, {"a.txt": "mine\n"})
    write(two, {"a.txt": "theirs\n"})
    first, second = await ground.commit(one, "one", {}), await ground.commit(two, "two", {})
    assert await ground.merge(one, second, "join", leave=True) == ["a.txt"]
    assert "<<<<<<< " in (one / "a.txt").read_text(encoding="utf-8")
    with pytest.raises(GitError, match="not resolved"):
        await ground.commit(one, "joined", {})
    with pytest.raises(GitError, match="waits to be resolved"):
        await ground.merge(one, second, "join")
    write(one, {"a.txt": "both\n"})
    joined = await ground.commit(one, "joined", {})
    assert await ground.commit(one, "joined", {}) == joined
    assert git(ground.readable[0], "rev-parse", f"{joined}^@").split() == [first, second]


async def test_a_conflict_that_is_left_can_be_given_up(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    one, two = await ground.worktree("d/1/one", base), await ground.worktree("d/1/two", base)
    write(one, {"a.txt": "mine\n"})
    write(two, {"a.txt": "theirs\n", "new.txt": "new\n"})
    first, second = await ground.commit(one, "one", {}), await ground.commit(two, "two", {})
    before = everything(one)
    await ground.merge(one, second, "join", leave=True)
    write(one, {"scratch.txt": "x\n"})
    await ground.undo(one)
    assert everything(one) == before
    assert await ground.commit(one, "nothing", {}) == first


async def test_a_merge_over_uncommitted_work_is_refused(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    one, two = await ground.worktree("d/1/one", base), await ground.worktree("d/1/two", base)
    write(two, {"b.txt": "theirs\n"})
    second = await ground.commit(two, "two", {})
    write(one, {"a.txt": "not committed\n"})
    with pytest.raises(GitError, match="not committed"):
        await ground.merge(one, second, "join")
    assert (one / "a.txt").read_text(encoding="utf-8") == "not committed\n"


async def test_a_copy_holds_the_commit_and_nothing_else_each_time(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    tree = await ground.worktree("d/1/task", base)
    write(tree, {"a.txt": "changed\n", "build.log": "ignored\n"})
    commit = await ground.commit(tree, "change", {})
    copy = await ground.copy("d/1/verify", commit)
    expected = {name: text.encode() for name, text in FILES.items() if text} | {"a.txt": b"changed\n"}
    assert everything(copy) == expected
    write(copy, {"leftover.pyc": "x", "a.txt": "spoiled"})
    assert everything(await ground.copy("d/1/verify", commit)) == expected
    assert not (copy / ".git").exists()
    await ground.drop("d/1/verify")
    await ground.drop("d/1/verify")
    assert not copy.exists()


async def test_a_command_runs_confined_and_its_whole_output_is_digested(ground: GitGround, user: Path) -> None:
    copy = await ground.copy("d/1/verify", await ground.resolve("HEAD"))
    ran = await ground.run(copy, f"cat a.txt; cat {user}/a.txt; exit 3", 30)
    assert ran.exit_code == 3
    assert ran.output.startswith(b"one\ntwo\nthree\n")
    assert b"No such file" in ran.output
    flood = await ground.run(copy, f"{PYTHON} -c \"import sys; sys.stdout.write('x' * 3_000_000)\"", 30)
    assert flood.exit_code == 0
    assert len(flood.output) < 1_100_000
    assert flood.output_sha256 == sha256_hex(b"x" * 3_000_000)
    late = await ground.run(copy, "echo begun; sleep 60", 0.5)
    assert (late.exit_code, late.timed_out, late.output) == (None, True, b"begun\n")
    assert list(copy.parent.parent.glob("output-*")) == []


async def test_git_works_for_a_command_in_a_worktree(ground: GitGround) -> None:
    tree = await ground.worktree("d/1/task", await ground.resolve("HEAD"))
    write(tree, {"a.txt": "changed\n"})
    ran = await ground.run(tree, "git log --format=%s && git status --porcelain", 30)
    assert (ran.exit_code, ran.output) == (0, b"base\n M a.txt\n")


async def test_a_branch_is_published_only_from_where_it_is_believed_to_be(user: Path, ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    tree = await ground.worktree("d/1/task", base)
    write(tree, {"a.txt": "changed\n"})
    first = await ground.commit(tree, "first", {})
    await ground.publish(first, "mohist/d-1", None)
    await ground.publish(first, "mohist/d-1", None)
    assert git(user, "rev-parse", "mohist/d-1") == first
    assert git(user, "show", "mohist/d-1:a.txt") == "changed"
    git(user, "fsck", "--strict")
    write(tree, {"a.txt": "again\n"})
    second = await ground.commit(tree, "second", {})
    with pytest.raises(GitError, match="stands on"):
        await ground.publish(second, "mohist/d-1", base)
    await ground.publish(second, "mohist/d-1", first)
    assert git(user, "rev-parse", "mohist/d-1") == second
    with pytest.raises(GitError, match="checked out"):
        await ground.publish(second, "main", base)
    with pytest.raises(GitError):
        await ground.publish(second, "bad..name", None)
    assert git(user, "status", "--porcelain") == ""


async def test_a_branch_is_removed_only_where_it_stands_as_expected(user: Path, ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    await ground.unpublish("mohist/d-1", base)
    await ground.publish(base, "mohist/d-1", None)
    with pytest.raises(GitError, match="stands on"):
        await ground.unpublish("mohist/d-1", "0" * 40)
    git(user, "checkout", "--quiet", "mohist/d-1")
    with pytest.raises(GitError, match="checked out"):
        await ground.unpublish("mohist/d-1", base)
    git(user, "checkout", "--quiet", "main")
    await ground.unpublish("mohist/d-1", base)
    assert git(user, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


async def test_what_is_unusual_about_a_repository_is_said(tmp_path: Path, user: Path, sandbox: Bubblewrap) -> None:
    part = repository(tmp_path / "part", {"p.txt": "p\n"})
    git(user, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(part), "vendor/part")
    write(user, {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    git(user, "add", "--all")
    git(user, "commit", "--quiet", "-m", "more")
    git(user, "checkout", "--quiet", "--detach")
    write(user, {"a.txt": "dirty\n", "untracked.txt": "new\n"})
    ground = await ground_over(user, tmp_path / "home", sandbox)
    standing = await ground.standing()
    assert standing.commit == git(user, "rev-parse", "HEAD")
    assert (standing.branch, standing.submodules, standing.large) == ("", ("vendor/part",), ("*.bin",))
    assert set(standing.dirty) == {"a.txt", "untracked.txt"}
    assert len(standing.remarks) == 4
    tree = await ground.worktree("d/1/task", standing.commit)
    assert (tree / "a.txt").read_text(encoding="utf-8") == "one\ntwo\nthree\n"
    assert list((tree / "vendor" / "part").iterdir()) == []
    (tree / "vendor" / "part").rmdir()
    write(tree, {"b.txt": "changed\n"})
    commit = await ground.commit(tree, "change", {})
    assert await ground.changed(standing.commit, commit) == ["b.txt"]
    assert list(((await ground.copy("d/1/copy", commit)) / "vendor" / "part").iterdir()) == []


async def test_an_empty_repository_is_refused_with_what_to_do(tmp_path: Path, sandbox: Bubblewrap) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    git(folder, "init", "--quiet")
    ground = await ground_over(folder, tmp_path / "home", sandbox)
    with pytest.raises(GitError, match="no commit yet"):
        await ground.standing()
    with pytest.raises(GitError, match="not in a git repository"):
        await ground_over(tmp_path, tmp_path / "home2", sandbox)


async def test_a_base_that_was_pushed_away_is_told_from_one_that_moved_on(user: Path, ground: GitGround) -> None:
    base = await ground.resolve("main")
    write(user, {"a.txt": "later\n"})
    git(user, "commit", "--quiet", "-am", "later")
    assert await ground.contains(await ground.resolve("main"), base)
    git(user, "commit", "--quiet", "--amend", "-m", "other", "--allow-empty")
    git(user, "checkout", "--quiet", "--orphan", "new")
    git(user, "commit", "--quiet", "-m", "forced")
    git(user, "branch", "-f", "main", "new")
    assert not await ground.contains(await ground.resolve("main"), base)
    git(user, "branch", "-D", "--quiet", "main")
    git(user, "reflog", "expire", "--expire=now", "--all")
    git(user, "gc", "--quiet", "--prune=now")
    with pytest.raises(GitError, match="There is no commit"):
        await ground.resolve(base)


async def test_odd_names_and_links_come_back_as_they_were(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    tree = await ground.worktree("d/1/task", base)
    name = 'Größe 名\n"quoted" *.txt'
    write(tree, {name: "odd\n"})
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "b.txt").chmod(0o755)
    commit = await ground.commit(tree, "odd", {})
    assert await ground.changed(base, commit) == sorted([name, "link", "b.txt"])
    assert await ground.show(commit, name) == b"odd\n"
    assert await ground.show(commit, "link") == b"/etc/passwd"
    assert await ground.show(commit, "none") is None
    assert name in await ground.files(commit)
    assert ("A", name, name) in await ground.renamed(base, commit)


def test_keys_never_share_a_name() -> None:
    keys = ["d/1/a", "d/1-a", "d-1/a", "x" * 300, "x" * 301, "", "/", "名"]
    names = [name_of(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(len(name) < 60 and "/" not in name and not name.startswith(".") for name in names)


async def test_which_task_brought_a_line_is_known_also_through_merges_and_mends(ground: GitGround) -> None:
    base = await ground.resolve("HEAD")
    trees = {}
    for task, files in {"T1": {"a.txt": "eins\n", "n.txt": "n1\nn2\n"}, "T2": {"b.txt": "two\nthree\n"}}.items():
        folder = trees[task] = await ground.worktree(f"d/1/{task}", base)
        write(folder, files)
        await ground.commit(folder, f"Do {task}", {"Mohist-Delivery": "d", "Mohist-Task": task})
    folder = await ground.worktree("d/collect", base)
    for tree in trees.values():
        assert not await ground.merge(folder, await ground.head(tree), "Merge")
    write(folder, {"n.txt": "n1\nmended\n"})
    commit = await ground.commit(folder, "Mend", {"Mohist-Delivery": "d"})
    told = await ground.carried(base, commit, ["a.txt", "b.txt", "n.txt", "gone.txt"])
    assert told == {
        "a.txt": {1: "T1"},
        "b.txt": {1: "T2", 2: "T2"},
        "n.txt": {1: "T1", 2: ""},
        "gone.txt": {},
    }
