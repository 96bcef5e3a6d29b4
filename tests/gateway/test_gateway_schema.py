"""The database's schema: older files are brought up to date, newer ones refused."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from gateway_call import add_key

from mohist.gateway.budget import Budget
from mohist.gateway.errors import StoreError
from mohist.gateway.key import Key
from mohist.gateway.schema import MIGRATIONS
from mohist.gateway.store import Store

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway"


def schema_of(path: Path) -> str:
    """The schema of a database, one statement a line."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
        version = db.execute("PRAGMA user_version").fetchone()[0]
    return "\n".join([*(" ".join(sql.split()) + ";" for (sql,) in rows), f"PRAGMA user_version = {version};", ""])


def test_the_schema_is_as_pinned(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    Store(path).close()
    pinned = GOLDEN / f"schema-{len(MIGRATIONS)}.sql"
    assert schema_of(path) == pinned.read_text(encoding="utf-8"), "a change of the schema is a new migration"


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
    assert schema_of(path) == (GOLDEN / f"schema-{len(MIGRATIONS)}.sql").read_text(encoding="utf-8")


def test_a_file_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer program"):
        Store(path)
    assert f"user_version = {len(MIGRATIONS) + 1};" in schema_of(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database, but long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="can't be used"):
        Store(path)


def test_several_that_open_a_fresh_file_at_once_agree(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def open_it() -> None:
        try:
            start.wait(10)
            Store(tmp_path / "gateway.db").close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_two_keys_of_one_id_are_not_kept(tmp_path: Path) -> None:
    add_key(tmp_path, Key("key-1", "ann"))
    with pytest.raises(StoreError):
        add_key(tmp_path, Key("key-1", "bob"))
    with Store(tmp_path / "gateway.db") as store:
        revision, keys, secrets, _ = store.policy()
    assert ([key.user for key in keys], len(secrets), revision) == (["ann"], 1, 2)
