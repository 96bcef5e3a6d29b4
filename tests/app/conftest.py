"""What several tests of the app share: a real PostgreSQL, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.postgres import Postgres


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()
