"""The log in SQLite: what is entered stays as it is, in one gap-free order, with proofs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mohist.ledger import Draft, EntryError, LedgerBusyError, LedgerError, SealedError, decode, tree
from mohist.ledger.log import Log, Ready
from mohist.ledger.tile import WIDTH

ORIGIN = "log.example/test"


def draft(number: int, stream: str = "run:a", key: str = "") -> Draft:
    return Draft("tool.intent", stream, "model:m", about={"call": f"c{number}"}, data={"number": number}, key=key)


def grown(path: Path, size: int) -> Log:
    log = Log(path / "log.db", ORIGIN)
    log.write([Ready(draft(number, f"run:{number % 3}"), at_us=number + 1) for number in range(size)])
    return log


def test_streams_are_numbered_without_gaps_and_chained(tmp_path: Path) -> None:
    log = grown(tmp_path, 10)
    entries = [(index, decode(leaf), leaf) for index, leaf in log.stream("run:1")]
    assert [(index, entry["seq"]) for index, entry, _ in entries] == [(1, 0), (4, 1), (7, 2)]
    assert [entry["prev"] for _, entry, _ in entries] == [
        "",
        tree.leaf_hash(entries[0][2]).hex(),
        tree.leaf_hash(entries[1][2]).hex(),
    ]


def test_a_log_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    grown(tmp_path, 300).close()
    log = Log(tmp_path / "log.db", ORIGIN)
    (receipt,) = log.write([Ready(draft(300, "run:0"))])
    assert (receipt.index, receipt.sequence) == (300, 100)
    edge = tree.Edge()
    for leaf in log.leaves(0, log.size):
        edge.append(tree.leaf_hash(leaf))
    assert log.root(log.size) == edge.root()


def test_every_proof_holds_against_the_roots_of_a_tree_built_anew(tmp_path: Path) -> None:
    log = grown(tmp_path, 3 * WIDTH + 17)
    edge, roots = tree.Edge(), [tree.EMPTY_ROOT]
    leaves = list(log.leaves(0, log.size))
    for leaf in leaves:
        edge.append(tree.leaf_hash(leaf))
        roots.append(edge.root())
    for size in (1, 2, 255, 256, 257, 511, 512, 700, log.size):
        assert log.root(size) == roots[size]
        for index in {0, size // 2, size - 1}:
            path = log.inclusion(index, size)
            assert tree.root_of_inclusion(tree.leaf_hash(leaves[index]), index, size, path) == roots[size]
        path = log.consistency(size, log.size)
        assert tree.roots_of_consistency(size, roots[size], log.size, path) == (roots[size], roots[log.size])


def test_a_tree_of_three_levels_of_tiles_has_the_right_root(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.db", ORIGIN)
    edge = tree.Edge()
    for start in range(0, WIDTH * WIDTH + 300, 4096):
        batch = range(start, min(start + 4096, WIDTH * WIDTH + 300))
        log.write([Ready(draft(number), at_us=1) for number in batch])
    for leaf in log.leaves(0, log.size):
        edge.append(tree.leaf_hash(leaf))
    assert log.root(log.size) == edge.root()
    path = log.inclusion(5, log.size)
    assert tree.root_of_inclusion(tree.leaf_hash(next(log.leaves(5, 6))), 5, log.size, path) == edge.root()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET leaf = x'00' WHERE position = 1",
        "DELETE FROM entry WHERE position = 1",
        "UPDATE tile SET hashes = x'00'",
        "DELETE FROM tile",
    ],
)
def test_the_database_itself_refuses_to_change_what_is_entered(tmp_path: Path, statement: str) -> None:
    grown(tmp_path, 2 * WIDTH).close()
    with sqlite3.connect(tmp_path / "log.db") as other, pytest.raises(sqlite3.IntegrityError, match="never"):
        other.execute(statement)
    other.close()


def test_a_repeated_draft_is_the_entry_that_it_was(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.db", ORIGIN)
    first = log.write([Ready(draft(1, key="delivery/1/push")), Ready(draft(2))])
    again = log.write([Ready(draft(1, key="delivery/1/push")), Ready(draft(3))])
    assert again[0] == first[0]
    assert again[1].index == 2
    assert log.find("delivery/1/push") == 0
    resent = [Ready(draft(4), retry_key="sender 7")]
    assert log.write(resent) == log.write(resent)
    assert log.size == 4


def test_a_batch_with_one_bad_draft_enters_nothing(tmp_path: Path) -> None:
    log = grown(tmp_path, 5)
    bad = Draft("tool.intent", "run:a", "model:m", data={"half": 0.5})  # type: ignore[dict-item]
    with pytest.raises(EntryError, match="half is a float"):
        log.write([Ready(draft(6, "run:new")), Ready(bad)])
    assert log.size == 5
    assert list(log.stream("run:new")) == []
    (receipt,) = log.write([Ready(draft(6, "run:new"))])
    assert (receipt.index, receipt.sequence) == (5, 0)


def test_a_writer_that_finds_another_one_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mohist.ledger.log.BUSY_TIMEOUT_S", 0.01)
    log = grown(tmp_path, 5)
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerBusyError, match="Another process"):
        log.write([Ready(draft(6))])
    other.execute("ROLLBACK")
    other.close()
    assert log.write([Ready(draft(6))])[0].index == 5


def test_a_file_of_another_log_or_with_a_damaged_edge_is_not_opened(tmp_path: Path) -> None:
    grown(tmp_path, 5).close()
    with pytest.raises(LedgerError, match=r"is of log\.example/test, not of other"):
        Log(tmp_path / "log.db", "other.example/log")
    with pytest.raises(LedgerError, match="can't be named"):
        Log(tmp_path / "new.db", "two words")
    with sqlite3.connect(tmp_path / "log.db") as other:
        other.execute("UPDATE edge SET hashes = x'00'")
    other.close()
    with pytest.raises(SealedError, match="damaged right edge"):
        Log(tmp_path / "log.db", ORIGIN)
