"""How entries lie in the file, and that they come back byte for byte."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from golden_ledger import GOLDEN, ORIGIN, load
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import World

from mohist.ledger import Draft, LedgerError, SealedError, decode
from mohist.ledger.log import Log, Ready
from mohist.ledger.pack import Packing, UnpackError


@given(st.binary(max_size=400).map(lambda data: b"{" + data))
def test_what_is_packed_comes_back_byte_for_byte(leaf: bytes) -> None:
    packing = Packing()
    assert Packing().unpack(packing.pack(leaf)) == leaf
    assert len(packing.pack(leaf)) <= len(leaf)


@pytest.mark.parametrize("length", [1, 255, 256, 257, 16_384, 65_535])
def test_entries_of_every_length_come_back(length: int) -> None:
    packing, chance = Packing(), random.Random(length)
    for leaf in (b"{" + b"x" * (length - 1), b"{" + chance.randbytes(length - 1)):
        assert packing.unpack(packing.pack(leaf)) == leaf


def test_what_was_not_packed_is_never_a_leaf_or_a_crash() -> None:
    packing, chance = Packing(), random.Random(3)
    leaf = b'{"actor":"key:abc","data":{"model":"m","region":"eu"},"kind":"model.intent","stream":"session:1","v":1}'
    packed = packing.pack(leaf)
    for _ in range(2000):
        broken = bytearray(packed[: chance.randint(1, len(packed))])
        broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            packing.unpack(bytes(broken))
        except UnpackError:
            continue
    for nothing in (b"", None, 7, "{}", b"\x01", b"\x09" + packed[1:]):
        with pytest.raises(UnpackError):
            packing.unpack(nothing)


def test_a_frame_that_claims_gigabytes_is_refused_before_they_are_asked_for() -> None:
    # Single segment, length in eight bytes: 2^40.
    with pytest.raises(UnpackError, match="longer than an entry may be"):
        Packing().unpack(b"\x01" + bytes([0b1110_0000]) + (1 << 40).to_bytes(8, "little") + bytes(8))


def test_entries_take_less_room_in_the_file_than_they_have_bytes(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(600)])
    entries_bytes = sum(map(len, log.leaves(0, 600)))
    log.close()
    with sqlite3.connect(log.path) as database:
        (stored_bytes,) = database.execute("SELECT sum(length(leaf)) FROM entry").fetchone()
    database.close()
    assert stored_bytes < 0.6 * entries_bytes


def test_a_log_of_the_first_schema_is_gone_on_with_packed_and_closed_to_earlier_versions(tmp_path: Path) -> None:
    load(GOLDEN / "schema-1", tmp_path)
    with sqlite3.connect(tmp_path / "log.db") as database:
        plain = [leaf for (leaf,) in database.execute("SELECT leaf FROM entry ORDER BY position")]
    reader = Log(tmp_path / "log.db", read_only=True)
    assert list(reader.leaves(0, reader.size)) == plain
    reader.close()
    log = Log(tmp_path / "log.db", ORIGIN)
    log.write([Ready(Draft("heartbeat", "heartbeat", "system:notary"), at_us=1_790_001_000_000_000)])
    assert list(log.leaves(0, len(plain))) == plain
    assert decode(next(log.leaves(len(plain), len(plain) + 1)))["kind"] == "heartbeat"
    log.scrub()
    log.close()
    rows = database.execute("SELECT substr(leaf, 1, 1) FROM entry ORDER BY position").fetchall()
    assert {row[0] for row in rows} == {b"{", b"\x01"}
    assert database.execute("SELECT value FROM about WHERE name = 'schema'").fetchone() == ("2",)
    database.execute("UPDATE about SET value = '3' WHERE name = 'schema'")
    database.commit()
    database.close()
    with pytest.raises(LedgerError, match="has schema 3"):
        Log(tmp_path / "log.db", ORIGIN)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE entry SET leaf = x'01' WHERE position = 3", "Entry 3 .* is not what it was"),
        ("UPDATE entry SET leaf = x'7b7d' WHERE position = 3", "not what it was"),
        ("UPDATE entry SET sequence = 90 WHERE position = 3", "Entry 3 .* not kept in its stream's place"),
        ("UPDATE entry SET stream = 3, sequence = 80 WHERE position = 3", "Entry 3 .* not kept in its stream's place"),
    ],
)
def test_what_lies_in_the_file_otherwise_than_it_was_entered_is_named(tmp_path: Path, damage: str, said: str) -> None:
    world = World(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(20)])
    log.close()
    with sqlite3.connect(log.path) as database:
        database.execute("DROP TRIGGER entry_stays")
        database.execute(damage)
    database.close()
    opened = Log(log.path, read_only=True)
    with pytest.raises(SealedError, match=said):
        opened.scrub()
    opened.close()
