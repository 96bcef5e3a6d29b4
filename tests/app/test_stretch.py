"""Where a run or a delivery stands in the ledger, and what of it is in force, as people are told."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mohist.app.database import owner_config
from mohist.app.health import _ledger
from mohist.app.ledger import LedgerHome
from mohist.app.stretch import in_force, stretch
from mohist.cli.main import main
from mohist.ledger import Draft, SealedError

RUN = "run:a"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerHome]:
    env = {"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    made = LedgerHome(tmp_path / "state" / "ledger", owner_config(env).ledger, env)
    yield made
    made.rest()


def enter(home: LedgerHome, *kinds: str) -> None:
    ledger = home.share()
    for kind in kinds:
        for stream in (RUN, "run:b"):
            ledger.append(Draft(kind, stream, "key:1"))  # type: ignore[arg-type]
    ledger.close()


def test_a_run_is_told_by_its_first_and_last_entry_and_by_the_command_that_proves_it(
    home: LedgerHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stretch(home, RUN) is None
    enter(home, "run.open", "run.close")
    found = stretch(home, RUN)
    assert found is not None
    assert (found.first, found.last, found.entries, found.closed, found.signed) == (1, 3, 2, False, False)
    assert "not closed, the last not signed yet" in str(found)
    enter(home, "stream.close")
    assert main(["ledger", "checkpoint"]) == 0
    found = stretch(home, RUN)
    assert found is not None
    line = str(found)
    assert line.startswith(
        "ledger: entries 1 to 5 (3 of run:a), verify with: mohist ledger export DIR --stream run:a && "
    )
    export, verify = (shlex.split(part) for part in line.partition("verify with: ")[2].split(" && "))
    folder = str(tmp_path / "out")
    assert main([folder if word == "DIR" else word for word in export[1:]]) == 0
    capsys.readouterr()
    assert main(["ledger", "key"]) == 0
    key = capsys.readouterr().out.strip()
    words = [word.replace("DIR", folder).replace("$(mohist ledger key)", key) for word in verify[1:]]
    done = subprocess.run([sys.executable, *words, "--stream", RUN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of them shown" in done.stdout


def test_what_is_in_force_is_said_and_a_sealed_ledger_stops_runs(home: LedgerHome, tmp_path: Path) -> None:
    assert in_force(home) == ("on, signed, without a witness: its owner could rewrite it unnoticed; empty so far", True)
    enter(home, "run.open")
    assert in_force(home)[0].endswith("3 entries, 0 signed")
    off = LedgerHome(home.folder, replace(home.settings, on=False), {})
    assert in_force(off) == ("off; nothing that happens here is evidence", True)
    env = {"MOHIST_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    weak = _ledger(tmp_path / "state", env)
    assert (weak.holds, weak.needed) == ("weak", False)
    home.seal(SealedError("it was cut"))
    assert in_force(home) == ("SEALED, nothing is entered and nothing runs: it was cut", False)
    sealed = _ledger(tmp_path / "state", env)
    assert (sealed.holds, sealed.needed) == ("no", True)
