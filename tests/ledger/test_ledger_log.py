"""The log, in SQLite and in PostgreSQL: what is entered stays as it is, in one gap-free order, with proofs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_place import ORIGIN, Base, File, Place

from fakes.postgres import Postgres
from mohist.ledger import Draft, EntryError, LedgerBusyError, LedgerError, SealedError, decode, note, tree
from mohist.ledger.export import export
from mohist.ledger.postgres import Address
from mohist.ledger.store import Ready, Store
from mohist.ledger.tile import WIDTH
from mohist.ledger.verify import verify


def draft(number: int, stream: str = "run:a", key: str = "") -> Draft:
    return Draft("tool.intent", stream, "model:m", about={"call": f"c{number}"}, data={"number": number}, key=key)


def grown(place: Place, size: int) -> Store:
    log = place.log()
    log.write([Ready(draft(number, f"run:{number % 3}"), at_us=number + 1) for number in range(size)])
    return log


def test_streams_are_numbered_without_gaps_and_chained(place: Place) -> None:
    log = grown(place, 10)
    entries = [(index, decode(leaf), leaf) for index, leaf in log.stream("run:1")]
    assert [(index, entry["seq"]) for index, entry, _ in entries] == [(1, 0), (4, 1), (7, 2)]
    assert [entry["prev"] for _, entry, _ in entries] == [
        "",
        tree.leaf_hash(entries[0][2]).hex(),
        tree.leaf_hash(entries[1][2]).hex(),
    ]


def test_a_log_that_is_opened_again_goes_on(place: Place) -> None:
    grown(place, 300).close()
    log = place.log()
    (receipt,) = log.write([Ready(draft(300, "run:0"))])
    assert (receipt.index, receipt.sequence) == (300, 100)
    edge = tree.Edge()
    for leaf in log.leaves(0, log.size):
        edge.append(tree.leaf_hash(leaf))
    assert log.root(log.size) == edge.root()


def test_every_proof_holds_against_the_roots_of_a_tree_built_anew(place: Place) -> None:
    log = grown(place, 3 * WIDTH + 17)
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


def test_a_tree_of_three_levels_of_tiles_has_the_right_root(place: Place) -> None:
    log = place.log()
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
def test_the_database_itself_refuses_to_change_what_is_entered(place: Place, statement: str) -> None:
    grown(place, 2 * WIDTH).close()
    assert "never" in place.change(statement)


def test_a_repeated_draft_is_the_entry_that_it_was(place: Place) -> None:
    log = place.log()
    first = log.write([Ready(draft(1, key="delivery/1/push")), Ready(draft(2))])
    again = log.write([Ready(draft(1, key="delivery/1/push")), Ready(draft(3))])
    assert again[0] == first[0]
    assert again[1].index == 2
    assert log.find("delivery/1/push") == 0
    resent = [Ready(draft(4), retry_key="sender 7")]
    assert log.write(resent) == log.write(resent)
    assert log.size == 4


def test_a_batch_with_one_bad_draft_enters_nothing(place: Place) -> None:
    log = grown(place, 5)
    bad = Draft("tool.intent", "run:a", "model:m", data={"half": 0.5})  # type: ignore[dict-item]
    with pytest.raises(EntryError, match="half is a float"):
        log.write([Ready(draft(6, "run:new")), Ready(bad)])
    assert log.size == 5
    assert list(log.stream("run:new")) == []
    (receipt,) = log.write([Ready(draft(6, "run:new"))])
    assert (receipt.index, receipt.sequence) == (5, 0)


def test_a_writer_that_finds_another_one_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mohist.ledger.log.BUSY_TIMEOUT_S", 0.01)
    place = File(tmp_path / "log.db")
    log = grown(place, 5)
    other = sqlite3.connect(place.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerBusyError, match="Another process"):
        log.write([Ready(draft(6))])
    other.execute("ROLLBACK")
    other.close()
    assert log.write([Ready(draft(6))])[0].index == 5


def test_another_writer_of_a_database_finds_that_one_leads(base: Base) -> None:
    log, other = grown(base, 5), base.log()
    with pytest.raises(LedgerBusyError, match="Another process"):
        other.write([Ready(draft(6))])
    log.close()
    assert other.write([Ready(draft(6))])[0].index == 5
    other.close()


def test_a_log_of_another_name_or_with_a_damaged_edge_is_not_opened(place: Place) -> None:
    grown(place, 5).close()
    with pytest.raises(LedgerError, match=r"is of log\.example/test, not of other"):
        place.log("other.example/log")
    place.attack(f"UPDATE {'head' if isinstance(place, Base) else 'edge'} SET hashes = x'00'")
    with pytest.raises(SealedError, match="damaged right edge"):
        place.log()


def test_a_log_needs_a_name_without_spaces(tmp_path: Path, running_postgres: Postgres) -> None:
    with pytest.raises(LedgerError, match="can't be named"):
        File(tmp_path / "new.db").log("two words")
    with pytest.raises(LedgerError, match="can't be named"):
        Base(Address(running_postgres.url(running_postgres.new_database()))).log("two words")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entry SET leaf = x'7b' WHERE position = 300", "not what it was"),
        ("UPDATE tile SET hashes = x'00' WHERE position = 0", "not what it was"),
        ("DELETE FROM entry WHERE position = 300", "Entry 300 .* is missing"),
        ("UPDATE entry SET sequence = 77777 WHERE position = 5", "not kept in its stream's place"),
        ("UPDATE stream SET name = 'run:z' WHERE name = 'run:1'", "not kept in its stream's place"),
        ("DELETE FROM entry WHERE position = 519", "are not what they were"),
    ],
)
def test_what_is_changed_past_the_database_is_found_by_hashing_it_again(
    place: Place, statement: str, said: str
) -> None:
    grown(place, 520).close()
    place.attack(statement)
    log = place.log(read_only=True)
    with pytest.raises(SealedError, match=said):
        log.scrub()
    log.close()


@pytest.mark.parametrize("statement", ["DELETE FROM entry WHERE position = 519", "DELETE FROM fold WHERE position = 1"])
def test_a_right_edge_that_lacks_something_is_found_when_it_is_built_anew(place: Place, statement: str) -> None:
    grown(place, 520).close()
    place.attack(statement)
    log = place.log(read_only=True)
    with pytest.raises(SealedError, match=r"right edge|lacks part"):
        log.recompute()
    log.close()


def test_both_kinds_make_the_same_log_of_the_same_drafts(tmp_path: Path, base: Base) -> None:
    one, other = grown(File(tmp_path / "log.db"), 3 * WIDTH + 5), grown(base, 3 * WIDTH + 5)
    assert list(one.leaves(0, one.size)) == list(other.leaves(0, other.size))
    assert one.root(one.size) == other.root(other.size)
    assert [one.tile(0, 2), one.tile(0, 3), one.tile(1, 0)] == [other.tile(0, 2), other.tile(0, 3), other.tile(1, 0)]
    assert list(one.stream("run:2")) == list(other.stream("run:2"))
    one.close()
    other.close()


def test_a_bundle_of_each_kind_holds(place: Place, tmp_path: Path) -> None:
    log, key = grown(place, WIDTH + 40), Ed25519PrivateKey.generate()
    plain = note.Checkpoint(ORIGIN, log.size, log.root(log.size))
    signed = note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, key),))
    export(log, tmp_path / "bundle", signed)
    export(log, tmp_path / "one", signed, streams=["run:1"])
    public = str(note.VerifierKey(ORIGIN, note.ED25519, key.public_key().public_bytes_raw()))
    assert verify(tmp_path / "bundle", public).holds
    assert verify(tmp_path / "one", public, streams=("run:1",)).size == log.size
