"""The settings of a model of names: who may say them, and what refuses to start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mohist.app import guard
from mohist.app.detector import detectors
from mohist.app.errors import ConfigError
from mohist.app.screening import DEFAULTS, Screening, may_tighten, screening
from mohist.app.setting import parse
from mohist.cli.main import main
from mohist.guard import GuardDataError
from mohist.guard.personal.pipeline import load_pipeline

OTHERS = ("secret", "listed", "keyword", "personal", "covert", "marking", "fingerprint", "injection", "path")


def test_a_folder_in_the_user_s_home_is_found_there() -> None:
    values = {**DEFAULTS, "guard.names_model": "~/models/en", "guard.names_failure": "noted"}
    settings = screening(values, [], Path("/home/ann"))
    assert (settings.names_model, settings.names_failure) == ("/home/ann/models/en", "noted")
    assert screening({**DEFAULTS, "guard.names_model": "en_core"}, [], Path("/home/ann")).names_model == "en_core"


@pytest.mark.parametrize(
    "wrong",
    [
        'names_model = "models/en"',
        'names_model = "/models/../en"',
        'names_model = "https://models.example.com/en"',
        'names_model = "en-core-web-sm"',
        'names_model = ""',
        'names_failure = "open"',
        "[guard.limits]\nmax_names_ms = 0",
    ],
)
def test_a_model_is_a_folder_or_a_package_and_nothing_that_would_be_fetched(wrong: str) -> None:
    with pytest.raises(ConfigError):
        parse(f"[guard]\n{wrong}\n".encode(), "the file")


def test_a_project_has_no_say_in_the_model() -> None:
    assert not may_tighten("guard.names_model")
    assert not may_tighten("guard.names_failure")


def test_without_a_model_nothing_of_it_is_asked(tmp_path: Path) -> None:
    assert "name" not in {one.name for one in detectors(Screening(), tmp_path, bytes(32))}
    assert Screening().inline_bytes(64) == 64
    assert Screening(names_model="en_core_web_sm").inline_bytes(64) == 0


@pytest.mark.parametrize("reference", ["en_no_such_package", "/nonexistent/model", "json", "sys"])
def test_a_model_that_is_not_there_refuses_to_start_and_says_how_to_get_one(tmp_path: Path, reference: str) -> None:
    settings = Screening(names_model=reference, without=OTHERS)
    with pytest.raises(GuardDataError, match="on your mirror and install it with pip"):
        detectors(settings, tmp_path, bytes(32))
    left_out = Screening(names_model=reference, without=(*OTHERS, "name"))
    assert detectors(left_out, tmp_path, bytes(32)) == []


def test_a_pipeline_without_spacy_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    (tmp_path / "config.cfg").write_text("", "utf-8")
    (tmp_path / "meta.json").write_text(json.dumps({"lang": "en", "spacy_version": ">=3.8"}), "utf-8")
    with pytest.raises(GuardDataError, match=r"pip install \"mohist\[names\]\""):
        load_pipeline(str(tmp_path))
    (tmp_path / "config.cfg").unlink()
    with pytest.raises(GuardDataError, match=r"no config\.cfg"):
        load_pipeline(str(tmp_path))
    (tmp_path / "meta.json").write_text("{", "utf-8")
    with pytest.raises(GuardDataError, match=r"no meta\.json that can be read"):
        load_pipeline(str(tmp_path))


def test_a_module_without_a_file_is_not_looked_for_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.cfg").write_text("", "utf-8")
    (tmp_path / "meta.json").write_text("{}", "utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GuardDataError, match="There is no folder and no installed package 'sys'"):
        load_pipeline("sys")


def test_what_is_in_force_names_the_model() -> None:
    assert "names by 'en_core_web_sm'" in guard.describe(Screening(names_model="en_core_web_sm"))


def test_a_scan_that_does_not_ask_for_names_does_not_load_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    without = json.dumps(list(OTHERS))
    (home / "mohist.toml").write_text(f'[guard]\nnames_model = "en_no_such_package"\nwithout = {without}\n', "utf-8")
    monkeypatch.setenv("MOHIST_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    letter = tmp_path / "letter.txt"
    letter.write_text("My name is Ann Bell.\n", "utf-8")
    for classes in ([], ["--only", "secret"], ["--only", "personal.email"]):
        assert main(["guard", "scan", str(letter), *classes]) == 0
    for name in ("personal", "personal.name", "personal.address", "all"):
        capsys.readouterr()
        assert main(["guard", "scan", str(letter), "--only", name]) != 0
        assert "en_no_such_package" in capsys.readouterr().err
