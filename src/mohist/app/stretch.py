"""Where in the ledger a run or a delivery stands, and what of the ledger is in force, in words for people."""

from __future__ import annotations

from dataclasses import dataclass

from mohist.app.ledger import LedgerHome
from mohist.app.ledger_setting import describe_ledger
from mohist.ledger import decode


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stream's place in the log."""

    stream: str
    first: int
    last: int
    entries: int
    closed: bool
    """Whether its last entry says how many came before it, so that it can be shown complete."""
    signed: bool
    """Whether the newest checkpoint holds all of it."""

    def __str__(self) -> str:
        how = "" if self.closed else ", not closed"
        how += "" if self.signed else ", the last not signed yet"
        verify = (
            f'mohist ledger export DIR --stream {self.stream} && python DIR/verify.py DIR --key "$(mohist ledger key)"'
        )
        return (
            f"ledger: entries {self.first} to {self.last} ({self.entries} of {self.stream}{how}), verify with: {verify}"
        )


def stretch(home: LedgerHome, stream: str) -> Stretch | None:
    """None: nothing of it was entered.

    Raises:
        LedgerError: the ledger can't be read.
    """
    if not home.exists:
        return None
    log, archive = home.read(), home.archive()
    try:
        found = list(log.stream(stream))
        newest = archive.newest()
    finally:
        archive.close()
        log.close()
    if not found:
        return None
    first, (last, leaf) = found[0][0], found[-1]
    signed = newest is not None and newest.checkpoint.size > last
    return Stretch(stream, first, last, len(found), decode(leaf)["kind"] == "stream.close", signed)


def in_force(home: LedgerHome) -> tuple[str, bool]:
    """One line on what is in force, and whether entries are taken.

    Raises:
        LedgerError: the ledger can't be read.
    """
    settings = home.settings
    line = describe_ledger(settings).removeprefix("ledger: ")
    if not settings.on:
        return line, True
    if sealed := home.sealed:
        return f"SEALED, nothing is entered and nothing runs: {sealed}", False
    if not home.exists:
        return f"{line}; empty so far", True
    notary = home.notary(signs=False)
    try:
        standing = notary.standing()
    finally:
        notary.close()
    line += f"; {standing.size} entries, {standing.signed_size} signed"
    if standing.unwitnessed_s is not None:
        line += f", unwitnessed for {standing.unwitnessed_s:.0f} s"
    return line, True
