"""Which checkpoint a proof is made against, and how large it gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_world import World

from mohist.ledger import ProofError, note
from mohist.ledger.log import Log
from mohist.ledger.notary import Archive
from mohist.ledger.proof import CANDIDATES, Proof, best

SIZE = 1500


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def log(world: World) -> Log:
    return world.log("log", [world.draft(number) for number in range(SIZE)])


def unsigned_by_witness(world: World, log: Log, size: int) -> note.SignedCheckpoint:
    signed = world.signed(log, size)
    return note.SignedCheckpoint(signed.checkpoint, signed.signatures[:1])


def chosen(world: World, log: Log, index: int, checkpoints: list[note.SignedCheckpoint], quorum: int = 1) -> Proof:
    proof = best(index, checkpoints, log.inclusion, [world.witness_key], quorum)
    assert proof is not None
    proof.verify(next(log.leaves(index, index + 1)))
    assert Proof.parse(str(proof)) == proof
    return proof


def test_a_proof_is_made_against_a_checkpoint_soon_after_its_entry_and_is_shorter_by_it(world: World, log: Log) -> None:
    checkpoints = [world.signed(log, size) for size in range(100, SIZE + 1, 100)]
    soon = chosen(world, log, 640, checkpoints)
    late = chosen(world, log, 640, checkpoints[-1:])
    assert soon.checkpoint.checkpoint.size == 700
    assert len(soon.path) < len(late.path)
    assert len(str(soon)) < len(str(late))


def test_nothing_proves_an_entry_that_no_checkpoint_covers(world: World, log: Log) -> None:
    checkpoints = [world.signed(log, 100), world.signed(log, 200)]
    assert best(200, checkpoints, log.inclusion) is None
    assert chosen(world, log, 199, checkpoints).checkpoint.checkpoint.size == 200


def test_a_witnessed_checkpoint_is_taken_before_a_shorter_proof(world: World, log: Log) -> None:
    checkpoints = [unsigned_by_witness(world, log, 700), world.signed(log, SIZE)]
    assert chosen(world, log, 699, checkpoints).checkpoint.checkpoint.size == SIZE
    # Where nobody is believed, cosignatures count for nothing.
    assert chosen(world, log, 699, checkpoints, quorum=0).checkpoint.checkpoint.size == 700


def test_a_false_cosignature_is_not_handed_on(world: World, log: Log) -> None:
    honest, other = world.signed(log, 700), world.signed(log, 800)
    forged = note.SignedCheckpoint(honest.checkpoint, (honest.signatures[0], other.signatures[1]))
    with pytest.raises(ProofError, match="false signature"):
        best(640, [forged], log.inclusion, [world.witness_key], 1)


def test_proofs_of_a_log_that_is_signed_as_it_grows_keep_to_half_the_hashes(world: World, log: Log) -> None:
    checkpoints = [world.signed(log, size) for size in range(10, SIZE + 1, 10)]
    lengths = []
    for index in range(0, SIZE, 7):
        near = [one for one in checkpoints if one.checkpoint.size > index][:CANDIDATES]
        lengths.append(len(chosen(world, log, index, near).path))
    full = [len(log.inclusion(index, SIZE)) for index in range(0, SIZE, 7)]
    assert sum(lengths) < 0.75 * sum(full)
    assert max(lengths) <= max(full)


def test_the_archive_names_the_first_checkpoints_that_cover_an_entry_and_the_newest(
    world: World, log: Log, tmp_path: Path
) -> None:
    archive = Archive(tmp_path / "checkpoints.db")
    for size in (100, 200, 300, 400, 500):
        archive.keep(world.signed(log, size), 1.0)
    sizes = sorted(one.checkpoint.size for one in archive.covering(200, 2))
    assert sizes == [300, 400, 500]
    assert [one.checkpoint.size for one in archive.covering(499, 2)] == [500]
    assert archive.covering(500, 2) == []
    archive.close()
