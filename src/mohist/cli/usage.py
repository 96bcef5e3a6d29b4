"""`mohist usage`: what was used through the gateway, and what it cost."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, date, datetime

from mohist.base import ExitCode, StatePaths

EPILOG = """\
Sums of all calls through the gateway, dearest first. A running server writes them down twice a second.

examples:
  mohist usage
  mohist usage --by user --since 2026-11-01
  mohist usage --by session --csv > sessions.csv"""

_BY = ("key", "user", "project", "team", "client", "model", "session")


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--by", choices=_BY, default="model", help="what to sum by (default: model)")
    parser.add_argument("--since", type=_day, default=0, metavar="DATE", help="from this day on, YYYY-MM-DD (UTC)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON array")
    form.add_argument("--csv", action="store_true", help="comma-separated, with a head line")


def main(args: argparse.Namespace) -> int:
    from mohist.gateway.store import Store, database_path
    from mohist.gateway.writer import catch_up
    from mohist.terminal import plain
    from mohist.terminal.style import money, tokens

    home = StatePaths.from_env(os.environ).home
    catch_up(home)
    with Store(database_path(home)) as store:
        totals = store.usage(args.by, args.since)
    rows = [{args.by if name == "name" else name: value for name, value in asdict(total).items()} for total in totals]
    if args.json:
        print(json.dumps(rows, indent=2))
        return ExitCode.DONE
    if args.csv:
        names = [args.by, *(name for name in asdict(totals[0]) if name != "name")] if totals else [args.by]
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, args.by: _cell(row[args.by])} for row in rows)
        return ExitCode.DONE
    if not totals:
        print("no calls yet")
        return ExitCode.DONE
    print(f"{args.by:36} {'calls':>8} {'refused':>8} {'prompt':>8} {'cached':>8} {'output':>8} {'cost':>14}")
    for total in totals:
        prompt = total.input_tokens + total.cache_read_tokens + total.cache_write_tokens
        cost = money(total.cost_microusd) + (f" + {total.unpriced} unpriced" if total.unpriced else "")
        name = " ".join(plain(total.name).split()) or "(none)"
        print(
            f"{name:36} {total.calls:>8} {total.refused:>8} {tokens(prompt):>8} "
            f"{tokens(total.cache_read_tokens):>8} {tokens(total.output_tokens):>8} {cost:>14}"
        )
    return ExitCode.DONE


def _cell(text: str) -> str:
    """Clients name themselves; a spreadsheet must not take a name for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _day(text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a day such as 2026-11-01: {text!r}") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
