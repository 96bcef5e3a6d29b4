"""Databases for the tests of deliveries: files of SQLite, and a real PostgreSQL that is started once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.postgres import Postgres
from mohist.delivery.store import Store
from mohist.gateway.address import Address, file_address, home_address


@pytest.fixture(scope="session")
def delivery_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def delivery_template(delivery_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the tables in it, to be copied."""
    name = delivery_postgres.new_database()
    Store(home_address(tmp_path_factory.mktemp("template"), {}, delivery_postgres.url(name)), FakeClock()).close()
    return name


@pytest.fixture
def new_address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Address]:
    """Makes a fresh database of a kind, `sqlite` or `postgresql`."""

    def make(kind: str) -> Address:
        if kind == "sqlite":
            return file_address(tmp_path / "deliveries.db")
        server = request.getfixturevalue("delivery_postgres")
        return home_address(tmp_path, {}, server.url(server.new_database(request.getfixturevalue("delivery_template"))))

    return make
