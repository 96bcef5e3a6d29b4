"""From lines to runs, through everything that people do to a history with git."""

from __future__ import annotations

from pathlib import Path

from history import begun, wrote
from judge import assert_good, index, judged_all

from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer
from mohist.report import Tracer
from mohist.report.blame import origins
from mohist.report.repository import Asker
from mohist.sandbox import Git

HISTORIES = 12


async def test_random_histories_lose_few_lines_and_tie_none_to_a_wrong_run(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    writer, vault = store
    total = await judged_all(tmp_path, writer, vault, range(HISTORIES))
    assert_good(total)
    assert total["found"] > HISTORIES * 5


async def traced(folder: Path, root: Path, vault: Vault, path: str) -> list[tuple[str, str, str]]:
    """(text, run, method) of a file's lines in HEAD."""
    git = await Git.capture(root, folder / "private")
    writings = index(folder, vault)
    try:
        assert git.head is not None
        lines = await Tracer(writings, Asker(git)).trace(await origins(git, path, git.head))
    finally:
        git.close()
        writings.close()
    return [(line.origin.text, line.write.run if line.write else "", line.method) for line in lines]


async def test_a_run_of_another_repository_wrote_nothing_here(tmp_path: Path, store: tuple[Writer, Vault]) -> None:
    writer, vault = store
    history = begun(tmp_path, writer)
    history.base = "1" * 40
    wrote(history, "run1", "same.py", "the_very_same_line = compute(1)\n")
    history.commit("a person's, written alike")
    assert await traced(tmp_path, history.root, vault, "same.py") == [
        ("the_very_same_line = compute(1)", "", "unknown")
    ]


async def test_two_runs_in_one_squashed_commit_keep_their_own_lines(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    writer, vault = store
    history = begun(tmp_path, writer)
    wrote(history, "run1", "both.py", "first_thing = compute(1)\n")
    wrote(history, "run2", "both.py", "first_thing = compute(1)\nsecond_thing = compute(2)\n")
    history.commit("both at once")
    assert await traced(tmp_path, history.root, vault, "both.py") == [
        ("first_thing = compute(1)", "run1-1", "line"),
        ("second_thing = compute(2)", "run2-1", "blob"),
    ]


async def test_lines_that_a_formatter_broke_joined_or_respelled_keep_their_run(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    writer, vault = store
    history = begun(tmp_path, writer)
    wrote(
        history,
        "run1",
        "laid.py",
        "long_call = compute(first_part, second_part)\nshort_call = compute(\n    first_part,\n    second_part,\n)\n"
        "name = 'a quoted word'\nconst answer = 42\n",
    )
    (history.root / "laid.py").write_text(
        "long_call = compute(\n    first_part,\n    second_part,\n)\nshort_call = compute(first_part, second_part)\n"
        'name = "a quoted word"\nconst answer = 42;\nshort_call = compute(first_part, third_part)\n',
        encoding="utf-8",
    )
    history.commit("written and formatted")
    found = await traced(tmp_path, history.root, vault, "laid.py")
    assert [run for _, run, _ in found] == ["run1-1"] * 7 + [""]
