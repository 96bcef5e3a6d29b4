"""What is in force in a governed run, said three times: in one line, in the report, and in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mohist.app.govern.client import Client, clients
from mohist.app.govern.home import FRESH
from mohist.app.govern.installation import Installation
from mohist.app.govern.order import Order, Standing
from mohist.app.govern.standing import Obeyed
from mohist.ledger import Value


@dataclass(frozen=True, slots=True)
class Setting:
    """The three."""

    line: str
    report: dict[str, Any]
    entry: dict[str, Value]


def describe(
    order: Order,
    client: Client,
    installation: Installation,
    run_id: str,
    model: str,
    source: str,
    obeyed: Obeyed,
    standing: Standing,
) -> Setting:
    """Of one run."""
    name = f"{client.title} {installation.version}".strip()
    hosts = [*order.allow, *order.allow_private]
    out = f"the gateway and {', '.join(hosts)}" if hosts else "the gateway alone"
    home = "a fresh HOME" if order.home == FRESH else f"the HOME {order.home!r}"
    quiet = "; telemetry and updates off" if client.name in clients() else "; nothing known of its telemetry"
    known = len(client.residual)
    quiet += f", {known} host(s) without a switch refused" if known else ""
    line = f"govern: {name} reaches {out}, with {source}, {home}, this project and a key for this run{quiet}"
    report: dict[str, Any] = {
        "run": run_id,
        "client": client.name,
        "package": installation.package,
        "version": installation.version,
        "program_sha256": installation.sha256,
        "dialect": client.dialect,
        "model": model,
        "home": order.home,
        "allowed": list(order.allow),
        "allowed_private": list(order.allow_private),
        "register": {"verdict": standing.verdict, "entry": standing.entry, "text": standing.text},
        "repository_settings": [
            {"path": one.path, "says": list(one.says), "shown": obeyed.trusted} for one in obeyed.biddings
        ],
    }
    entry: dict[str, Value] = {
        "what": "govern",
        "client": client.name,
        "package": installation.package,
        "version": installation.version,
        "program": installation.sha256,
        "dialect": client.dialect,
        "model": model,
        "home": "fresh" if order.home == FRESH else "kept",
        "allowed": len(hosts),
        "register": standing.entry,
        "standing": standing.verdict,
        "settings": [one.path for one in obeyed.biddings],
        "settings_shown": obeyed.trusted,
    }
    return Setting(line, report, entry)
