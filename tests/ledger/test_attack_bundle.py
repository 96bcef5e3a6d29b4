"""What can be done to a log on its way to an auditor, and by its owner before: each is found, and the first bad entry named."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_world import NOW_S, ORIGIN, World

from mohist.ledger import ProofError, note
from mohist.ledger.export import export
from mohist.ledger.log import Log, Ready
from mohist.ledger.proof import Proof
from mohist.ledger.signer import Signer
from mohist.ledger.tile import WIDTH
from mohist.ledger.verify import Verdict, verify

SIZE = 2 * WIDTH + 88
EARLIER = (256, 300)
BAD = 400
"""The entry that is attacked, in the second bundle of entries."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[Ready], Path]:
    world = World(tmp_path_factory.mktemp("attack"))
    entries = [world.draft(number) for number in range(SIZE)]
    log = world.log("log", entries)
    folder = world.bundle(log, "bundle", earlier=EARLIER)
    log.close()
    return world, entries, folder


def judged(world: World, folder: Path, *, policy: bool = True, skew_s: int = 300) -> Verdict:
    return verify(folder, str(world.log_key), policy_text=world.policy if policy else "", skew_s=skew_s)


def split(data: bytes) -> list[bytes]:
    parts = []
    while data:
        end = 2 + struct.unpack_from(">H", data)[0]
        parts.append(data[:end])
        data = data[end:]
    return parts


# On one file of the bundle, by whoever carries it. Entry 400 is number 144 of its file.
AT = BAD - WIDTH
CARRIER: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "flipped": (lambda e: [*e[:AT], e[AT][:-9] + bytes([e[AT][-9] ^ 1]) + e[AT][-8:], *e[AT + 1 :]], f"entry {BAD}"),
    "dropped": (lambda e: e[:AT] + e[AT + 1 :], f"entry {BAD}"),
    "put in": (lambda e: [*e[:AT], e[AT][:2] + b"x" * (len(e[AT]) - 2), *e[AT:]], f"entry {BAD}"),
    "swapped": (lambda e: [*e[:AT], e[AT + 1], e[AT], *e[AT + 2 :]], f"entry {BAD}"),
    "replayed": (lambda e: [*e[:AT], e[AT - 1], *e[AT:]], f"entry {BAD}"),
    "truncated": (lambda e: e[:AT], f"entry {BAD} in tile/entries/001"),
    "cut within": (lambda e: [*e[:-1], e[-1][:-1]], f"entry {2 * WIDTH - 1} in tile/entries/001"),
    "added at the end": (lambda e: [*e, e[0]], "tile/entries/001"),
}


@pytest.mark.parametrize("name", CARRIER)
def test_a_carrier_without_the_key_is_found_out_at_the_entry(
    made: tuple[World, list[Ready], Path], tmp_path: Path, name: str
) -> None:
    world, _, folder = made
    change, where = CARRIER[name]
    shutil.copytree(folder, tmp_path / "bundle")
    path = tmp_path / "bundle/tile/entries/001"
    path.write_bytes(b"".join(change(split(path.read_bytes()))))
    verdict = judged(world, tmp_path / "bundle", policy=False)
    assert (verdict.step, verdict.where) == ("tree", where)
    assert verdict.why


# On the whole log, by whoever can write it but not sign: everything fits but the signed root.
REBUILT: dict[str, Callable[[list[Ready]], list[Ready]]] = {
    "changed": lambda e: [*e[:BAD], replace(e[BAD], draft=replace(e[BAD].draft, data={})), *e[BAD + 1 :]],
    "dropped": lambda e: e[:BAD] + e[BAD + 1 :] + [replace(e[BAD], at_us=e[-1].at_us)],
    "put in": lambda e: [*e[:BAD], replace(e[BAD], draft=replace(e[BAD].draft, key="other")), *e[BAD:-1]],
    "swapped": lambda e: [*e[:BAD], e[BAD + 5], *e[BAD + 1 : BAD + 5], e[BAD], *e[BAD + 6 :]],
    "replayed": lambda e: [*e[:BAD], replace(e[BAD - 2], draft=replace(e[BAD - 2].draft, key="")), *e[BAD:-1]],
    "written anew": lambda e: e[:BAD] + [replace(one, draft=replace(one.draft, actor="key:x")) for one in e[BAD:]],
}


