"""Entries as a gateway makes them, two to a call, and what they are written into: our log, a bare chain, pymerkle."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mohist.ledger import Draft, Receipt
from mohist.ledger.entry import Sealed, encode
from mohist.ledger.log import Ready, SealedContent

ORIGIN = "bench.example/log"
START_US = 1_790_000_000_000_000
CALLS_A_SESSION = 40


class Store(Protocol):
    """What a queue of entries is written into."""

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        """All of them, durably, in one transaction."""
        ...

    def close(self) -> None: ...


def entry(number: int, chance: random.Random) -> Ready:
    """The intent of a call where the number is even, its response where it is odd."""
    call = number // 2
    identity = f"{call:08x}-5c1e-4f6a-9d3b-{call * 2654435761 % 2**48:012x}"
    session = f"session:{call // CALLS_A_SESSION * 11400714819323198485 % 2**64:016x}"
    person = f"person:{call // CALLS_A_SESSION % 1000 * 14029467366897019727 % 2**64:016x}"
    # Digests can't be compressed: they are what an archive consists of in the end.
    sealed = Sealed("request" if number % 2 == 0 else "response", "application/json", 41_233 + number % 9000,
                    "", chance.randbytes(32).hex(), chance.randbytes(8).hex())  # fmt: skip
    common: dict[str, Any] = {"stream": session, "actor": f"key:{call % 1000:012x}", "on_behalf_of": person}
    if number % 2 == 0:
        draft = Draft(
            "model.intent", about={"call": identity}, key=f"call:{identity}/1", **common,
            data={"client": "claude-code", "dialect": "anthropic-messages", "model": "model-large", "upstream": "vendor-eu",
                  "vendor": "vendor", "region": "eu", "self_hosted": False, "rule": ""},
        )  # fmt: skip
    else:
        draft = Draft(
            "model.response", about={"call": identity, "intent": f"call:{identity}/1"}, **common,
            data={"status": 200, "verdict": "ok", "model": "model-large-2026", "cancelled": False,
                  "input_tokens": 41_000 + number % 977, "output_tokens": 300 + number % 401,
                  "cost_microusd": 12_000 + number % 5003, "price": "vendor/2026-10", "ms": 1500 + number % 3001},
        )  # fmt: skip
    # The request is committed to, as a gateway does it: its key is kept, not the request.
    content = (SealedContent(sealed, chance.randbytes(40), b""),) if number % 2 == 0 else ()
    return Ready(draft, content, at_us=START_US + number * 1000, retry_key=f"5f3a91c0de77b2a4/{number}/0")


class Chain:
    """What most call an audit log: entries in SQLite, each with the hash of the one before, as durable as ours."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE entry (position INTEGER PRIMARY KEY, leaf BLOB NOT NULL, hash BLOB NOT NULL)")
        self._size, self._last = 0, bytes(32)

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        rows, receipts = [], []
        for ready in batch:
            leaf = encode(ready.draft, at_us=ready.at_us, log=ORIGIN, sequence=0, previous=self._last.hex(),
                          sealed=[one.sealed for one in ready.contents])  # fmt: skip
            self._last = hashlib.sha256(leaf).digest()
            rows.append((self._size, leaf, self._last))
            receipts.append(Receipt(self._size, self._last, ready.at_us, ready.draft.stream, 0))
            self._size += 1
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO entry VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")
        return receipts

    def close(self) -> None:
        self._db.close()


class Pymerkle:
    """pymerkle's tree in SQLite behind our queue, which it has not itself; its defaults, but for the journal, which is as ours."""

    def __init__(self, path: Path) -> None:
        import pymerkle  # only where the benchmark was given it: GPL, no part of Mohist

        self._tree = pymerkle.SqliteTree(str(path))
        self._tree.con.execute("PRAGMA journal_mode = WAL")
        self._tree.con.execute("PRAGMA synchronous = FULL")

    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        leaves = [encode(ready.draft, at_us=ready.at_us, log=ORIGIN, sequence=0, previous="",
                         sealed=[one.sealed for one in ready.contents]) for ready in batch]  # fmt: skip
        last = self._tree.append_entries(leaves)
        first = last - len(leaves)
        return [Receipt(first + at, b"", ready.at_us, ready.draft.stream, 0) for at, ready in enumerate(batch)]

    def close(self) -> None:
        self._tree.close()
