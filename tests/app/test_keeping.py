"""How long contents are kept and who may erase them, through the commands, down to the bytes of the files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mohist.app.config import load_config
from mohist.app.database import owner_config
from mohist.app.keeping import prune
from mohist.app.ledger import LedgerHome
from mohist.app.trust import TrustStore
from mohist.base import ExitCode, MohistError, StatePaths, SystemClock
from mohist.cli.main import main
from mohist.ledger import Content, Draft, LedgerBusyError, LedgerError, decode
from mohist.ledger.retention import DAY_US

ANN, BOB = "ann@example.com", "bob@example.com"
RETAINING = '[ledger]\nretention = ["run.prompt 30", "* 90"]\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    env = {"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    config = StatePaths.from_env(env).user_config
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(RETAINING, encoding="utf-8")
    return LedgerHome(tmp_path / "state" / "ledger", owner_config(env).ledger, env)


def entered(home: LedgerHome) -> dict[str, str]:
    """Prompts and results of two people in two runs; their pseudonyms."""
    names = home.names()
    people = {name: names.pseudonym("person", name) for name in (ANN, BOB)}
    names.close()
    ledger = home.share()
    for run, name in (("run:a", ANN), ("run:b", BOB)):
        for kind in ("run.prompt", "verdict"):
            for number in range(3):
                words = f"{kind} of {name} {number}".encode()
                content = Content("words", "text/plain", words, subject=people[name])
                ledger.append(Draft(kind, run, people[name], contents=(content,)))  # type: ignore[arg-type]
    ledger.close()
    return people


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    try:
        code = main(["ledger", *words])
    except MohistError as error:
        return int(error.exit_code), str(error)
    out = capsys.readouterr()
    return code, out.out + out.err


def readable(home: LedgerHome) -> list[str]:
    """All contents that can still be read."""
    log, vault = home.read(), home.vault()
    found = []
    for leaf in log.leaves(0, log.size):
        for named in decode(leaf).get("payload", ()):
            row = log.payload(named["digest"])
            if row is not None and row[2] is not None:
                try:
                    found.append(vault.open(row[0], row[1], row[2], named["commitment"]).decode())
                except LedgerError:
                    continue
    log.close()
    vault.close()
    return [one for one in found if "@" in one]


def raw(home: LedgerHome, *names: str) -> bytes:
    """The bytes of these databases with all that lies beside them: write-ahead log, journal, index."""
    return b"".join(path.read_bytes() for name in names for path in home.folder.glob(f"{name}*"))


def secrets_of(home: LedgerHome, subject: str) -> list[bytes]:
    """The wrapped keys of a subject, as they lie in the key file."""
    vault = home.vault()
    rows = [bytes(row[0]) for row in vault._db.execute("SELECT wrapped FROM wrapping WHERE subject = ?", (subject,))]
    vault.close()
    return rows


def test_a_person_is_erased_by_name_keys_and_name_to_the_last_byte(
    home: LedgerHome, capsys: pytest.CaptureFixture[str]
) -> None:
    people = entered(home)
    keys = secrets_of(home, people[ANN])
    assert all(key in raw(home, "keys.db") for key in keys)
    assert ANN.encode() in raw(home, "names.db")
    code, out = said(capsys, "erase", ANN, "--because", "ann asked for it", "--yes", "--json")
    assert code == 0, out
    assert json.loads(out) == {"subject": people[ANN], "keys": 1, "name": True, "entry": 13}
    assert not any(key in raw(home, "keys.db") for key in keys)
    assert ANN.encode() not in raw(home, "names.db", "keys.db", "log.db")
    assert len(readable(home)) == 6
    assert all(BOB in one for one in readable(home))
    log = home.read()
    entry = decode(next(log.leaves(13, 14)))
    log.close()
    assert (entry["kind"], entry["about"]["subject"]) == ("erasure", people[ANN])
    assert b"asked for it" not in raw(home, "log.db")
    assert said(capsys, "check")[0] == 0
    assert said(capsys, "erase", ANN, "--because", "again", "--yes")[0] == ExitCode.FAILED
    code, out = said(capsys, "erase", people[BOB], "--because", "by pseudonym", "--yes")
    assert (code, readable(home)) == (0, [])


def test_contents_whose_time_is_over_are_dropped_to_the_last_byte_and_entries_stay(
    home: LedgerHome, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    entered(home)
    log = home.read()
    size, now_us = log.size, decode(next(log.leaves(1, 2)))["at"]
    old = [log.payload(decode(leaf)["payload"][0]["digest"]) for leaf in log.leaves(1, 4)]
    log.close()
    assert prune(home, now_us=now_us + 29 * DAY_US) == 0
    assert prune(home, now_us=now_us + 31 * DAY_US) == 6
    assert {one.split()[0] for one in readable(home)} == {"verdict"}
    for row in old:
        assert row is not None
        assert row[2] is not None
        assert row[1] not in raw(home, "log.db")
        assert row[2][:64] not in raw(home, "log.db")
    assert prune(home, now_us=now_us + 31 * DAY_US) == 0
    assert prune(home, now_us=now_us + 91 * DAY_US) == 6
    assert readable(home) == []
    log = home.read()
    kinds = [decode(leaf)["kind"] for leaf in log.leaves(size, log.size)]
    log.close()
    assert kinds == ["erasure", "erasure"]
    assert said(capsys, "check")[0] == 0
    assert "dropped" in said(capsys, "show", "1")[1]
    assert said(capsys, "prune")[0] == 0
    export = said(capsys, "export", str(tmp_path / "out"), "--contents", "run:a", "--json")[1]
    assert len(json.loads(export)["missing_contents"]) == 6
    key = json.loads(export)["key"]
    assert said(capsys, "verify", str(tmp_path / "out"), "--key", key)[0] == 0


def test_large_contents_leave_no_byte_in_free_pages_or_the_journal_while_a_server_writes(home: LedgerHome) -> None:
    writing = home.share()
    for number in range(4):
        content = Content("words", "application/octet-stream", os.urandom(40_000), subject="person:1")
        writing.append(Draft("run.prompt", f"run:{number}", "key:1", contents=(content,)))
    log = home.read()
    rows = [log.payload(decode(leaf)["payload"][0]["digest"]) for leaf in log.leaves(1, 5)]
    now_us = decode(next(log.leaves(1, 2)))["at"]
    log.close()
    parts = [row[2][at : at + 64] for row in rows if row and row[2] for at in range(0, 40_000, 4_096)]
    assert len(parts) == 40
    assert sum(part in raw(home, "log.db") for part in parts) > 30, "a part may lie across two pages"
    assert prune(home, writing.append, now_us + 31 * DAY_US) == 4
    assert not any(part in raw(home, "log.db") for part in parts)
    writing.append(Draft("heartbeat", "heartbeat", "system:test"))
    writing.close()


def test_nothing_under_a_hold_is_dropped_or_erased(home: LedgerHome, capsys: pytest.CaptureFixture[str]) -> None:
    people = entered(home)
    later_us = SystemClock().now_ms() * 1000 + 400 * DAY_US
    assert said(capsys, "hold", "run:a")[0] == ExitCode.USAGE
    assert said(capsys, "hold", "run:a", "--because", "case 17")[0] == 0
    assert said(capsys, "hold", BOB, "--because", "case 18")[0] == 0
    assert json.loads(said(capsys, "hold", "--json")[1]) == sorted(["run:a", people[BOB]])
    code, out = said(capsys, "erase", ANN, "--because", "asked", "--yes")
    assert (code, "run:a is under a hold" in out) == (ExitCode.FAILED, True)
    assert said(capsys, "erase", BOB, "--because", "asked", "--yes")[0] == ExitCode.FAILED
    prune(home, now_us=later_us)
    assert len(readable(home)) == 12
    assert b"case 17" not in raw(home, "log.db")
    assert said(capsys, "hold", "run:a", "--lift", "--because", "over")[0] == 0
    assert said(capsys, "hold", "run:a", "--lift", "--because", "over")[0] == ExitCode.FAILED
    prune(home, now_us=later_us)
    assert len(readable(home)) == 6
    assert all(BOB in one for one in readable(home))


def test_a_restored_backup_brings_nobody_back_who_was_erased(
    home: LedgerHome, capsys: pytest.CaptureFixture[str]
) -> None:
    people = entered(home)
    backup = home.folder.with_name("backup")
    backup.mkdir()
    for name in ("keys.db", "names.db"):
        shutil.copy(home.folder / name, backup / name)
    assert said(capsys, "erase", ANN, "--because", "asked", "--yes")[0] == 0
    for name in ("keys.db", "names.db"):
        shutil.copy(backup / name, home.folder / name)
    keys = secrets_of(home, people[ANN])
    assert len(readable(home)) == 12
    code, out = said(capsys, "check")
    assert code == 0
    assert "1 keys of erased subjects had come back" in out
    assert len(readable(home)) == 6
    assert not any(key in raw(home, "keys.db") for key in keys)
    assert ANN.encode() not in raw(home, "names.db")
    assert "come back" not in said(capsys, "check")[1]


def test_whoever_begins_to_write_replays_erasures_first(home: LedgerHome, capsys: pytest.CaptureFixture[str]) -> None:
    entered(home)
    shutil.copy(home.folder / "keys.db", home.folder / "copy")
    assert said(capsys, "erase", ANN, "--because", "asked", "--yes")[0] == 0
    shutil.copy(home.folder / "copy", home.folder / "keys.db")
    ledger = home.share()
    ledger.append(Draft("heartbeat", "heartbeat", "system:test"))
    ledger.close()
    assert len(readable(home)) == 6


def test_another_root_key_opens_everything_and_the_old_one_nothing(
    home: LedgerHome, capsys: pytest.CaptureFixture[str]
) -> None:
    people = entered(home)
    for _ in range(2):
        before, keys = home.root_key_path.read_bytes(), secrets_of(home, people[ANN])
        assert said(capsys, "rotate-root")[0] == 0
        after = home.root_key_path.read_bytes()
        assert before != after
        assert home.root_key_path.stat().st_mode & 0o777 == 0o600
        assert not any(key in raw(home, "keys.db") for key in keys)
        assert len(readable(home)) == 12
        names = home.names()
        assert names.pseudonym("person", ANN) == people[ANN]
        assert names.name(people[BOB]) == BOB
        names.close()
    home.root_key_path.write_bytes(before)
    with pytest.raises(LedgerError, match="another root key"):
        home.vault()


def test_a_change_of_the_root_key_that_was_killed_is_ended_at_the_next_start(home: LedgerHome) -> None:
    entered(home)
    old = home.root_key_path.read_bytes()
    aside = home.root_key_path.with_name("root.key.next")
    aside.write_bytes(bytes(range(32)))
    # Killed before the key file was written: the old one fits.
    assert len(readable(home)) == 12
    assert home.root_key_path.read_bytes() == old
    vault = home.vault()
    vault.change_root(bytes(range(32)))
    vault.close()
    # Killed after it: the new one does.
    assert len(readable(home)) == 12
    assert home.root_key_path.read_bytes() == bytes(range(32))
    assert not aside.exists()


def test_the_root_key_is_not_changed_under_somebody_who_writes(
    home: LedgerHome, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(home)
    before = home.root_key_path.read_bytes()
    writing = home.share()
    names = home.names()
    ann = names.pseudonym("person", ANN)
    names.close()
    writing.append(
        Draft("run.prompt", "run:c", ann, contents=(Content("words", "text/plain", b"before", subject=ann),))
    )
    code, out = said(capsys, "rotate-root")
    assert (code, "Another process writes" in out) == (LedgerBusyError.exit_code, True)
    assert home.root_key_path.read_bytes() == before
    # What is sealed after an erasure by another process is sealed under a key that is there.
    assert said(capsys, "erase", ANN, "--because", "asked", "--yes")[0] == 0
    content = Content("words", "text/plain", f"new words of {ANN}".encode(), subject=ann)
    writing.append(Draft("run.prompt", "run:c", ann, contents=(content,)))
    writing.close()
    assert f"new words of {ANN}" in readable(home)


@pytest.mark.parametrize(
    ("said_there", "match"),
    [('["run.prompt"]', "form"), ('["prompt 3"]', "no entry has"), ('["* 0"]', "1 to"), ('["* many"]', "form")],
)
def test_a_retention_that_can_not_be_meant_is_refused(tmp_path: Path, said_there: str, match: str) -> None:
    paths = StatePaths(tmp_path)
    env = {"HOME": str(tmp_path), "MOHIST_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    managed = tmp_path / "managed.toml"
    managed.write_text(f"[ledger]\nretention = {said_there}\n", encoding="utf-8")
    with pytest.raises(MohistError, match=match):
        load_config(
            env=env,
            paths=paths,
            project_root=None,
            trust=TrustStore(tmp_path / "trust.json", SystemClock()),
            managed_file=managed,
        )
