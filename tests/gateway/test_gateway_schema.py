"""The database's schema: older files are brought up to date, newer ones refused."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from gateway_call import add_key

from fakes.postgres import Postgres
from mohist.gateway.address import Address, home_address
from mohist.gateway.budget import Budget, Spend
from mohist.gateway.database import Session
from mohist.gateway.errors import StoreError
from mohist.gateway.key import Key
from mohist.gateway.migration import HEAD
from mohist.gateway.schema import METADATA
from mohist.gateway.screen.archive import Archive
from mohist.gateway.store import Store

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway"


def schema_of(path: Path) -> str:
    """The schema of a database, one statement a line."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
        version = db.execute("PRAGMA user_version").fetchone()[0]
    return "\n".join([*(" ".join(sql.split()) + ";" for (sql,) in rows), f"PRAGMA user_version = {version};", ""])


def fresh(folder: Path) -> Path:
    Store(folder / "fresh.db").close()
    return folder / "fresh.db"


def columns_of(path: Path) -> list[tuple]:
    """All tables with their columns, keys and indexes, whatever text made them."""
    with closing(sqlite3.connect(path)) as db:
        tables = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        facts: list[tuple] = [("version", *db.execute("PRAGMA user_version").fetchone())]
        for table in tables:
            # A primary key of one column may be null in SQLite, and was not said not to be in older files.
            rows = db.execute(f"PRAGMA table_info({table})").fetchall()
            facts += [(table, name, kind, need or key, usual, key) for _, name, kind, need, usual, key in rows]
            facts += [(table, row[1]) for row in db.execute(f"PRAGMA index_list({table})") if row[3] == "c"]
    return facts


def test_the_schema_is_as_pinned(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "gateway.db"
    Store(path).close()
    pinned = GOLDEN / f"schema-{int(HEAD)}.sql"
    if request.config.getoption("--renew-pins"):
        pinned.write_text(schema_of(path), encoding="utf-8")
    assert schema_of(path) == pinned.read_text(encoding="utf-8"), "a change of the schema is a new migration"


def test_the_steps_make_what_the_tables_declare(address: Address) -> None:
    with Session(address) as session:
        context = MigrationContext.configure(session.db)
        assert compare_metadata(context, METADATA) == []


def test_a_fresh_postgresql_is_brought_up_by_several_at_once(running_postgres: Postgres, tmp_path: Path) -> None:
    made = home_address(tmp_path, {}, running_postgres.url(running_postgres.new_database()))
    open_at_once(made)
    with Store(made) as store:
        assert store.revision() == 1


def test_a_file_of_schema_1_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / "filled-1.sql").read_text(encoding="utf-8"))
    with Store(path) as store:
        _, keys, secrets, budgets = store.policy()
        assert keys == [Key("key-1", "ann", "shop", "core", ("qwen*",), created_at_ms=1, requests_per_minute=60)]
        assert [(secret.hash, secret.key_id) for secret in secrets] == [(bytes(range(32)), "key-1")]
        assert budgets == [Budget("key", "key-1", "month", 50_000_000)]
        assert store.usage("user") == []
    assert columns_of(path) == columns_of(fresh(tmp_path))


def test_a_file_of_schema_2_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / "filled-2.sql").read_text(encoding="utf-8"))
    with Store(path) as store:
        assert store.key("key-1").user == "ann"
        assert {(total.name, total.calls, total.cost_microusd) for total in store.usage("user")} == {
            ("ann", 1, 700),
            ("", 1, 0),
        }
        assert Spend("team", "core", 19_675, 700, 200) in store.spends()
    assert columns_of(path) == columns_of(fresh(tmp_path))


def test_a_file_of_schema_5_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / "filled-5.sql").read_text(encoding="utf-8"))
    with Store(path) as store:
        assert store.key("key-1").roles == ("caller", "auditor")
        assert [(total.name, total.calls) for total in store.usage("user")] == [("ann", 1)]
    assert columns_of(path) == columns_of(fresh(tmp_path))


def test_a_file_of_schema_6_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / "filled-6.sql").read_text(encoding="utf-8"))
    with Store(path) as store:
        key = store.key("key-1")
        assert (key.user, key.tool, key.repository) == ("ann", "", "")
    with Archive(path) as archive:
        assert [(one.release_id, one.rule, one.user) for one in archive.releases()] == [
            ("release-1", "keyword.token", "ann")
        ]
    assert columns_of(path) == columns_of(fresh(tmp_path))


def test_a_file_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer program"):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="can't be used"):
        Store(path)


def test_several_that_open_a_fresh_file_at_once_agree(tmp_path: Path) -> None:
    open_at_once(tmp_path / "gateway.db")


def open_at_once(what: Address | Path) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def open_it() -> None:
        try:
            start.wait(60)
            Store(what).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_two_keys_of_one_id_are_not_kept(tmp_path: Path) -> None:
    add_key(tmp_path, Key("key-1", "ann"))
    with pytest.raises(StoreError):
        add_key(tmp_path, Key("key-1", "bob"))
    with Store(tmp_path / "gateway.db") as store:
        revision, keys, secrets, _ = store.policy()
    assert ([key.user for key in keys], len(secrets), revision) == (["ann"], 1, 2)
