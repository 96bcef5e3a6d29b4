"""Contents: sealed, opened, erased for good, and bound to what was entered."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from mohist.ledger import Content, Draft, ErasedError, LedgerError, ProofError, decode
from mohist.ledger.log import Log, SealedContent
from mohist.ledger.vault import Vault, commitment, quarter
from mohist.ledger.writer import Writer

TEXT = b"call me at the number that nobody may know"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


def opened(vault: Vault, content: SealedContent) -> bytes:
    return vault.open(content.sealed.key_id, content.wrapped_key, content.ciphertext, content.sealed.commitment)


@pytest.fixture
def root() -> bytes:
    return os.urandom(32)


def test_a_content_opens_again_also_after_a_restart(tmp_path: Path, root: bytes) -> None:
    vault = Vault(tmp_path / "keys.db", root)
    content = vault.seal(Content("prompt", "text/plain", TEXT, subject="person:1"))
    assert TEXT not in content.ciphertext
    assert opened(vault, content) == TEXT
    vault.close()
    again = Vault(tmp_path / "keys.db", root)
    assert opened(again, content) == TEXT
    again.close()


def test_the_same_content_twice_looks_different_each_time(tmp_path: Path, root: bytes) -> None:
    vault = Vault(tmp_path / "keys.db", root)
    first, second = (vault.seal(Content("prompt", "text/plain", TEXT)) for _ in range(2))
    assert first.sealed.key_id == second.sealed.key_id
    assert first.sealed.digest != second.sealed.digest
    assert first.sealed.commitment != second.sealed.commitment
    vault.close()


def test_an_erased_subject_is_gone_and_others_are_not(tmp_path: Path, root: bytes) -> None:
    clock = Clock()
    vault = Vault(tmp_path / "keys.db", root, clock)
    early = vault.seal(Content("prompt", "text/plain", TEXT, subject="person:1"))
    clock.now_s += 100 * 86_400
    late = vault.seal(Content("prompt", "text/plain", TEXT, subject="person:1"))
    other = vault.seal(Content("prompt", "text/plain", TEXT, subject="person:2"))
    assert early.sealed.key_id != late.sealed.key_id
    erasure = vault.erase("person:1")
    assert set(erasure.key_ids) == {early.sealed.key_id, late.sealed.key_id}
    for content in (early, late):
        with pytest.raises(ErasedError, match="was erased"):
            opened(vault, content)
    assert opened(vault, other) == TEXT
    assert vault.erase("person:1").key_ids == ()
    fresh = vault.seal(Content("prompt", "text/plain", TEXT, subject="person:1"))
    assert fresh.sealed.key_id not in erasure.key_ids
    assert opened(vault, fresh) == TEXT
    vault.close()


def test_no_byte_of_an_erased_key_is_left_in_the_file(tmp_path: Path, root: bytes) -> None:
    path = tmp_path / "keys.db"
    vault = Vault(path, root)
    for number in range(200):
        vault.seal(Content("prompt", "text/plain", TEXT, subject=f"person:{number}"))
    reader = sqlite3.connect(path)
    wrapped = dict(reader.execute("SELECT subject, wrapped FROM wrapping").fetchall())
    reader.close()
    assert wrapped["person:77"] in path.read_bytes()
    vault.erase("person:77")
    left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert wrapped["person:77"] not in left
    assert wrapped["person:78"] in left
    vault.close()


def test_a_new_root_key_makes_old_copies_of_the_file_worthless_to_it(tmp_path: Path, root: bytes) -> None:
    vault = Vault(tmp_path / "keys.db", root)
    content = vault.seal(Content("prompt", "text/plain", TEXT, subject="person:1"))
    other = os.urandom(32)
    vault.change_root(other)
    assert opened(vault, content) == TEXT
    vault.close()
    with pytest.raises(LedgerError, match="another root key"):
        Vault(tmp_path / "keys.db", root)
    again = Vault(tmp_path / "keys.db", other)
    assert opened(again, content) == TEXT
    again.close()
    with pytest.raises(LedgerError, match="32 bytes"):
        Vault(tmp_path / "keys.db", b"short")


def test_what_was_swapped_or_changed_does_not_open(tmp_path: Path, root: bytes) -> None:
    vault = Vault(tmp_path / "keys.db", root)
    one = vault.seal(Content("prompt", "text/plain", TEXT))
    two = vault.seal(Content("prompt", "text/plain", b"something else"))
    with pytest.raises(ProofError, match="can't be decrypted"):
        vault.open(one.sealed.key_id, one.wrapped_key, two.ciphertext, one.sealed.commitment)
    with pytest.raises(ProofError, match="not the one that its entry commits to"):
        vault.open(two.sealed.key_id, two.wrapped_key, two.ciphertext, one.sealed.commitment)
    with pytest.raises(LedgerError, match="does not fit"):
        vault.open(one.sealed.key_id, bytes(40), one.ciphertext, one.sealed.commitment)
    with pytest.raises(LedgerError, match="not in this key file"):
        vault.open("0" * 16, one.wrapped_key, one.ciphertext, one.sealed.commitment)
    vault.close()


def test_erasing_leaves_entries_and_their_proofs_as_they_were(tmp_path: Path, root: bytes) -> None:
    vault = Vault(tmp_path / "keys.db", root)
    writer = Writer(Log(tmp_path / "log.db", "log.example/test"), vault)
    content = Content("prompt", "text/plain", TEXT, subject="person:1")
    receipt = writer.append(Draft("model.intent", "run:a", "key:k", contents=(content,)))
    writer.close()
    log = Log(tmp_path / "log.db", read_only=True)
    (leaf,) = log.leaves(0, 1)
    (named,) = decode(leaf)["payload"]
    kept = log.payload(named["digest"])
    assert kept is not None
    kid, wrapped, ciphertext = kept
    assert ciphertext is not None
    assert vault.open(kid, wrapped, ciphertext, named["commitment"]) == TEXT
    root_before = log.root(1)
    vault.erase("person:1")
    assert (log.root(1), receipt.leaf) == (root_before, root_before)
    with pytest.raises(ErasedError):
        vault.open(kid, wrapped, ciphertext, named["commitment"])
    assert TEXT not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    log.close()
    vault.close()


def test_a_content_that_is_not_kept_is_committed_to(tmp_path: Path, root: bytes) -> None:
    vault = Vault(tmp_path / "keys.db", root)
    writer = Writer(Log(tmp_path / "log.db", "log.example/test"), vault)
    writer.append(
        Draft("model.intent", "run:a", "key:k", contents=(Content("request", "text/plain", TEXT, "p", False),))
    )
    writer.close()
    log = Log(tmp_path / "log.db", read_only=True)
    (named,) = decode(next(log.leaves(0, 1)))["payload"]
    assert "digest" not in named
    kept = log.payload(named["commitment"])
    assert kept is not None
    kid, wrapped, ciphertext = kept
    assert ciphertext is None
    assert commitment(vault.key(kid, wrapped), TEXT) == named["commitment"]
    assert commitment(vault.key(kid, wrapped), b"another") != named["commitment"]
    log.close()
    vault.close()


def test_quarters() -> None:
    assert [quarter(s) for s in (0, 7_775_999, 7_776_000, 31_535_999)] == ["1970Q1", "1970Q1", "1970Q2", "1970Q4"]
