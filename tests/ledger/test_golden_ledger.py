"""Ledgers that earlier versions wrote: read, verified and gone on with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from golden_ledger import EARLIER, ERASED, GOLDEN, NOW_S, ORIGIN, ROOT_KEY, SECRET, SIZE, load

from mohist.ledger import Draft, ErasedError, decode, note
from mohist.ledger.export import export
from mohist.ledger.log import Log, Ready
from mohist.ledger.notary import Archive, examine
from mohist.ledger.vault import Vault
from mohist.ledger.verify import verify


@pytest.fixture(params=sorted(path.name for path in GOLDEN.iterdir()))
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = GOLDEN / request.param
    load(folder, tmp_path)
    return folder


def log_key(golden: Path) -> note.VerifierKey:
    return note.VerifierKey.parse((golden / "key.pub").read_text(encoding="utf-8"))


def test_an_earlier_log_is_opened_examined_hashed_and_gone_on_with(golden: Path, tmp_path: Path) -> None:
    log, archive = Log(tmp_path / "log.db", ORIGIN), Archive(tmp_path / "checkpoints.db")
    assert examine(log, archive, log_key(golden)) == []
    log.scrub()
    assert [one.checkpoint.size for one in archive.every(SIZE)] == [EARLIER, SIZE]
    # The same key is the same entry still, and a stream goes on from where it was.
    again = Draft("tool.intent", "run:0", "model:m", data={"n": 0}, key="c0")
    assert log.write([Ready(again)])[0].index == 0
    (receipt,) = log.write([Ready(Draft("tool.intent", "run:0", "model:m"), at_us=(NOW_S + SIZE) * 1_000_000)])
    assert (receipt.index, receipt.sequence) == (SIZE, SIZE // 3)
    log.recompute()
    log.scrub()
    log.close()
    archive.close()


def test_earlier_contents_are_opened_and_erased_ones_stay_erased(golden: Path, tmp_path: Path) -> None:
    log, vault = Log(tmp_path / "log.db", ORIGIN), Vault(tmp_path / "keys.db", ROOT_KEY)
    for leaf, said in zip(log.leaves(0, 2), (SECRET, ERASED), strict=True):
        (named,) = decode(leaf)["payload"]
        kept = log.payload(named["digest"])
        assert kept is not None
        assert kept[2] is not None
        if said == ERASED:
            with pytest.raises(ErasedError):
                vault.key(kept[0], kept[1])
        else:
            assert vault.open(kept[0], kept[1], kept[2], named["commitment"]) == said.encode()
    vault.close()
    log.close()


def test_an_earlier_bundle_holds_by_this_verifier_and_by_its_own(golden: Path, tmp_path: Path) -> None:
    policy = golden / "bundle/policy"
    verdict = verify(golden / "bundle", str(log_key(golden)), policy_text=policy.read_text(encoding="utf-8"))
    assert (verdict.holds, verdict.size, verdict.contents, verdict.earlier_checkpoints) == (True, SIZE, 1, 1)
    command = [sys.executable, "-I", "-B", "verify.py", ".", "--key", str(log_key(golden)), "--policy", str(policy)]
    done = subprocess.run(command, cwd=golden / "bundle", capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout


def test_an_earlier_log_is_exported_byte_for_byte_as_it_was(golden: Path, tmp_path: Path) -> None:
    log, archive = Log(tmp_path / "log.db", ORIGIN), Archive(tmp_path / "checkpoints.db")
    newest = archive.newest()
    assert newest is not None
    # A file that is there with other bytes would be refused.
    shutil.copytree(golden / "bundle", tmp_path / "bundle")
    export(log, tmp_path / "bundle", newest, earlier=archive.every(EARLIER))
    export(log, tmp_path / "new", newest, earlier=archive.every(EARLIER))
    for path in (tmp_path / "new").rglob("*"):
        if path.is_file() and path.name not in ("verify.py", "README.txt"):
            assert path.read_bytes() == (golden / "bundle" / path.relative_to(tmp_path / "new")).read_bytes(), path
    log.close()
    archive.close()
