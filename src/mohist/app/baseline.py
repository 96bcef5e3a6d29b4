"""A file of known findings, so that a scan reports only what is new. It holds keyed hashes, never a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mohist.app.errors import ConfigError
from mohist.app.scan import Report

VERSION = 1
_MAX_BYTES = 64 * 1024 * 1024
_MEND = "Write it anew: mohist guard scan --write-baseline FILE."


def read_baseline(path: Path) -> frozenset[str]:
    """The identities in a file.

    Raises:
        ConfigError: it can't be read or is none.
    """
    try:
        with path.open("rb") as stream:
            value: Any = json.loads(stream.read(_MAX_BYTES))
    except OSError as error:
        raise ConfigError(f"The baseline {str(path)!r} can't be read: {error.strerror}.", _MEND) from None
    except (ValueError, RecursionError):
        value = None
    known = value.get("known") if isinstance(value, dict) and value.get("version") == VERSION else None
    if not isinstance(known, list) or not all(
        isinstance(row, dict) and isinstance(row.get("id"), str) for row in known
    ):
        raise ConfigError(f"{str(path)!r} is no baseline of version {VERSION}.", _MEND)
    return frozenset(row["id"] for row in known)


def write_baseline(path: Path, report: Report) -> None:
    """Writes what a scan found as known."""
    rows = {
        **{leak.identity: {"id": leak.identity, "rule": leak.finding.rule, "path": leak.path} for leak in report.leaks},
        **{
            identity: {"id": identity, "rule": "unread", "path": unread.path}
            for unread, identity in report.unread
            if unread.grave
        },
    }
    known = sorted(rows.values(), key=lambda row: (row["path"], row["rule"], row["id"]))
    path.write_text(json.dumps({"version": VERSION, "known": known}, indent=1) + "\n", encoding="utf-8")


def without_known(report: Report, known: frozenset[str]) -> int:
    """Takes what is known out of a report; returns how much that was."""
    before = len(report.leaks) + len(report.unread)
    report.leaks = [leak for leak in report.leaks if leak.identity not in known]
    report.unread = [(unread, identity) for unread, identity in report.unread if identity not in known]
    return before - len(report.leaks) - len(report.unread)
