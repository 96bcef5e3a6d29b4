"""The tables of deliveries: made by steps, beside the gateway's or alone; newer ones are refused."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event, text

from fakes.clock import FakeClock
from fakes.postgres import Postgres
from mohist.delivery.errors import BookError
from mohist.delivery.migration import VERSION_TABLE
from mohist.delivery.schema import METADATA
from mohist.delivery.state import Bound, Delivery
from mohist.delivery.store import Store
from mohist.gateway.address import Address, home_address
from mohist.gateway.schema import METADATA as GATEWAY
from mohist.gateway.store import Store as GatewayStore

GOLDEN = Path(__file__).parent.parent / "golden" / "delivery"
KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@KINDS
def test_the_steps_make_what_the_tables_declare(
    kind: str, new_address: Callable[[str], Address], clock: FakeClock
) -> None:
    address = new_address(kind)
    Store(address, clock).close()
    engine = create_engine(address.url)
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_a_file_of_schema_1_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "deliveries.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / "filled-1.sql").read_text(encoding="utf-8"))
    store = Store(path, clock)
    facts = store.facts("dlv-1")
    assert (facts.delivery.bound, facts.delivery.options) == (Bound(5_000_000), {"yes": True})
    assert facts.spec is not None
    assert facts.spec.irreversible == ("the schema",)
    assert [(one.by, one.teams) for gate in facts.gates for one in gate.decisions] == [("bob", ("@core",))]
    assert [note.kind for note in store.notes("dlv-1")] == ["created", "decision", "comment"]
    assert store.effect("dlv-1/1/push", "push") == {"commit": "b" * 40}
    store.close()
    Store(tmp_path / "fresh.db", clock).close()
    assert columns_of(path) == columns_of(tmp_path / "fresh.db")


def test_what_waited_to_look_again_is_found_after_the_upgrade(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "deliveries.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / "filled-1.sql").read_text(encoding="utf-8"))
        options = '{"look":{"at_ms":7,"attempt":1,"stage":"merge"},"yes":true}'
        db.execute("UPDATE deliveries SET status = 'waiting', segment = '', options = ?", (options,))
        db.commit()
    store = Store(path, clock)
    assert (store.due(6), store.due(7)) == ([], ["dlv-1"])
    store.close()


@KINDS
def test_a_worker_asks_only_for_what_was_moved(
    kind: str, new_address: Callable[[str], Address], clock: FakeClock
) -> None:
    store = Store(new_address(kind), clock)
    for number in range(3):
        told = (f"d-{number}", "/r", "Do it.", "text", "ann", "a" * 40, "main", f"mohist/d-{number}")
        store.create(Delivery(*told, "waiting" if number else "paused", "clarify", 1, 1, updated_at_ms=10 * number))
    assert store.moved_since("waiting", 0) == [("d-1", 0), ("d-2", 0)]
    assert store.moved_since("waiting", 11) == [("d-2", 0)]
    store.change("d-2", lambda row: dataclasses.replace(row, detail="it waits"))
    assert store.moved_since("waiting", 20) == [("d-2", 1)]
    assert store.moved_since("waiting", 21) == []
    store.close()


def test_what_a_worker_asks_each_round_is_found_by_an_index(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "deliveries.db"
    store = Store(path, clock)
    asked: list[str] = []
    event.listen(store._tables.db.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    store.due(1)
    store.moved_since("waiting", 1)
    store.running()
    store.close()
    with closing(sqlite3.connect(path)) as db:
        plans = [
            db.execute(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?")).fetchall()
            for text in asked
            if "FROM deliveries" in text
        ]
    assert len(plans) == 3
    for plan in plans:
        assert any("USING" in row[3] and "INDEX" in row[3] for row in plan), plan
        assert not any(row[3].startswith("SCAN") for row in plan), plan


def columns_of(path: Path) -> dict[str, list[str]]:
    """The columns of each table, in their order."""
    with closing(sqlite3.connect(path)) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}


@KINDS
def test_they_live_beside_the_gateways_in_one_database(
    kind: str, new_address: Callable[[str], Address], clock: FakeClock
) -> None:
    assert not set(METADATA.tables) & set(GATEWAY.tables)
    address = new_address(kind)
    for _ in range(2):
        GatewayStore(address).close()
        Store(address, clock).close()


def test_a_fresh_postgresql_is_brought_up_by_several_at_once(
    delivery_postgres: Postgres, tmp_path: Path, clock: FakeClock
) -> None:
    address = home_address(tmp_path, {}, delivery_postgres.url(delivery_postgres.new_database()))
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            Store(address, clock).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@KINDS
def test_what_a_newer_program_made_is_refused(
    kind: str, new_address: Callable[[str], Address], clock: FakeClock
) -> None:
    address = new_address(kind)
    Store(address, clock).close()
    engine = create_engine(address.url)
    with engine.begin() as db:
        db.execute(text("UPDATE delivery_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(BookError, match="newer program"):
        Store(address, clock)


def test_a_file_that_is_no_database_is_told_without_the_gateway(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "deliveries.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 20)
    with pytest.raises(BookError, match=r"The database of deliveries .* can't be used"):
        Store(path, clock)


def test_the_server_may_go_and_come_back(delivery_postgres: Postgres, tmp_path: Path, clock: FakeClock) -> None:
    address = home_address(tmp_path, {}, delivery_postgres.url(delivery_postgres.new_database()))
    store = Store(address, clock, busy_s=1.0)
    assert store.effect("k", "push") is None
    delivery_postgres.stop()
    with pytest.raises(BookError):
        store.begun("k")
    delivery_postgres.start()
    assert store.begun("k")
    store.close()
