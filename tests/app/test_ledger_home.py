"""The ledger of a state folder, through its commands: as an owner uses it, and as one who tampers with it meets it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mohist.app.database import owner_config
from mohist.app.ledger import LedgerHome, open_home
from mohist.base import ExitCode, MohistError
from mohist.cli.main import main
from mohist.ledger import Content, Draft, LedgerError, SealedError
from mohist.ledger.pack import Packing


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerHome]:
    yield from opened_home(tmp_path, monkeypatch, {})


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerHome]:
    """A ledger whose log is in a file, and one whose log is in a database."""
    said = {}
    if request.param == "postgresql":
        server = request.getfixturevalue("running_postgres")
        said = {"MOHIST_LEDGER_DATABASE_URL": server.url(server.new_database())}
    yield from opened_home(tmp_path, monkeypatch, said)


def opened_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str]) -> Iterator[LedgerHome]:
    env = {"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(tmp_path), **said}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    opened = open_home(tmp_path / "state", owner_config(env).ledger, env)
    assert opened is not None
    yield opened
    lock = opened.folder / "signer" / "lock"
    if lock.exists() and (pid := lock.read_text("utf-8").strip()):
        os.kill(int(pid), signal.SIGTERM)


def entered(home: LedgerHome, count: int = 12) -> None:
    ledger = home.share()
    for number in range(count):
        prompt = Content("prompt", "text/plain", f"task {number}".encode(), subject="person:7")
        ledger.append(
            Draft("model.intent", "run:a", "person:7", data={"number": number}, key=f"k{number}", contents=(prompt,))
        )
    ledger.close()


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["ledger", *words])
    return code, capsys.readouterr().out


def test_what_was_entered_is_shown_proved_exported_and_verified(
    either: LedgerHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(either)
    code, out = said(capsys, "show", "--stream", "run:a", "--json")
    assert code == 0
    assert [entry["data"]["number"] for entry in json.loads(out)] == list(range(12))
    code, out = said(capsys, "show", "3", "--json")
    assert json.loads(out)["contents"] == {"prompt": "task 2"}
    _, key = said(capsys, "key")
    (tmp_path / "log.key").write_text(key, encoding="utf-8")
    code, out = said(capsys, "export", str(tmp_path / "out"), "--contents", "run:a", "--json")
    assert (code, json.loads(out)["size"], json.loads(out)["key"]) == (0, 13, key.strip())
    code, out = said(capsys, "verify", str(tmp_path / "out"), "--key", str(tmp_path / "log.key"), "--json")
    assert (code, json.loads(out)["holds"], json.loads(out)["contents"]) == (0, True, 12)
    code, out = said(capsys, "prove", "5")
    assert out.startswith("c2sp.org/tlog-proof@v1\nindex 5\n")
    assert said(capsys, "status", "--json")[0] == 0
    assert said(capsys, "check") == (0, "ok  13 entries are what they were.\n")


def test_an_erased_person_is_unreadable_and_the_log_still_holds(
    either: LedgerHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(either)
    assert said(capsys, "erase", "person:7", "--because", "asked for it")[0] == ExitCode.USAGE
    code, out = said(capsys, "erase", "person:7", "--because", "asked for it", "--yes", "--json")
    assert (code, json.loads(out)) == (0, {"subject": "person:7", "keys": 1, "name": False, "entry": 13})
    assert json.loads(said(capsys, "show", "3", "--json")[1])["contents"] == {"prompt": "(erased)"}
    assert said(capsys, "check")[0] == 0
    out = said(capsys, "export", str(tmp_path / "out"), "--contents", "run:a", "--json")[1]
    assert len(json.loads(out)["missing_contents"]) == 12
    # Another machine may keep something of who is unknown here, where there are others.
    again = ExitCode.DONE if either.shared else ExitCode.FAILED
    assert said(capsys, "erase", "person:7", "--because", "again", "--yes")[0] == again


def test_a_log_that_was_cut_after_it_was_signed_is_sealed_for_every_process(
    home: LedgerHome, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(home)
    assert said(capsys, "checkpoint")[0] == 0
    with sqlite3.connect(home.folder / "log.db") as file:
        file.executescript(
            "DROP TRIGGER entry_is_kept; DELETE FROM entry WHERE position = 12;"
            "UPDATE edge SET size = 12, hashes = substr(hashes, 1, 64)"
        )
    file.close()
    with pytest.raises(SealedError, match=r"12 entries|has 12"):
        entered(home, 1)
    with pytest.raises(SealedError, match="is sealed"):
        entered(home, 1)
    code, out = said(capsys, "check")
    assert code == 1
    assert "NO" in out
    code, out = said(capsys, "status")
    assert code == 1
    assert "SEALED" in out


def test_a_changed_entry_is_found_by_check(home: LedgerHome, capsys: pytest.CaptureFixture[str]) -> None:
    entered(home)
    packing = Packing()
    with sqlite3.connect(home.folder / "log.db") as file:
        file.execute("DROP TRIGGER entry_stays")
        (stored,) = file.execute("SELECT leaf FROM entry WHERE position = 6").fetchone()
        changed = packing.unpack(stored).replace(b'number":5', b'number":6')
        assert changed != packing.unpack(stored)
        file.execute("UPDATE entry SET leaf = ? WHERE position = 6", (packing.pack(changed),))
    file.close()
    code, out = said(capsys, "check")
    assert code == 1
    assert "not that of its 13 entries" in out


def test_a_log_keeps_its_name_and_its_keys(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    entered(home)
    (home.folder.parent / "mohist.toml").write_text('[ledger]\norigin = "other.example/log"\n', encoding="utf-8")
    env = {"MOHIST_HOME": str(home.folder.parent)}
    other = open_home(home.folder.parent, owner_config(env).ledger, env)
    assert other is not None
    with pytest.raises(LedgerError, match="is named mohist"):
        entered(other, 1)
    (home.folder / "root.key").chmod(0o644)
    with pytest.raises(LedgerError, match="Others may read"):
        home.vault()
    (home.folder / "root.key").chmod(0o600)
    (home.folder / "root.key").write_bytes(bytes(32))
    with pytest.raises(LedgerError, match="another root key"):
        home.vault()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('witnesses = ["https://witness.example"]', "VERIFIER-KEY URL"),
        (
            'witnesses = ["example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k https://w"]',
            "not a witness",
        ),
        ('origin = "two words"', "no space"),
        ("checkpoints = 3", "checkpoint_s"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "mohist.toml").write_text(f"[ledger]\n{text}\n", encoding="utf-8")
    with pytest.raises(MohistError, match=match):
        owner_config({"MOHIST_HOME": str(tmp_path)})


def test_a_ledger_that_is_switched_off_is_none(tmp_path: Path) -> None:
    (tmp_path / "mohist.toml").write_text("[ledger]\non = false\n", encoding="utf-8")
    env = {"MOHIST_HOME": str(tmp_path)}
    assert open_home(tmp_path, owner_config(env).ledger, env) is None
