"""Checkpoints signed and witnessed, and every way to rewrite a log that its owner has, tried."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_place import ORIGIN, Place

from fakes.witness import FakeWitness, running
from mohist.ledger import Draft, SealedError, note
from mohist.ledger.log import Log, Ready
from mohist.ledger.notary import Archive, Notary, examine
from mohist.ledger.signer import Signer

pytestmark = pytest.mark.enable_socket


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class World:
    """A log that is signed and witnessed, and everything to rewrite it with."""

    home: Path
    place: Place
    witness: FakeWitness
    key: Ed25519PrivateKey
    clock: Clock
    alarms: list[SealedError] = field(default_factory=list)

    @property
    def log_key(self) -> note.VerifierKey:
        return note.VerifierKey(ORIGIN, note.ED25519, self.key.public_key().public_bytes_raw())

    def write(self, count: int, salt: int = 0) -> None:
        log = self.place.log()
        log.write([entry(log.size + number + salt) for number in range(count)])
        log.close()

    def rewrite(self, size: int, changed: int) -> None:
        """Another log in the place of this one: the owner's own entries from `changed` on."""
        self.place.clear()
        log = self.place.log()
        log.write([entry(number if number < changed else -number) for number in range(size)])
        log.close()

    def notary(self, *, quorum: int = 1) -> Notary:
        return Notary(
            self.place.log(read_only=True),
            Archive(self.home / "checkpoints.db"),
            Signer(ORIGIN, self.key, self.home / "memory"),
            [self.witness.client()] if quorum else [],
            quorum=quorum,
            alarm=self.alarms.append,
            clock=self.clock,
        )

    def forget(self) -> None:
        """The owner throws away what its own machines remember."""
        (self.home / "memory").unlink()
        for file in self.home.glob("checkpoints.db*"):
            file.unlink()

    def examined(self) -> list[str]:
        log, archive = self.place.log(read_only=True), Archive(self.home / "checkpoints.db")
        client = self.witness.client()
        try:
            return examine(log, archive, self.log_key, [client])
        finally:
            client.close()
            archive.close()
            log.close()


def entry(number: int) -> Ready:
    return Ready(Draft("heartbeat", "log", "system:x", data={"n": number}), at_us=1_790_000_000_000_000)


@pytest.fixture
def world(place: Place, tmp_path: Path) -> Iterator[World]:
    key, clock = Ed25519PrivateKey.generate(), Clock()
    log_key = note.VerifierKey(ORIGIN, note.ED25519, key.public_key().public_bytes_raw())
    with running(FakeWitness(log_key, clock)) as witness:
        yield World(tmp_path, place, witness, key, clock)


def test_a_checkpoint_bears_both_signatures_and_is_kept(world: World) -> None:
    world.write(30)
    notary = world.notary()
    signed = notary.checkpoint()
    assert signed.checkpoint.size == 30
    assert signed.signed_by(world.log_key)
    assert signed.witnessed_by(world.witness.verifier_key) == int(world.clock())
    world.write(30)
    assert notary.checkpoint().checkpoint.size == 60
    notary.close()
    archive = Archive(world.home / "checkpoints.db")
    assert [one.checkpoint.size for one in archive.every(1000)] == [30, 60]
    assert [one.witnessed_by(world.witness.verifier_key) for one in archive.every(1000)] == [int(world.clock())] * 2
    archive.close()
    assert world.examined() == []


def test_a_silent_log_is_still_cosigned_now_and_then(world: World) -> None:
    world.write(30)
    notary = world.notary()
    first = notary.checkpoint()
    world.clock.now_s += 60
    again = notary.checkpoint()
    assert again.checkpoint == first.checkpoint
    assert again.witnessed_by(world.witness.verifier_key) == int(world.clock())
    notary.close()


