"""`mohist guard scan`: what it prints and how it ends."""

from __future__ import annotations

import binascii
import io
import json
import sys
from pathlib import Path

import pytest

from mohist.cli.guard_scan import _Progress
from mohist.cli.main import main


def token(body: str) -> str:
    """A token of the form that one vendor gives out, with its checksum; made here and never anybody's."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    rest, check = binascii.crc32(body.encode()), ""
    for _ in range(6):
        rest, place = divmod(rest, 62)
        check = digits[place] + check
    return "ghp_" + body + check


TOKEN = token("aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the patterns stay compiled from test to test."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    tree = tmp_path / "tree"
    tree.mkdir()
    monkeypatch.chdir(tree)
    return tree


def test_a_clean_folder_ends_with_zero(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.py").write_text("print('hello')\n", encoding="utf-8")
    assert main(["guard", "scan"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 looked at" in err


def test_a_finding_is_told_by_place_and_never_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.py").write_text(f"x = 1\ntoken = '{TOKEN}'\n", encoding="utf-8")
    assert main(["guard", "scan", "."]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "a.py"
    assert lines[1].startswith("  2:10  secret.token  ghp_… (40 characters)  ")
    assert TOKEN not in out + err


def test_json_holds_what_a_program_needs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.py").write_text(f"x = 1\ntoken = '{TOKEN}'\n", encoding="utf-8")
    (folder / "odd.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert main(["guard", "scan", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    (finding,) = said["findings"]
    assert (finding["path"], finding["line"], finding["column"], finding["end_column"]) == ("a.py", 2, 10, 50)
    assert [one["path"] for one in said["unread"]] == ["odd.7z"]


def test_what_is_not_looked_at_is_no_clean_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "odd.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    assert main(["guard", "scan"]) == 1
    assert "not looked at" in capsys.readouterr().out


def test_sarif_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.py").write_text(TOKEN, encoding="utf-8")
    assert main(["guard", "scan", "a.py", "--sarif"]) == 1
    assert json.loads(capsys.readouterr().out)["version"] == "2.1.0"


def test_a_pipe_is_scanned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"first\n{TOKEN}".encode())))
    assert main(["guard", "scan", "-"]) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("  2:1  ")


def test_a_baseline_makes_it_clean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.py").write_text(TOKEN, encoding="utf-8")
    assert main(["guard", "scan", "--write-baseline", "../known.json"]) == 0
    assert main(["guard", "scan", "--baseline", "../known.json"]) == 0
    assert "1 known ones left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["nowhere"], ["--staged", "a", "b"], ["--history", "-"], ["--baseline", "nowhere"]],
    ids=["no such path", "two repositories", "history of a pipe", "no baseline"],
)
def test_wrong_usage_ends_with_two(words: list[str]) -> None:
    assert main(["guard", "scan", *words]) == 2


def test_confidence_is_a_share() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["guard", "scan", "--min-confidence", "70"])
    assert ended.value.code == 2


def test_a_folder_that_is_no_repository_has_no_history(folder: Path) -> None:
    assert main(["guard", "scan", "--history"]) == 1


def test_progress_is_told_only_when_it_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [100.0]
    monkeypatch.setattr("mohist.cli.guard_scan.time.monotonic", lambda: now_s[0])
    progress = _Progress()
    progress(1_000_000, "a")
    assert capsys.readouterr().err == ""
    now_s[0] += 3
    progress(2_000_000, "b")
    progress(3_000_000, "c")
    progress.end()
    assert capsys.readouterr().err == "2.0 MB  b\n"


def test_a_files_name_does_not_write_lines_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a\n0 finding(s)\x1b[31m.py").write_text(f"k = '{TOKEN}'\n", encoding="utf-8")
    assert main(["guard", "scan"]) == 1
    out, _ = capsys.readouterr()
    assert out.splitlines()[0] == "a\ufffd0 finding(s)\ufffd[31m.py"
    assert len(out.splitlines()) == 2
