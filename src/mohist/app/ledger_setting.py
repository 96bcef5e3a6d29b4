"""What holds for the ledger, as plain values; `ledger_table` is what may be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mohist.base import light_dataclass

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "ledger.on": True,
        "ledger.origin": None,
        "ledger.database_url": None,
        "ledger.database_password_file": None,
        "ledger.root_key_file": None,
        "ledger.signer_socket": None,
        "ledger.witnesses": [],
        "ledger.quorum": 0,
        "ledger.checkpoint_s": 10.0,
        "ledger.heartbeat_s": 60.0,
        "ledger.keep_contents": True,
        "ledger.people_statistics": False,
        "ledger.trailers": "run",
        "ledger.retention": [],
    }
)


@light_dataclass(frozen=True, slots=True)
class LedgerSettings:
    """What holds."""

    on: bool
    origin: str
    root_key_file: Path | None
    signer_socket: Path | None
    witnesses: tuple[str, ...]
    quorum: int
    checkpoint_s: float
    heartbeat_s: float
    keep_contents: bool
    people_statistics: bool
    retention: Mapping[str, int]
    """Days by kind of entry, `*` for all others."""
    trailers: str
    """Of a delivery's commits: "off", "run" or "entry"."""
    database_url: str = field(default="", repr=False)
    """Empty: a file in the state folder. From the environment it may hold a password."""
    database_password_file: Path | None = None


def ledger_settings(values: Mapping[str, Any], home: Path) -> LedgerSettings:
    """The settled values of `[ledger]`; `home` is the user's."""

    def place(text: str | None) -> Path | None:
        if not text:
            return None
        return home / text[2:] if text.startswith("~/") else Path(text)

    witnesses = tuple(values["ledger.witnesses"])
    return LedgerSettings(
        on=values["ledger.on"],
        origin=values["ledger.origin"] or "",
        root_key_file=place(values["ledger.root_key_file"]),
        signer_socket=place(values["ledger.signer_socket"]),
        witnesses=witnesses,
        quorum=min(values["ledger.quorum"] or len(witnesses), len(witnesses)),
        checkpoint_s=float(values["ledger.checkpoint_s"]),
        heartbeat_s=float(values["ledger.heartbeat_s"]),
        keep_contents=values["ledger.keep_contents"],
        people_statistics=values["ledger.people_statistics"],
        trailers=values["ledger.trailers"],
        database_url=values["ledger.database_url"] or "",
        database_password_file=place(values["ledger.database_password_file"]),
        retention=MappingProxyType({kind: int(days) for kind, days in map(str.split, values["ledger.retention"])}),
    )


def describe_ledger(settings: LedgerSettings) -> str:
    """One line on what is in force."""
    if not settings.on:
        return "ledger: off; nothing that happens here is evidence"
    where = "on, in PostgreSQL" if settings.database_url else "on"
    if not settings.witnesses:
        return f"ledger: {where}, signed, without a witness: its owner could rewrite it unnoticed"
    return f"ledger: {where}, signed, {settings.quorum} of {len(settings.witnesses)} witnesses"
