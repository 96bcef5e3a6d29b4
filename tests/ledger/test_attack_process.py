"""Kills, full disks, second writers, flipped bits, lost keys: what happens to the log on its own machine."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_world import ORIGIN, World

from mohist.ledger import Content, Draft, EntryError, ErasedError, LedgerError, SealedError, decode, note, tree
from mohist.ledger import share as sharing
from mohist.ledger.export import export
from mohist.ledger.log import Log, SealedContent
from mohist.ledger.notary import Archive, examine
from mohist.ledger.pack import Packing
from mohist.ledger.share import SharedLedger
from mohist.ledger.signer import Signer
from mohist.ledger.signing import key_of
from mohist.ledger.tile import WIDTH
from mohist.ledger.vault import Vault
from mohist.ledger.verify import verify
from mohist.ledger.writer import Writer

ROOT = bytes(range(32))
MEGABYTE = 1 << 20

KILLED = """
import sys
from pathlib import Path
from mohist.ledger import Draft
from mohist.ledger.log import Log, SealedContent
from mohist.ledger.writer import Writer

log = Log(Path(sys.argv[1]), "log.example/test")
writer, number = Writer(log), log.size
while True:
    waiting = [writer.submit(Draft("tool.result", "run:a", "model:m", data={"number": number + at})) for at in range(200)]
    for future in waiting:
        receipt = future.result()
        print(receipt.index, receipt.leaf.hex(), flush=True)
    number += 200
"""

FULL = """
import resource, sys
from pathlib import Path
from mohist.ledger import Draft, LedgerError
from mohist.ledger.log import Log, SealedContent
from mohist.ledger.writer import Writer

writer = Writer(Log(Path(sys.argv[1]), "log.example/test"))
def enter(number):
    return writer.append(Draft("tool.result", "run:a", "model:m", data={"number": number, "fill": "x" * 4000})).index
done = [enter(number) for number in range(20)]
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
refused = 0
for number in range(20, 120):
    try:
        done.append(enter(number))
    except LedgerError as error:
        refused += 1
        said = str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
