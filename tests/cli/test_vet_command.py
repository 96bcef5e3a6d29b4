"""`mohist vet` as somebody types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mohist.cli.main import main

CLIENTS = Path(__file__).resolve().parents[1] / "fakes" / "client"
PYTHON = "/usr/bin/python3"
needs_python = pytest.mark.skipif(not Path(PYTHON).exists(), reason="made-up clients are run by the system's Python")


def vet(habit: str, out: Path, *more: str) -> int:
    command = f"{PYTHON} -S -E {CLIENTS / 'naughty.py'} {habit} @PROMPT@"
    words = ["vet", str(CLIENTS / "naughty.py"), "--command", command, "--dialect", "anthropic-messages"]
    return main([*words, "--out", str(out), *more])


@needs_python
@pytest.mark.enable_socket
def test_a_client_that_sends_a_decoy_ends_with_1_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    out = tmp_path / "dossier"
    assert vet("thief", out, "--steps", "behave", "--json") == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["recommended"]["disposition"] == "banned"
    assert "behave/decoy-sent" in {finding["rule"] for finding in report["findings"]}
    assert "watching" in said.err
    assert json.loads((out / "report.json").read_text("utf-8")) == report
    assert (out / "report.html").read_text("utf-8").startswith("<!")
    assert json.loads((out / "report.sarif").read_text("utf-8"))["version"] == "2.1.0"
    finding = next(one for one in report["findings"] if one["rule"] == "behave/decoy-sent")
    assert finding["repeat"].startswith("mohist vet ")
    assert "--steps behave" in finding["repeat"]


@needs_python
@pytest.mark.enable_socket
def test_a_client_that_does_its_task_ends_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    assert vet("careful", tmp_path / "dossier", "--steps", "static,behave") == 0
    said = capsys.readouterr().out
    assert "recommended for" in said
    assert "not done: differ, repository" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["vet", sys.executable, "--steps", "guess"], "no step 'guess'"),
        (["vet", "npm:"], "no name of an npm package"),
        (["vet", "/nowhere/at/all"], "is no subject"),
        (["vet", sys.executable, "--steps", "behave", "--command", "'"], "quotation mark"),
        (["vet", "/bin/true", "--steps", "behave", "--command", "/bin/true"], "--dialect"),
    ],
)
def test_what_cannot_be_vetted_is_told_with_a_mend(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "state"))
    assert main([*words, "--out", str(tmp_path / "dossier")]) == 2
    assert says in capsys.readouterr().err


def test_a_dossier_is_named_after_its_subject_where_no_folder_is_given() -> None:
    from mohist.cli.vet import _folder_name

    assert _folder_name("npm:@scope/some-client@1.2.3") == "vet-npm--scope-some-client-1.2.3"
    assert _folder_name("../../etc") == "vet-etc"
