"""Two machines whose ledgers have one log in PostgreSQL: what each may do, what one's erasure does at the other, and old backups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fakes.postgres import Postgres
from fakes.witness import FakeWitness, running
from mohist.app.database import owner_config
from mohist.app.evidence import open_evidence
from mohist.app.keeping import erase, hold, prune
from mohist.app.ledger import LedgerHome, export_all
from mohist.ledger import Content, Draft, ErasedError, LedgerError, SealedError, decode
from mohist.ledger.postgres import sequencer
from mohist.ledger.retention import DAY_US
from mohist.ledger.verify import verify

ANN = "ann@example.com"


class Machines:
    def __init__(self, folder: Path, server: Postgres) -> None:
        self._folder = folder
        self.server = server
        self.database = server.new_database()
        self.a, self.b = self.home("a"), self.home("b")
        # As it is done when a second machine is set up.
        self.a.names().close()
        self.b.folder.mkdir(parents=True, mode=0o700)
        self.b.root_key_path.write_bytes(self.a.root_key_path.read_bytes())
        self.b.root_key_path.chmod(0o600)

    def home(self, name: str) -> LedgerHome:
        env = {
            "MOHIST_HOME": str(self._folder / name),
            "HOME": str(self._folder),
            "MOHIST_LEDGER_DATABASE_URL": self.server.url(self.database),
        }
        return LedgerHome(self._folder / name / "ledger", owner_config(env).ledger, env)

    def copy(self) -> str:
        return self.server.new_database(self.database)

    def restore(self, backup: str) -> None:
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as db:
            db.execute(f"DROP DATABASE {self.database} WITH (FORCE)")
            db.execute(f"ALTER DATABASE {backup} RENAME TO {self.database}")

    def end(self) -> None:
        for home in (self.a, self.b):
            home.rest()


@pytest.fixture
def machines(tmp_path: Path, running_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setattr(sequencer, "CHORE_S", 0.1)
    made = Machines(tmp_path, running_postgres)
    yield made
    made.end()


def subject(home: LedgerHome, name: str = ANN) -> str:
    names = home.names()
    found = names.pseudonym("person", name)
    names.close()
    return found


def enter(home: LedgerHome, words: str = "words", stream: str = "run:a", who: str = "") -> int:
    who = who or subject(home)
    ledger = home.share()
    try:
        content = Content("words", "text/plain", words.encode(), subject=who)
        return ledger.append(Draft("run.prompt", stream, who, contents=(content,))).index
    finally:
        ledger.close()


def sign(home: LedgerHome) -> None:
    notary = home.notary()
    notary.checkpoint()
    notary.close()


def content(home: LedgerHome, index: int) -> str:
    log, vault = home.read(), home.vault()
    try:
        (leaf,) = log.leaves(index, index + 1)
        (named,) = decode(leaf)["payload"]
        kept = log.payload(named["digest"])
        assert kept is not None
        assert kept[2] is not None
        return vault.open(kept[0], kept[1], kept[2], named["commitment"]).decode()
    finally:
        vault.close()
        log.close()


def test_two_machines_enter_in_one_log_which_one_of_them_signs(machines: Machines, tmp_path: Path) -> None:
    first = enter(machines.a, "from a")
    second = enter(machines.b, "from b")
    assert second == first + 1
    log = machines.b.read()
    assert [decode(leaf)["kind"] for leaf in log.leaves(0, 1)] == ["log.open"]
    log.close()
    assert subject(machines.a) == subject(machines.b)
    assert machines.a.signs()
    assert not machines.b.signs()
    with pytest.raises(LedgerError, match="signed by another machine"):
        machines.b.notary()
    assert machines.b.log_key() == machines.a.log_key()
    gone: list[str] = []
    size, key = export_all(machines.a, tmp_path / "bundle", streams=["run:a"], gone=gone.extend)
    verdict = verify(tmp_path / "bundle", key)
    assert (size, verdict.holds, verdict.size, verdict.contents, len(gone)) == (3, True, 3, 1, 1)
    assert content(machines.b, second) == "from b"
    with pytest.raises(LedgerError, match="not in this key file"):
        content(machines.b, first)


def test_a_machine_with_another_root_key_is_not_let_in(machines: Machines) -> None:
    enter(machines.a)
    (machines.b.root_key_path).write_bytes(bytes(32))
    with pytest.raises(LedgerError, match="another root key"):
        enter(machines.b)


def test_a_machine_that_names_the_log_otherwise_is_not_let_in(machines: Machines) -> None:
    enter(machines.a)
    other = LedgerHome(machines.b.folder, replace(machines.b.settings, origin="other.example/log"), {})
    with pytest.raises(LedgerError, match=r"not of other\.example/log"):
        enter(other)


def test_who_is_erased_on_one_machine_is_erased_on_the_others(machines: Machines) -> None:
    ours, theirs = enter(machines.a), enter(machines.b)
    bob = enter(machines.b, "of bob", who=subject(machines.b, "bob"))
    erase(machines.a, subject(machines.a), "asked", "admin")
    machine = machines.b.share()
    machine.append(Draft("heartbeat", "heartbeat", "system:test"))
    machine.close()
    for home, index in ((machines.a, ours), (machines.b, theirs)):
        with pytest.raises(ErasedError):
            content(home, index)
    assert content(machines.b, bob) == "of bob"
    # Who comes back is kept again.
    back = enter(machines.b, "again")
    assert machines.b.replay() == 0
    assert content(machines.b, back) == "again"


def test_a_machine_that_is_running_sees_another_ones_erasure(machines: Machines) -> None:
    running_b = machines.b.share()
    who = subject(machines.b)
    kept = Content("words", "text/plain", b"words", subject=who)
    index = running_b.append(Draft("run.prompt", "run:b", who, contents=(kept,))).index
    erase(machines.a, who, "asked", "admin")
    end_s = time.monotonic() + 60
    vault = machines.b.vault()
    while vault.key_ids(who):
        assert time.monotonic() < end_s
    vault.close()
    running_b.close()
    with pytest.raises(ErasedError):
        content(machines.b, index)


def test_an_erasure_on_another_machine_waits_for_a_hold_on_this_ones_contents(machines: Machines) -> None:
    enter(machines.a)
    held = enter(machines.b, "held", "run:held")
    hold(machines.a, "run:held", "case 17", "counsel")
    erase(machines.a, subject(machines.a), "asked", "admin")
    assert machines.b.replay() == 0
    assert content(machines.b, held) == "held"
    hold(machines.a, "run:held", "over", "counsel", on=False)
    assert machines.b.replay() == 1
    with pytest.raises(ErasedError):
        content(machines.b, held)


def test_each_machine_drops_its_own_contents_and_none_under_a_hold_there(machines: Machines) -> None:
    ours, theirs = enter(machines.a), enter(machines.b)
    hold(machines.b, subject(machines.b, "bob"), "case 17", "counsel")
    bob = enter(machines.b, "of bob", who=subject(machines.b, "bob"))
    later_us = time.time_ns() // 1000 + 40 * DAY_US
    kept = {"run.prompt": 30}
    a, b = (LedgerHome(home.folder, replace(home.settings, retention=kept), {}) for home in (machines.a, machines.b))
    assert prune(a, now_us=later_us) == 1
    assert content(machines.b, theirs) == "words"
    assert prune(b, now_us=later_us) == 1
    assert content(machines.b, bob) == "of bob"
    for home, index in ((machines.a, ours), (machines.b, theirs)):
        log = home.read()
        (leaf,) = log.leaves(index, index + 1)
        row = log.payload(decode(leaf)["payload"][0]["digest"])
        log.close()
        assert row is not None
        assert row[1:] == (b"", None)


def test_servers_on_two_machines_enter_what_happens_and_one_of_them_signs_it(machines: Machines) -> None:
    opened = []
    for home in (machines.a, machines.b):
        settings = replace(home.settings, checkpoint_s=0.1)
        evidence = open_evidence(home.folder.parent, settings, {"HOME": str(home.folder)})
        assert evidence is not None
        evidence.begin(Draft("configuration", "log", "system:mohist", data={"begins": True}))
        opened.append(evidence)
    waiting = [one.submit(Draft("tool.intent", f"run:{n}", "m")) for n in range(20) for one in opened]
    assert sorted(one.result(30).index for one in waiting) == list(range(3, 43))
    archive = machines.a.archive()
    end_s = time.monotonic() + 60
    while (newest := archive.newest()) is None or newest.checkpoint.size < 43:
        assert time.monotonic() < end_s
    archive.close()
    for one in opened:
        one.close()
    archive = machines.b.archive()
    assert archive.newest() is None
    archive.close()
    assert machines.b.examine() == []


def test_a_restored_backup_that_lacks_what_was_signed_stops_every_machine(machines: Machines) -> None:
    enter(machines.a)
    backup = machines.copy()
    enter(machines.a)
    sign(machines.a)
    machines.restore(backup)
    with pytest.raises(SealedError, match="one with 3 was signed"):
        enter(machines.a)
    # The other one has never seen a checkpoint, and is stopped all the same.
    with pytest.raises(SealedError, match="one with 3 was signed"):
        enter(machines.b)
    assert "was signed" in machines.b.sealed


def test_a_backup_that_is_restored_under_a_running_machine_is_noticed_when_it_connects_again(
    machines: Machines,
) -> None:
    running_a = machines.a.share()
    heartbeat = Draft("heartbeat", "heartbeat", "system:test")
    running_a.append(heartbeat)
    backup = copied_under(machines)
    running_a.append(heartbeat)
    sign(machines.a)
    machines.restore(backup)
    with pytest.raises(SealedError, match="was signed"):
        running_a.append(heartbeat)
    running_a.close()


def copied_under(machines: Machines) -> str:
    """A database can be copied while nobody is connected; whoever is comes back by himself."""
    with psycopg.connect(machines.server.url("postgres"), autocommit=True) as db:
        db.execute(f"ALTER DATABASE {machines.database} ALLOW_CONNECTIONS false")
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (machines.database,))
        try:
            return machines.copy()
        finally:
            db.execute(f"ALTER DATABASE {machines.database} ALLOW_CONNECTIONS true")


@pytest.mark.enable_socket
def test_a_restored_backup_is_told_by_a_witness_where_nobody_remembers(machines: Machines) -> None:
    enter(machines.a)
    backup = machines.copy()
    enter(machines.a)
    with running(FakeWitness(machines.a.log_key(), time.time)) as witness:
        settings = replace(machines.a.settings, witnesses=(f"{witness.verifier_key} {witness.url}",), quorum=1)
        seen = LedgerHome(machines.a.folder, settings, {})
        sign(seen)
        machines.restore(backup)
        other = LedgerHome(machines.b.folder, settings, {})
        with pytest.raises(SealedError, match=r"cosigned by witness\.example"):
            enter(other)


def test_no_password_is_told(tmp_path: Path) -> None:
    secret = "".join(chr(97 + number) for number in range(12))
    env = {"MOHIST_HOME": str(tmp_path), "MOHIST_LEDGER_DATABASE_URL": f"postgresql://me:{secret}@/db?host=/nowhere"}
    home = LedgerHome(tmp_path / "ledger", owner_config(env).ledger, env)
    with pytest.raises(LedgerError, match="can't be reached") as told:
        home.read()
    assert secret not in str(told.value) + repr(home.settings) + repr(told.value.__cause__)
