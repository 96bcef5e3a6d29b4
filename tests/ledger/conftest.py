"""Where logs of the tests are kept: a file of SQLite, and a real PostgreSQL that is started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_place import ORIGIN, Base, File, Place

from fakes.postgres import Postgres
from mohist.ledger.postgres import Address, PostgresLog


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def ledger_template(running_postgres: Postgres) -> str:
    """A database with an empty log in it, to be copied."""
    name = running_postgres.new_database()
    PostgresLog(Address(running_postgres.url(name)), ORIGIN).close()
    return name


@pytest.fixture
def base(running_postgres: Postgres, ledger_template: str) -> Iterator[Base]:
    """A fresh log in PostgreSQL."""
    address = Address(running_postgres.url(running_postgres.new_database(ledger_template)))
    made = Base(address, running_postgres, ledger_template)
    yield made
    for log in made.opened:
        log.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh log of each kind."""
    if request.param == "postgresql":
        yield request.getfixturevalue("base")
        return
    made = File(tmp_path / "log.db")
    yield made
    for log in made.opened:
        log.close()
