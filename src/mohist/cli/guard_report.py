"""`mohist guard report`: what was found in calls, and what was done or would have been."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from mohist.base import ExitCode, StatePaths, SystemClock
from mohist.cli.guard_release import duration, moment

if TYPE_CHECKING:
    from mohist.gateway.screen.archive import Count, Value
    from mohist.guard.covert import Suspicion

EPILOG = """\
A finding is counted once for each session, destination and outcome; a call that was stopped, each time. Lines marked
"would" are of mode `observe`: nothing was stopped.

examples:
  mohist guard report --since 2026-11-01 --by team
  mohist guard report --json | jq '.values[] | select(.action == "block")'"""

_BY = ("rule", "ruling", "class", "detector", "client", "user", "team", "project", "key", "upstream", "vendor", "region", "model", "source")  # fmt: skip
_USUAL = ("rule", "client", "team", "upstream")
_DONE = {"block": "blocked", "ask": "held for a person", "mask": "masked", "note": "noted", "allow": "let pass"}


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--since", type=_since, default="7d", metavar="WHEN", help="7d, 12h or a day (default: 7d)")
    parser.add_argument("--by", action="append", choices=_BY, default=[], help=f"repeat; default: {', '.join(_USUAL)}")
    parser.add_argument("--values", type=int, default=20, metavar="N", help="how many values to name (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    from mohist.app.database import gateway_settings
    from mohist.app.guard import CLIENTS_FILE
    from mohist.gateway.address import home_address
    from mohist.gateway.screen.archive import Archive
    from mohist.gateway.screen.lookout import kept

    now_ms = SystemClock().now_ms()
    since_ms = args.since(now_ms)
    paths = StatePaths.from_env(os.environ)
    with Archive(home_address(paths.home, gateway_settings(os.environ).variables)) as archive:
        counts = {by: archive.counts(by, since_ms) for by in args.by or _USUAL}
        values = archive.values(since_ms, args.values)
    suspicions = kept(paths.home / CLIENTS_FILE).suspicions()
    if args.json:
        print(json.dumps(_as_json(since_ms, counts, values, suspicions), indent=2))
    else:
        _print(since_ms, counts, values)
        _print_suspicions(suspicions)
    return ExitCode.DONE


def _print(since_ms: int, counts: dict[str, list[Count]], values: Sequence[Value]) -> None:
    from mohist.terminal import plain

    print(f"since {moment(since_ms)}")
    if not any(counts.values()):
        print("Nothing was found.")
        return
    for by, rows in counts.items():
        print(f"\nby {by}")
        for row in rows:
            done = ("would be " if row.mode == "observe" and row.action not in ("note", "allow") else "") + _DONE[
                row.action
            ]
            told = (
                f"{row.findings} time(s), {row.values} value(s), {row.sessions} session(s), last {moment(row.last_ms)}"
            )
            print(plain(f"  {row.name or '-'}: {done} {told}"))
    if values:
        print("\nvalues that stopped or changed something; if one was found wrongly:")
        print('  mohist guard release ID --for-good --because "…"')
        for value in values:
            print(
                plain(
                    f"  {value.digest[:12]}  {value.rule} ({value.data_class}, {value.confidence_percent} %): "
                    f"{_DONE[value.action]} {value.findings} time(s), such as in {value.place}"
                )
            )


def _print_suspicions(suspicions: Sequence[Suspicion]) -> None:
    from mohist.terminal import plain

    if suspicions:
        print("\nclients whose own texts are written differently for different askers, over all sessions so far:")
    for one in suspicions:
        print(
            plain(
                f"  {one.client} {one.version}, {one.place}: {one.ways} ways by {one.askers} askers in "
                f"{one.sessions} sessions; they differ in {one.characters}; by chance at most {one.chance:.1g}"
            )
        )


def _as_json(
    since_ms: int, counts: dict[str, list[Count]], values: Sequence[Value], suspicions: Sequence[Suspicion]
) -> dict[str, object]:
    count_names = ("name", "action", "mode", "findings", "values", "sessions", "last_ms")
    value_names = (
        *("digest", "rule", "data_class", "action", "findings", "first_ms", "last_ms", "place"),
        "confidence_percent",
    )
    return {
        "since_ms": since_ms,
        "by": {by: [{name: getattr(row, name) for name in count_names} for row in rows] for by, rows in counts.items()},
        "values": [{name: getattr(value, name) for name in value_names} for value in values],
        "clients": [asdict(suspicion) for suspicion in suspicions],
    }


def _since(text: str) -> Callable[[int], int]:
    """From when on, in milliseconds since the epoch, once it is known what time it is now."""
    if re.fullmatch(r"\d+[mhd]", text):
        length_ms = duration(text) * 1000
        return lambda now_ms: now_ms - length_ms
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"neither a length of time like 7d nor a day like 2026-11-01: {text!r}"
        ) from None
    begun_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return lambda _now_ms: begun_ms
