from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mohist.ledger.log import Log
from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Writer, Vault]]:
    """A ledger to enter runs in."""
    vault = Vault(tmp_path / "keys.db", bytes(32))
    writer = Writer(Log(tmp_path / "log.db", "log.example/test"), vault)
    yield writer, vault
    writer.close()
    vault.close()
