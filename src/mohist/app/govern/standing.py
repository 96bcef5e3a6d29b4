"""What must be settled before a client starts: what the register says of it, and which settings of the repository it may obey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mohist.app.errors import ConfigError
from mohist.app.govern.bidding import Bidding, biddings, digest
from mohist.app.govern.client import Client
from mohist.app.govern.diary import Diary
from mohist.app.govern.errors import BannedError
from mohist.app.govern.order import Judge, Standing, Use
from mohist.app.trust import TrustStore
from mohist.base import StatePaths, SystemClock

TRUST: Final = "govern/trust.json"
"""Which repositories' settings hold for which client, below the state folder."""


@dataclass(frozen=True, slots=True)
class Obeyed:
    """The settings of a repository, and whether they hold."""

    biddings: tuple[Bidding, ...]
    trusted: bool

    @property
    def hidden(self) -> tuple[str, ...]:
        """What the client must not see."""
        return () if self.trusted else tuple(one.path for one in self.biddings)

    def line(self, client: Client) -> str:
        """For people; empty where the repository asks for nothing."""
        if not self.biddings:
            return ""
        what = ", ".join(str(one) for one in self.biddings)
        if self.trusted:
            return f"govern: {client.title} obeys this repository's {what}; you trusted them as they are"
        return f"govern: this repository would set {what} for {client.title}; not shown to it until --trust-settings"


def judged(judge: Judge | None, use: Use, diary: Diary) -> Standing:
    """What the register says, entered where it says anything. Blocks.

    Raises:
        BannedError: it refuses the client.
        LedgerError: that can't be entered.
    """
    standing = judge(use) if judge is not None else Standing("allowed")
    if standing.entry or standing.verdict != "allowed":
        verdict = {"allowed": "allow", "warned": "warn", "refused": "deny"}[standing.verdict]
        data = {"client": use.client.name, "version": use.installation.version, "entry": standing.entry}
        diary.verdict(verdict, data, standing.text)
    if standing.verdict == "refused":
        raise BannedError(standing.text)
    return standing


def obeyed(client: Client, root: Path, cwd: Path, paths: StatePaths, *, trust: bool) -> Obeyed:
    """What of the repository the client would obey.

    Args:
        cwd: where it starts, below `root`.
        trust: they hold from now on, as they are.

    Raises:
        TrustError: the list of trusted settings is not safe.
        ConfigError: they can't be trusted.
    """
    found = biddings(client, root, cwd)
    if not found:
        return Obeyed((), trusted=True)
    store = TrustStore(paths.home / TRUST, SystemClock())
    # One list for all clients: their names are part of the place, so that one's trust is not another's.
    place, now = cwd / f".{client.name}", digest(client, root, cwd)
    if trust and not now:
        raise ConfigError(
            f"This repository's settings for {client.title} are too many to be looked through.",
            "Take out what is not needed, or leave --trust-settings out.",
        )
    if trust:
        store.trust(place, now)
    return Obeyed(found, trusted=bool(now) and store.is_trusted(place, now))
