"""Databases for the gateway's tests: a file of SQLite, and a real PostgreSQL that is started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.gateway import PATIENCE_S
from fakes.postgres import Postgres
from mohist.gateway import keeper
from mohist.gateway.address import Address, file_address, home_address
from mohist.gateway.store import Store


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that others keep busy can take longer for a slice than a call waits for it."""
    monkeypatch.setattr(keeper, "WAIT_S", PATIENCE_S)


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def filled_template(running_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the schema in it, to be copied."""
    name = running_postgres.new_database()
    home = tmp_path_factory.mktemp("template")
    Store(home_address(home, {}, running_postgres.url(name))).close()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return file_address(tmp_path / "gateway.db")
    server = request.getfixturevalue("running_postgres")
    name = server.new_database(request.getfixturevalue("filled_template"))
    return home_address(tmp_path, {}, server.url(name))
