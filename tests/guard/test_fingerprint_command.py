"""`mohist guard register`: what git tracks is learnt, listed and forgotten."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

import mohist
from mohist.base import MohistError
from mohist.cli import guard_register
from mohist.guard.fingerprint import fingerprint_detector, fingerprint_path, read_index

PACKAGE = Path(mohist.__file__).parent
CODE = (PACKAGE / "cli" / "main.py").read_text(encoding="utf-8")
OTHER = (PACKAGE / "cli" / "keys.py").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "heap.py").write_text(CODE, encoding="utf-8")
    (folder / "wrap.py").write_text(OTHER, encoding="utf-8")
    (folder / "LICENSE").write_text("words\n", encoding="utf-8")
    (folder / "link.py").symlink_to("/etc/passwd")
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    (folder / "untracked.py").write_text(
        (PACKAGE / "base" / "canonical.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return folder


def git(folder: Path, *args: str) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, timeout=60, env=env)


def register(*words: str) -> int:
    parser = argparse.ArgumentParser()
    guard_register.declare(parser)
    return guard_register.main(parser.parse_args(words))


def test_what_git_tracks_is_learnt(home: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(str(repository), "--name", "heap", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["class"], told["files"], told["skipped"]) == (
        "heap",
        "source.restricted",
        2,
        ["LICENSE"],
    )
    detector = fingerprint_detector(read_index(fingerprint_path(home)))
    assert detector.runs(CODE.encode())
    assert not detector.runs((repository / "untracked.py").read_bytes())


def test_a_folder_of_a_repository_can_be_registered_alone(home: Path, repository: Path) -> None:
    assert register(str(repository / "src"), "--name", "heap", "--class", "source.secret") == 0
    index = read_index(fingerprint_path(home))
    assert [(one.data_class, one.files) for one in index.repositories] == [("source.secret", 1)]
    assert not fingerprint_detector(index).runs(OTHER.encode())


def test_what_everybody_has_is_left_out(home: Path, repository: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"), "textwrap.py").read_text(encoding="utf-8")
    (repository / "wrap.py").write_text(f"{CODE}\n{library}", encoding="utf-8")
    register(str(repository), "--name", "heap")
    detector = fingerprint_detector(read_index(fingerprint_path(home)))
    assert detector.runs(CODE.encode())
    assert not detector.runs(library.encode())


def test_the_list_names_what_is_registered_and_a_removed_one_is_gone(
    home: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(str(repository), "--name", "heap")
    register("--list")
    assert "heap  source.restricted  2 files" in capsys.readouterr().out
    register("--remove", "heap")
    assert len(read_index(fingerprint_path(home))) == 0
    with pytest.raises(MohistError, match="heap"):
        register("--remove", "heap")


def test_public_code_takes_its_part_out(home: Path, repository: Path) -> None:
    register(str(repository), "--name", "heap")
    register(str(repository / "src"), "--public")
    detector = fingerprint_detector(read_index(fingerprint_path(home)))
    assert not detector.runs(CODE.encode())
    assert detector.runs(OTHER.encode())


def test_an_index_of_the_format_before_says_what_to_remove_and_what_was_in_it(home: Path, repository: Path) -> None:
    path = fingerprint_path(home)
    path.parent.mkdir(mode=0o700)
    path.write_bytes(Path(__file__).with_name("data").joinpath("fingerprints-1.bin").read_bytes())
    path.chmod(0o600)
    with pytest.raises(MohistError, match="sample") as caught:
        register(str(repository), "--name", "heap")
    assert f"Remove {path}" in caught.value.mend
    path.unlink()
    assert register(str(repository), "--name", "heap") == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["."],
        [".", "--name", "a b"],
        [".", "--name", "a", "--class", "No Class"],
        [".", "--list"],
        ["--remove", "a", "--name", "b"],
    ],
)
def test_what_does_not_go_together_is_refused(home: Path, words: list[str]) -> None:
    with pytest.raises(MohistError):
        register(*words)


def test_a_folder_without_a_repository_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(MohistError, match="not in a git repository"):
        register(str(tmp_path), "--name", "a")
