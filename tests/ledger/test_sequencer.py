"""Machines that share a log in PostgreSQL: whatever is killed, stopped or cut off, nothing acknowledged is lost and nothing is twice."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from ledger_place import ORIGIN, Base
from sequencer_world import LIMIT_S, Machine, draft, end, numbers, process, until, whole

from fakes.postgres import Postgres
from mohist.ledger import Content, Draft, EntryError, LedgerBusyError, LedgerError, Receipt, SealedError
from mohist.ledger.errors import LostError
from mohist.ledger.postgres import Address, Inbox, PostgresLog, Sequencer
from mohist.ledger.store import Ready, SealedContent
from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer


@pytest.fixture
def machine(base: Base) -> Iterator[Machine]:
    made = Machine(base.address)
    yield made
    made.close()


def test_what_has_a_receipt_is_in_the_log_with_its_place(base: Base, machine: Machine) -> None:
    receipt = machine.writer.append(draft(7))
    assert (receipt.index, receipt.stream, receipt.sequence) == (0, "run:a", 0)
    assert [one.index for one in machine.writer.extend([draft(8), draft(9)])] == [1, 2]
    assert numbers(base.address) == [7, 8, 9]
    assert whole(base.address) == 3


def test_the_same_key_from_anywhere_is_the_same_entry(base: Base, machine: Machine) -> None:
    other = Machine(base.address)
    first = machine.writer.append(draft(1, key="k"))
    assert other.writer.append(draft(1, key="k")) == first
    assert (
        other.writer.extend([draft(1, key="k"), draft(2, key="k2"), draft(2, key="k2")])[1:]
        == [machine.writer.append(draft(2, key="k2"))] * 2
    )
    other.close()
    assert whole(base.address) == 2


def test_a_draft_that_can_be_no_entry_costs_only_its_own_caller(base: Base, machine: Machine) -> None:
    with pytest.raises(EntryError, match="at most 16384"):
        machine.writer.append(Draft("tool.result", "run:a", "model:m", data={"large": "x" * 20_000}))
    assert machine.writer.append(draft(1)).index == 0
    strange = Draft("tool.result", "run:a", "model:m", data={"name": "half \ud800 a pair"})
    assert machine.writer.append(strange).index == 1
    with base.connect() as db:
        db.execute("INSERT INTO inbox (id, body) VALUES ('strange', 'no draft'), ('other', '[{}]')")
    assert machine.writer.append(draft(2)).index == 2
    with base.connect() as db:
        assert db.execute("SELECT kind FROM refusal ORDER BY id").fetchall() == [("EntryError",), ("EntryError",)]


def test_what_only_its_place_makes_too_long_is_refused_by_whoever_leads(base: Base) -> None:
    """One machine's program may know other bounds than the other's."""
    machine = Machine(base.address)
    with base.connect() as db:
        from mohist.ledger.form import pack

        db.execute("INSERT INTO inbox (id, body) VALUES ('x', %s)", (pack([Ready(Draft("tool.result", "run:a", "m", data={"large": "x" * 20_000}))]),))  # fmt: skip
        until(lambda: db.execute("SELECT 1 FROM refusal WHERE what LIKE '%at most 16384%'").fetchone() is not None)
    machine.close()


def test_of_two_candidates_one_leads_and_both_enter(base: Base) -> None:
    machines = [Machine(base.address), Machine(base.address)]

    def work(name: int) -> None:
        for number in range(60):
            machines[name % 2].writer.append(draft(number, f"run:{name}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.sequencer.leads for one in machines) == [False, True]
    leader = machines.pop(0 if machines[0].sequencer.leads else 1)
    leader.close()
    assert machines[0].writer.append(draft(60, "run:0")).index == 360
    assert machines[0].sequencer.leads
    machines[0].close()
    assert whole(base.address) == 361
    assert [numbers(base.address, f"run:{name}") for name in range(1, 6)] == [list(range(60))] * 5


def test_a_leader_that_is_killed_in_the_middle_leaves_nothing_half_done(base: Base) -> None:
    killed = process(base.address.url, "k", 0, 1, "stops")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "middle\n"
    machine = Machine(base.address)
    waiting = machine.writer.submit(draft(1))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.communicate()
    assert waiting.result(60).index in (0, 1)
    # What the killed one handed in was durable: whoever leads next enters it, once.
    until(lambda: numbers(base.address, "run:k") == [0])
    assert machine.writer.append(draft(0, "run:k", key="k/0")).sequence == 0
    machine.close()
    assert whole(base.address) == 2


@pytest.mark.parametrize("how", ["stops", "copies"])
def test_a_leader_that_was_stopped_and_wakes_up_can_not_commit(base: Base, how: str) -> None:
    stopped = process(base.address.url, "s", 0, 3, how)
    assert stopped.stdout is not None
    assert stopped.stdin is not None
    assert stopped.stdout.readline() == "middle\n"
    machine = Machine(base.address)
    # The database throws out whom it does not hear of, with its lock and what it had begun; where it waits for the rest of
    # what was being said, the others have it do so.
    assert machine.writer.append(draft(1)).index in (0, 1)
    assert machine.sequencer.leads
    stopped.stdin.write("\n")
    stopped.stdin.flush()
    assert end(stopped) == ["0", "1", "2"]
    machine.close()
    assert numbers(base.address, "run:s") == [0, 1, 2]
    assert whole(base.address) == 4


def test_a_leader_that_is_stopped_while_nothing_comes_is_deposed_as_well(base: Base) -> None:
    stopped = process(base.address.url, "s", 0, 1, "stays")
    assert stopped.stdout is not None
    assert stopped.stdout.readline() == "0\n"
    stopped.send_signal(signal.SIGSTOP)
    machine = Machine(base.address)
    assert machine.writer.append(draft(1)).index == 1
    assert machine.sequencer.leads
    stopped.send_signal(signal.SIGCONT)
    stopped.communicate("\n", timeout=LIMIT_S)
    machine.close()
    assert stopped.returncode == 0
    assert whole(base.address) == 2


def test_a_machine_that_knows_better_than_the_log_hands_nothing_in(base: Base) -> None:
    """As with a restored backup, where another machine leads that knows nothing of it."""

    def glance(_: PostgresLog) -> None:
        raise SealedError("One with 7 was signed.")

    machine, inbox = Machine(base.address), Inbox(base.address, examine=glance)
    with pytest.raises(SealedError, match="with 7 was signed"):
        inbox.write([Ready(draft(0))])
    machine.close()
    assert whole(base.address) == 0


def test_a_leader_whose_term_is_over_enters_nothing_even_with_the_lock(base: Base) -> None:
    log = base.log()
    log.write([Ready(draft(0))])
    with base.connect() as db:
        db.execute("UPDATE head SET term = term + 1")
    with pytest.raises(LedgerBusyError, match="by now"):
        log.write([Ready(draft(1))])
    # Elected again it goes on.
    assert log.write([Ready(draft(1))])[0].index == 1
    assert whole(base.address) == 2


def test_a_leader_that_lost_its_lock_is_refused_by_the_database(base: Base) -> None:
    log = base.log()
    log.write([Ready(draft(0))])
    log.db.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(LedgerError, match="only the elected sequencer enters"):
        log.write([Ready(draft(1))])
    assert whole(base.address) == 1


def test_a_server_that_is_stopped_and_started_loses_and_repeats_nothing(ledger_template: str) -> None:
    server = Postgres()
    try:
        address = Address(server.url(server.new_database()))
        PostgresLog(address, ORIGIN).close()
        machines = [Machine(address), Machine(address)]
        receipts: list[list[Receipt]] = [[], []]

        def work(name: int) -> None:
            for number in range(300):
                receipts[name].append(machines[name].writer.append(draft(number, f"run:{name}")))

        reader = PostgresLog(address, read_only=True)
        threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
        for thread in threads:
            thread.start()
        for already in (40, 120):
            until(lambda already=already: len(receipts[0]) > already)  # type: ignore[misc]
            server.stop()
            server.start()
        for thread in threads:
            thread.join()
        for one in machines:
            one.close()
        # Who only reads learns of it once.
        with pytest.raises(LostError):
            reader.refresh()
        reader.refresh()
        assert reader.size == 600
        reader.close()
        assert [numbers(address, f"run:{name}") for name in range(2)] == [list(range(300))] * 2
        assert sorted(one.index for each in receipts for one in each) == list(range(600))
        assert whole(address) == 600
    finally:
        server.remove()


def test_a_writer_that_is_killed_before_its_answer_is_entered_once(base: Base) -> None:
    killed = process(base.address.url, "w", 5, 1, "alone")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "sent\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert numbers(base.address, "run:w") == []
    machine = Machine(base.address)
    until(lambda: numbers(base.address, "run:w") == [5])
    # Started again it sends the same once more.
    assert machine.writer.append(draft(5, "run:w", key="w/5")).index == 0
    machine.close()
    assert whole(base.address) == 1


def test_a_connection_lost_when_the_hand_in_commits_enters_once(
    base: Base, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = Inbox._send, []

    def cut(inbox: Inbox, log: PostgresLog, *more: object) -> None:
        send(inbox, log, *more)  # type: ignore[arg-type]
        sent.append(more[0])
        if len(sent) < 4:
            with base.connect() as db:
                db.execute("SELECT pg_terminate_backend(%s)", (log.db.info.backend_pid,))

    monkeypatch.setattr(Inbox, "_send", cut)
    assert machine.writer.append(draft(0)).index == 0
    assert machine.writer.append(draft(1)).index == 1
    assert len(sent) == 5
    assert numbers(base.address) == [0, 1]


def test_a_leader_cut_off_at_its_commit_enters_once_whether_it_went_through_or_not(
    base: Base, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, led, cuts = PostgresLog._put, PostgresLog.led, []

    def before(log: PostgresLog, *more: object) -> None:
        put(log, *more)  # type: ignore[arg-type]
        if len(cuts) == 0:
            cuts.append("before")
            with base.connect() as db:
                db.execute("SELECT pg_terminate_backend(%s)", (log.db.info.backend_pid,))

    def after(log: PostgresLog, *more: object) -> list[object]:
        done = led(log, *more)  # type: ignore[arg-type]
        if len(cuts) == 1:
            cuts.append("after")
            log.db.close()
            raise LostError("The answer to the commit is lost.")
        return done

    monkeypatch.setattr(PostgresLog, "_put", before)
    monkeypatch.setattr(PostgresLog, "led", after)
    assert [machine.writer.append(draft(number)).index for number in range(4)] == [0, 1, 2, 3]
    assert cuts == ["before", "after"]
    assert numbers(base.address) == [0, 1, 2, 3]
    assert whole(base.address) == 4


def test_where_nobody_gives_places_the_entry_is_withdrawn_and_the_next_does_not_wait(base: Base) -> None:
    inbox = Inbox(base.address, answer_s=0.3)
    for _ in range(2):
        with pytest.raises(LedgerBusyError, match="Nobody gives entries"):
            inbox.write([Ready(draft(0))])
    with base.connect() as db:
        assert db.execute("SELECT count(*) FROM inbox").fetchone() == (0,)
    inbox.close()
    machine = Machine(base.address)
    assert machine.writer.append(draft(1)).index == 0
    machine.close()


def test_a_database_that_is_away_refuses_and_says_so(base: Base) -> None:
    away = Inbox(Address("postgresql://nobody@/none?host=/nowhere"), answer_s=0.2)
    with pytest.raises(LedgerBusyError, match="can't be reached"):
        away.write([Ready(draft(0))])


@pytest.mark.parametrize("table", ["inbox", "entry"])
def test_a_full_disk_refuses_and_loses_nothing(base: Base, table: str) -> None:
    """PostgreSQL says it with an error of the statement; here a trigger says it in the same words."""
    with base.connect() as db:
        db.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        db.execute(f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()")
        machine = Machine(base.address, answer_s=1.0)
        with pytest.raises(LedgerError, match=r"No space left|Nobody gives"):
            machine.writer.append(draft(0))
        db.execute(f"DROP TRIGGER full_disk ON {table}")
        until(lambda: machine.sequencer.leads)
    assert machine.writer.append(draft(1)).index == 0
    machine.close()
    assert numbers(base.address) == [1]


def test_where_connections_run_out_nothing_is_entered_until_there_are_some(base: Base) -> None:
    name = base.address.url.partition("@/")[2].partition("?")[0]
    with base.connect() as db:
        db.execute("CREATE ROLE few LOGIN")
        db.execute("GRANT ALL ON SCHEMA mohist_ledger TO few")
        db.execute("GRANT ALL ON ALL TABLES IN SCHEMA mohist_ledger TO few")
        db.execute("ALTER ROLE few CONNECTION LIMIT 1")
        address = Address(base.address.url.replace("mohist@", "few@"))
        sequencer = Sequencer(address)
        until(lambda: sequencer.leads)
        inbox = Inbox(address, answer_s=0.5)
        with pytest.raises(LedgerBusyError, match="too many connections"):
            inbox.write([Ready(draft(0))])
        db.execute("ALTER ROLE few CONNECTION LIMIT 2")
        assert inbox.write([Ready(draft(0))])[0].index == 0
        inbox.close()
        sequencer.close()
        db.execute(f'DROP DATABASE IF EXISTS "{name}_"')
        db.execute("DROP OWNED BY few")
        db.execute("DROP ROLE few")


def test_a_sealed_log_takes_nothing_from_any_machine(base: Base) -> None:
    machines = [Machine(base.address), Machine(base.address)]
    machines[0].writer.append(draft(0))
    log = base.log(read_only=True)
    log.seal("It is shorter than what was signed.")
    for one in machines:
        with pytest.raises(SealedError, match="shorter than what was signed"):
            one.writer.append(draft(1))
        one.close()
    assert numbers(base.address) == [0]
    # A person who knows why lifts it.
    with base.connect() as db:
        db.execute("UPDATE head SET sealed = ''")
    machine = Machine(base.address)
    assert machine.writer.append(draft(2)).index == 1
    machine.close()


def test_a_log_that_is_not_what_it_was_is_sealed_by_whoever_is_elected(base: Base) -> None:
    told: list[SealedError] = []

    def examine() -> None:
        raise SealedError("The log is other than what was witnessed.")

    sequencer = Sequencer(base.address, examine, told.append)
    inbox = Inbox(base.address)
    with pytest.raises(SealedError, match="other than what was witnessed"):
        inbox.write([Ready(draft(0))])
    inbox.close()
    sequencer.close()
    assert len(told) == 1
    assert whole(base.address) == 0


def test_several_machines_of_which_some_are_killed_again_and_again_lose_and_repeat_nothing(base: Base) -> None:
    steady = {name: process(base.address.url, name, 0, 250) for name in ("a", "b")}
    said, at = -1, 0
    for kill in range(5):
        victim = process(base.address.url, "v", at, 1000)
        assert victim.stdout is not None
        for _ in range(15 + kill * 5):
            said = int(victim.stdout.readline())
        victim.send_signal(signal.SIGKILL)
        rest = victim.communicate()[0].split()
        said = int(rest[-1]) if rest else said
        at = said + 1
    for one in steady.values():
        assert [int(number) for number in end(one)] == list(range(250))
    machine = Machine(base.address)
    machine.writer.append(draft(0, "run:last"))
    machine.close()
    for name in steady:
        assert numbers(base.address, f"run:{name}") == list(range(250))
    victims = numbers(base.address, "run:v")
    # What it was told is there; the one that it was killed over may be, too, and is not there twice.
    assert victims[: said + 1] == list(range(said + 1))
    assert len(victims) - (said + 1) in (0, 1)
    whole(base.address)


def test_no_key_and_no_content_in_clear_ever_comes_to_the_database(
    base: Base, running_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = bytes(range(100, 132))
    keys = tmp_path_factory.mktemp("keys") / "keys.db"
    vault = Vault(keys, root)
    sequencer = Sequencer(base.address)
    writer = Writer(Inbox(base.address), vault)
    clear = b"what was asked, word for word"
    receipt = writer.append(
        Draft("run.prompt", "run:a", "m", contents=(Content("p", "text/plain", clear, "person:a"),))
    )
    writer.close()
    sequencer.close()
    with base.connect() as db:
        db.execute("CHECKPOINT")
        ((kid, wrapped, ciphertext),) = db.execute("SELECT kid, wrapped, ciphertext FROM payload").fetchall()
    with closing(sqlite3.connect(keys)) as db:
        ((of_subject,),) = db.execute("SELECT wrapped FROM wrapping").fetchall()
    everything = b"".join(path.read_bytes() for path in running_postgres.folder.rglob("*") if path.is_file())
    assert ciphertext in everything
    assert wrapped in everything
    for secret in (root, of_subject, aes_key_unwrap(root, of_subject), vault.key(str(kid), bytes(wrapped)), clear):  # type: ignore[arg-type]
        assert secret not in everything
    assert receipt.index == 0
    vault.close()


def test_a_content_is_dropped_or_stays_as_it_is(base: Base, tmp_path_factory: pytest.TempPathFactory) -> None:
    vault = Vault(tmp_path_factory.mktemp("keys") / "keys.db", bytes(32))
    sealed: SealedContent = vault.seal(Content("p", "text/plain", b"x", "person:a"))
    log = base.log()
    log.write([Ready(draft(0), (sealed,))])
    digest = sealed.sealed.digest
    assert "dropped or stays" in base.change("UPDATE payload SET ciphertext = 'y'")
    assert "never" in base.change("DELETE FROM payload")
    log.drop([digest])
    assert log.payload(digest) == (sealed.sealed.key_id, b"", None)
    vault.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET leaf = leaf WHERE false",
        "DELETE FROM entry WHERE false",
        "TRUNCATE entry",
        "TRUNCATE inbox, tile",
        "DELETE FROM stream",
        "UPDATE about SET value = 'other.example'",
        "DELETE FROM head",
        "INSERT INTO entry VALUES (2, 0, 2, NULL, 'x')",
        "UPDATE head SET size = 1",
        "UPDATE head SET size = 9",
        "UPDATE head SET term = 0",
        "SET session_replication_role = replica; DELETE FROM entry",
    ],
)
def test_the_database_refuses_whatever_is_not_the_leaders_to_do(base: Base, statement: str) -> None:
    base.log().write([Ready(draft(0)), Ready(draft(1))])
    assert base.change(statement)
    assert whole(base.address) == 2


def test_who_owns_the_tables_has_not_the_right_to_change_what_is_entered(
    base: Base, running_postgres: Postgres
) -> None:
    name = running_postgres.new_database()
    url = running_postgres.url(name)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DO $$ BEGIN CREATE ROLE owner_of_log LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        db.execute(f"GRANT CREATE ON DATABASE {name} TO owner_of_log")
    address = Address(url.replace("mohist@", "owner_of_log@"))
    log = PostgresLog(address, ORIGIN)
    log.write([Ready(draft(0))])
    log.close()
    with psycopg.connect(address.url, autocommit=True, options="-c search_path=mohist_ledger") as db:
        for statement in ("UPDATE entry SET leaf = 'x'", "DELETE FROM entry", "TRUNCATE tile", "DELETE FROM stream"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)
    assert whole(address) == 1
