"""What a commit brought in, read from git's patches."""

from __future__ import annotations

from pathlib import Path

from history import History, begun, wrote
from judge import index

from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer
from mohist.report.change import Change, changes, commits_of
from mohist.report.map import Mapped
from mohist.report.repository import Asker
from mohist.report.trace import Tracer
from mohist.sandbox import Git


async def all_changes(folder: Path, history: History) -> list[Change]:
    git = await Git.capture(history.root, folder / "private")
    try:
        assert git.head is not None
        return [one async for one in changes(git, await commits_of(git, git.head))]
    finally:
        git.close()


async def test_lines_of_strange_files_and_strange_lines_are_read_as_they_are(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    history = begun(tmp_path, store[0])
    strange = 'a b"ü\t.txt'
    (history.root / strange).write_text("++ b/other.txt\n@@ -1 +1 @@\nno end", encoding="utf-8")
    (history.root / "binary").write_bytes(b"\0\1\2\n" * 9)
    history.commit("strange")
    (history.root / strange).write_text("++ b/other.txt\nmore\n--- gone", encoding="utf-8")
    history.git("mv", "a.py", "moved.py")
    history.commit("changed and moved")
    (history.root / "moved.py").unlink()
    history.commit("deleted")
    begin, first, second, third = await all_changes(tmp_path, history)
    assert set(begin.lines) == {"a.py", "pkg/b.py"}
    assert begin.parents == ()
    assert "binary" not in first.lines
    assert {path: [(o.number, o.text) for o in lines] for path, lines in second.lines.items()} == {
        strange: [(2, "more"), (3, "--- gone")]
    }
    assert third.lines == {}
    assert second.tree == history.git("rev-parse", f"{second.commit}^{{tree}}").strip()


async def test_a_merge_is_compared_with_what_it_was_merged_into(tmp_path: Path, store: tuple[Writer, Vault]) -> None:
    history = begun(tmp_path, store[0])
    history.git("checkout", "-q", "-b", "side")
    (history.root / "side.py").write_text("from_the_side = 1\n", encoding="utf-8")
    history.commit("side")
    history.git("checkout", "-q", "main")
    (history.root / "main.py").write_text("from_main = 1\n", encoding="utf-8")
    history.commit("main")
    history.git("merge", "-q", "--no-ff", "--no-edit", "side")
    *_, merge = await all_changes(tmp_path, history)
    assert len(merge.parents) == 2
    assert set(merge.lines) == {"side.py"}


async def test_a_map_keeps_the_runs_of_a_commit_that_is_rebased_later(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    writer, vault = store
    history = begun(tmp_path, writer)
    wrote(history, "run1", "x.py", "the_very_same_line = compute(1)\n")
    history.commit("one")
    wrote(history, "run2", "pkg/x.py", "the_very_same_line = compute(1)\n")
    (history.root / "pkg/x.py").unlink()
    git = await Git.capture(history.root, tmp_path / "private")
    writings = index(tmp_path, vault)
    try:
        asker = Asker(git)
        (change,) = [one async for one in changes(git, [str(git.head)])]
        found = {path: await Tracer(writings, asker).trace(lines) for path, lines in change.lines.items()}
        mapped = Mapped(change, (await asker.patches([change.commit]))[change.commit], found)
    finally:
        git.close()
        writings.close()
    assert (mapped.runs, mapped.confidence) == ({"run1-1": 1}, "likely")
    draft = mapped.draft("repository:1")
    first = writer.append(draft)
    assert writer.append(draft).index == first.index
    # Rebased below another name, its content tells no more which of the two runs it was: the patch does.
    (history.root / "other.txt").write_text("others went on\n", encoding="utf-8")
    history.git("reset", "-q", "--hard", "HEAD~1")
    history.commit("others")
    history.git("cherry-pick", change.commit)
    history.git("commit", "-q", "--amend", "--no-edit", "--date=2030-01-01T00:00:00Z")
    git = await Git.capture(history.root, tmp_path / "private2")
    writings = index(tmp_path, vault)
    try:
        assert writings.runs_of_commit(str(git.head)) == set()
        (again,) = (await Asker(git).patches([str(git.head)])).values()
        assert writings.runs_of_commit(str(git.head), again) == {"run1-1"}
        assert writings.is_mapped(change.commit)
    finally:
        git.close()
        writings.close()