done.append(enter(120))
writer.close()
print(refused, done == list(range(len(done))), len(done), said)
"""


def draft(number: int, *contents: Content) -> Draft:
    return Draft("tool.result", "run:a", "model:m", data={"number": number}, contents=contents)


def numbers(home: Path) -> list[int]:
    log = Log(home / "log.db", read_only=True)
    found = [decode(leaf)["data"]["number"] for leaf in log.leaves(0, log.size)]
    log.close()
    return found


def checked(path: Path) -> int:
    """The size of a log of which everything was hashed again."""
    log = Log(path)
    log.recompute()
    log.scrub()
    size = log.size
    log.close()
    return size


def test_a_kill_in_the_middle_of_commits_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    told: dict[int, str] = {}
    for lines in (1, 300, 1000):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "log.db")],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        for line in said:
            if line.endswith("\n"):
                index, leaf = line.split()
                assert int(index) not in told
                told[int(index)] = leaf
        assert checked(tmp_path / "log.db") > max(told)
    log = Log(tmp_path / "log.db", read_only=True)
    leaves = [tree.leaf_hash(leaf).hex() for leaf in log.leaves(0, log.size)]
    log.close()
    assert all(leaves[index] == leaf for index, leaf in told.items())
    assert numbers(tmp_path) == list(range(len(leaves)))


def test_a_full_disk_refuses_what_it_can_not_keep_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "log.db")],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    refused, in_order, kept, said = done.stdout.split(" ", 3)
    assert int(refused) > 0
    assert (in_order, int(refused) + int(kept)) == ("True", 121)
    assert "could not be written" in said
    assert checked(tmp_path / "log.db") == int(kept)


def test_an_export_onto_a_full_disk_leaves_no_checkpoint(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(600)])
    signed = world.signed(log, 600)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7000, before[1]))
    try:
        with pytest.raises(LedgerError, match="can't be written"):
            export(log, tmp_path / "bundle", signed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "bundle/checkpoint").exists()
    export(log, tmp_path / "bundle", signed)
    log.close()
    assert verify(tmp_path / "bundle", str(world.log_key), policy_text=world.policy).holds


def test_a_second_process_that_writes_past_the_first_can_not_fork_the_log(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.log("log", [world.draft(number) for number in range(5)])
    second = Log(first.path)
    second.write([world.draft(5, "second")])
    with pytest.raises(LedgerError, match="could not be written: UNIQUE"):
        first.write([world.draft(6, "first")])
    second.close()
    first.close()
    assert checked(first.path) == 6


def test_what_was_on_its_way_when_the_writer_died_stands_before_what_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (SharedLedger(tmp_path, lambda: Writer(Log(tmp_path / "log.db", ORIGIN))) for _ in range(2))
    first.append(draft(0))
    second.append(draft(1))
    taken = threading.Semaphore(0)
    # It takes them and enters none, as if it were killed in between.
    monkeypatch.setattr(sharing, "_into", lambda *_: taken.release())
    waiting = [second.submit(draft(number)) for number in (2, 3, 4)]
    for _ in waiting:
        assert taken.acquire(timeout=60)
    monkeypatch.undo()
    link = second._link
    assert link is not None
    # Whoever submits is quicker than the thread that notices that the link is gone.
    with second._guard:
        first.close()
        while not link._broken:
            threading.Event().wait(0.001)
        waiting.append(second.submit(draft(5)))
    assert [one.result(10).index for one in waiting] == [2, 3, 4, 5]
    second.close()
    assert numbers(tmp_path) == [0, 1, 2, 3, 4, 5]


def contents_of(path: Path) -> list[list[tuple[Any, ...]]]:
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as database:
        found = [
            list(database.execute(f"SELECT * FROM {table} ORDER BY 1, 2"))
            for table in ("tile", "fold", "edge", "entry")
        ]
    database.close()
    # A bit that packing has no use for changes nothing of what an entry says.
    packing = Packing()
    return [*found[:-1], [(*row[:-1], packing.unpack(row[-1])) for row in found[-1]]]


def test_every_flipped_bit_that_changes_the_log_is_found_by_hashing_it_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(2 * WIDTH + 50)])
    log.close()
    with sqlite3.connect(log.path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    honest, data = contents_of(log.path), log.path.read_bytes()
    chance, changed, silent = random.Random(7), 0, 0
    for _ in range(200):
        flipped = bytearray(data)
        at = chance.randrange(len(data))
        flipped[at] ^= 1 << chance.randrange(8)
        log.path.write_bytes(flipped)
        try:
            if contents_of(log.path) == honest:
                continue
        except (sqlite3.Error, UnicodeDecodeError, LedgerError):
            # What can't even be read has changed.
            pass
        changed += 1
        try:
            checked(log.path)
        except LedgerError:
            continue
        silent += 1
    assert changed > 80
    assert silent == 0


def test_a_lost_tail_of_the_journal_is_recognised_by_what_was_signed(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(30)])
    for number in range(30, 60):
        log.write([world.draft(number)])
    archive = Archive(tmp_path / "checkpoints.db")
    archive.keep(world.signed(log, 60), 0)
    (tmp_path / "torn").mkdir()
    shutil.copy(log.path, tmp_path / "torn/log.db")
    journal = (log.path.parent / "log.db-wal").read_bytes()
    log.close()
    (tmp_path / "torn/log.db-wal").write_bytes(journal[: len(journal) * 3 // 4])
    torn = Log(tmp_path / "torn/log.db")
    assert torn.size < 60
    with pytest.raises(SealedError, match="entries; one with 60 was signed"):
        examine(torn, archive, world.log_key)
    torn.close()
    archive.close()


def test_a_missing_tile_or_fold_in_the_database_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    for table in ("tile", "fold"):
        log = world.log(table, [world.draft(number) for number in range(3 * WIDTH)])
        log.close()
        with sqlite3.connect(log.path) as database:
            database.execute(f"DROP TRIGGER {table}_is_kept")
            database.execute(f"DELETE FROM {table} WHERE position = 1")
        database.close()
        log = Log(log.path)
        with pytest.raises(SealedError, match="entries 256 to 511"):
            log.scrub()
        log.close()


def test_a_signer_that_lost_its_key_signs_nothing_under_another(tmp_path: Path) -> None:
    world = World(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(10)])
    plain = note.Checkpoint(ORIGIN, 10, log.root(10))
    log.close()
    (tmp_path / "signer").mkdir()
    Signer(ORIGIN, key_of(tmp_path / "signer", ORIGIN), tmp_path / "signer/memory").sign(plain, 0, [])
    public = (tmp_path / "signer/key.pub").read_bytes()
    (tmp_path / "signer/key").unlink()
    with pytest.raises(LedgerError, match="is gone"):
        key_of(tmp_path / "signer", ORIGIN)
    assert (tmp_path / "signer/key.pub").read_bytes() == public
    assert not (tmp_path / "signer/key").exists()
    with pytest.raises(LedgerError, match="under this key"):
        Signer(ORIGIN, Ed25519PrivateKey.generate(), tmp_path / "signer/memory")


def test_without_the_keys_the_contents_are_gone_and_the_log_still_holds(tmp_path: Path) -> None:
    vault, log = Vault(tmp_path / "keys.db", ROOT), Log(tmp_path / "log.db", ORIGIN)
    writer = Writer(log, vault)
    writer.append(draft(0, Content("prompt", "text/plain", b"what was asked", subject="person:a")))
    writer.close()
    vault.close()
    for path in tmp_path.glob("keys.db*"):
        path.unlink()
    vault, log = Vault(tmp_path / "keys.db", ROOT), Log(tmp_path / "log.db")
    digest = decode(next(log.leaves(0, 1)))["payload"][0]["digest"]
    world = World(tmp_path, start_s=0)
    signed = world.signed(log, 1, cosigned_s=2**33)
    # A lost key is not taken for an erased one: nobody may think that this was meant.
    with pytest.raises(LedgerError, match="not in this key file"):
        export(log, tmp_path / "bundle", signed, vault=vault, contents=[digest])
    assert not (tmp_path / "bundle/checkpoint").exists()
    export(log, tmp_path / "bundle", signed)
    assert verify(tmp_path / "bundle", str(world.log_key)).holds
    log.close()
    vault.close()


def opened_by(path: Path, root: bytes, sealed: SealedContent) -> None:
    vault = Vault(path, root)
    try:
        vault.key(sealed.sealed.key_id, sealed.wrapped_key)
    finally:
        vault.close()


def test_another_root_key_does_not_open_the_keys(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "keys.db", ROOT)
    sealed = vault.seal(Content("prompt", "text/plain", b"what was asked", subject="person:a"))
    vault.close()
    with pytest.raises(LedgerError) as refused:
        opened_by(tmp_path / "keys.db", bytes(32), sealed)
    assert not isinstance(refused.value, ErasedError)


def test_fifty_megabytes_are_refused_as_an_entry_and_kept_as_contents(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "keys.db", ROOT)
    first, second = (SharedLedger(tmp_path, lambda: Writer(Log(tmp_path / "log.db", ORIGIN), vault)) for _ in range(2))
    large = b"x" * (50 * MEGABYTE)
    with pytest.raises(EntryError, match="at most 16384"):
        first.append(Draft("tool.result", "run:a", "model:m", data={"fill": large.decode()}))
    assert first.append(draft(0, Content("diff", "text/plain", large))).index == 0
    # On the way from another process it grows by a third, and does not fit; what does fit is taken as before.
    with pytest.raises(EntryError, match="at most 67108864 are taken"):
        second.append(draft(1, Content("diff", "text/plain", large)))
    assert second.append(draft(1, Content("diff", "text/plain", large[: 40 * MEGABYTE]))).index == 1
    second.close()
    first.close()
    world, log = World(tmp_path, start_s=0), Log(tmp_path / "log.db")
    digest = decode(next(log.leaves(0, 1)))["payload"][0]["digest"]
    export(log, tmp_path / "bundle", world.signed(log, 2, cosigned_s=2**33), vault=vault, contents=[digest])
    log.close()
    vault.close()
    verdict = verify(tmp_path / "bundle", str(world.log_key))
    assert (verdict.holds, verdict.contents) == (True, 1)


@pytest.mark.parametrize("said", [struct.pack(">I", 0xFFFFFFFF), struct.pack(">I", 4) + b"nope", b"\x00"])
def test_a_frame_that_is_none_costs_its_sender_the_link_and_nobody_else(tmp_path: Path, said: bytes) -> None:
    first, second = (SharedLedger(tmp_path, lambda: Writer(Log(tmp_path / "log.db", ORIGIN))) for _ in range(2))
    first.append(draft(0))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(20)
        stranger.connect(str(tmp_path / "writer.sock"))
        stranger.sendall(said)
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(1) == b""
    assert second.append(draft(1)).index == 1
    second.close()
    first.close()


def test_an_erasure_during_an_export_shows_a_content_whole_or_not_at_all(tmp_path: Path) -> None:
    vault, log = Vault(tmp_path / "keys.db", ROOT), Log(tmp_path / "log.db", ORIGIN)
    writer = Writer(log, vault)
    writer.extend(
        [draft(n, Content("prompt", "text/plain", f"{n}".encode(), subject=f"person:{n}")) for n in range(60)]
    )
    world = World(tmp_path, start_s=0)
    digests = [decode(leaf)["payload"][0]["digest"] for leaf in log.leaves(0, 60)]
    begun = threading.Event()

    def erase() -> None:
        begun.wait(60)
        for number in reversed(range(30, 60)):
            vault.erase(f"person:{number}")

    eraser = threading.Thread(target=erase)
    eraser.start()

    def asked() -> list[str]:
        begun.set()
        return digests

    reader = Log(tmp_path / "log.db", read_only=True)
    signed = world.signed(reader, 60, cosigned_s=2**33)
    gone = export(reader, tmp_path / "bundle", signed, vault=vault, contents=(one for one in asked()))
    eraser.join()
    shown = {path.name for path in (tmp_path / "bundle/payload").glob("*") if not path.suffix}
    assert shown == set(digests) - set(gone)
    assert set(digests[:30]) <= shown
    verdict = verify(tmp_path / "bundle", str(world.log_key))
    assert (verdict.holds, verdict.contents) == (True, len(shown))
    # Once it is over, nothing of it is given out any more.
    assert set(export(reader, tmp_path / "later", signed, vault=vault, contents=digests)) == set(digests[30:])
    reader.close()
    writer.close()
    vault.close()
