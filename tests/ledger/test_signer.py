"""The signer: signs what goes on from its past, in its own process's memory, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import Draft, LedgerBusyError, LedgerError, ProofError, SealedError, note
from mohist.ledger.log import Log, Ready
from mohist.ledger.signer import RemoteSigner, Signer, SignerServer
from mohist.ledger.tree import EMPTY_ROOT

ORIGIN = "log.example/test"


def grown(path: Path, size: int, salt: int = 0) -> Log:
    log = Log(path, ORIGIN)
    log.write([Ready(Draft("heartbeat", "log", "system:x", data={"n": n + salt}), at_us=1) for n in range(size)])
    return log


def at(log: Log, size: int) -> note.Checkpoint:
    return note.Checkpoint(ORIGIN, size, log.root(size))


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def test_it_signs_what_goes_on_and_remembers_over_a_restart(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    log = grown(tmp_path / "log.db", 40)
    signer = Signer(ORIGIN, key, tmp_path / "memory")
    first = signer.sign(at(log, 10), 0, [])
    assert note.SignedCheckpoint(at(log, 10), (first,)).signed_by(signer.verifier_key)
    again = Signer(ORIGIN, key, tmp_path / "memory")
    assert again.last == at(log, 10)
    again.sign(at(log, 40), 10, log.consistency(10, 40))
    assert again.sign(at(log, 40), 40, []) is not None


def test_it_refuses_every_other_past(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    log, other = grown(tmp_path / "log.db", 40), grown(tmp_path / "other.db", 40, salt=1)
    signer = Signer(ORIGIN, key, tmp_path / "memory")
    signer.sign(at(log, 20), 0, [])
    with pytest.raises(ProofError, match="past was changed"):
        signer.sign(at(other, 40), 20, other.consistency(20, 40))
    with pytest.raises(ProofError, match="past was changed"):
        signer.sign(at(other, 20), 20, [])
    with pytest.raises(ProofError, match="cut off"):
        signer.sign(at(log, 10), 20, [])
    with pytest.raises(ProofError, match="can't be followed"):
        signer.sign(at(log, 40), 20, [])
    with pytest.raises(LedgerBusyError, match="last is 20, not 0"):
        signer.sign(at(other, 40), 0, [])
    with pytest.raises(ProofError, match="not for"):
        signer.sign(note.Checkpoint("other.example", 21, bytes(32)), 20, [])
    assert signer.last == at(log, 20)


def test_it_does_not_begin_anew_where_its_memory_is_damaged_or_foreign(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    log = grown(tmp_path / "log.db", 40)
    memory = tmp_path / "memory"
    Signer(ORIGIN, key, memory).sign(at(log, 20), 0, [])
    text = memory.read_text("utf-8")
    for changed in (text.replace("\n20\n", "\n10\n"), text[:50], ""):
        memory.write_text(changed, encoding="utf-8")
        with pytest.raises(LedgerError, match="is damaged"):
            Signer(ORIGIN, key, memory)
    memory.write_text(text, encoding="utf-8")
    with pytest.raises(LedgerError, match="not of"):
        Signer(ORIGIN, Ed25519PrivateKey.generate(), memory)
    assert memory.stat().st_mode & 0o777 == 0o600


def test_what_it_can_not_remember_it_does_not_sign(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    log = grown(tmp_path / "log.db", 40)
    (tmp_path / "gone").mkdir()
    signer = Signer(ORIGIN, key, tmp_path / "gone" / "memory")
    (tmp_path / "gone").rmdir()
    with pytest.raises(LedgerError, match="can't remember"):
        signer.sign(at(log, 20), 0, [])
    assert signer.last is None


@pytest.fixture
def remote(tmp_path: Path, key: Ed25519PrivateKey) -> Iterator[tuple[RemoteSigner, list[str]]]:
    told: list[str] = []
    signer = Signer(ORIGIN, key, tmp_path / "memory")
    with SignerServer(tmp_path / "s", signer, told.append) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield RemoteSigner(tmp_path / "s"), told
        server.shutdown()
        thread.join()


def test_over_its_socket_it_does_the_same(
    tmp_path: Path, key: Ed25519PrivateKey, remote: tuple[RemoteSigner, list[str]]
) -> None:
    signer, told = remote
    log, other = grown(tmp_path / "log.db", 40), grown(tmp_path / "other.db", 40, salt=1)
    assert signer.last_size() == 0
    line = signer.sign(at(log, 20), 0, [])
    verifier_key = note.VerifierKey(ORIGIN, note.ED25519, key.public_key().public_bytes_raw())
    assert note.SignedCheckpoint(at(log, 20), (line,)).signed_by(verifier_key)
    assert signer.last_size() == 20
    with pytest.raises(LedgerBusyError, match="20"):
        signer.sign(at(log, 40), 0, [])
    with pytest.raises(SealedError, match="past was changed"):
        signer.sign(at(other, 40), 20, other.consistency(20, 40))
    assert len(told) == 1
    signer.sign(at(log, 40), 20, log.consistency(20, 40))
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SealedError, match="refused"):
        signer.sign(note.Checkpoint(ORIGIN, 0, EMPTY_ROOT), 40, [])


def test_a_signer_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not answer"):
        RemoteSigner(tmp_path / "nowhere").last_size()
