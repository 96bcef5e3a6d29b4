"""A witness of others in front of our notary: what it cosigns, and what it refuses to; scripts/test-ledger installs it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from ledger_world import ORIGIN, WITNESS, World
from outsider_tool import program

from mohist.ledger import SealedError, note
from mohist.ledger.export import export
from mohist.ledger.log import Log
from mohist.ledger.notary import Archive, Notary, examine
from mohist.ledger.signer import Signer
from mohist.ledger.verify import verify
from mohist.ledger.witness import Witness

pytestmark = [pytest.mark.outsider, pytest.mark.enable_socket]
START_TRIES = 400


@dataclass
class Foreign:
    """A running aics-witness that knows our log."""

    program: str
    home: Path
    key: note.VerifierKey
    url: str

    def run(self, *arguments: str) -> str:
        command = [self.program, *arguments, "--config", str(self.home / "witness.json")]
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True, encoding="utf-8", timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class Owner:
    """Who has the log, and may write it anew."""

    world: World
    foreign: Foreign
    alarms: list[SealedError] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.world.home / "log"

    def write(self, start: int, end: int, salt: str = "") -> None:
        self.world.log("log", [self.world.draft(number, salt) for number in range(start, end)]).close()

    def forget(self) -> None:
        """Throws away the log, and what the owner's own machines remember of it."""
        shutil.rmtree(self.home)

    def checkpoint(self) -> note.SignedCheckpoint:
        notary = Notary(
            Log(self.home / "log.db", read_only=True),
            Archive(self.home / "checkpoints.db"),
            Signer(ORIGIN, self.world.key, self.home / "memory"),
            [Witness(self.foreign.key, self.foreign.url)],
            quorum=1,
            alarm=self.alarms.append,
        )
        try:
            return notary.checkpoint()
        finally:
            notary.close()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    witness = program("aics-witness")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    home = tmp_path / "witness"
    home.mkdir()
    url = f"http://127.0.0.1:{port}"
    world = World(tmp_path)
    foreign = Foreign(witness, home, world.witness_key, url)
    said = foreign.run("init", "--name", WITNESS, "--listen", f"127.0.0.1:{port}")
    foreign.key = note.VerifierKey.parse(next(word for word in said.split() if word.startswith(f"{WITNESS}+")))
    foreign.run("add-log", "--origin", ORIGIN, "--vkey", str(world.log_key))
    with (tmp_path / "said").open("w", encoding="utf-8") as out:
        command = [foreign.program, "serve", "--config", str(home / "witness.json")]
        process = subprocess.Popen(command, cwd=home, stdout=out, stderr=out)
    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8), trust_env=False) as client:
            for _ in range(START_TRIES):
                assert process.poll() is None, (tmp_path / "said").read_text(encoding="utf-8")
                try:
                    client.get(url)
                    break
                except httpx2.ConnectError:
                    continue
        yield Owner(world, foreign)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_a_witness_of_others_cosigns_what_an_auditor_then_accepts(owner: Owner) -> None:
    owner.write(0, 300)
    first = owner.checkpoint()
    assert first.witnessed_by(owner.foreign.key) is not None
    owner.write(300, 700)
    second = owner.checkpoint()
    log = Log(owner.home / "log.db", read_only=True)
    export(log, owner.world.home / "bundle", second, earlier=[first])
    log.close()
    policy = f"witness w {owner.foreign.key}\nquorum w\n"
    verdict = verify(owner.world.home / "bundle", str(owner.world.log_key), policy_text=policy, skew_s=10**9)
    assert (verdict.holds, verdict.size, list(verdict.witnesses)) == (True, 700, ["w"])
    assert json.loads(owner.foreign.run("evidence")) == []


def test_a_notary_that_forgot_learns_the_size_from_the_witness_and_goes_on(owner: Owner) -> None:
    owner.write(0, 20)
    owner.checkpoint()
    for path in [*owner.home.glob("checkpoints.db*"), owner.home / "memory"]:
        path.unlink()
    owner.write(20, 50)
    assert owner.checkpoint().witnessed_by(owner.foreign.key) is not None


def test_an_old_copy_is_recognised_by_what_the_witness_has_seen(owner: Owner) -> None:
    owner.write(0, 40)
    owner.checkpoint()
    owner.forget()
    owner.write(0, 30)
    with pytest.raises(SealedError, match="has seen 40 entries"):
        owner.checkpoint()
    assert len(owner.alarms) == 1
    log, archive = Log(owner.home / "log.db", read_only=True), Archive(owner.world.home / "new.db")
    witness = Witness(owner.foreign.key, owner.foreign.url)
    try:
        with pytest.raises(SealedError, match="has 30 entries; one with 40 was cosigned"):
            examine(log, archive, owner.world.log_key, [witness])
    finally:
        witness.close()
        archive.close()
        log.close()


@pytest.mark.parametrize("size", [40, 60])
def test_a_rewritten_past_is_refused_and_kept_as_evidence(owner: Owner, size: int) -> None:
    owner.write(0, 40)
    owner.checkpoint()
    owner.forget()
    owner.write(0, size, salt="another past")
    with pytest.raises(SealedError, match="contradicts what it cosigned before"):
        owner.checkpoint()
    assert ORIGIN in owner.foreign.run("evidence")
