"""Logs in PostgreSQL that earlier versions wrote are gone on with; those of newer ones are left alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from golden_postgres import CIPHERTEXT, CONTENT, GOLDEN, NOW_S, ORIGIN, SIZE, entry
from ledger_place import Base
from sequencer_world import until, whole

from fakes.postgres import Postgres
from mohist.ledger import LedgerError, decode
from mohist.ledger.log import Log
from mohist.ledger.postgres import Address, PostgresLog, Sequencer
from mohist.ledger.store import Ready


@pytest.fixture(params=sorted(path.name for path in GOLDEN.iterdir()))
def golden(request: pytest.FixtureRequest, running_postgres: Postgres) -> Base:
    name = running_postgres.new_database()
    running_postgres.load(name, (GOLDEN / request.param).read_text(encoding="utf-8"))
    return Base(Address(running_postgres.url(name)))


def test_an_earlier_log_is_opened_hashed_and_gone_on_with(golden: Base, tmp_path: Path) -> None:
    assert whole(golden.address) == SIZE
    log = PostgresLog(golden.address, ORIGIN)
    # The same entries make the same log wherever they are kept.
    again = Log(tmp_path / "log.db", ORIGIN)
    again.write([entry(number) for number in range(SIZE)])
    assert log.root(SIZE) == again.root(SIZE)
    again.close()
    # The same key is the same entry still, and a stream goes on from where it was.
    assert log.write([Ready(entry(4).draft)])[0].index == 4
    (receipt,) = log.write([Ready(entry(3).draft, at_us=(NOW_S + SIZE) * 1_000_000)])
    assert (receipt.index, receipt.sequence) == (SIZE, SIZE // 3)
    assert log.payload(CONTENT.sealed.digest) == ("0123456789abcdef", b"a wrapped key", CIPHERTEXT)
    log.close()
    assert whole(golden.address) == SIZE + 1


def test_what_waited_in_an_earlier_inbox_is_entered(golden: Base) -> None:
    sequencer = Sequencer(golden.address)
    log = PostgresLog(golden.address, read_only=True)

    def entered() -> bool:
        log.refresh()
        return log.size == SIZE + 1

    until(entered)
    assert [decode(leaf)["data"] for leaf in log.leaves(SIZE, SIZE + 1)] == [{"n": SIZE}]
    sequencer.close()
    log.close()


def test_the_steps_make_what_earlier_ones_became(golden: Base, base: Base) -> None:
    PostgresLog(golden.address, ORIGIN).close()
    assert shape(golden) == shape(base)


def shape(of: Base) -> list[object]:
    """Columns, indexes, triggers, functions and rights of the log's tables."""
    queries = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'mohist_ledger' ORDER BY 1, ordinal_position",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'mohist_ledger' ORDER BY 1",
        "SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'mohist_ledger'::regnamespace ORDER BY 1",
        "SELECT table_name, privilege_type FROM information_schema.table_privileges WHERE table_schema = 'mohist_ledger' ORDER BY 1, 2",
        "SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'mohist_ledger'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    with of.connect() as db:
        return [db.execute(query).fetchall() for query in queries]


def test_a_log_of_a_newer_program_is_refused_and_left_alone(base: Base) -> None:
    with base.connect() as db:
        db.execute("INSERT INTO step VALUES ('9999')")
    with pytest.raises(LedgerError, match="schema 9999"):
        base.log()
    with pytest.raises(LedgerError, match="schema 9999"):
        base.log(read_only=True)


def test_several_that_open_a_fresh_database_at_once_agree(running_postgres: Postgres) -> None:
    address = Address(running_postgres.url(running_postgres.new_database()))
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def open_it() -> None:
        try:
            start.wait(60)
            PostgresLog(address, ORIGIN).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert PostgresLog.named(address) == ORIGIN


def test_where_there_is_no_log_none_is_made_by_reading(running_postgres: Postgres) -> None:
    address = Address(running_postgres.url(running_postgres.new_database()))
    with pytest.raises(LedgerError, match="There is no ledger"):
        PostgresLog(address, read_only=True)
    assert PostgresLog.named(address) == ""