def rebuilt(world: World, entries: list[Ready], home: Path, checkpoint: bytes) -> Path:
    """The bundle of another log under the true one's checkpoints."""
    log = Log(home / "rebuilt.db", ORIGIN)
    log.write(entries)
    export(log, home / "rebuilt", world.signed(log, log.size))
    log.close()
    (home / "rebuilt/checkpoint").write_bytes(checkpoint)
    return home / "rebuilt"


@pytest.mark.parametrize("name", REBUILT)
def test_a_log_that_is_rebuilt_without_the_key_misses_its_root_and_says_from_where_on(
    made: tuple[World, list[Ready], Path], tmp_path: Path, name: str
) -> None:
    world, entries, folder = made
    other = rebuilt(world, REBUILT[name](entries), tmp_path, (folder / "checkpoint").read_bytes())
    shutil.copytree(folder / "checkpoints", other / "checkpoints")
    verdict = judged(world, other, policy=False)
    assert (verdict.step, verdict.where) == ("tree", "checkpoint")
    assert "from entry 300 on" in verdict.why
    assert not (set(verdict.steps) & {"tree", "history", "entries"})


def test_a_past_that_is_rebuilt_before_an_old_checkpoint_is_found_at_that_checkpoint(
    made: tuple[World, list[Ready], Path], tmp_path: Path
) -> None:
    world, entries, folder = made
    early = [*entries[:280], replace(entries[280], draft=replace(entries[280].draft, data={})), *entries[281:]]
    log = Log(tmp_path / "early.db", ORIGIN)
    log.write(early)
    export(log, tmp_path / "early", world.signed(log, SIZE))
    log.close()
    shutil.copytree(folder / "checkpoints", tmp_path / "early/checkpoints")
    verdict = judged(world, tmp_path / "early", policy=False)
    assert (verdict.step, verdict.where) == ("history", "checkpoints/300")
    assert "entries 256 to 299" in verdict.why


def test_the_end_that_was_cut_off_is_named_by_the_newer_checkpoint(
    made: tuple[World, list[Ready], Path], tmp_path: Path
) -> None:
    world, entries, folder = made
    log = Log(tmp_path / "short.db", ORIGIN)
    log.write(entries[:350])
    export(log, tmp_path / "short", world.signed(log, 350))
    log.close()
    (tmp_path / "short/checkpoints").mkdir()
    shutil.copy(folder / "checkpoint", tmp_path / "short/checkpoints/600")
    verdict = judged(world, tmp_path / "short", policy=False)
    assert (verdict.step, verdict.where) == ("history", "checkpoints/600")
    assert "its end was cut off" in verdict.why


@pytest.mark.parametrize("own_key", [True, False])
def test_the_last_entries_written_anew_and_signed_again_lack_the_witness_or_the_key(
    made: tuple[World, list[Ready], Path], tmp_path: Path, own_key: bool
) -> None:
    world, entries, _ = made
    stranger = World(tmp_path)
    signer = world if own_key else stranger
    log = Log(tmp_path / "anew.db", ORIGIN)
    log.write(REBUILT["written anew"](entries))
    plain = note.Checkpoint(ORIGIN, SIZE, log.root(SIZE))
    fake = note.cosign(plain, "witness.example/w1", stranger.witness, NOW_S + SIZE)
    export(
        log, tmp_path / "anew", note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, signer.key), fake)),
        earlier=[world.signed(log, 300)],
    )  # fmt: skip
    log.close()
    verdict = judged(world, tmp_path / "anew")
    assert verdict.step == ("witnesses" if own_key else "checkpoint")
    assert ("cosigned: none" if own_key else "bears no signature") in verdict.why


