"""How long contents are kept: by kind of entry, never shorter where a legal hold is on them. Entries themselves stay.

A hold is an order about the log, so it stands in the log: a stream of its own, which no restored backup of another file can lose.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mohist.ledger.entry import decode
from mohist.ledger.errors import LedgerError
from mohist.ledger.log import BUSY_TIMEOUT_S
from mohist.ledger.store import Store
from mohist.ledger.vault import Vault

HOLDS = "hold"
"""The stream of holds."""
ERASURES = "erasure"
"""The stream of erasures, and of what was dropped since its time was over."""
ANY_KIND = "*"
DAY_US = 86_400_000_000
BATCH = 200
"""Contents dropped in one transaction; between two of them the log's writer has its turn."""
_PAGE = 1_024


def held(log: Store) -> set[str]:
    """The streams and subjects that are under a hold now."""
    found: set[str] = set()
    for _, leaf in log.stream(HOLDS):
        data = decode(leaf)["data"]
        (found.add if data["held"] else found.discard)(data["target"])
    return found


def overdue(log: Store, vault: Vault, days: Mapping[str, int], now_us: int, *, own_only: bool = False) -> list[str]:
    """Digests of the contents whose time is over and that no hold keeps, the oldest first.

    Args:
        log: open for reading.
        vault: says whose a content is.
        days: by kind of entry, `*` for all others; a kind without any is kept for good.
        now_us: microseconds since 1970.
        own_only: leaves contents alone whose keys are not in this vault, since it can't say whose they are: each machine drops its own.
    """
    kept = held(log)
    found: list[str] = []
    for entry in _entries(log):
        limit = days.get(entry["kind"], days.get(ANY_KIND))
        if limit is None or entry["at"] > now_us - limit * DAY_US or entry["stream"] in kept:
            continue
        for named in entry.get("payload", ()):
            row = log.payload(named["digest"]) if "digest" in named else None
            if row is None or row[2] is None:
                continue
            subject = vault.subject(row[0])
            if subject not in kept and not (own_only and subject is None):
                found.append(named["digest"])
    return found


def holding(log: Store, subject: str, key_ids: Sequence[str]) -> str:
    """Which hold forbids to erase a subject: its own, or that of a stream with contents of it; empty: none."""
    kept = held(log)
    if subject in kept:
        return subject
    wanted = set(key_ids)
    for stream in sorted(kept):
        for _, leaf in log.stream(stream):
            if any(named["kid"] in wanted for named in decode(leaf).get("payload", ())):
                return stream
    return ""


def drop(path: Path, digests: Sequence[str]) -> bool:
    """Deletes contents and their keys from a log's file, old pages and write-ahead log included.

    Returns:
        Whether the write-ahead log could be emptied; else somebody reads just now, and old bytes stay in it for a while.

    Raises:
        LedgerError: the file can't be written; what was deleted so far stays deleted.
    """
    try:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA synchronous = FULL")
            for start in range(0, len(digests), BATCH):
                db.execute("BEGIN IMMEDIATE")
                db.executemany(
                    "UPDATE payload SET ciphertext = NULL, wrapped = x'' WHERE digest = ?",
                    [(bytes.fromhex(digest),) for digest in digests[start : start + BATCH]],
                )
                db.execute("COMMIT")
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            db.close()
    except sqlite3.Error as error:
        raise LedgerError(f"Contents of the ledger at {path} could not be deleted: {error}.", "Try again.") from error
    return not busy


def erased_keys(log: Store) -> Iterator[tuple[str, list[str]]]:
    """(subject, key ids) of every erasure that was entered."""
    for _, leaf in log.stream(ERASURES):
        entry = decode(leaf)
        if "keys" in entry["data"]:
            yield entry.get("about", {}).get("subject", ""), entry["data"]["keys"]


def _entries(log: Store) -> Iterator[dict[str, Any]]:
    for start in range(0, log.size, _PAGE):
        yield from map(decode, log.leaves(start, min(start + _PAGE, log.size)))