def test_how_long_nobody_else_has_seen_the_newest_entries_is_known(world: World) -> None:
    world.write(30)
    notary = world.notary()
    assert notary.standing().unwitnessed_s == 0.0
    notary.checkpoint()
    assert notary.standing().unwitnessed_s is None
    world.witness.status = 503
    world.write(5)
    notary.checkpoint()
    world.clock.now_s += 45
    standing = notary.standing()
    assert (standing.size, standing.signed_size, standing.witnessed) == (35, 35, {world.witness.name: 30})
    assert standing.unwitnessed_s == 45
    world.witness.status = 0
    notary.checkpoint()
    assert notary.standing().unwitnessed_s is None
    notary.close()


def test_a_witness_that_knows_more_than_we_remember_is_asked_again_from_there(world: World) -> None:
    world.write(30)
    first = world.notary()
    first.checkpoint()
    first.close()
    archive = Archive(world.home / "checkpoints.db")
    archive.saw(world.witness.name, 7, 0)
    archive.close()
    world.write(5)
    notary = world.notary()
    asked = world.witness.asked
    assert notary.checkpoint().witnessed_by(world.witness.verifier_key) is not None
    assert world.witness.asked == asked + 2
    notary.close()


def test_a_signature_that_was_lost_in_a_crash_is_asked_for_again(world: World) -> None:
    world.write(30)
    signer = Signer(ORIGIN, world.key, world.home / "memory")
    log = world.place.log(read_only=True)
    signer.sign(note.Checkpoint(ORIGIN, 20, log.root(20)), 0, [])
    log.close()

    class Remote:
        def sign(self, checkpoint: note.Checkpoint, old: int, proof: list[bytes]) -> note.Signature:
            return signer.sign(checkpoint, old, proof)

        def last_size(self) -> int:
            return signer.last.size if signer.last else 0

    notary = Notary(
        world.place.log(read_only=True),
        Archive(world.home / "checkpoints.db"),
        Remote(),  # type: ignore[arg-type]
        alarm=world.alarms.append,
    )
    assert notary.checkpoint().checkpoint.size == 30
    notary.close()


@pytest.mark.parametrize(("size", "changed"), [(60, 10), (60, 59), (80, 10), (60, 0), (50, 50), (59, 59)])
def test_an_owner_who_rewrites_everything_on_its_own_machines_is_stopped_by_the_witness(
    world: World, size: int, changed: int
) -> None:
    world.write(60)
    notary = world.notary()
    notary.checkpoint()
    notary.close()
    world.forget()
    world.rewrite(size, changed)
    with pytest.raises(SealedError, match=r"has 5\d entries; one with 60|are not those"):
        world.examined()
    notary = world.notary()
    with pytest.raises(SealedError, match=r"contradicts what it cosigned|has seen 60 entries"):
        notary.checkpoint()
    assert len(world.alarms) == 1
    notary.close()


@pytest.mark.parametrize(("size", "changed"), [(60, 10), (80, 59), (50, 50)])
def test_the_signer_alone_already_stops_who_has_only_the_log(world: World, size: int, changed: int) -> None:
    world.write(60)
    notary = world.notary(quorum=0)
    notary.checkpoint()
    notary.close()
    world.rewrite(size, changed)
    notary = world.notary(quorum=0)
    with pytest.raises(SealedError, match=r"past was changed|end is missing"):
        notary.checkpoint()
    notary.close()


def test_an_old_backup_is_noticed_before_anything_is_added(world: World) -> None:
    world.write(60)
    notary = world.notary()
    notary.checkpoint()
    notary.close()
    world.place.backup()
    shutil.copytree(world.home, world.home.with_name(f"{world.home.name}-backup"))
    world.write(10)
    notary = world.notary()
    notary.checkpoint()
    notary.close()
    shutil.rmtree(world.home)
    shutil.copytree(world.home.with_name(f"{world.home.name}-backup"), world.home)
    world.place.restore()
    with pytest.raises(SealedError, match="has 60 entries; one with 70 was cosigned"):
        world.examined()