def test_of_two_histories_for_two_auditors_only_one_can_be_signed_and_witnessed(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.log("first", [world.draft(number) for number in range(40)])
    second = world.log("second", [world.draft(number, "other") for number in range(50)])
    signer = Signer(ORIGIN, world.key, tmp_path / "memory")
    one = note.Checkpoint(ORIGIN, 40, first.root(40))
    signer.sign(one, 0, [])
    for size in (40, 50):
        with pytest.raises(ProofError, match="not those that were signed"):
            signer.sign(note.Checkpoint(ORIGIN, size, second.root(size)), 40, second.consistency(40, size))
    # Who signs past the signer's memory still has one witness only; the second auditor sees that it is missing.
    plain = note.Checkpoint(ORIGIN, 50, second.root(50))
    export(second, tmp_path / "for-two", note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, world.key),)))
    verdict = judged(world, tmp_path / "for-two")
    assert (verdict.step, verdict.why) == (
        "witnesses",
        "the policy asks for w1; cosigned: none of its witnesses",
    )
    # And where the two compare, the first one's checkpoint does not fit the second one's log.
    export(second, tmp_path / "compared", note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, world.key),)),
           earlier=[note.SignedCheckpoint(one, (note.sign(one, ORIGIN, world.key),))])  # fmt: skip
    verdict = judged(world, tmp_path / "compared", policy=False)
    assert (verdict.step, verdict.where) == ("history", "checkpoints/40")
    first.close()
    second.close()


def dated(world: World, home: Path, shift_s: Callable[[int], int]) -> Path:
    entries = [
        replace(world.draft(number), at_us=(NOW_S + number + shift_s(number)) * 1_000_000) for number in range(100)
    ]
    log = Log(home / "dated.db", ORIGIN)
    log.write(entries)
    export(log, home / "dated", world.signed(log, 100))
    log.close()
    return home / "dated"


def test_an_entry_dated_back_is_named_without_any_witness(tmp_path: Path) -> None:
    world = World(tmp_path)
    folder = dated(world, tmp_path, lambda number: -4000 if number == 60 else 0)
    verdict = judged(world, folder, policy=False)
    assert (verdict.step, verdict.where) == ("time", "entry 60")
    assert "stands behind entry 59" in verdict.why
    assert "back-dated, or a clock was set back" in verdict.why
    assert judged(world, folder, policy=False, skew_s=4000).holds


def test_a_clock_that_is_set_back_is_named_at_the_first_entry_after_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    folder = dated(world, tmp_path, lambda number: -400 if number >= 70 else 0)
    verdict = judged(world, folder, policy=False)
    assert (verdict.step, verdict.where) == ("time", "entry 70")
    little = World(tmp_path / "little")
    little.home.mkdir()
    assert judged(little, dated(little, little.home, lambda number: -200 if number >= 70 else 0)).holds


def test_a_proof_holds_for_its_own_entry_at_its_own_place_only(made: tuple[World, list[Ready], Path]) -> None:
    world, entries, _ = made
    log = world.log("proved", entries)
    leaves = list(log.leaves(0, SIZE))
    proof = world.proof(log, BAD)
    log.close()
    assert len(str(proof).encode()) <= 1200
    read = Proof.parse(str(proof))
    read.verify(leaves[BAD])
    wrong = [
        (read, leaves[BAD + 1]),
        (replace(read, index=BAD + 1), leaves[BAD]),
        (replace(read, path=read.path[:-1]), leaves[BAD]),
        (replace(read, path=(*read.path, read.path[0])), leaves[BAD]),
        (replace(read, path=(read.path[1], read.path[0], *read.path[2:])), leaves[BAD]),
    ]
    for proved, leaf in wrong:
        with pytest.raises(ProofError):
            proved.verify(leaf)


def test_another_log_under_the_same_key_is_not_taken_for_this_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    other = Log(tmp_path / "other.db", "log.example/other")
    other.write([world.draft(0)])
    plain = note.Checkpoint(ORIGIN, 1, other.root(1))
    signed = note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, world.key),))
    export(other, tmp_path / "bundle", signed)
    other.close()
    verdict = judged(world, tmp_path / "bundle", policy=False)
    assert (verdict.step, verdict.where) == ("entries", "entry 0")
    assert "written for the log log.example/other" in verdict.why
