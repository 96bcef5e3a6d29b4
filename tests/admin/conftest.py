"""A gateway with its admin API, in this process, on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.admin import Site, opened, some_keys
from fakes.postgres import Postgres
from mohist.gateway.address import Address, file_address, home_address


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def new_address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Address]:
    """Makes a fresh database of a kind."""

    def made(kind: str) -> Address:
        if kind == "sqlite":
            return file_address(tmp_path / "gateway.db")
        server = request.getfixturevalue("running_postgres")
        return home_address(tmp_path, {}, server.url(server.new_database()))

    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_address: Callable[[str], Address]) -> Iterator[Site]:
    """A gateway on a fresh database of each kind."""
    address = new_address(request.param)
    with opened(address, some_keys(address)) as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Site]:
    """The same where the kind of database makes no difference."""
    address = file_address(tmp_path / "gateway.db")
    with opened(address, some_keys(address)) as made:
        yield made
