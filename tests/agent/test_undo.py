"""Undo, repair and the watch over a work tree, on real git repositories."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rig import FakeTool, Rig, header

from fakes.clock import FakeClock
from fakes.model import ScriptedModel
from mohist.agent.errors import RunError
from mohist.agent.log import RunLog
from mohist.agent.loop import Loop
from mohist.agent.record import (
    Assistant,
    FileChange,
    Found,
    Fragment,
    Intent,
    Kept,
    Outcome,
    PreImage,
    Record,
    Undone,
    User,
)
from mohist.agent.repair import repair
from mohist.agent.setting import RunSettings
from mohist.agent.tool import Result, Written
from mohist.agent.tree import UNKNOWN, TreeWatch
from mohist.agent.undo import chains, changed_paths, undo
from mohist.base import sha256_hex
from mohist.policy import Access
from mohist.provider.message import ToolCall


def git(root: Path, *args: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *who, *args], cwd=root, env=env, check=True, capture_output=True, text=True).stdout


def sh(root: Path, command: str) -> None:
    subprocess.run(["sh", "-c", command], cwd=root, check=True, timeout=30)


class Tree:
    """A repository and a run in it, with an edit and a shell tool that really act."""

    def __init__(self, rig: Rig, **settings: int) -> None:
        self.rig = rig
        self.root = rig.root
        self.settings = RunSettings(**settings)
        git(self.root, "init", "-q", "-b", "main")
        self.put("a.txt", "one\n")
        self.put("sub/b.txt", "two\n")
        self.put("run.sh", "#!/bin/sh\n").chmod(0o755)
        git(self.root, "add", ".")
        git(self.root, "commit", "-qm", "first")

    def put(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def text(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    async def begin(self) -> list[str]:
        """What a session does before its first turn."""
        names = git(self.root, "status", "--porcelain", "-uall", "--no-renames").splitlines()
        self.rig.tree = TreeWatch(self.root, self.rig.log, self.files, self.base, self.settings)
        missed = await self.rig.tree.keep_dirty([name[3:] for name in names])
        await self.rig.tree.snapshot()
        return missed

    async def files(self) -> list[str]:
        return [name for name in git(self.root, "ls-files", "-z", "-co", "--exclude-standard").split("\0") if name]

    async def base(self, name: str) -> bytes | None:
        names = git(self.root, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
        return git(self.root, "show", f"HEAD:{name}").encode() if name in names else None

    async def shell(self, command: str, then: Callable[[], Awaitable[None]] | None = None) -> Outcome:
        async def act(args: object, ctx: object, progress: object) -> Result:
            sh(self.root, command)
            if then is not None:
                await then()
            return Result("ran")

        access = Access(writes=frozenset({self.root}), effect="unknown", command=command)
        return await self._call(FakeTool("shell", act, access))

    async def edit(self, name: str, text: str) -> Outcome:
        path = self.root / name

        async def act(args: object, ctx: object, progress: object) -> Result:
            before = sha256_hex(path.read_bytes()) if path.exists() else None
            path.write_text(text, encoding="utf-8")
            return Result("edited", written=(Written(path, before, sha256_hex(text.encode())),))

        return await self._call(FakeTool("edit", act, Access(writes=frozenset({path}), effect="local")))

    async def _call(self, tool: FakeTool) -> Outcome:
        self.rig.tools = [tool]
        call = ToolCall(f"c{len(self.rig.log.entries)}", tool.name, "{}")
        self.rig.log.append(Assistant(1, (call,), "tool_calls", None, None))
        return (await self.rig.executor().execute([call]))[0]

    def undo(self) -> tuple[list[str], list[str]]:
        undone = undo(self.rig.log, self.root)
        names = [[os.path.relpath(path, self.root) for path in paths] for paths in (undone.restored, undone.kept)]
        return names[0], names[1]

    async def killed_while(self, tool: str, act: Callable[[], None]) -> None:
        """The process dies in the middle of a call that had done `act`; another opens the log."""
        call = ToolCall("k1", tool, "{}")
        self.rig.log.append(Assistant(1, (call,), "tool_calls", None, None))
        self.rig.log.append(Intent("k1", tool, f"{tool} x", "unknown", "x"))
        act()
        self.rig.reopen()
        assert repair(self.rig.log) == 1


@pytest.fixture
def tree(make_rig: Callable[..., Rig]) -> Tree:
    return Tree(make_rig())


async def test_what_edits_and_commands_did_is_taken_back(tree: Tree) -> None:
    await tree.begin()
    await tree.edit("a.txt", "edited\n")
    await tree.shell("mkdir -p new/deep; echo new > new/deep/c.txt")
    outcome = await tree.shell("echo more >> sub/b.txt; echo x > made.txt; rm run.sh")
    assert "[files changed: made.txt, run.sh, sub/b.txt]" in outcome.text
    restored, kept = tree.undo()
    assert kept == []
    assert set(restored) >= {"a.txt", "made.txt", "run.sh", "sub/b.txt", "new/deep/c.txt"}
    assert git(tree.root, "status", "--porcelain") == ""
    assert not (tree.root / "new").exists()
    assert (tree.root / "run.sh").stat().st_mode & 0o777 == 0o755


async def test_several_changes_of_one_file_go_back_to_before_the_first(tree: Tree) -> None:
    await tree.begin()
    await tree.edit("a.txt", "1\n")
    await tree.shell("echo 2 > a.txt")
    await tree.edit("a.txt", "3\n")
    assert [chain.broken for chain in chains(tree.rig.log.records)] == [False]
    tree.undo()
    assert tree.text("a.txt") == "one\n"


async def test_a_file_the_user_changed_since_is_left_alone(tree: Tree) -> None:
    await tree.begin()
    await tree.edit("a.txt", "edited\n")
    await tree.shell("echo x > sub/b.txt")
    tree.put("a.txt", "the user's\n")
    assert tree.undo() == (["sub/b.txt"], ["a.txt"])
    assert (tree.text("a.txt"), tree.text("sub/b.txt")) == ("the user's\n", "two\n")


async def test_a_file_the_user_changed_between_two_calls_is_left_alone(tree: Tree) -> None:
    await tree.begin()
    await tree.shell("echo run >> a.txt")
    tree.put("a.txt", "the user's\n")
    await tree.shell("echo run >> a.txt")
    assert tree.undo() == ([], ["a.txt"])


async def test_what_the_user_wrote_during_the_run_is_what_a_command_is_undone_to(tree: Tree) -> None:
    await tree.begin()
    await tree.shell("true")
    tree.put("a.txt", "the user's, clean when the run began\n")
    tree.put("users.txt", "made by the user during the run\n")
    await tree.shell("echo run >> a.txt; echo run >> users.txt")
    assert tree.undo() == (["a.txt", "users.txt"], [])
    assert tree.text("a.txt") == "the user's, clean when the run began\n"
    assert tree.text("users.txt") == "made by the user during the run\n"


async def test_uncommitted_work_is_restored_as_the_user_had_it(tree: Tree) -> None:
    tree.put("a.txt", "dirty\n")
    tree.put("fresh.txt", "never added\n")
    (tree.root / "sub/b.txt").unlink()
    await tree.begin()
    await tree.shell("git checkout -q -- . ; rm fresh.txt; echo x > a.txt")
    restored, kept = tree.undo()
    assert (sorted(restored), kept) == (["a.txt", "fresh.txt", "sub/b.txt"], [])
    assert (tree.text("a.txt"), tree.text("fresh.txt")) == ("dirty\n", "never added\n")
    assert not (tree.root / "sub/b.txt").exists()


async def test_permissions_a_command_changed_are_restored(tree: Tree) -> None:
    await tree.begin()
    await tree.shell("chmod 644 run.sh; chmod 700 a.txt; echo x >> a.txt")
    assert len(changed_paths(tree.rig.log.records)) == 2
    assert tree.undo() == (["a.txt", "run.sh"], [])
    assert (tree.root / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (tree.root / "a.txt").stat().st_mode & 0o777 == 0o644


async def test_a_file_only_touched_is_no_change(tree: Tree) -> None:
    await tree.begin()
    assert (await tree.shell("touch a.txt; cp sub/b.txt x; mv x sub/b.txt")).written == ()


async def test_a_file_too_large_to_keep_is_named_and_left(tree: Tree) -> None:
    tree.settings = RunSettings(undo_file_bytes=100)
    tree.put("big.txt", "b" * 500)
    assert await tree.begin() == ["big.txt"]
    await tree.shell("echo x > big.txt")
    assert tree.undo() == ([], ["big.txt"])
    assert tree.text("big.txt") == "x\n"


async def test_a_large_file_a_command_made_is_removed_without_being_kept(tree: Tree) -> None:
    tree.settings = RunSettings(undo_file_bytes=100)
    await tree.begin()
    await tree.shell("head -c 5000 /dev/zero > big.bin")
    assert not any(blob.stat().st_size == 5000 for blob in tree.rig.log.blobs.iterdir())
    assert tree.undo() == (["big.bin"], [])


async def test_a_tree_with_too_many_files_is_not_watched(tree: Tree) -> None:
    tree.settings = RunSettings(undo_files=2)
    await tree.begin()
    assert tree.rig.tree is not None
    assert not tree.rig.tree.covered
    assert (await tree.shell("echo x > a.txt")).written == ()


async def test_an_undone_run_is_not_undone_twice(tree: Tree) -> None:
    await tree.begin()
    await tree.edit("a.txt", "edited\n")
    tree.undo()
    tree.put("a.txt", "edited\n")
    assert tree.undo() == ([], [])
    assert tree.text("a.txt") == "edited\n"


async def test_undo_never_writes_or_deletes_through_a_link_out_of_the_tree(tree: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("x\n", encoding="utf-8")
    await tree.begin()
    await tree.shell("echo x > sub/b.txt; mkdir made; echo y > made/c.txt; mkdir gone; echo z > gone/d.txt")
    await tree.shell("rm a.txt run.sh")
    for name in ("sub", "made", "gone"):
        sh(tree.root, f"rm -r {name}; ln -s {outside} {name}")
    (outside / "c.txt").write_text("y\n", encoding="utf-8")
    restored, kept = tree.undo()
    assert (restored, kept) == (["a.txt", "run.sh"], ["gone/d.txt", "made/c.txt", "sub/b.txt"])
    assert sorted(path.name for path in outside.iterdir()) == ["b.txt", "c.txt"]
    assert (outside / "b.txt").read_text(encoding="utf-8") == "x\n"


async def test_undo_makes_no_folder_behind_a_link(tree: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree.put("deep/er/c.txt", "c\n")
    git(tree.root, "add", ".")
    git(tree.root, "commit", "-qm", "deep")
    await tree.begin()
    await tree.shell("rm -r deep")
    sh(tree.root, f"ln -s {outside} deep")
    assert tree.undo() == ([], ["deep/er/c.txt"])
    assert list(outside.iterdir()) == []


async def test_a_command_that_swaps_a_folder_for_a_link_gets_nothing_read_from_behind_it(
    tree: Tree, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.txt").write_text("secret\n", encoding="utf-8")
    await tree.begin()
    await tree.shell(f"rm -r sub; ln -s {outside} sub")
    blobs = [blob.read_bytes() for blob in tree.rig.log.blobs.iterdir()]
    assert b"secret\n" not in blobs


async def test_a_fifo_in_the_way_hangs_nothing(tree: Tree) -> None:
    await tree.begin()
    await tree.shell("rm a.txt; mkfifo a.txt; mkfifo new.fifo")
    assert tree.undo() == ([], ["a.txt"])


async def test_a_file_that_was_ignored_before_is_never_deleted(tree: Tree) -> None:
    tree.put(".gitignore", ".env\n")
    tree.put(".env", "the user's\n")
    tree.put("a.txt", "newer than what was ignored\n")
    await tree.begin()
    await tree.shell("rm .gitignore; echo more >> .env; echo x > made.txt")
    restored, kept = tree.undo()
    assert (restored, kept) == ([".gitignore"], [".env", "made.txt"])
    assert tree.text(".env") == "the user's\nmore\n"


async def test_a_file_made_and_removed_by_the_run_needs_nothing(tree: Tree) -> None:
    await tree.begin()
    await tree.shell("echo x > tmp.txt")
    await tree.shell("rm tmp.txt")
    assert tree.undo() == (["tmp.txt"], [])


def test_nobody_knows_the_content_of_a_file_that_was_there_and_not_kept(tmp_path: Path) -> None:
    """An unknown content is never taken for an absent file: undo would delete what was there before."""
    root = tmp_path / "work"
    root.mkdir()
    (root / "x").write_text("after", encoding="utf-8")
    with RunLog.create(tmp_path / "run", header(root), FakeClock()) as log:
        change = FileChange(str(root / "x"), UNKNOWN, sha256_hex(b"after"))
        log.append(Outcome("c", "shell", "done", "", written=(change,)))
        assert undo(log, root) == Undone((), (str(root / "x"),))
    assert (root / "x").read_text(encoding="utf-8") == "after"


async def test_what_an_interrupted_command_changed_is_found_told_and_undone(tree: Tree) -> None:
    tree.put("a.txt", "dirty\n")
    await tree.begin()
    await tree.edit("sub/b.txt", "edited\n")

    await tree.killed_while(
        "shell", lambda: sh(tree.root, "echo 1 >> a.txt; echo 2 >> sub/b.txt; echo 3 > c.txt; rm run.sh")
    )
    await tree.begin()
    (found,) = tree.rig.of(Found)
    assert [Path(change.path).name for change in found.files] == ["a.txt", "c.txt", "run.sh", "b.txt"]
    (note,) = [record for record in tree.rig.of(Fragment) if record.topic == "changes found"]
    assert "c.txt" in note.text
    restored, kept = tree.undo()
    assert (sorted(restored), kept) == (["a.txt", "c.txt", "run.sh", "sub/b.txt"], [])
    assert (tree.text("a.txt"), tree.text("sub/b.txt")) == ("dirty\n", "two\n")
    assert tree.text("run.sh") == "#!/bin/sh\n"
    assert not (tree.root / "c.txt").exists()


async def test_an_interruption_is_looked_into_once(tree: Tree) -> None:
    await tree.begin()
    await tree.killed_while("shell", lambda: sh(tree.root, "echo 1 >> a.txt"))
    await tree.begin()
    tree.rig.reopen()
    tree.put("sub/b.txt", "the user's\n")
    await tree.begin()
    assert len(tree.rig.of(Found)) == 1
    assert len(tree.rig.of(Kept)) == 1
    assert tree.undo() == (["a.txt"], [])


async def test_without_an_interruption_a_resume_claims_nothing(tree: Tree) -> None:
    await tree.begin()
    await tree.edit("a.txt", "edited\n")
    tree.rig.reopen()
    assert repair(tree.rig.log) == 0
    tree.put("sub/b.txt", "the user's\n")
    await tree.begin()
    assert tree.rig.of(Found) == []
    assert tree.undo() == (["a.txt"], [])


async def test_a_file_changed_before_the_interrupted_call_is_the_users(tree: Tree) -> None:
    await tree.begin()
    tree.put("a.txt", "the user's\n")
    tree.rig.clock.advance(4e9)
    await tree.killed_while("shell", lambda: None)
    await tree.begin()
    assert tree.rig.of(Found) == [Found(())]


def interrupted(folder: Path, root: Path, *images: PreImage) -> RunLog:
    log = RunLog.create(folder, header(root), FakeClock())
    log.append(User("x"))
    log.append(Assistant(1, (ToolCall("a", "edit", "{}"), ToolCall("b", "edit", "{}")), "tool_calls", None, None))
    log.append(Intent("a", "edit", "edit x", "local", None, images))
    log.close()
    return RunLog.resume(folder, FakeClock())


def test_an_interrupted_call_is_unknown_with_evidence_and_one_without_intent_did_not_start(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    for name in ("same", "other"):
        (root / name).write_text("now", encoding="utf-8")
    os.mkfifo(root / "fifo")
    images = [
        PreImage(str(root / "same"), sha256_hex(b"now")),
        PreImage(str(root / "other"), sha256_hex(b"then")),
        PreImage(str(root / "gone"), sha256_hex(b"then")),
        PreImage(str(root / "never"), None),
        PreImage(str(root / "fifo"), sha256_hex(b"then")),
    ]
    with interrupted(tmp_path / "run", root, *images) as log:
        assert repair(log) == 1
        first, second = [record for record in log.records if isinstance(record, Outcome)]
        assert (first.status, second.status) == ("unknown", "not_started")
        for fact in ("same: unchanged", "other: changed", "gone: changed", "never: unchanged", "fifo: changed"):
            assert fact in first.text
        count = len(log.entries)
        assert repair(log) == 0
        assert len(log.entries) == count


async def test_an_interrupted_call_is_never_repeated_by_a_resume(make_rig: Callable[..., Rig]) -> None:
    tool = FakeTool("edit", access=Access(effect="local"))
    rig = make_rig(tools=[tool])
    rig.log.append(Assistant(1, (ToolCall("a", "edit", "{}"),), "tool_calls", None, None))
    rig.log.append(Intent("a", "edit", "edit x", "local"))
    rig.reopen()
    repair(rig.log)
    model = ScriptedModel("text I looked.")
    loop: Loop = rig.loop(model)
    assert (await loop.run()).status == "done"
    assert tool.ran == []
    assert "Unknown whether this ran" in str(model.requests[0].messages[-1])


def test_repair_after_a_kill_at_any_record_makes_the_log_whole(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    with interrupted(tmp_path / "run", root) as log:
        log.append(Outcome("a", "edit", "done", "x"))
        log.append(Intent("b", "edit", "edit y", "local"))
    data = (tmp_path / "run" / "log.jsonl").read_bytes().splitlines(keepends=True)
    for size in range(1, len(data) + 1):
        (tmp_path / "run" / "log.jsonl").write_bytes(b"".join(data[:size]))
        with RunLog.resume(tmp_path / "run", FakeClock()) as log:
            repair(log)
            assert open_calls(log.records) == []


def open_calls(records: list[Record]) -> list[str]:
    made = [part.id for r in records if isinstance(r, Assistant) for part in r.parts if isinstance(part, ToolCall)]
    closed = [record.call_id for record in records if isinstance(record, Outcome)]
    assert len(closed) == len(set(closed))
    return [call_id for call_id in made if call_id not in closed]


async def test_a_run_whose_folder_is_gone_is_not_undone_elsewhere(tree: Tree) -> None:
    with pytest.raises(RunError, match="not there any more"):
        undo(tree.rig.log, tree.root / "gone")
