"""Changes of the register as the ledger has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mohist.app.database import owner_config
from mohist.app.ledger import open_home
from mohist.base import StatePaths
from mohist.gateway.entry import REGISTER
from mohist.ledger import ErasedError, LedgerError, decode


def history(env: Mapping[str, str], entry_id: str = "", last: int = 50) -> list[dict[str, Any]]:
    """The newest changes, oldest first.

    Args:
        env: for the state folder.
        entry_id: those alone that touch it; empty: all.
        last: so many at most.

    Returns:
        For each `index` in the log, `at`, `by` (a name where the ledger still knows it), `what` in words, the entry's `data`,
        and `change`: all of it, as far as it was not erased.

    Raises:
        LedgerError: it is switched off, or can't be read.
    """
    home = open_home(StatePaths.from_env(env).home, owner_config(env).ledger, env)
    if home is None:
        what = "The ledger is switched off, and the register's history is there."
        raise LedgerError(
            what, "The database has the changes, too, which is no evidence: /admin/v1/events?subject=register."
        )
    if not home.exists:
        return []
    log, vault, names = home.read(), home.vault(), home.names()
    try:
        found = []
        for index, leaf in log.stream(REGISTER):
            entry = decode(leaf)
            data = entry.get("data", {})
            if not entry_id or entry_id in _ids(data) or entry.get("about", {}).get("entry") == entry_id:
                found.append((index, entry, data))
        return [
            {
                "index": index,
                "at": f"{datetime.fromtimestamp(entry['at'] / 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}",
                "by": names.name(entry.get("for", "")) or entry.get("for") or entry["actor"],
                "what": _words(entry, data),
                "data": data,
                "change": _content(log, vault, entry),
            }
            for index, entry, data in found[-last:]
        ]
    finally:
        names.close()
        vault.close()
        log.close()


def _ids(data: Mapping[str, Any]) -> set[str]:
    return {*(one.get("id", "") for one in data.get("set", ())), *data.get("removed", ())}


def _words(entry: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    said = [str(data.get("action", ""))]
    said += list(_entries(data))
    said += [f"removed {name}" for name in data.get("removed", ())]
    if "settings" in data:
        said.append("settings " + " ".join(f"{name}={value}" for name, value in data["settings"].items()))
    if "digest" in data:
        said.append(f"{data.get('entries', 0)} entries of the machine's file, {data['digest'][:12]}")
    about = entry.get("about", {})
    said += [about["proposal"]] if "proposal" in about else []
    said += [f"proposed by {data['proposed_by']}"] if "proposed_by" in data else []
    return ", ".join(said)


def _entries(data: Mapping[str, Any]) -> Iterator[str]:
    for one in data.get("set", ()):
        when = f" from {one['effective']}" if "effective" in one else ""
        when += f" until {one['expires']}" if "expires" in one else ""
        yield f"{one.get('id')}: {one.get('tool')} {one.get('versions')} {one.get('disposition')}{when}"


def _content(log: Any, vault: Any, entry: Mapping[str, Any]) -> Any:
    """None: it was erased, or never kept."""
    for named in entry.get("payload", ()):
        kept = log.payload(named.get("digest") or named["commitment"])
        if kept is None or kept[2] is None:
            continue
        try:
            return json.loads(vault.open(kept[0], kept[1], kept[2], named["commitment"]))
        except (ErasedError, LedgerError, ValueError):
            continue
    return None
