"""The files beside the evidence: whoever changes one is told of, wherever it is."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from mohist.cli.main import main
from mohist.ledger.companion import VERIFIERS, strange
from mohist.ledger.export import verifier

GOLDEN = Path(__file__).parents[1] / "golden" / "ledger" / "schema-2"


@pytest.fixture
def key() -> str:
    return (GOLDEN / "key.pub").read_text("utf-8").strip()


@pytest.fixture
def bundle(tmp_path: Path, key: str) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(GOLDEN / "bundle", folder)
    (folder / "policy").write_text(f"log {key}\nquorum none\n", encoding="utf-8")
    return folder


def test_what_was_exported_is_not_strange(bundle: Path, key: str) -> None:
    assert strange(bundle, key) == []


def test_the_verifier_of_today_is_among_those_that_later_versions_know() -> None:
    assert sha256(verifier().encode()).hexdigest() in VERIFIERS


@pytest.mark.parametrize(("name", "every"), [("README.txt", 1), ("policy", 1), ("verify.py", 997)])
def test_a_changed_byte_anywhere_is_told(bundle: Path, key: str, name: str, every: int) -> None:
    path = bundle / name
    whole = path.read_bytes()
    for at in range(0, len(whole), every):
        for bit in range(8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            (said,) = strange(bundle, key)
            assert said.startswith(f"{name}: ")
            if name != "policy":
                assert f"from byte {at} on" in said


def test_the_command_says_which_file_and_fails(bundle: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", str(bundle), "--key", key]) == 0
    (bundle / "verify.py").write_bytes((bundle / "verify.py").read_bytes() + b"#")
    capsys.readouterr()
    assert main(["ledger", "verify", str(bundle), "--key", key]) == 1
    assert "NO  companions  verify.py: " in capsys.readouterr().out


def test_a_bundle_without_them_is_as_good(bundle: Path, key: str) -> None:
    for name in ("README.txt", "policy", "verify.py"):
        (bundle / name).unlink()
    assert strange(bundle, key) == []