def test_a_log_can_not_be_shown_to_two_auditors_in_two_ways(world: World) -> None:
    world.write(60)
    notary = world.notary()
    one = notary.checkpoint()
    notary.close()
    world.forget()
    world.rewrite(60, 30)
    log = world.place.log(read_only=True)
    plain = note.Checkpoint(ORIGIN, 60, log.root(60))
    log.close()
    other = note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, world.key),))
    client = world.witness.client()
    with pytest.raises(SealedError, match="contradicts"):
        client.cosign(other, 60, [])
    client.close()
    assert one.witnessed_by(world.witness.verifier_key) is not None
    assert other.witnessed_by(world.witness.verifier_key) is None


def test_a_witness_that_can_not_be_asked_is_said_and_stops_nothing(world: World) -> None:
    world.write(30)
    world.witness.status = 500
    notary = world.notary()
    assert notary.checkpoint().witnessed_by(world.witness.verifier_key) is None
    notary.close()
    world.witness.url = "http://127.0.0.1:9"
    (said,) = world.examined()
    assert "can't be reached" in said


def test_it_goes_on_by_itself_until_it_is_closed(world: World) -> None:
    world.write(30)
    notary = world.notary()
    done = threading.Event()
    keep = Archive.saw

    class Told(Archive):
        def saw(self, witness: str, size: int, at_s: float) -> None:
            keep(self, witness, size, at_s)
            done.set()

    notary._archive.__class__ = Told
    notary.start(interval_s=0.01)
    assert done.wait(60)
    world.write(3)
    notary.close()
    assert world.witness.newest is not None
    assert world.witness.newest.checkpoint.size == 33


def test_while_nothing_comes_that_is_entered_and_witnessed_too(world: World) -> None:
    class Hasty(Clock):
        """Each look at it takes a minute."""

        def __call__(self) -> float:
            self.now_s += 60
            return self.now_s

    world.write(3)
    world.clock = Hasty()
    notary = world.notary()
    notary.checkpoint()
    beats: list[int] = []
    twice = threading.Event()

    def beat() -> None:
        assert world.witness.newest is not None
        if len(beats) < 2:
            beats.append(world.witness.newest.checkpoint.size)
            world.write(1)
        else:
            twice.set()

    notary.start(interval_s=0.01, heartbeat_s=60, beat=beat)
    assert twice.wait(60)
    notary.close()
    assert beats == [3, 4]
    assert world.witness.newest is not None
    assert world.witness.newest.checkpoint.size == 5


def test_nothing_is_entered_for_silence_while_entries_come(world: World) -> None:
    world.write(3)
    notary = world.notary()
    beats: list[int] = []
    signed = threading.Event()
    keep = Archive.saw

    class Told(Archive):
        def saw(self, witness: str, size: int, at_s: float) -> None:
            keep(self, witness, size, at_s)
            signed.set()

    notary._archive.__class__ = Told
    notary.start(interval_s=0.01, heartbeat_s=60, beat=lambda: beats.append(1))
    assert signed.wait(60)
    notary.close()
    assert beats == []


def test_a_flipped_bit_in_the_file_is_found_by_hashing_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    written = Log(path, ORIGIN)
    written.write([entry(number) for number in range(600)])
    written.close()
    data = path.read_bytes()
    with sqlite3.connect(path) as file:
        stored = [leaf for (leaf,) in file.execute("SELECT leaf FROM entry ORDER BY position")]
    file.close()
    for index in (77, 300, 599):
        changed = bytearray(data)
        # A letter of its stream's name, past what the frame says of itself.
        changed[data.index(stored[index]) + len(stored[index]) // 2] ^= 4
        path.write_bytes(changed)
        log = Log(path, read_only=True)
        with pytest.raises(SealedError, match="not what"):
            log.scrub()
        log.close()
    path.write_bytes(data)
    log = Log(path, read_only=True)
    seen: list[tuple[int, int]] = []
    log.scrub(lambda done, total: seen.append((done, total)))
    assert seen == [(256, 600), (512, 600)]
    log.close()
