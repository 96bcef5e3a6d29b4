"""A real ledger in a folder, which can be made to refuse."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mohist.ledger import Draft, LedgerBusyError, Receipt, decode
from mohist.ledger.log import Log
from mohist.ledger.name import Names
from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer

ROOT = bytes(range(32))


class Ledger:
    """Writes, and reads back what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vault = Vault(folder / "keys.db", ROOT)
        self.names = Names(folder / "names.db", ROOT)
        self.writer = Writer(Log(folder / "log.db", "log.example/test"), self.vault)
        self.refuses = False

    def submit(self, draft: Draft) -> Future[Receipt]:
        if self.refuses:
            failed: Future[Receipt] = Future()
            failed.set_exception(LedgerBusyError("The disk is full."))
            return failed
        return self.writer.submit(draft)

    def append(self, draft: Draft) -> Receipt:
        return self.submit(draft).result()

    def entries(self) -> list[dict[str, Any]]:
        log = Log(self.folder / "log.db", read_only=True)
        found = [decode(leaf) for leaf in log.leaves(0, log.size)]
        log.close()
        return found

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries()]

    def content(self, entry: dict[str, Any]) -> bytes:
        """An entry's one content."""
        (named,) = entry["payload"]
        log = Log(self.folder / "log.db", read_only=True)
        kept = log.payload(named["digest"])
        log.close()
        assert kept is not None
        assert kept[2] is not None
        return self.vault.open(kept[0], kept[1], kept[2], named["commitment"])


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """One that is closed in the end."""
    made = Ledger(folder)
    try:
        yield made
    finally:
        made.writer.close()
        made.names.close()
        made.vault.close()
