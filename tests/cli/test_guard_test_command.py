"""`mohist guard test` and `mohist guard secrets`: what they print, keep, and how they end."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mohist.cli.main import main
from mohist.guard.secret import filled

RULES = """
[[rule]]
id = "vault"
expression = 'acme-([0-9a-f]{32})'
matches = ["acme-{hex:32}"]
passes = ["acme-test"]
"""
VALUE = filled("{alnum:20}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOHIST_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, text: str) -> str:
    path = home / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_rules_that_do_as_they_say_end_well(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(home, RULES)
    assert main(["guard", "test", path, "--own", "-v"]) == 0
    out = capsys.readouterr().out
    assert f"{path}: 1 rules, 2 examples" in out
    assert "ok  company.vault  found: 'acme-{hex:32}'" in out
    assert "every rule does as its examples say" in out


def test_an_example_that_fails_and_a_rule_that_is_refused_are_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = RULES.replace("acme-test", "acme-{hex:32}") + RULES.replace("vault", "wide").replace(
        "acme-([0-9a-f]{32})", "(?=x)"
    )
    assert main(["guard", "test", write(home, bad)]) == 1
    out = capsys.readouterr().out
    assert "FAILED  company.vault  found: 'acme-{hex:32}'" in out
    assert "refused" in out
    assert "'company.wide'" in out


def test_without_a_file_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guard", "test"]) == 0
    assert "names no file" in capsys.readouterr().out


def test_a_file_of_another_form_is_an_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guard", "test", write(home, "[[rule")]) == 2
    assert "no TOML" in capsys.readouterr().err


def test_secrets_come_from_standard_input_and_are_never_shown(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(VALUE + "\n"))
    assert main(["guard", "secrets", "add", "db"]) == 0
    assert main(["guard", "secrets", "list", "--json"]) == 0
    out = capsys.readouterr().out
    assert VALUE not in out
    assert json.loads(out.splitlines()[-1])[0]["label"] == "db"
    assert not any(VALUE in path.read_text(encoding="utf-8") for path in home.rglob("*") if path.is_file())
    assert main(["guard", "secrets", "remove", "db"]) == 0
    assert main(["guard", "secrets", "list"]) == 0
    assert "0 listed" in capsys.readouterr().out


def test_secrets_come_from_a_variable_a_file_and_a_file_of_variables(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP", VALUE + "1")
    (home / "secret.txt").write_text(VALUE + "2\n", encoding="utf-8")
    (home / ".env").write_text(f"# comment=long enough\nexport A='{VALUE}3'\nPORT=80\nB={VALUE}4\n", encoding="utf-8")
    assert main(["guard", "secrets", "add", "mail", "--env", "SMTP"]) == 0
    assert main(["guard", "secrets", "add", "file", "--file", str(home / "secret.txt")]) == 0
    assert main(["guard", "secrets", "add", "--env-file", str(home / ".env")]) == 0
    assert main(["guard", "secrets", "list"]) == 0
    labels = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "forms" in line]
    assert labels == ["mail", "file", "A", "B"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add"], "what the secret is called"),
        (["add", "x", "--env", "NOT_SET_HERE"], "not set"),
        (["add", "--env-file", "/dev/null"], "nothing to list"),
        (["add", "x", "--file", "/dev/null"], "too short"),
        (["remove", "x"], "No secret is listed"),
    ],
)
def test_what_can_t_be_listed_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["guard", "secrets", *words]) != 0
    assert said in capsys.readouterr().err


@pytest.fixture
def tree(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = home / "tree"
    tree.mkdir()
    monkeypatch.chdir(tree)
    (tree / "a.py").write_text(
        f"t = '{filled('npm_{crc62:30}')}'  # mohist: allow veles.npm* because made up\n", encoding="utf-8"
    )
    return tree


def allow(home: Path, until: str) -> None:
    rows = f'[[allow]]\nrule = "veles.npm*"\npath = "*.py"\nreason = "made up"\nowner = "me & co"\nuntil = {until}\n'
    (home / "allow.toml").write_text(rows, encoding="utf-8")
    (home / "mohist.toml").write_text(f'[guard]\nallow_list = "{home}/allow.toml"\n', encoding="utf-8")


def test_a_scan_lets_pass_what_the_allow_list_says_until_its_day_is_over(
    home: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["guard", "scan"]) == 1
    allow(home, "2999-01-01")
    assert main(["guard", "scan"]) == 0
    assert "1 let pass" in capsys.readouterr().err
    allow(home, "2026-01-01")
    assert main(["guard", "scan"]) == 1
    assert "no longer let pass since 2026-01-01: made up (me & co)" in capsys.readouterr().err


def test_marks_in_files_count_only_where_asked(tree: Path) -> None:
    assert main(["guard", "scan"]) == 1
    assert main(["guard", "scan", "--honour-marks"]) == 0
